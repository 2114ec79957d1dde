"""Leases: who may answer a thread, among machines that share a Redis or a PostgreSQL.

A thread of its own renews what this process holds, whatever its event loops do meanwhile; a lease
whose process died or hangs ends by itself.
"""

import asyncio
import logging
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import RedisError

from allotrope.exceptions import StoreError
from allotrope.stores.errors import error_name

if TYPE_CHECKING:
    import redis

    from allotrope.stores.postgres.connections import Connections

logger = logging.getLogger(__name__)

LEASE_S = 6.0
"""After so many seconds a thread is free whose process died without a word."""

WORKERS = 4
"""Threads that ask the store."""

_RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2])"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1])"


class LeaseStore(Protocol):
    """Where leases are kept. Asked in threads, by several at once."""

    def take(self, key: str, mine: str, lease_s: float) -> bool | None:
        """Makes a free lease mine; whether it is, or None where this process stands alone."""

    def renew(self, key: str, mine: str, lease_s: float) -> None:
        """Lets my lease last so many seconds from now."""

    def release(self, key: str, mine: str) -> None:
        """Frees my lease."""

    def close(self) -> None:
        """Ends the connections."""


class Leases:
    """The leases of one process. Nothing is asked before the first one.

    Args:
        store: Asked in threads, so that a cancelled task waits for no answer.
    """

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self._held: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="allotrope-leases")
        self._stop = threading.Event()
        self._renewing: threading.Thread | None = None
        self._lock = threading.Lock()

    async def take(self, key: str) -> bool:
        """Takes a lease if it is free; where its store stands everybody alone, everybody gets it.

        Args:
            key: The lease's key.

        Raises:
            StoreError: The store that keeps the threads too can't be used.
        """
        mine = uuid.uuid4().hex
        asked: Future[bool] = self._pool.submit(self._take, key, mine)
        try:
            got = await asyncio.wrap_future(asked)
        except BaseException:
            # nobody waits for the answer any more: what it brings goes back
            asked.add_done_callback(lambda _: self._pool.submit(self._release, key, mine))
            raise
        return got

    async def give_back(self, key: str) -> None:
        """Ends a lease that was taken; also when the caller is cancelled meanwhile."""
        with self._lock:
            mine = self._held.pop(key, None)
        if mine is not None:
            await asyncio.wrap_future(self._pool.submit(self._release, key, mine))

    def close(self) -> None:
        """Ends all leases and the connections."""
        with self._lock:
            left, self._held = self._held, {}
            renewing, self._renewing = self._renewing, None
        self._stop.set()
        for key, mine in left.items():
            self._pool.submit(self._release, key, mine)
        self._pool.shutdown(wait=True)
        if renewing is not None:
            renewing.join()
        self._store.close()

    def _take(self, key: str, mine: str) -> bool:
        taken = self._store.take(key, mine, LEASE_S)
        if taken is None:
            return True
        if not taken:
            return False
        with self._lock:
            self._held[key] = mine
            if self._renewing is None and not self._stop.is_set():
                self._renewing = threading.Thread(
                    target=self._renew, name="allotrope-renewal", daemon=True
                )
                self._renewing.start()
        return True

    def _release(self, key: str, mine: str) -> None:
        with self._lock:
            if self._held.get(key) == mine:
                del self._held[key]
        self._store.release(key, mine)

    def _renew(self) -> None:
        while not self._stop.wait(LEASE_S / 3):
            with self._lock:
                held = list(self._held.items())
            for key, mine in held:
                self._store.renew(key, mine, LEASE_S)


