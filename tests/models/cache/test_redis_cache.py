"""RedisCache as LangChain sees it: the standard suites, and what LangChain's own gets wrong."""

from collections.abc import AsyncIterator, Iterator

import pytest
from langchain_core.caches import BaseCache
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from allotrope.models.cache import RedisCache, open_answers
from allotrope.models.cache.answers import AnswerCache
from allotrope.models.cache.storage.memory import MemoryRedis
from allotrope.settings import Settings


class TestRedisSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, roomy: Settings) -> Iterator[BaseCache]:  # type: ignore[override]  # closes it
        answers = open_answers(roomy)
        yield RedisCache(answers)
        answers.close()


class TestRedisAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, roomy: Settings) -> AsyncIterator[BaseCache]:  # type: ignore[override]  # closes it
        answers = open_answers(roomy)
        yield RedisCache(answers)
        await answers.aclose()


class TestMemorySync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self) -> BaseCache:
        return RedisCache(AnswerCache(MemoryRedis()))


class TestMemoryAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self) -> BaseCache:
        return RedisCache(AnswerCache(MemoryRedis()))
