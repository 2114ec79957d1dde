"""Opens the cache that the settings describe."""

import importlib
from typing import Any

from langchain_core.caches import BaseCache

from allotrope.exceptions import SettingsError
from allotrope.models.cache.answers import AnswerCache
from allotrope.models.cache.memory import MemoryRedis
from allotrope.models.cache.redis_cache import RedisCache
from allotrope.settings import Settings
from allotrope.stores.redis import PerLoop, open_async_redis, open_redis


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


def open_cache(settings: Settings) -> BaseCache | None:
    """The cache for the chain: ours, or the LangChain cache that `cache.factory` gives.

    Returns:
        None where the cache is switched off.

    Raises:
        SettingsError: `cache.factory` leads nowhere.
    """
    if not settings.cache.enabled:
        return None
    if settings.cache.factory is None:
        return RedisCache(open_answers(settings))
    module, _, name = settings.cache.factory.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(settings)
    except (ImportError, AttributeError, ValueError) as exc:
        raise SettingsError(
            f"ALLOTROPE_CACHE__FACTORY is {settings.cache.factory!r}, which can't be used: {exc}.",
            hint="Write module:function; the function gets the settings and gives a BaseCache.",
        ) from exc
    if not isinstance(made, BaseCache):
        raise SettingsError(
            f"ALLOTROPE_CACHE__FACTORY gave a {type(made).__name__}, which is no BaseCache."
        )
    return made
