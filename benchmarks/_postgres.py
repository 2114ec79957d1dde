"""A PostgreSQL of a benchmark's own, on loopback."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_binaries() -> Path | None:
    """The folder with `initdb` and `pg_ctl`; Debian keeps them off the path."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders = [*([Path(found).resolve().parent] if found else []), *places]
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


class Postgres:
    """A server as it is by default, to stop and to start again.

    Raises:
        RuntimeError: None is installed.
    """

    options: ClassVar[str] = ""

    def __init__(self) -> None:
        place = postgres_binaries()
        if place is None:
            raise RuntimeError("There is no PostgreSQL here (Debian's package `postgresql`).")
        self._place = place
        self.folder = Path(tempfile.mkdtemp(prefix="alt-bench-pg-"))
        self._user = None
        if os.geteuid() == 0:  # a PostgreSQL server refuses to be root
            known = any(user.pw_name == "postgres" for user in pwd.getpwall())
            self._user = "postgres" if known else "nobody"
            shutil.chown(self.folder, self._user)
        self._port = free_port()
        self.url = f"postgresql://allotrope@127.0.0.1:{self._port}/postgres"
        self._run("initdb", "-U", "allotrope", "-A", "trust", "-N")
        self.start()

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._place / program), "-D", str(self.folder / "data"), *words]
        subprocess.run(command, user=self._user, check=True, capture_output=True, cwd=self.folder)

    def start(self) -> None:
        """Starts it and waits until it accepts connections."""
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
            f"{self.options}"
        )
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Ends it and all its connections."""
        self._run("pg_ctl", "-m", "fast", "stop")

    def size(self) -> int:
        """Bytes of the database."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            [(found,)] = connection.execute("SELECT pg_database_size('postgres')").fetchall()
            return int(found)

    def environment(self) -> dict[str, str]:
        """The variables that put every store into it."""
        return {
            "ALLOTROPE_CHECKPOINT_URL": self.url,
            "ALLOTROPE_MEMORY__ARCHIVE_URL": self.url,
            "ALLOTROPE_USAGE__LEDGER_URL": self.url,
        }

    def close(self) -> None:
        """Ends it for good."""
        with contextlib.suppress(subprocess.CalledProcessError):  # stopped already
            self._run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