class RedisLeases:
    """Leases in Redis; one that doesn't answer leaves each process alone.

    Args:
        client: Thread-safe.
        silent_s: After a failure Redis isn't asked for so long, seconds.
    """

    def __init__(self, client: "redis.Redis", *, silent_s: float = 1.0) -> None:
        self._client = client
        self._silent_s = silent_s
        self._silent_until = 0.0

    def take(self, key: str, mine: str, lease_s: float) -> bool | None:
        """See `LeaseStore`."""
        taken = self._ask("set", key, mine, nx=True, px=round(lease_s * 1000))
        return None if taken is _NO_ANSWER else bool(taken)

    def renew(self, key: str, mine: str, lease_s: float) -> None:
        """See `LeaseStore`."""
        self._ask("eval", _RENEW, 1, key, mine, str(round(lease_s * 1000)))

    def release(self, key: str, mine: str) -> None:
        """See `LeaseStore`."""
        self._ask("eval", _RELEASE, 1, key, mine)

    def close(self) -> None:
        """See `LeaseStore`."""
        self._client.close()

    def _ask(self, command: str, *args: Any, **options: Any) -> Any:
        if time.monotonic() < self._silent_until:
            return _NO_ANSWER
        try:
            return getattr(self._client, command)(*args, **options)
        except (RedisError, OSError) as exc:
            if time.monotonic() >= self._silent_until:
                logger.warning("Redis doesn't keep the threads' leases: %s", error_name(exc))
            self._silent_until = time.monotonic() + self._silent_s
            return _NO_ANSWER


_NO_ANSWER = object()


_LOCK = 7205759403
"""The advisory lock of the table."""

_TABLE = """
CREATE TABLE IF NOT EXISTS allotrope_leases (
  key TEXT PRIMARY KEY, holder TEXT NOT NULL, ends TIMESTAMPTZ NOT NULL)
"""
_TAKE = """
INSERT INTO allotrope_leases AS held VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, ends = excluded.ends
WHERE held.ends < clock_timestamp() RETURNING key
"""
_PROLONG = """
UPDATE allotrope_leases SET ends = clock_timestamp() + make_interval(secs => %s)
WHERE key = %s AND holder = %s
"""
_FREE = "DELETE FROM allotrope_leases WHERE key = %s AND holder = %s"
_OLD = "DELETE FROM allotrope_leases WHERE ends < clock_timestamp() - interval '1 hour'"


class PostgresLeases:
    """Leases in a table of the PostgreSQL that keeps the threads; the server's clock counts.

    Rows and not advisory locks: the lock of a process that hangs, or whose machine is gone without
    a word, would stay for hours.

    Args:
        connections: To the server.
    """

    def __init__(self, connections: "Connections") -> None:
        self._connections = connections
        self._made = False

    def take(self, key: str, mine: str, lease_s: float) -> bool | None:
        """See `LeaseStore`.

        Raises:
            StoreError: The server can't be used; the turn couldn't be kept either.
        """
        if not self._made:
            self._connections.surely(self._make)
            self._made = True
        return bool(self._connections.surely(self._run, _TAKE, key, mine, lease_s))

    def renew(self, key: str, mine: str, lease_s: float) -> None:
        """See `LeaseStore`."""
        self._quietly(_PROLONG, lease_s, key, mine)

    def release(self, key: str, mine: str) -> None:
        """See `LeaseStore`."""
        self._quietly(_FREE, key, mine)

    def close(self) -> None:
        """See `LeaseStore`."""
        self._connections.close()

    def _quietly(self, statement: str, *values: object) -> None:
        try:
            self._connections.surely(self._run, statement, *values)
        except StoreError as exc:
            logger.warning("%s", exc.message)

    def _make(self) -> None:
        from allotrope.stores.postgres.connections import one_at_a_time

        with self._connections.connection() as connection, one_at_a_time(connection, _LOCK):
            connection.execute(_TABLE)
            connection.execute(_OLD)

    def _run(self, statement: str, *values: object) -> list[Any]:
        with self._connections.connection() as connection:
            # a turn waits for no disk: who loses a lease in a crash has lost the server too
            connection.execute("SET synchronous_commit = off")
            done = connection.execute(statement.encode(), values)
            return done.fetchall() if done.description else []
