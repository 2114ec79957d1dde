"""What servers that share a Redis tell each other: which thread a history belongs to.

Without Redis each process knows its own alone.
"""

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from allotrope.settings import Settings
from allotrope.stores.errors import error_name
from allotrope.support.pools import UPKEEP

if TYPE_CHECKING:
    import redis.asyncio

logger = logging.getLogger(__name__)

REMEMBERED_CONVERSATIONS = 10_000
"""Kept in this process where there is no Redis."""

REMEMBERED_S = 30 * 24 * 3600
"""How long Redis remembers which thread a history belongs to, seconds."""

NOBODYS = ""
"""Stands for a thread where a history leads to none any more."""


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
        self._known: OrderedDict[str, str] = OrderedDict()

    async def open(self) -> None:
        """Finds the Redis of the settings; a second call does nothing."""
        if self._redis is None:
            from allotrope.stores.redis.client import open_async_redis

            self._redis = await UPKEEP.run(open_async_redis, self._settings)

    async def aclose(self) -> None:
        """Closes the connections."""
        client, self._redis = self._redis, None
        if client is not None:
            await client.aclose()

    @staticmethod
    def key(agent: str, whose: Sequence[str | None], turns: Sequence[tuple[str, str]]) -> str:
        """What a conversation is recognised by: agent, caller, and every role and text.

        Clients of OpenAI's API send the whole conversation each time and name no thread. A
        history that ends as a thread of ours ended goes on in that thread, so that its archive
        and summary serve it; any other history begins a new one.

        Args:
            agent: Who is asked.
            whose: What is known of the caller, the credential first.
            turns: Role and text of each message.
        """
        whole = json.dumps([agent, *whose, [[role, text.strip()] for role, text in turns]])
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()

    async def ends(self, key: str, thread: str) -> None:
        """A thread ends with this history now.

        Two people can have said the same and heard the same. Nobody can tell then whose words
        come next, so a history that a second thread ends with, or that was gone on with before,
        leads to no thread any more: whoever sends it begins a new one.

        Args:
            key: Of the history.
            thread: Which ends so.
        """
        name = f"end:{key}"
        if self._redis is not None:
            place = self._place(name)
            first, answered = await _asked(self._redis.set(place, thread, ex=REMEMBERED_S, nx=True))
            if answered and not first:
                held, answered = await _asked(self._redis.get(place))
                if held is None or bytes(held).decode() != thread:
                    _, answered = await _asked(self._redis.set(place, NOBODYS, ex=REMEMBERED_S))
            if answered:
                return
        self._keep(name, thread if self._known.get(name, thread) == thread else NOBODYS)

    async def goes_on(self, key: str) -> str | None:
        """The thread that alone ends with this history; only one request may go on with it.

        Args:
            key: Of the history.
        """
        name = f"end:{key}"
        if self._redis is not None:
            changed = self._redis.set(
                self._place(name), NOBODYS, xx=True, get=True, ex=REMEMBERED_S
            )
            found, answered = await _asked(changed)
            if answered and found is not None:
                return bytes(found).decode() or None
        found = self._known.get(name)
        if found is None:
            return None
        self._keep(name, NOBODYS)
        return found or None

    async def take(self, key: str) -> str | None:
        """What was put there, once."""
        if self._redis is not None:
            found, answered = await _asked(self._redis.getdel(self._place(key)))
            if answered and found is not None:
                return bytes(found).decode()
        return self._known.pop(key, None)

    async def put(self, key: str, thread: str) -> None:
        """Keeps a text for whoever takes it."""
        if self._redis is not None:
            _, answered = await _asked(self._redis.set(self._place(key), thread, ex=REMEMBERED_S))
            if answered:
                return
        self._keep(key, thread)

    def _keep(self, key: str, value: str) -> None:
        self._known.pop(key, None)
        self._known[key] = value
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
        logger.warning("Redis doesn't answer the server: %s", error_name(exc))
        return None, False
