"""The answer cache of the settings: in Redis, or in memory."""

from typing import Any

from allotrope.models.cache.answers import AnswerCache
from allotrope.models.cache.storage.memory import MemoryRedis
from allotrope.settings import Settings
from allotrope.stores.redis.client import PerLoop, open_async_redis, open_redis


def open_answers(settings: Settings) -> AnswerCache:
    """The answer cache of the settings: in their Redis, else in this process's memory."""
    quick = settings.model_copy(
        update={"redis": settings.redis.model_copy(update={"timeout_s": settings.cache.timeout_s})}
    )
    client: Any = open_redis(quick)
    shared = client is not None
    return AnswerCache(
        client if shared else MemoryRedis(),
        aclients=PerLoop(lambda: open_async_redis(quick)) if shared else None,
        settings=settings.cache,
        prefix=settings.redis.prefix,
        tenant=settings.tenant,
    )
