"""What the audit breaks: a Redis, a PostgreSQL, a disk of its own that can be filled."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from _postgres import Postgres

from allotrope.stores.redis.server import EmbeddedServer


class AuditRedis:
    """A redis-server that keeps nothing over a restart: every process meets an empty one."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="alt-audit-r-"))
        self._server = EmbeddedServer(self._folder, persist=False)
        self._server.ensure()
        self.url = self._server.url

    def pause(self) -> None:
        """It stops answering, and keeps its connections."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kills it."""
        self._signal(signal.SIGKILL)

    def start(self) -> None:
        """Starts it again, empty."""
        self._server.ensure()

    def close(self) -> None:
        """Ends it for good."""
        self._server.leave()
        shutil.rmtree(self._folder, ignore_errors=True)

    def texts(self) -> list[bytes]:
        """Every key and value, as they are kept."""
        import redis

        found: list[bytes] = []
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            for key in client.scan_iter(count=1000):
                found += [key, *_values(client, key)]
        return found

    def _signal(self, number: int) -> None:
        pid = self._server.pid()
        if pid is not None:
            os.kill(pid, number)


def _values(client: object, key: bytes) -> list[bytes]:
    kind = client.type(key)  # type: ignore[attr-defined]
    if kind == b"string":
        return [client.get(key) or b""]  # type: ignore[attr-defined]
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]  # type: ignore[attr-defined]
    if kind == b"list":
        return list(client.lrange(key, 0, -1))  # type: ignore[attr-defined]
    if kind == b"set":
        return list(client.smembers(key))  # type: ignore[attr-defined]
    if kind == b"zset":
        return list(client.zrange(key, 0, -1))  # type: ignore[attr-defined]
    return []


class AuditPostgres(Postgres):
    """A PostgreSQL that logs every statement, for the search for keys.

    Args:
        password: Stands in its URL; the server asks for none.
    """

    options = "-c log_statement=all -c max_connections=200"

    def __init__(self, password: str) -> None:
        super().__init__()
        self.url = self.url.replace("allotrope@", f"allotrope:{password}@", 1)

    def cut(self) -> None:
        """Ends every connection but our own."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


class Disk:
    """A file system in memory for the data folder, where this user may mount one.

    Args:
        folder: Where.
        megabytes: How large.
    """

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        mount = shutil.which("mount")
        self.mounted = mount is not None and (
            subprocess.run(command, capture_output=True, check=False).returncode == 0
        )

    def fill(self) -> None:
        """Leaves no room."""
        if not self.mounted:
            return
        with contextlib.suppress(OSError), open(self.folder / "filler", "wb", buffering=0) as file:
            room = os.statvfs(self.folder)
            os.posix_fallocate(file.fileno(), 0, max(0, room.f_bavail - 4) * room.f_bsize)
            while True:
                file.seek(0, os.SEEK_END)
                file.write(b"\0" * 4096)

    def empty(self) -> None:
        """Gives the room back."""
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        """Unmounts it."""
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)
