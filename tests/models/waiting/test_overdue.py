"""Silence is noticed before the first timeout; a single long thought, or a few, never count."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.chain import build_chain
from allotrope.models.waiting.overdue import Overdue, OverdueRules, limit_s
from allotrope.settings import load_settings
from allotrope.testing.content.replies import SimRequest
from allotrope.testing.simulator import ProviderSimulator

RULES = OverdueRules()


class World:
    """A tracker with its clock; times in seconds."""

    def __init__(self, usual: float = 0.5, samples: int = 20) -> None:
        self.now = 0.0
        self.overdue = Overdue(clock=lambda: self.now)
        for _ in range(samples):
            flight = self.overdue.begin("k", 60.0)
            self.now += usual
            self.overdue.spoke(flight, RULES)

    def wait(self, calls: int, seconds: float) -> list[Any]:
        flights = [self.overdue.begin("k", 60.0) for _ in range(calls)]
        self.now += seconds
        return flights

    def silent(self) -> bool:
        return self.overdue.silent("k", 60.0, RULES)


def test_the_limit_adapts_and_has_a_floor() -> None:
    assert limit_s([0.5] * 20, 60.0, RULES) == 15.0
    assert limit_s([12.0] * 20, 60.0, RULES) == 36.0
    assert limit_s([20.0] * 20, 60.0, RULES) == 45.0  # some use before the timeout
    assert limit_s([20.0] * 9, 60.0, RULES) is None


def test_several_overdue_at_once_are_silence_and_one_is_not() -> None:
    one = World()
    one.wait(2, 59)
    assert not one.silent()
    several = World()
    several.wait(3, 14.9)
    assert not several.silent()
    several.now += 0.2
    assert several.silent()


def test_a_model_that_usually_thinks_long_is_given_its_time() -> None:
    world = World(usual=15.0)
    world.wait(5, 40)
    assert not world.silent()


def test_one_answer_meanwhile_is_a_sign_of_life() -> None:
    world = World()
    world.wait(5, 14)
    world.overdue.spoke(world.wait(1, 2)[0], RULES)
    assert not world.silent()
    world.now += 16
    assert world.silent()


def test_answers_to_older_calls_are_no_sign_of_life() -> None:
    world = World()
    older = world.wait(2, 1)
    world.wait(3, 10)
    world.overdue.spoke(older[0], RULES)
    world.now += 4.9
    assert not world.silent()
    world.now += 0.2
    assert world.silent()


def test_calls_are_evidence_once() -> None:
    world = World()
    told: list[float] = []
    world.overdue.begin("k", 60.0, abandon=told.append)
    world.wait(3, 16)
    world.overdue.begin("k", 60.0, abandon=told.append)
    world.overdue.abandon("k", 15.0)
    assert sorted(told) == [
        0.0,
        15.0,
    ]  # the one that has just begun gets the time it would have had
    assert not world.silent()


@pytest.fixture(scope="module")
def sim() -> Iterator[ProviderSimulator]:
    with ProviderSimulator() as simulator:
        yield simulator


def chain_for(sim: ProviderSimulator, **resilience: Any) -> tuple[Any, Circuits]:
    sim.reset()
    settings = load_settings(
        environ={},
        env_file=None,
        openai={
            "api_key": "sk-simulator",
            "base_url": sim.openai_url,
            "first_token_timeout_s": 20.0,
            "timeout_s": 20.0,
        },
        ollama={"host": sim.ollama_url},
        embedded={"enabled": False},
        resilience={"overdue_share": 0.015, **resilience},
    )
    circuits = Circuits(chance=lambda: 0.0)
    return build_chain(settings, circuits=circuits), circuits


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_calls_under_way_go_to_the_fallback_long_before_their_timeout(
    sim: ProviderSimulator, way: str
) -> None:
    chain, circuits = chain_for(sim)

    async def ask() -> Any:
        if way == "ainvoke":
            return await chain.ainvoke("hi")
        chunks = [chunk async for chunk in chain.astream("hi")]
        return next(chunk for chunk in chunks if "allotrope" in chunk.response_metadata)

    for _ in range(10):
        await ask()
    sim.faults.add("hang", provider="openai")
    before = len(sim.chats("openai"))
    async with asyncio.timeout(15):  # the timeouts of the calls are 20 s
        answers = await asyncio.gather(*(ask() for _ in range(4)))
    for answer in answers:
        told = answer.response_metadata["allotrope"]
        assert told["provider"] == "ollama"
        assert told["failover"][0]["error"] in ("ProviderTimeoutError", "CircuitOpenError")
        assert "doesn't answer in time" in told["degraded"]["message"]
    name = next(n for n in circuits.names() if n.endswith("/o3"))
    assert (circuits.look(name).state, circuits.look(name).reason) == ("open", "overdue")
    assert len(sim.chats("openai")) - before in (3, 4)  # the fourth waits if the others are silent


async def test_off_by_setting_and_never_for_two_calls(sim: ProviderSimulator) -> None:
    for calls, more in ((4, {"overdue_share": None}), (2, {})):
        chain, circuits = chain_for(sim, **more)
        for _ in range(10):
            await chain.ainvoke("hi")
        sim.faults.add("hang", provider="openai")
        tasks = [asyncio.create_task(chain.ainvoke("hi")) for _ in range(calls)]
        await asyncio.sleep(0.6)  # twice the limit
        assert not any(task.done() for task in tasks)
        assert all(circuits.look(name).state == "closed" for name in circuits.names())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("way", ["invoke", "stream"])
async def test_calls_in_threads_go_to_the_fallback_too(sim: ProviderSimulator, way: str) -> None:
    chain, circuits = chain_for(sim)

    def ask() -> Any:
        if way == "invoke":
            return chain.invoke("hi")
        return next(c for c in chain.stream("hi") if "allotrope" in c.response_metadata)

    for _ in range(10):
        ask()
    go = threading.Event()

    async def held(request: SimRequest) -> str:
        while not go.is_set():  # noqa: ASYNC110  # it is set in another thread
            await asyncio.sleep(0.01)
        return "late"

    sim.when(lambda request: request.provider == "openai", held)
    async with asyncio.timeout(15):
        answers = await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(4)))
    told = [answer.response_metadata["allotrope"] for answer in answers]
    assert {t["provider"] for t in told} == {"ollama"}
    assert "ProviderTimeoutError" in {t["failover"][0]["error"] for t in told}
    name = next(n for n in circuits.names() if n.endswith("/o3"))
    assert (circuits.look(name).state, circuits.look(name).reason) == ("open", "overdue")
    assert len(sim.chats("openai")) - 10 in (3, 4)
    go.set()
    async with asyncio.timeout(15):  # the threads left behind end, and drop what came late
        while any(thread.name == "allotrope-call" for thread in threading.enumerate()):  # noqa: ASYNC110  # a thread has no event of ours
            await asyncio.sleep(0.05)
