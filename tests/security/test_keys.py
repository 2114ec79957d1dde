"""Keys: what a wrong, ended, revoked or foreign one gets, and what a good one can't reach."""

import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from allotrope.cli.operating.keys import app as keys_app
from allotrope.exceptions import InputError
from allotrope.identity.key_store import KeyStore
from allotrope.identity.keys import Key, parts_of, text_of
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator
from allotrope.web.apps import serve_app

TOKEN = "a-token-of-enough-characters"
Ask = Callable[..., httpx.Response]


@pytest.fixture
def settings(simulator_settings: Settings) -> Settings:
    serve = simulator_settings.serve.model_validate({"token": TOKEN})
    return simulator_settings.model_copy(update={"serve": serve})


@pytest.fixture
def store(settings: Settings) -> Iterator[KeyStore]:
    with KeyStore(settings) as made:
        yield made


@pytest.fixture
def base(settings: Settings, running_app: Any) -> Iterator[str]:
    with running_app(serve_app(settings, host="127.0.0.1")) as url:
        yield url


def make(store: KeyStore, **facts: Any) -> str:
    return store.create(Key(id="", digest="", **facts))[1]


def ask(base: str, key: str, text: str = "Hello", **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", **more.pop("headers", {})}
    body = {"model": "assistant", "messages": [{"role": "user", "content": text}], **more}
    return httpx.post(f"{base}/v1/chat/completions", json=body, headers=headers, timeout=60)


def test_only_a_good_key_opens(base: str, store: KeyStore, simulator: ProviderSimulator) -> None:
    good = make(store, tenant="acme", user="kim")
    ended = make(store, tenant="acme", expires_at=time.time() - 1)
    id, secret = parts_of(good) or ("", "")
    other, _ = parts_of(ended) or ("", "")
    wrong = [
        ended,
        text_of(id, secret[::-1]),
        text_of(other, secret),
        text_of("0" * 12, secret),
        f"{good} ",
        good[:-1],
        good.upper(),
        f"{good}, {good}",
        "alt_",
    ]
    assert ask(base, good).status_code == 200
    statuses = [ask(base, one).status_code for one in wrong if one.strip() != good]
    assert set(statuses) <= {401, 429}
    assert ask(base, good).status_code == 200  # whose key is known isn't locked out by them
    assert len(simulator.chats()) == 1  # the second answer came from the cache


def test_a_revoked_key_ends_within_three_seconds_and_a_rotated_one_changes(
    base: str, store: KeyStore, simulator: ProviderSimulator
) -> None:
    first, second = make(store, tenant="acme"), make(store, tenant="acme")
    models = f"{base}/v1/models"

    def status(key: str) -> int:
        return httpx.get(models, headers={"authorization": f"Bearer {key}"}).status_code

    assert (status(first), status(second)) == (200, 200)
    store.revoke((parts_of(first) or ("",))[0])
    _, changed = store.rotate((parts_of(second) or ("",))[0])
    time.sleep(3.1)  # what is known may be as old as that
    assert (status(first), status(second), status(changed)) == (401, 401, 200)
    _, again = store.rotate((parts_of(second) or ("",))[0], grace_s=3600)
    time.sleep(3.1)
    assert (status(changed), status(again)) == (200, 200)
    with pytest.raises(InputError, match="revoked"):
        store.rotate((parts_of(first) or ("",))[0])


def test_a_key_asks_only_its_agents_and_sees_no_others(
    base: str, store: KeyStore, simulator: ProviderSimulator
) -> None:
    key = make(store, tenant="acme", agents=("assistant",))
    bearer = {"authorization": f"Bearer {key}"}
    listed = httpx.get(f"{base}/v1/models", headers=bearer).json()["data"]
    assert [one["id"] for one in listed] == ["assistant"]
    for name in ("coder", "no-such-agent"):
        refused = ask(base, key, model=name)
        assert refused.status_code == 404
        assert refused.json()["error"]["message"].endswith("the agents are assistant.")
    page = httpx.post(f"{base}/api/turns", json={"agent": "coder", "text": "Hi"}, headers=bearer)
    assert page.status_code == 404
    assert "coder" not in httpx.get(base, headers=bearer).text
    assert not simulator.chats()


def test_a_key_gives_its_tools_and_a_request_only_fewer(
    base: str, store: KeyStore, simulator: ProviderSimulator
) -> None:
    key = make(store, tenant="acme", tools=("calculate",))
    wide = {"tools_allowed": ["calculate", "now", "search_memory"]}
    assert ask(base, key, allotrope=wide).status_code == 200
    assert ask(base, key, "And none?", allotrope={"tools_allowed": []}).status_code == 200
    offered = [sorted(tool.name for tool in chat.asked.tools) for chat in simulator.chats()]
    assert offered[0] == ["calculate"]
    assert offered[1] == []


def test_what_shows_all_tenants_is_for_operators(
    base: str, store: KeyStore, simulator: ProviderSimulator
) -> None:
    key, chief = make(store, tenant="acme"), make(store, operator=True)
    for path in ("/dashboard", "/dashboard/rows", "/dashboard/rows.csv", "/metrics", "/status"):
        for text, wanted in ((key, 403), (chief, 200), (TOKEN, 200)):
            answer = httpx.get(
                f"{base}{path}", headers={"authorization": f"Bearer {text}"}, timeout=60
            )
            assert answer.status_code == wanted, (path, text[:5])


def test_a_keys_user_and_budget_are_the_keys_whatever_the_request_says(
    base: str, store: KeyStore, settings: Settings, simulator: ProviderSimulator
) -> None:
    key = make(store, tenant="acme", user="kim", tokens=3_000, period="day")
    statuses = []
    for number in range(12):
        names = {"user": f"invented-{number}"}
        statuses.append(ask(base, key, f"Question {number}", **names).status_code)
    assert statuses[0] == 200
    assert statuses[-1] == 429
    again = make(store, tenant="acme", user="kim", tokens=3_000, period="day")
    assert ask(base, again, "One more").status_code == 429  # the same person's other key
    other = make(store, tenant="globex", user="kim", tokens=3_000, period="day")
    assert ask(base, other, "Me?").status_code == 200  # another tenant's Kim


def test_a_keys_limit_is_its_own(base: str, store: KeyStore, simulator: ProviderSimulator) -> None:
    slow, free = make(store, tenant="acme", requests_per_minute=1), make(store, tenant="acme")
    statuses = [ask(base, slow).status_code for _ in range(4)]
    assert statuses[0] == 200
    assert 429 in statuses[1:]
    assert ask(base, free).status_code == 200


def test_the_file_is_its_owners_and_has_no_secret(store: KeyStore, settings: Settings) -> None:
    umask = os.umask(0)
    try:
        text = make(store, tenant="acme", user="kim")
    finally:
        os.umask(umask)
    assert settings.data_dir is not None
    for path in settings.data_dir.glob("keys.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (parts_of(text) or ("", ""))[1].encode() not in path.read_bytes()


def test_the_command_makes_lists_rotates_and_revokes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOTROPE_DATA_DIR", str(tmp_path))
    run = CliRunner().invoke
    made = json.loads(
        run(keys_app, ["create", "app", "--tenant", "acme", "--usd", "5", "--json"]).stdout
    )
    assert parts_of(made["key"]) is not None
    (listed,) = json.loads(run(keys_app, ["list", "--json"]).stdout)["keys"]
    assert {k: v for k, v in made.items() if k != "key"} == listed
    assert not any("digest" in name for name in listed)
    rotated = json.loads(run(keys_app, ["rotate", made["id"], "--json"]).stdout)
    assert rotated["key"] != made["key"]
    assert json.loads(run(keys_app, ["revoke", made["id"], "--json"]).stdout)["state"] == "revoked"
    assert (parts_of(rotated["key"]) or ("", ""))[1] not in run(keys_app, ["list"]).stdout
    for words in (["--usd", "lots"], ["--expires", "soon"], ["--tenant", "a/b"], ["--per", "year"]):
        assert run(keys_app, ["create", *words]).exit_code != 0
    refused = run(keys_app, ["create", "--operator", "--tenant", "acme"])
    assert isinstance(refused.exception, InputError)


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_keys_live_in_the_ledgers_postgresql(
    settings: Settings, postgres_url: str, scheme: str
) -> None:
    url = SecretStr(postgres_url.replace("postgresql", scheme, 1))
    usage = settings.usage.model_copy(update={"ledger_url": url})
    shared = settings.model_copy(update={"usage": usage})
    with KeyStore(shared) as one, KeyStore(shared) as other:
        made, text = one.create(Key(id="", digest="", tenant="acme", tools=("calculate",)))
        assert other.get(made.id) == made
        assert made.opens((parts_of(text) or ("", ""))[1])
        other.revoke(made.id)
        seen = one.get(made.id)
    assert seen is not None
    assert seen.state() == "revoked"
    assert replace(seen, revoked_at=None) == made
    assert not list(Path(settings.data_dir or ".").glob("keys.db*"))


@pytest.mark.parametrize(
    "kept_in", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def test_servers_that_start_at_once_make_the_table_together(
    kept_in: str, settings: Settings, request: pytest.FixtureRequest
) -> None:
    if kept_in == "postgresql":
        url = request.getfixturevalue("own_postgres").url
        usage = settings.usage.model_copy(update={"ledger_url": SecretStr(url)})
        settings = settings.model_copy(update={"usage": usage})
    barrier, seen = threading.Barrier(8), list[str]()

    def start() -> None:
        barrier.wait()
        with KeyStore(settings) as mine:
            seen.append(mine.create(Key(id="", digest="", tenant="acme"))[0].id)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with KeyStore(settings) as all_of_them:
        assert {key.id for key in all_of_them.all()} == {*seen}
    assert len(seen) == 8


def test_a_revoked_key_stays_revoked_when_the_machine_loses_its_power(store: KeyStore) -> None:
    with store._connected() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_person_logs_in_with_a_key_by_the_form_alone(
    base: str, store: KeyStore, simulator: ProviderSimulator
) -> None:
    key = make(store, tenant="acme", user="kim")
    linked = httpx.get(base, params={"token": key})
    assert "set-cookie" not in linked.headers  # else a link logs people in as somebody else
    with httpx.Client(base_url=base, timeout=60) as browser:
        entered = browser.post("/login?next=/api/threads", data={"token": key})
        assert (entered.status_code, entered.headers["location"]) == (303, "/api/threads")
        assert (parts_of(key) or ("", ""))[1] not in entered.headers["set-cookie"]
        assert browser.get("/api/threads").status_code == 200
        assert browser.get("/dashboard").status_code == 403
        store.revoke((parts_of(key) or ("",))[0])
        time.sleep(3.1)
        assert browser.get("/api/threads").status_code == 401
