"""The embedded model answers one at a time; who waits for it goes back to OpenAI once that's up."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.facts import Rules
from allotrope.models.chain import build_chain
from allotrope.models.waiting.queue import CallQueue
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator

LONG = "Count from one to one thousand in words, without stopping."


@pytest.fixture
def sim() -> Iterator[ProviderSimulator]:
    with ProviderSimulator() as simulator:
        yield simulator


def settings_for(sim: ProviderSimulator) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        openai={"api_key": "sk-simulator", "base_url": sim.openai_url},
        ollama={"enabled": False},
        embedded={"max_output_tokens": 64, "num_ctx": 1024},
        resilience={"attempts": 1, "hold_s": 0},
    )


def provider_of(reply: Any) -> str:
    return str(reply.response_metadata["allotrope"]["provider"])


@contextlib.asynccontextmanager
async def embedded_busy(chain: Any) -> AsyncIterator[None]:
    """The embedded model speaks, and its reader has stopped in the middle."""
    async with contextlib.aclosing(chain.astream(LONG)) as chunks:
        first = await anext(chunks)
        assert first is not None
        yield


def mend(sim: ProviderSimulator, circuits: Circuits) -> None:
    sim.faults.clear()
    for name in circuits.names():
        if name.startswith("openai"):
            circuits.reset(name)


async def asked(sim: ProviderSimulator, circuits: Circuits) -> None:
    """Until the circuit is open: the turn that opened it goes on to the embedded model."""

    def wait() -> None:
        while not any(circuits.look(name).state == "open" for name in circuits.names()):
            time.sleep(0.01)

    await asyncio.to_thread(wait)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_who_waits_for_the_embedded_model_goes_back_when_openai_is_up(
    sim: ProviderSimulator, way: str
) -> None:
    circuits = Circuits(rules=Rules(consecutive=2, breaks_s=(600.0,)))
    chain = build_chain(settings_for(sim), circuits=circuits)
    sim.faults.add("503", provider="openai")

    async def ask() -> Any:
        if way == "invoke":
            return await asyncio.to_thread(chain.invoke, "Hello?")
        if way == "ainvoke":
            return await chain.ainvoke("Hello?")
        if way == "stream":
            return await asyncio.to_thread(lambda: _sum(list(chain.stream("Hello?"))))
        return _sum([chunk async for chunk in chain.astream("Hello?")])

    async with embedded_busy(chain):
        waiting = asyncio.create_task(ask())
        await asked(sim, circuits)
        mend(sim, circuits)
        reply = await waiting
    assert provider_of(reply) == "openai"
    stamp = reply.response_metadata["allotrope"]
    assert (stamp["degraded"], stamp["failover"]) == (None, [])


async def test_one_of_those_who_wait_tries_openai_when_its_break_is_over(
    sim: ProviderSimulator,
) -> None:
    circuits = Circuits(rules=Rules(consecutive=2, breaks_s=(0.5,), jitter=0.0, early_s=0.0))
    chain = build_chain(settings_for(sim), circuits=circuits)
    sim.faults.add("503", provider="openai")
    async with embedded_busy(chain):
        waiting = [asyncio.create_task(chain.ainvoke(f"Hello {n}?")) for n in range(4)]
        await asked(sim, circuits)
        sim.faults.clear()
        replies = await asyncio.gather(*waiting)
    assert {provider_of(reply) for reply in replies} == {"openai"}


async def test_who_waits_and_is_cancelled_keeps_nobody_waiting(sim: ProviderSimulator) -> None:
    chain = build_chain(settings_for(sim), circuits=Circuits())
    sim.faults.add("503", provider="openai")
    async with embedded_busy(chain):
        waiting = [asyncio.create_task(chain.ainvoke("Hello?")) for _ in range(3)]
        await asyncio.sleep(0.3)
        waiting[0].cancel()
    replies = await asyncio.gather(*waiting[1:])
    assert [provider_of(reply) for reply in replies] == ["embedded"] * 2
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_who_must_stay_local_doesnt_go_back(
    sim: ProviderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is what OpenAI couldn't take; it would be asked in vain again and again."""
    monkeypatch.setattr("allotrope.models.waiting.queue.BACK_S", 0.0)
    chain = build_chain(settings_for(sim), circuits=Circuits())
    sim.faults.add("context_overflow", provider="openai")
    async with embedded_busy(chain):
        waiting = asyncio.create_task(chain.ainvoke("Hello?"))
        await asyncio.sleep(1.0)
    assert provider_of(await waiting) == "embedded"
    assert len(sim.chats("openai")) == 2


async def test_a_place_is_first_come_first_served() -> None:
    slot = CallQueue()
    served: list[int] = []
    first = slot.join()

    async def one(number: int) -> None:
        place = slot.join()
        try:
            assert await place.aturn(lambda newest: False, 60.0)
            served.append(number)
        finally:
            place.leave()

    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(0)
    first.leave()
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2, 3, 4]


async def test_who_waits_in_the_queue_is_woken_from_any_thread_and_gives_up() -> None:
    slot = CallQueue()
    first, second = slot.join(), slot.join()
    assert await first.aturn(lambda newest: False, 60.0)
    threading.Timer(0.05, first.leave).start()
    assert await second.aturn(lambda newest: False, 60.0)
    third = slot.join()
    assert not await third.aturn(lambda newest: newest, 60.0)
    with pytest.raises(TimeoutError):
        await third.aturn(lambda newest: False, 0.01)
    third.leave()
    second.leave()
    second.leave()
    assert await slot.join().aturn(lambda newest: False, 0.0)


def _sum(chunks: list[Any]) -> Any:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole
