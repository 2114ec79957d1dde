"""A thread has one turn at a time, whatever the door.

Three borders, each as wide as what it guards against: a queue for the agents and event loops of
this process, a lock in the data folder for the processes of this machine, and, where the settings
name a Redis, else a PostgreSQL for the threads, a lease there for other machines.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from allotrope.agents.turns.leases import Leases, LeaseStore, PostgresLeases, RedisLeases
from allotrope.exceptions import StoreError, ThreadBusyError
from allotrope.memory.checkpoints.threads import thread_key
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.support.pools import TURNS

FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.25
"""Between two looks whether another process has ended its turn: first so many seconds, then more
each time, at most so many."""


class ThreadLocks:
    """Who may answer in the threads of one store. Nothing is opened before the first turn.

    Args:
        settings: Where the data folder and Redis are.
        wait_s: How long a turn waits for the one before it, seconds; default: the settings'.
    """

    def __init__(self, settings: Settings, *, wait_s: float | None = None) -> None:
        self._settings = settings
        self._wait_s = settings.agents.turn_wait_s if wait_s is None else wait_s
        own = settings.data_dir
        self._place = "" if own is None else str(own.expanduser().absolute())
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    @contextlib.asynccontextmanager
    async def turn(self, tenant: str, thread: str) -> AsyncIterator[None]:
        """The right to answer in a thread; who comes later waits, first come, first served.

        Args:
            tenant: Whose thread.
            thread: Its id.

        Raises:
            ThreadBusyError: The turn before took longer than we wait.
            StoreError: The PostgreSQL of the threads can't be used.
        """
        until = time.monotonic() + self._wait_s
        key = thread_key(tenant, thread)
        async with contextlib.AsyncExitStack() as stack:
            line = (self._place, key)
            await _join(line, self._wait_s, thread)
            stack.callback(_leave, line)
            opened = self._opened
            if opened is None:
                opened = await TURNS.run(self._open)
            if (file := opened.file) is not None:
                at = _position(key)

                async def locked() -> bool:
                    return file.lock(at)

                await _until(locked, until, thread)
                stack.callback(file.unlock, at)
            if (leases := opened.leases) is not None:
                name = f"{self._settings.redis.prefix}turn:{key}"
                await _until(lambda: leases.take(name), until, thread)
                stack.push_async_callback(leases.give_back, name)
            yield

    def close(self) -> None:
        """Closes file and connections; a later turn opens them anew."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            if opened.leases is not None:
                opened.leases.close()
            if opened.file is not None:
                opened.file.let_go()

    def _open(self) -> "_Opened":
        with self._lock:
            opened = self._opened
            if opened is None:
                file: _LockFile | None = None
                with contextlib.suppress(StoreError, OSError):  # no folder that others could share
                    file = _LockFile.of(data_folder(self._settings) / "turns.lock")
                opened = self._opened = _Opened(file, self._open_leases())
            return opened

    def _open_leases(self) -> Leases | None:
        store = self._redis() or self._postgres()
        return None if store is None else Leases(store)

    def _redis(self) -> LeaseStore | None:
        if self._settings.redis.url is None:  # an embedded one is of this machine alone
            return None
        from allotrope.stores.redis.client import open_redis

        client = open_redis(self._settings)
        silent_s = self._settings.resilience.redis_retry_s
        return None if client is None else RedisLeases(client, silent_s=silent_s)

    def _postgres(self) -> LeaseStore | None:
        url = self._settings.checkpoint_url
        if url is None:
            return None
        from allotrope.stores.postgres.connections import Connections

        return PostgresLeases(Connections(url.get_secret_value(), what="The threads"))


@dataclass(frozen=True)
class _Opened:
    """What a store's locks work with."""

    file: "_LockFile | None"
    leases: Leases | None


# -- this process ---------------------------------------------------------------------------------

_Line = tuple[str, str]


