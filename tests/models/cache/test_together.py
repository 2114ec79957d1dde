"""Equal questions at once: what those who wait for the first asker's answer get, and say."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from tests.models.cache.test_semantic import FIRST, OTHER, WordVectors, _tier

from allotrope.exceptions import AllProvidersFailedError
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.cache import RedisCache, open_answers
from allotrope.models.cache import flight as flights
from allotrope.models.cache.answers import AnswerCache, CacheCall
from allotrope.models.cache.asker import Asker
from allotrope.models.cache.storage.codec import StoredAnswer
from allotrope.models.cache.storage.memory import MemoryRedis
from allotrope.models.chain import FailoverChain, build_chain
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator

MakeChat = Callable[..., OpenAIChat]
LONG = "Tell me a long story about many things. " * 20


@pytest.fixture
def chain(simulator: ProviderSimulator) -> FailoverChain:
    """OpenAI, then Ollama, one request each, with a cache of their own."""
    settings = load_settings(
        environ={},
        env_file=None,
        openai={"api_key": "sk-simulator", "base_url": simulator.openai_url},
        ollama={"host": simulator.ollama_url},
        embedded={"enabled": False},
        resilience={"attempts": 1},
    )
    return build_chain(settings, cache=RedisCache(AnswerCache(MemoryRedis())), circuits=Circuits())


def _told(reply: AIMessage) -> dict[str, Any]:
    told: dict[str, Any] = reply.response_metadata["allotrope"]
    return told


async def test_who_waits_for_a_failing_call_says_that_another_model_answers(
    chain: FailoverChain, simulator: ProviderSimulator
) -> None:
    await chain.ainvoke("the first call reads what is known of the models")
    simulator.reset()
    simulator.faults.add("503", provider="openai")
    replies = await asyncio.gather(*[chain.ainvoke("hello") for _ in range(3)])
    assert len(simulator.chats("openai")) == len(simulator.chats("ollama")) == 1
    for reply in replies:
        assert _told(reply)["degraded"]["reason"] == "ProviderUnavailableError"
        assert [failed["provider"] for failed in _told(reply)["failover"]] == ["openai"]


async def test_who_waits_for_calls_that_all_fail_names_every_cause(
    chain: FailoverChain, simulator: ProviderSimulator
) -> None:
    simulator.faults.add("503")
    errors = await asyncio.gather(
        *[chain.ainvoke("hello") for _ in range(3)], return_exceptions=True
    )
    for error in errors:
        assert isinstance(error, AllProvidersFailedError)
        assert [getattr(cause, "provider", "") for cause in error.causes] == ["openai", "ollama"]


async def test_nobody_waits_for_a_reader_that_pauses(
    chain: FailoverChain, simulator: ProviderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "PATIENCE_S", 0.05)
    paused = chain.astream(LONG)
    await anext(paused)
    async with asyncio.timeout(30):
        reply = await chain.ainvoke(LONG)
    assert len(simulator.chats("openai")) == 2
    rest = [chunk async for chunk in paused]
    assert any(chunk.chunk_position == "last" for chunk in rest)
    assert _told(reply)["cached"] is None


def test_no_thread_waits_for_a_reader_that_pauses(
    chain: FailoverChain, simulator: ProviderSimulator
) -> None:
    """A sync stream is read ahead: what its reader leaves lying, others have."""
    paused = chain.stream(LONG)
    next(paused)
    answered: list[AIMessage] = []
    asking = threading.Thread(target=lambda: answered.append(chain.invoke(LONG)), daemon=True)
    asking.start()
    asking.join(timeout=30)
    assert answered
    assert len(simulator.chats("openai")) == 1
    assert list(paused)


async def test_a_reader_that_goes_on_is_waited_for(
    chain: FailoverChain, simulator: ProviderSimulator
) -> None:
    reading = chain.astream(LONG)
    await anext(reading)
    waiting = asyncio.create_task(chain.ainvoke(LONG))
    await asyncio.sleep(0)
    async for _ in reading:
        pass
    assert _told(await waiting)["cached"] == "exact"
    assert len(simulator.chats("openai")) == 1


async def test_no_other_process_waits_for_a_reader_that_pauses(
    roomy: Settings,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flights, "PATIENCE_S", 0.05)
    mine, others = make_chat(), make_chat()
    elsewhere = RedisCache(open_answers(roomy))
    others.asker = elsewhere.asker
    paused = mine.astream(LONG)
    await anext(paused)
    async with asyncio.timeout(30):
        reply = await others.ainvoke(LONG)
    assert _told(reply)["cached"] is None
    assert len(simulator.chats()) == 2
    assert [chunk async for chunk in paused]
    await elsewhere.answers.aclose()


async def test_a_hit_in_other_words_serves_who_waits_for_it(
    roomy: Settings, cache: RedisCache, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    _tier(roomy, cache, WordVectors())
    model = make_chat()
    await model.ainvoke(FIRST)
    replies = await asyncio.gather(*[model.ainvoke(OTHER) for _ in range(5)])
    assert {_told(reply)["cached"] for reply in replies} == {"semantic"}
    assert len(simulator.chats()) == 1


async def test_who_wants_no_hit_in_other_words_gets_none_from_who_it_waits_for(
    roomy: Settings, cache: RedisCache, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    _tier(roomy, cache, WordVectors())
    model = make_chat()
    await model.ainvoke(FIRST)
    strict = {"metadata": {"allotrope_cache": "no-semantic"}}
    replies = await asyncio.gather(model.ainvoke(OTHER), model.ainvoke(OTHER, strict))
    assert [_told(reply)["cached"] for reply in replies] == ["semantic", None]


async def test_a_closed_stream_has_given_its_leave_back(
    chain: FailoverChain, simulator: ProviderSimulator
) -> None:
    circuits = Circuits()
    for model in chain.runnables:
        model._guard.circuits = circuits  # type: ignore[attr-defined]  # a guarded model
    stream = chain.astream(LONG)
    await anext(stream)
    assert any(circuits.trials._by_circuit.values())
    await stream.aclose()  # type: ignore[attr-defined]  # a generator
    assert not any(circuits.trials._by_circuit.values())


class GatedCache(AnswerCache):
    """Waits for a word before it keeps an answer, as where the store is slow."""

    def __init__(self) -> None:
        super().__init__(MemoryRedis())
        self.keeping, self.go_on = asyncio.Event(), asyncio.Event()

    async def aput(self, call: CacheCall, entry: StoredAnswer) -> None:
        self.keeping.set()
        await self.go_on.wait()
        await super().aput(call, entry)


@pytest.mark.parametrize("how", ["ainvoke", "astream"])
async def test_who_waits_for_a_call_that_is_cancelled_while_it_is_kept_asks_anew(
    make_chat: MakeChat, simulator: ProviderSimulator, how: str
) -> None:
    answers = GatedCache()
    chat = make_chat()
    chat.asker = Asker(answers)

    async def ask() -> None:
        if how == "ainvoke":
            await chat.ainvoke("hello")
        else:
            assert [chunk async for chunk in chat.astream("hello")]

    first = asyncio.create_task(ask())
    await answers.keeping.wait()
    answers.keeping.clear()
    second = asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    await answers.keeping.wait()  # of the second one, which has asked anew
    answers.go_on.set()
    await second
    assert len(simulator.chats("openai")) == 2
    assert not chat.asker.flights.table
