"""Leases in Redis: who may answer a thread, among machines that share it.

A thread of its own renews what this process holds, whatever its event loops do meanwhile; a lease
whose process died ends by itself.
"""

import asyncio
import logging
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

LEASE_S = 6.0
"""After so many seconds a thread is free whose process died without a word."""

WORKERS = 4
"""Threads that ask Redis."""

_RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2])"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1])"


class Leases:
    """The leases of one process. Nothing is asked before the first one.

    Args:
        client: Thread-safe; asked in threads, so that a cancelled task waits for no answer.
        silent_s: After a failure Redis isn't asked for so long, seconds: each process stands alone.
    """

    def __init__(self, client: "redis.Redis", *, silent_s: float = 1.0) -> None:
        self._client = client
        self._silent_s = silent_s
        self._silent_until = 0.0
        self._held: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="allotrope-leases")
        self._stop = threading.Event()
        self._renewing: threading.Thread | None = None
        self._lock = threading.Lock()

    async def take(self, key: str) -> bool:
        """Takes a lease if it is free; without an answer of Redis everybody gets it.

        Args:
            key: The lease's key.
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
        self._client.close()

    def _take(self, key: str, mine: str) -> bool:
        taken = self._ask("set", key, mine, nx=True, px=round(LEASE_S * 1000))
        if taken is _NO_ANSWER:
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
        self._ask("eval", _RELEASE, 1, key, mine)

    def _renew(self) -> None:
        while not self._stop.wait(LEASE_S / 3):
            with self._lock:
                held = list(self._held.items())
            for key, mine in held:
                self._ask("eval", _RENEW, 1, key, mine, str(round(LEASE_S * 1000)))

    def _ask(self, command: str, *args: Any, **options: Any) -> Any:
        if time.monotonic() < self._silent_until:
            return _NO_ANSWER
        try:
            return getattr(self._client, command)(*args, **options)
        except (RedisError, OSError) as exc:
            if time.monotonic() >= self._silent_until:
                logger.warning("Redis doesn't keep the threads' leases: %s", type(exc).__name__)
            self._silent_until = time.monotonic() + self._silent_s
            return _NO_ANSWER


_NO_ANSWER = object()
