"""The server's own token: made at the start, kept from others, shown only where it may be."""

import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from allotrope.exceptions import SettingsError
from allotrope.identity.local_token import find_token, kept
from allotrope.settings.serve import ServeSettings
from allotrope.testing import ProviderSimulator
from allotrope.web.access.access import check_exposure
from allotrope.web.access.proxies import Proxies

TOKEN = "a-token-of-enough-characters"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def base(serve: Any, simulator: ProviderSimulator) -> str:
    return str(serve(token=TOKEN))


def test_a_browser_gives_the_token_for_a_session_that_is_not_the_token(base: str) -> None:
    with httpx.Client(base_url=base) as browser:
        entered = browser.get("/", params={"token": TOKEN, "x": "1"})
        assert entered.status_code == 200
        assert 'url=/?x=1"' in entered.text
        assert TOKEN not in entered.text
        assert entered.headers["referrer-policy"] == "no-referrer"
        cookie = entered.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie  # there is no TLS here, and no proxy that could say so
        assert TOKEN not in cookie
        assert browser.get("/api/threads").status_code == 200


def test_a_token_in_an_address_opens_pages_only(base: str) -> None:
    for path in ("/v1/models", "/api/threads", "/metrics", "/static/x/..", "//", "/x"):
        answer = httpx.get(f"{base}{path}", params={"token": TOKEN})
        assert answer.status_code in (401, 404), path
        assert "set-cookie" not in answer.headers
    for method in ("POST", "HEAD", "OPTIONS"):
        answer = httpx.request(method, base, params={"token": TOKEN})
        assert answer.status_code == 401, method
    fetched = httpx.get(base, params={"token": TOKEN}, headers={"sec-fetch-mode": "cors"})
    assert fetched.status_code == 401
    wrong = httpx.get(base, params={"token": "wrong"})
    assert "set-cookie" not in wrong.headers


def test_no_made_up_session_opens(base: str) -> None:
    with httpx.Client(base_url=base) as browser:
        browser.get("/", params={"token": TOKEN})
        session = browser.cookies["allotrope_session"]
    name, until, seal = session.split(".")
    later = str(int(until) + 30)
    forged = [
        TOKEN,
        "",
        "operator",
        f"{name}.{later}.{seal}",
        f"{name}.0.{seal}",
        f"{name}.{until}.{seal[::-1]}",
        f"{name}.{'9' * 11}.{seal}",
        f"{name}.{until}",
        f"{'0' * 12}.{until}.{seal}",
        f"../keys.{until}.{seal}",
    ]
    for one in forged:
        answer = httpx.get(f"{base}/v1/models", headers={"cookie": f"allotrope_session={one}"})
        assert answer.status_code == 401, one
    good = httpx.get(f"{base}/v1/models", headers={"cookie": f"allotrope_session={session}"})
    assert good.status_code == 200
    crossing = {"cookie": f"allotrope_session={session}", "origin": "https://evil.example"}
    assert httpx.post(f"{base}/api/turns", json={}, headers=crossing).status_code == 403


def raw(base: str, *headers: tuple[str, str], method: str = "GET") -> int:
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.putrequest(method, "/v1/models")
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_headers_that_say_two_things_or_somebody_elses_word_open_nothing(base: str) -> None:
    good, wrong = ("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer wrong")
    assert raw(base, good) == 200
    assert raw(base, good, wrong) == 400
    assert raw(base, wrong, good) == 400
    for name in ("X-Authorization", "Proxy-Authorization", "Authorization_", "X-Api-Key", "Token"):
        assert raw(base, (name, f"Bearer {TOKEN}")) == 401, name
    for name in ("X-Forwarded-User", "X-Remote-User", "X-Allotrope-Tenant", "X-Real-Ip"):
        assert raw(base, (name, "operator")) == 401, name
    for value in (f"Basic {TOKEN}", TOKEN, f"Bearer{TOKEN}", f"Bearer {TOKEN}, Bearer x"):
        assert raw(base, ("Authorization", value)) in (401, 429), value


def test_a_web_socket_is_refused_and_is_no_error(base: str) -> None:
    upgrade = (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    )
    assert raw(base, *upgrade, ("Authorization", f"Bearer {TOKEN}")) == 403


def test_wrong_tokens_from_an_address_are_limited_whatever_the_way(base: str) -> None:
    ways = (
        lambda n: httpx.get(f"{base}/v1/models", headers={"authorization": f"Bearer guess-{n}"}),
        lambda n: httpx.get(base, params={"token": f"guess-{n}"}),
        lambda n: httpx.post(f"{base}/login", data={"token": f"guess-{n}"}),
    )
    statuses = [ways[n % 3](n).status_code for n in range(15)]
    assert 429 not in statuses[:10]
    assert statuses[11:] == [429] * 4
    assert httpx.get(f"{base}/v1/models", headers=BEARER).status_code == 429  # no guess is judged


