"""Real server processes under SIGHUP, and without file descriptors."""

import concurrent.futures
import fcntl
import os
import pty
import resource
import signal
import socket
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from allotrope.testing import ProviderSimulator, Reply

pytestmark = pytest.mark.slow


@pytest.fixture
def provider() -> Iterator[ProviderSimulator]:
    """OpenAI knows one key; Ollama asks for none."""
    with ProviderSimulator(keys={"sk-new"}) as made:
        yield made


@pytest.fixture
def environ(provider: ProviderSimulator, tmp_path: Path) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "",
        "OPENAI_API_KEY_FILE": str(tmp_path / "key"),
        "OPENAI_BASE_URL": provider.openai_url,
        "OLLAMA_HOST": provider.ollama_url,
        "ALLOTROPE_EMBEDDED__ENABLED": "false",
        "ALLOTROPE_REDIS__EMBEDDED": "false",
        "ALLOTROPE_CACHE__ENABLED": "false",
        "ALLOTROPE_DATA_DIR": str(tmp_path / "data"),
    }


def ask(url: str, text: str, thread: str) -> dict[str, Any]:
    body = {
        "model": "assistant",
        "messages": [{"role": "user", "content": text}],
        "allotrope": {"thread_id": thread},
    }
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    ours: dict[str, Any] = answer.json()["allotrope"]
    return {**ours, "text": answer.json()["choices"][0]["message"]["content"]}


def short_of(url: str) -> list[str]:
    return httpx.get(f"{url}/healthz").json().get("short_of", [])  # type: ignore[no-any-return]


def wait_for(found: Callable[[], bool], server: Any) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert server.process.poll() is None, server.log()
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.05)


def test_sighup_reads_the_key_anew_and_ends_no_turn(
    start_server: Any, environ: dict[str, str], provider: ProviderSimulator, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("sk-old")
    server = start_server(environ, tmp_path).ready()
    try:
        assert ask(server.url, "First", "before")["provider"] == "ollama"
        provider.script([Reply(text="word " * 40, token_delay_s=0.1)], provider="ollama")
        chats = len(provider.chats("ollama"))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = pool.submit(ask, server.url, "Slow", "slow")
            wait_for(lambda: len(provider.chats("ollama")) > chats, server)
            key.write_text("sk-new")
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "read anew" in server.log(), server)
            assert not running.done()
            assert running.result()["text"].split() == ["word"] * 40
        assert ask(server.url, "Second", "after")["provider"] == "openai"
        key.unlink()
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the settings stay as they were" in server.log(), server)
        assert ask(server.url, "Third", "after")["provider"] == "openai"
        assert server.health() == "ok"
        server.process.terminate()
        assert server.process.wait(20) == 0, server.log()
        assert "Traceback" not in server.log(), server.log()
    finally:
        server.end()


def test_a_terminal_that_goes_away_drains(
    start_server: Any, environ: dict[str, str], provider: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk-new")
    ours, theirs = pty.openpty()
    server = start_server(
        environ,
        tmp_path,
        stdin=theirs,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        server.ready()
        provider.script([Reply(text="word " * 30, token_delay_s=0.1)], provider="openai")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = pool.submit(ask, server.url, "Slow", "slow")
            wait_for(lambda: len(provider.chats("openai")) > 0, server)
            os.close(ours)  # the system sends SIGHUP to the session that had it
            assert running.result()["text"].split() == ["word"] * 30
        assert server.process.wait(20) == 0, server.log()
    finally:
        server.end()


def test_a_server_that_was_stopped_says_so_and_ends_its_turn(
    start_server: Any, environ: dict[str, str], provider: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk-new")
    server = start_server(environ, tmp_path).ready()
    try:
        provider.script([Reply(text="word " * 30, token_delay_s=0.1)], provider="openai")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = pool.submit(ask, server.url, "Slow", "slow")
            wait_for(lambda: len(provider.chats("openai")) > 0, server)
            for _ in range(20):  # its watch begins when the last agent is loaded
                server.process.send_signal(signal.SIGSTOP)
                time.sleep(3)  # longer than `heartbeat.LATE_S`
                server.process.send_signal(signal.SIGCONT)
                time.sleep(1)
                if "it stood still for" in server.log():
                    break
            wait_for(lambda: "time" in short_of(server.url), server)  # a busy disk may say it later
            assert running.result()["text"]
        wait_for(lambda: server.health() == "ok", server)
        assert "unforeseen" not in server.log()
    finally:
        server.end()


def test_without_descriptors_the_log_has_a_line_and_the_server_comes_back(
    start_server: Any, environ: dict[str, str], provider: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk-new")
    server = start_server(
        environ,
        tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    ).ready()
    try:
        at = urlsplit(server.url)
        assert at.port is not None
        held = [socket.create_connection(("127.0.0.1", at.port)) for _ in range(60)]
        wait_for(lambda: "short of descriptors" in server.log(), server)
        for one in held:
            one.close()
        wait_for(lambda: server.health() == "ok", server)
        assert ask(server.url, "Still there?", "after")["provider"] == "openai"
        assert server.log().count("short of descriptors") == 1
        assert "Traceback" not in server.log(), server.log()
    finally:
        server.end()
