"""What a soak runs on: `allotrope serve`, a PostgreSQL and a Redis, each a process of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from allotrope.stores.redis.server import EmbeddedServer

READY_S = 120.0
"""Seconds a server may take to start."""


class Redis:
    """A redis-server of the soak's own, which keeps its data over a restart."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="alt-soak-r-"))
        self._server = EmbeddedServer(self._folder)
        self._server.ensure()
        self.url = self._server.url

    def stop(self) -> None:
        """Ends it as a service manager does: it saves, and ends all connections."""
        pid = self._server.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        while self._server.answers():
            time.sleep(0.02)

    def start(self) -> None:
        """Starts it again and waits until it answers."""
        self._server.ensure()

    def close(self) -> None:
        """Ends it for good."""
        self._server.leave()
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclass(frozen=True)
class Footprint:
    """What a server takes at a moment.

    Attributes:
        serve: Memory of the process itself, MB.
        mapped: Pages of files that it has in memory (code, the embedded model's weights), MB; the
            system takes them back when it needs the room.
        redis: Resident memory of its Redis, MB.
        helpers: That of the other processes it started, MB: sandboxes, which live for a moment.
        descriptors: Open ones of the process.
    """

    serve: float
    mapped: float
    redis: float
    helpers: float
    descriptors: int

    @property
    def lasting(self) -> float:
        """What stays from turn to turn, MB: the process and its Redis."""
        return self.serve + self.redis


class Serve:
    """`allotrope serve` in a process of its own, with a data folder of its own.

    Args:
        environment: Its variables, over this process's own.
        folder: Where its data folder and its log are.
    """

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.data = folder / "data"
        self._log = folder / "serve.log"
        keep = {name: value for name, value in os.environ.items() if "ALLOTROPE_" not in name}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from allotrope.cli import main; main()", "serve"],
                env={
                    **keep,
                    "ALLOTROPE_DATA_DIR": str(self.data),
                    "ALLOTROPE_SERVE__PORT": "0",
                    "ALLOTROPE_SERVE__NO_TOKEN": "true",
                    "ALLOTROPE_SERVE__REQUESTS_PER_MINUTE": "null",
                    **environment,
                },
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.url = ""

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        said = re.search(r"http://[\d.:]+", self._process.stdout.readline())
        end = time.monotonic() + READY_S
        while said:
            self.url = said[0]
            try:
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            if time.monotonic() > end or self._process.poll() is not None:
                break
            time.sleep(0.1)
        self._process.kill()
        raise RuntimeError(f"`allotrope serve` didn't start:\n{self._log.read_text()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def alive(self) -> bool:
        """Whether it is the process that was started."""
        return self._process.poll() is None

    def footprint(self) -> Footprint:
        """What it takes now."""
        pid = self._process.pid
        below = _belonging(pid, self.data)
        stores = {one for one in below if _is_redis(one)}
        mapped = _memory_mb(pid, "RssFile")
        return Footprint(
            serve=_memory_mb(pid, "VmRSS") - mapped,
            mapped=mapped,
            redis=sum(_memory_mb(one, "VmRSS") for one in stores),
            helpers=sum(_memory_mb(one, "VmRSS") for one in below - stores),
            descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        )

    def log_lines(self) -> list[str]:
        """Its log so far."""
        return self._log.read_text().splitlines()

    def files(self) -> dict[str, int]:
        """Bytes of each file in the data folder."""
        found = {}
        for path in self.data.rglob("*"):
            if path.is_file():
                found[str(path.relative_to(self.data))] = path.stat().st_size
        return found


def _memory_mb(pid: int, what: str) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it ended
        return 0.0
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _is_redis(pid: int) -> bool:
    try:
        return "-server" in Path(f"/proc/{pid}/comm").read_text()  # of Redis or Valkey
    except OSError:
        return False


def _belonging(first: int, folder: Path) -> set[int]:
    """Processes below one, or with its data folder on their command line or as theirs."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text()
            words = (place / "cmdline").read_bytes().decode(errors="replace")
            where = os.readlink(place / "cwd")
        except OSError:
            continue
        pid = int(place.name)
        parents[pid] = int(stat.rpartition(")")[2].split()[1])
        if str(folder) in words or where.startswith(str(folder)):
            found.add(pid)
    for pid in parents:
        above = pid
        while above in parents and above != first:
            above = parents[above]
        if above == first:
            found.add(pid)
    return found - {first}
