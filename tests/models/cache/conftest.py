"""Fixtures of the cache's tests."""

from collections.abc import AsyncIterator, Callable

import pytest

from allotrope.models.cache import RedisCache, open_answers
from allotrope.models.providers.openai import OpenAIChat, build_openai
from allotrope.settings import Settings
from allotrope.settings.sections import OpenAISettings
from allotrope.testing import ProviderSimulator

MakeChat = Callable[..., OpenAIChat]


@pytest.fixture
def roomy(redis_settings: Settings) -> Settings:
    """Settings with timeouts that a busy test machine keeps."""
    cache = redis_settings.cache.model_copy(update={"timeout_s": 5.0, "lease_s": 1.0})
    return redis_settings.model_copy(update={"cache": cache})


@pytest.fixture
async def cache(roomy: Settings) -> AsyncIterator[RedisCache]:
    """The cache over the session's Redis, with a prefix of its own."""
    answers = open_answers(roomy)
    yield RedisCache(answers)
    await answers.aclose()


@pytest.fixture(scope="session")
def simulator_server() -> "object":
    """One simulator for all tests of the cache."""
    with ProviderSimulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(simulator_server: ProviderSimulator) -> ProviderSimulator:
    """The simulator, without requests, script and faults of other tests."""
    simulator_server.reset()
    return simulator_server


@pytest.fixture
async def make_chat(simulator: ProviderSimulator, cache: RedisCache) -> AsyncIterator[MakeChat]:
    """Makes chat models on the simulator with the cache: `make_chat(model="gpt-4o")`."""
    made: list[OpenAIChat] = []

    def make(**arguments: object) -> OpenAIChat:
        settings = OpenAISettings(api_key="sk-test", base_url=simulator.openai_url)
        model = build_openai(settings, **arguments)
        model.asker = cache.asker
        model.cache = False
        made.append(model)
        return model

    yield make
    for model in made:
        await model.root_async_client.close()
        model.root_client.close()