@dataclass
class _Lines:
    """By store and thread, who waits in this process; no entry: nobody runs."""

    waiting: dict[_Line, deque["Future[None]"]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    pid: int = 0


_lines = _Lines()


async def _join(line: _Line, wait_s: float, thread: str) -> None:
    """Waits until it is our turn.

    Raises:
        ThreadBusyError: It isn't within so many seconds.
    """
    ticket: Future[None] = Future()
    with _lines.lock:
        if _lines.pid != os.getpid():  # a fork: the turns of the other process aren't ours
            _lines.waiting.clear()
            _LockFile.forget_held()
            _lines.pid = os.getpid()
        queue = _lines.waiting.get(line)
        if queue is None:
            _lines.waiting[line] = deque()
            return
        queue.append(ticket)
    try:
        await asyncio.wait([asyncio.wrap_future(ticket)], timeout=wait_s)
    except BaseException:
        if not ticket.cancel():  # it was ours just now
            _leave(line)
        raise
    if ticket.cancel():
        raise _busy(thread)


def _leave(line: _Line) -> None:
    """Lets in the next one who still waits."""
    with _lines.lock:
        queue = _lines.waiting.get(line, deque())
        while queue:
            ticket = queue.popleft()
            if ticket.set_running_or_notify_cancel():
                break
        else:
            _lines.waiting.pop(line, None)
            return
    ticket.set_result(None)


def _busy(thread: str) -> ThreadBusyError:
    return ThreadBusyError(
        f"The thread {thread!r} is answering another message.",
        hint="Wait for that answer, then ask again.",
        retry_after_s=1,
    )


# -- the processes of this machine ----------------------------------------------------------------


def _position(key: str) -> int:
    """The byte of the lock file that stands for a thread."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 2


class _LockFile:
    """Locks on single bytes of one file; the system frees those of a process that ends.

    Closing any descriptor of the file would free all locks of the process, so a process has one.
    """

    _known: "dict[Path, _LockFile]" = {}  # noqa: RUF012 - the process's, like its locks
    _guard = threading.Lock()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._users = 0
        self._held: set[int] = set()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @classmethod
    def of(cls, path: Path) -> "_LockFile | None":
        """The process's own for a path; None where the system has no such locks.

        Raises:
            OSError: The file can't be opened.
        """
        try:
            import fcntl  # noqa: F401
        except ImportError:  # Windows: run one process there
            return None
        with cls._guard:
            found = cls._known.get(path)
            if found is None:
                found = cls._known[path] = cls(path)
            found._users += 1
            return found

    @classmethod
    def forget_held(cls) -> None:
        """For a forked process, which has the descriptors and none of the locks."""
        for file in cls._known.values():
            file._held.clear()

    def let_go(self) -> None:
        """Closes it once nobody uses it."""
        with self._guard:
            self._users -= 1
            if self._users == 0:
                del self._known[self._path]
                os.close(self._descriptor)

    def lock(self, at: int) -> bool:
        """Whether the byte is ours now; False while another turn has it."""
        import fcntl

        with self._guard:  # the system doesn't keep apart the turns of one process
            if at in self._held:
                return False
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
            except (BlockingIOError, PermissionError):
                return False
            except OSError:  # a file system without locks
                pass
            self._held.add(at)
            return True

    def unlock(self, at: int) -> None:
        """Frees the byte."""
        import fcntl

        with self._guard, contextlib.suppress(OSError):
            self._held.discard(at)
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, at)


async def _until(take: Callable[[], Awaitable[bool]], until: float, thread: str) -> None:
    """Tries again and again.

    Raises:
        ThreadBusyError: Not before that time of the monotonic clock.
    """
    pause_s = FIRST_LOOK_S
    while not await take():
        left = until - time.monotonic()
        if left <= 0:
            raise _busy(thread)
        await asyncio.sleep(min(pause_s, left))
        pause_s = min(2 * pause_s, LONGEST_LOOK_S)