def test_proxies_are_believed_where_they_are_named() -> None:
    def seen(*lines: str, peer: str = "10.0.0.5", proto: str = "https") -> tuple[str, str]:
        headers = [(b"x-forwarded-for", line.encode()) for line in lines]
        headers.append((b"x-forwarded-proto", proto.encode()))
        scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
        found = Proxies(("10.0.0.0/24", "::1")).seen(scope)
        return found["client"][0], found["scheme"]

    assert seen("203.0.113.9") == ("203.0.113.9", "https")
    assert seen("203.0.113.9", peer="192.0.2.1") == ("192.0.2.1", "http")  # not named
    assert seen("127.0.0.1, 203.0.113.9, 10.0.0.7") == ("203.0.113.9", "https")
    assert seen("127.0.0.1", "203.0.113.9") == ("203.0.113.9", "https")
    assert seen("203.0.113.9, nonsense") == ("10.0.0.5", "https")
    assert seen("203.0.113.9", proto="gopher") == ("203.0.113.9", "http")
    assert Proxies(()).seen({"type": "http", "client": ("10.0.0.5", 1)})["client"][0] == "10.0.0.5"


def test_behind_tls_the_cookie_is_secure(serve: Any, simulator: ProviderSimulator) -> None:
    https = {"x-forwarded-proto": "https"}
    for proxies, secure in ((("127.0.0.1",), True), ((), False)):
        base = serve(token=TOKEN, trusted_proxies=proxies)
        entered = httpx.get(base, params={"token": TOKEN}, headers=https)
        assert ("Secure" in entered.headers["set-cookie"]) is secure


def test_nobody_listens_for_others_without_a_token() -> None:
    for given in ({}, {"no_token": True}):
        with pytest.raises(SettingsError):
            check_exposure(ServeSettings.model_validate(given), "0.0.0.0")
    check_exposure(ServeSettings.model_validate({"no_token": True}), "127.0.0.1")


@pytest.fixture
def started(
    simulator_environ: dict[str, str], tmp_path: Path
) -> Iterator[tuple[str, str, "subprocess.Popen[str]", dict[str, str]]]:
    """`allotrope dashboard --open` as a person starts it: address, token, process, environment."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {opened}\n')
    browser.chmod(0o755)
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    environ = {
        **os.environ, **simulator_environ,
        "XDG_RUNTIME_DIR": str(runtime), "BROWSER": str(browser),
    }  # fmt: skip
    command = "from allotrope.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "dashboard", "--port", "0", "--open"],
        env=environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = re.search(r"(http://[\d.:]+/dashboard)\?token=(\S+)", process.stdout.readline())
        assert said is not None
        yield said[1], said[2], process, environ
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
    assert not list(runtime.rglob("serve-*"))  # it leaves nothing behind


def test_another_user_of_the_machine_finds_no_token(
    started: tuple[str, str, "subprocess.Popen[str]", dict[str, str]], tmp_path: Path
) -> None:
    address, token, process, environ = started
    assert httpx.get(address).status_code == 401
    assert len(token) >= 43
    files = list((tmp_path / "run").rglob("serve-*"))
    assert len(files) == 2
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    opened = (tmp_path / "opened").read_text()
    assert token.encode() not in arguments
    assert token not in opened
    assert opened.strip().startswith("file://")
    page = Path(urlsplit(opened.strip()).path).read_text()
    assert f"{address}?token={token}" in page
    asked = subprocess.run(
        [sys.executable, "-c", "from allotrope.cli import main; main()", "keys", "token", "--json"],
        env=environ, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(asked.stdout) == {"url": address, "token": token}


def test_the_latest_server_is_found_and_a_dead_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with kept("http://127.0.0.1:81/", "first"):
        dead = tmp_path / f"allotrope-{os.getuid()}" / "serve-1-x.json"
        dead.write_text(json.dumps({"url": "http://127.0.0.1:82/", "token": "no", "pid": 2**22}))
        assert find_token().token == "first"
        assert find_token(81).token == "first"
        for port in (82, 8):
            with pytest.raises(Exception, match="No server of yours"):
                find_token(port)


async def test_the_private_page_logs_a_real_browser_in(
    base: str, open_page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cookie that is SameSite=Strict must be there on the first page after one from outside."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    page = await open_page()
    with kept(f"{base}/", TOKEN) as file:
        await page.goto(file.as_uri())
        await page.wait_for_url(f"{base}/")
        await page.get_by_role("textbox").first.wait_for()
        page.complaints.clear()  # the page in the file is another machine's to that check
        assert TOKEN not in page.url
        assert await page.evaluate("document.cookie") == ""
