"""PostgreSQL addresses: what is wrong with each, in one line that never has the password."""

import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.conftest import PostgresServer

from allotrope.operations.doctor import examine
from allotrope.settings import load_settings
from allotrope.stores.postgres.errors import server_of
from allotrope.stores.servers import ServerHealth, postgres_servers
from allotrope.support.extras import install
from allotrope.web.health import checks as health

pytestmark = pytest.mark.postgres

SECRET = "hunter2"


def settings_of(folder: Path, **more: Any) -> Any:
    return load_settings(
        environ={},
        env_file=None,
        data_dir=folder,
        ollama={"enabled": False},
        embedded={"enabled": False},
        redis={"embedded": False},
        **more,
    )


def told(settings: Any) -> list[tuple[str, str, str, str]]:
    found = [f for f in examine(settings, timeout_s=2) if f.part.startswith("PostgreSQL")]
    return [(f.part, f.state, f.told, f.advice) for f in found]


@pytest.fixture(scope="module")
def guarded_url(postgres_url: str) -> str:
    """`host:port` of a server, with a role `ada` whose password is `hunter2`."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE ada LOGIN PASSWORD '{SECRET}'".encode())
    return postgres_url.partition("@")[2].partition("/")[0]


def test_one_that_answers(tmp_path: Path, guarded_url: str) -> None:
    url = f"postgresql://ada:{SECRET}@{guarded_url}/postgres"
    [(part, state, found, _)] = told(settings_of(tmp_path, checkpoint_url=url))
    assert (part, state) == ("PostgreSQL (threads, archive)", "ok")
    assert found.startswith(f"{guarded_url}/postgres, PostgreSQL ")


@pytest.mark.parametrize(
    ("address", "reason", "advice"),
    [
        ("ada:hunter2@{server}/nothere", "no database 'nothere'", "createdb nothere"),
        ("nobody:hunter2@{server}/postgres", "doesn't know", "createuser"),
        ("ada:hunter2@127.0.0.1:1/postgres", "nothing listens there", "host and port"),
        ("ada:hunter2@nosuchhost.invalid/postgres", "no host 'nosuchhost.invalid'", "the host"),
        ("ada:hunter2@{server}/postgres?nonsense=1", "malformed", "%40"),
        ("ada:hun/ter2@{server}/postgres", "malformed", "%2F"),
        ("ada:hun%ter2@{server}/postgres", "malformed", "%25"),
        ("ada:p@hunter2:x@{server}/postgres", "malformed", "%40"),
    ],
)
def test_one_that_does_not_is_one_line_without_the_password(
    tmp_path: Path, guarded_url: str, address: str, reason: str, advice: str
) -> None:
    url = f"postgresql://{address.format(server=guarded_url)}"
    [(part, state, found, todo)] = told(settings_of(tmp_path, checkpoint_url=url))
    assert state == "error"
    assert reason in found
    assert advice in todo
    assert "ALLOTROPE_CHECKPOINT_URL" in todo or "create" in todo
    for piece in (SECRET, "hun", "ter2", "p@"):
        assert piece not in f"{part}{found}{todo}"
    assert "\n" not in f"{found}{todo}"


def test_a_wrong_password_and_a_missing_package(
    tmp_path: Path, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_postgres.ask_for_passwords()
    url = f"postgresql://allotrope:{SECRET}@127.0.0.1:{own_postgres.port}/postgres"
    settings = settings_of(tmp_path, checkpoint_url=url)
    [(_, state, found, todo)] = told(settings)
    assert (state, "the password is wrong" in found) == ("error", True)
    assert "ALLOTROPE_CHECKPOINT_URL" in todo
    assert SECRET not in f"{found}{todo}"
    monkeypatch.setitem(sys.modules, "psycopg", None)
    [(_, state, found, todo)] = told(settings)
    assert (state, todo) == ("error", install("postgres"))
    assert SECRET not in found


def test_each_address_is_looked_at_once(tmp_path: Path) -> None:
    url = "postgresql+psycopg://ada:x@db/usage"
    settings = settings_of(
        tmp_path,
        checkpoint_url="postgresql://ada:x@db/threads",
        usage={"ledger_url": url},
        prompts={"database_url": url},
    )
    found = [(server_of(s.url), s.stores) for s in postgres_servers(settings)]
    assert found == [("db/threads", ("threads", "archive")), ("db/usage", ("ledger", "prompts"))]
    assert postgres_servers(settings_of(tmp_path)) == []


def test_health_follows_the_server(tmp_path: Path, own_postgres: PostgresServer) -> None:
    app = Starlette(routes=health.ROUTES)
    app.state.settings = settings_of(tmp_path, checkpoint_url=own_postgres.url)
    app.state.stores = ServerHealth(app.state.settings, every_s=0)
    client = TestClient(app)
    assert client.get("/healthz").json() == {"status": "ok"}
    own_postgres.stop()
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unhealthy", "down": ["threads", "archive"]}
    own_postgres.start()
    assert client.get("/healthz").json() == {"status": "ok"}


def test_many_that_ask_are_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    made: list[str] = []

    def connect(url: str, **_: Any) -> None:
        made.append(url)
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(psycopg, "connect", connect)
    settings = settings_of(tmp_path, checkpoint_url="postgresql://db/threads")
    watched = ServerHealth(settings, clock=lambda: now[0])
    for _ in range(5):
        assert len(watched.down()) == 1
    assert len(made) == 1
    now[0] = 1.0
    watched.down()
    assert len(made) == 2
