"""What servers that share a Redis tell each other: who answers a thread, and whose a history is.

Without Redis each process knows its own alone.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import RedisError

from allotrope.memory.threads import thread_key
from allotrope.settings import Settings
from allotrope.tasks import ended
from allotrope.web.errors import BusyError

if TYPE_CHECKING:
    import redis.asyncio

logger = logging.getLogger(__name__)

LEASE_S = 6.0
"""After so many seconds a thread is free whose server died without a word."""

REMEMBERED_CONVERSATIONS = 10_000
"""Kept in this process where there is no Redis."""

REMEMBERED_S = 30 * 24 * 3600
"""How long Redis remembers which thread a history belongs to, seconds."""

_RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2])"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1])"

Answer = TypeVar("Answer")


def busy() -> BusyError:
    """The refusal of a second turn at once on a thread."""
    return BusyError(
        "This thread is answering another message. Wait for it, or stop it.",
        status=409,
        code="thread_busy",
        retry_after_s=1,
    )


class Sharing:
    """The state that has to be the same in every server process.

    Args:
        settings: Where Redis is, and whose tenant the threads are.
        most: Conversations remembered in this process, where Redis can't.
    """

    def __init__(self, settings: Settings, *, most: int = REMEMBERED_CONVERSATIONS) -> None:
        self._settings = settings
        self._most = most
        self._redis: redis.asyncio.Redis | None = None
        self._here: set[str] = set()
        self._known: OrderedDict[str, str] = OrderedDict()

    async def open(self) -> None:
        """Finds the Redis of the settings; a second call does nothing."""
        if self._redis is None:
            from allotrope.stores.redis import open_async_redis

            self._redis = await asyncio.to_thread(open_async_redis, self._settings)

    async def aclose(self) -> None:
        """Closes the connections."""
        client, self._redis = self._redis, None
        if client is not None:
            await client.aclose()

    @contextlib.asynccontextmanager
    async def lease(self, thread: str) -> AsyncIterator[None]:
        """The right to answer a thread, of all processes that share the Redis.

        Where another process has it, waits as long as a dead one would keep it.

        Args:
            thread: The thread's id.

        Raises:
            BusyError: The thread is answering another message.
        """
        if thread in self._here:
            raise busy()
        self._here.add(thread)
        try:
            async with self._shared_lease(thread):
                yield
        finally:
            self._here.discard(thread)

    @contextlib.asynccontextmanager
    async def _shared_lease(self, thread: str) -> AsyncIterator[None]:
        client = self._redis
        if client is None:
            yield
            return
        key = f"{self._settings.redis.prefix}turn:{thread_key(self._settings.tenant, thread)}"
        mine = uuid.uuid4().hex
        for _ in range(round((LEASE_S + 1) / 0.25)):
            got, answered = await _asked(client.set(key, mine, nx=True, px=round(LEASE_S * 1000)))
            if got or not answered:
                break
            await asyncio.sleep(0.25)
        else:
            raise busy()
        over = asyncio.Event()
        renewing = asyncio.create_task(self._renew(client, key, mine, over))
        try:
            yield
        finally:
            over.set()  # not by a cancellation alone: a command under way may swallow it
            await ended(renewing)
            await _asked(client.eval(_RELEASE, 1, key, mine))

    async def _renew(
        self, client: "redis.asyncio.Redis", key: str, mine: str, over: asyncio.Event
    ) -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEASE_S / 3):
                    await over.wait()
                return
            await _asked(client.eval(_RENEW, 1, key, mine, str(round(LEASE_S * 1000))))

    @staticmethod
    def key(agent: str, user: str | None, turns: Sequence[tuple[str, str]]) -> str:
        """What a conversation is recognised by: agent, user, and every role and text.

        Clients of OpenAI's API send the whole conversation each time and name no thread. A
        history that ends as a thread of ours ended goes on in that thread, so that its archive
        and summary serve it; any other history begins a new one.
        """
        whole = json.dumps([agent, user, [[role, text.strip()] for role, text in turns]])
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()

    async def take(self, key: str) -> str | None:
        """The thread that stands exactly there. Only one request may go on with it."""
        if self._redis is not None:
            found, answered = await _asked(self._redis.getdel(self._place(key)))
            if answered and found is not None:
                return bytes(found).decode()
        return self._known.pop(key, None)

    async def put(self, key: str, thread: str) -> None:
        """A thread stands there now."""
        if self._redis is not None:
            _, answered = await _asked(self._redis.set(self._place(key), thread, ex=REMEMBERED_S))
            if answered:
                return
        self._known[key] = thread
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def _place(self, key: str) -> str:
        settings = self._settings
        return f"{settings.redis.prefix}conversation:{settings.tenant}:{key}"


async def _asked(command: "Awaitable[Any]") -> tuple[Any, bool]:
    """What Redis said, and whether it said anything; without it each process stands alone."""
    try:
        return await command, True
    except (RedisError, OSError) as exc:
        logger.warning("Redis doesn't answer the server: %s", type(exc).__name__)
        return None, False
