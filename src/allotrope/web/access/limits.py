"""How often one may call: a bucket for each address here, a count for each credential in Redis."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from allotrope.settings import Settings
from allotrope.stores.errors import error_name
from allotrope.support.pools import UPKEEP

if TYPE_CHECKING:
    import redis.asyncio

logger = logging.getLogger(__name__)

REDIS_PAUSE_S = 5.0
"""How long a Redis that failed is left alone, seconds."""


@dataclass
class RateLimit:
    """A token bucket per client: a minute's worth at once, then evenly.

    Args:
        per_minute: Requests per minute; None never refuses.
        now: Monotonic clock, seconds.
    """

    per_minute: int | None
    now: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait_s(self, client: str, *, per_minute: int | None = None) -> float:
        """Takes one request of a client; 0 when it may pass, else seconds to wait.

        Args:
            client: Whose.
            per_minute: A limit of its own.
        """
        limit = per_minute or self.per_minute
        if limit is None:
            return 0.0
        left, now = self._left(client, limit)
        wait = 0.0 if left >= 1 else (1 - left) * 60 / limit
        self._buckets.pop(client, None)
        self._buckets[client] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > 10_000:
            self._buckets.popitem(last=False)
        return wait

    def is_empty(self, client: str) -> bool:
        """Whether a client's next request would have to wait; takes none."""
        return self.per_minute is not None and self._left(client, self.per_minute)[0] < 1

    def _left(self, client: str, limit: int) -> tuple[float, float]:
        now = self.now()
        left, at = self._buckets.get(client, (float(limit), now))
        return min(float(limit), left + (now - at) * limit / 60), now


class SharedLimits:
    """The limits of credentials: of all servers together where they share a Redis.

    Args:
        settings: Where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._here = RateLimit(None)
        self._redis: redis.asyncio.Redis | None = None
        self._opened = False
        self._silent_until = 0.0

    async def wait_s(self, credential: str, per_minute: int) -> float:
        """Takes one request of a credential; 0 when it may pass, else seconds to wait.

        Args:
            credential: Its id.
            per_minute: Its limit.
        """
        client = await self._client()
        if client is not None:
            minute, rest = divmod(time.time(), 60)
            place = f"{self._settings.redis.prefix}rate:{credential}:{minute:.0f}"
            try:
                async with client.pipeline(transaction=True) as commands:
                    commands.incr(place)
                    commands.expire(place, 120)
                    count, _ = await commands.execute()
            except (RedisError, OSError) as exc:
                self._silent_until = time.monotonic() + REDIS_PAUSE_S
                logger.warning("Redis counts no requests: %s", error_name(exc))
            else:
                return 0.0 if int(count) <= per_minute else 60 - rest
        return self._here.wait_s(credential, per_minute=per_minute)

    async def aclose(self) -> None:
        """Closes the connections."""
        client, self._redis, self._opened = self._redis, None, False
        if client is not None:
            await client.aclose()

    async def _client(self) -> "redis.asyncio.Redis | None":
        if self._settings.redis.url is None or time.monotonic() < self._silent_until:
            return None  # an embedded one is of this machine alone
        if not self._opened:
            from allotrope.stores.redis.client import open_async_redis

            self._redis = await UPKEEP.run(open_async_redis, self._settings)
            self._opened = True
        return self._redis
