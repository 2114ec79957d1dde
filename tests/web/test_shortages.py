"""What this machine lacks is told as that, by the server and by its health."""

import errno
import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from allotrope.exceptions import AllProvidersFailedError, ProviderUnreachableError
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator
from allotrope.web.apps import serve_app
from allotrope.web.errors import problem_of
from allotrope.web.health.shortages import ShortageError, Shortages, lack_of


def full_disk() -> OSError:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="space") as caught:
        os.write(full, b"x")
    os.close(full)
    return caught.value


def full_database(path: Path) -> sqlite3.Error:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA max_page_count=2")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("INSERT INTO t VALUES (?)", ("x" * 20_000,))
    return caught.value


def full_engine(path: Path) -> OperationalError:
    with create_engine(f"sqlite:///{path}").connect() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
        connection.execute(text("PRAGMA max_page_count=2"))
        with pytest.raises(OperationalError) as caught:
            connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": "x" * 20_000})
        connection.rollback()
    connection.engine.dispose()
    return caught.value


@pytest.fixture
def no_descriptors() -> Iterator[OSError]:
    """The error of a process that may open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), before[1]))
    held: list[int] = []
    try:
        while True:
            held.append(os.dup(2))
    except OSError as exc:
        found = exc
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for one in held:
            os.close(one)
    return found


def test_full_disks_are_told_from_other_failures(tmp_path: Path) -> None:
    assert lack_of(full_disk()) == "disk"
    assert lack_of(full_database(tmp_path / "a")) == "disk"
    assert lack_of(full_engine(tmp_path / "b")) == "disk"
    assert lack_of(psycopg.errors.DiskFull("could not extend file")) == "database"
    assert lack_of(psycopg.errors.AdminShutdown("terminating connection")) is None
    assert lack_of(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) is None
    assert lack_of(ValueError("disk full")) is None


def test_a_chain_that_had_no_descriptors_is_no_providers_failure(no_descriptors: OSError) -> None:
    refused = ProviderUnreachableError("no connection", provider="openai", model="o3")
    refused.__cause__ = no_descriptors
    whole = AllProvidersFailedError("No model can answer now.", causes=(refused,))
    assert lack_of(whole) == "descriptors"


def test_a_store_that_says_nothing_is_explained_by_what_is_lacking_now(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortages = Shortages(redis_settings)
    locked = sqlite3.OperationalError("unable to open database file")
    assert shortages.explained(locked) is locked
    assert problem_of(locked).code == "store_unavailable"
    few = (len(os.listdir("/proc/self/fd")) + 4, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, few)
    try:
        told = shortages.explained(locked)
        lacking = shortages.lacking()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert isinstance(told, ShortageError)
    assert "file descriptors" in str(told)
    assert lacking == ["descriptors"]


def test_health_remembers_a_lack_and_forgets_it(redis_settings: Settings) -> None:
    clock = [100.0]
    shortages = Shortages(redis_settings, now=lambda: clock[0])
    assert shortages.lacking() == []
    shortages.note("time")
    assert shortages.lacking() == ["time"]
    clock[0] += 11
    assert shortages.lacking() == []


def test_a_lack_that_goes_on_is_logged_once_in_a_while(
    redis_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [100.0]
    shortages = Shortages(redis_settings, now=lambda: clock[0])
    for _ in range(1_000):
        shortages.note("descriptors", "connections wait")
    clock[0] += 31
    shortages.note("descriptors")
    assert caplog.text.count("short of descriptors") == 2


def test_a_full_disk_is_told_and_the_same_question_later_is_answered(
    running_app: Any, simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    simulator.answer_with(lambda asked: "Fine.")
    app = serve_app(simulator_settings, host="127.0.0.1")
    body = {
        "model": "assistant",
        "messages": [{"role": "user", "content": "Is there room? " + "x" * 100_000}],
        "allotrope": {"thread_id": "full"},
    }
    with running_app(app) as base, httpx.Client(base_url=base, timeout=60) as client:
        deadline = time.monotonic() + 60
        while client.get("/healthz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        connection = app.state.service._saver.conn
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        most = connection.execute("PRAGMA max_page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
        refused = client.post("/v1/chat/completions", json=body)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "server_short_of_disk"
        assert "disk is full" in refused.json()["error"]["message"]
        assert refused.headers["retry-after"] == "10"
        health = client.get("/healthz")
        assert (health.status_code, health.json()["short_of"]) == (503, ["disk"])
        connection.execute(f"PRAGMA max_page_count={most}")
        answered = client.post("/v1/chat/completions", json=body)
        assert answered.json()["choices"][0]["message"]["content"] == "Fine."
        kept = client.get("/api/threads/full").json()["messages"]
    assert [message["role"] for message in kept] == ["user", "assistant"]
