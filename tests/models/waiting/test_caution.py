"""While a provider is in doubt few calls go out and the rest wait: never long, never refused."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from allotrope import exceptions as ours
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.chain import build_chain
from allotrope.models.waiting.caution import CautionRules, Trials, Waiters
from allotrope.models.waiting.overdue import Overdue, OverdueRules
from allotrope.settings import load_settings
from allotrope.support import counters
from allotrope.testing.simulator import ProviderSimulator

RULES = CautionRules(hold_s=5.0)
O3 = ("openai", "openai/o3")


def one_failure() -> dict[str, int]:
    return {"openai/o3": 1}


DOWN = ours.ProviderUnavailableError("x", provider="openai", model="o3", status=503)


def test_after_a_failure_as_many_go_out_as_are_missing_to_open() -> None:
    trials = Trials()
    first = trials.begin(O3, doubts=one_failure, most=3)
    second = trials.begin(O3, doubts=one_failure, most=3)
    assert first is not None
    assert second is not None
    assert trials.begin(O3, doubts=one_failure, most=3) is None
    first.spoke = True  # the failure may come after the first token, so this proves nothing
    assert trials.begin(O3, doubts=one_failure, most=3) is None
    trials.end(first)
    assert trials.begin(O3, doubts=one_failure, most=3) is not None


def test_calls_from_before_the_failure_count_until_they_speak() -> None:
    trials = Trials()
    before = [trials.begin(O3, doubts=dict, most=3) for _ in range(30)]
    assert all(before)
    assert trials.begin(O3, doubts=one_failure, most=3) is None
    for trial in before:
        assert trial is not None
        trial.spoke = True
    assert trials.begin(O3, doubts=one_failure, most=3) is not None


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def goes(circuits: Circuits, rules: CautionRules = RULES) -> Any:
    """The permit of a call that may go out; None when it must wait."""
    permit = circuits.admit("openai", "o3", lease_s=10)
    if circuits.try_out(permit, rules):
        return permit
    permit.give_back()
    return None


def test_doubt_ends_with_an_answer_and_with_time() -> None:
    clock = Clock()
    circuits = Circuits(clock=clock)
    goes(circuits).fail(DOWN)
    one, two = goes(circuits), goes(circuits)
    assert goes(circuits) is None
    one.succeed()
    assert goes(circuits) is not None
    two.fail(DOWN)
    goes(circuits).give_back()
    assert [bool(goes(circuits)) for _ in range(3)] == [True, False, False]
    clock.now += 5.1  # an old failure is no reason to hold anybody
    assert goes(circuits) is not None


async def test_the_outcome_that_opens_the_circuit_wakes_who_waits() -> None:
    circuits = Circuits(clock=Clock())
    for _ in range(2):
        goes(circuits).fail(DOWN)
    last = goes(circuits)
    assert goes(circuits) is None
    with circuits.waiters.task() as bell:
        last.fail(DOWN)
        async with asyncio.timeout(5):
            await bell.wait()
    with pytest.raises(ours.CircuitOpenError):
        goes(circuits)


def test_a_circuit_that_opens_after_leave_was_given_is_asked_again() -> None:
    circuits = Circuits(clock=Clock())
    permit = circuits.admit("openai", "o3", lease_s=10)
    circuits.trip("openai/o3", reason="test")
    assert not circuits.try_out(permit, RULES)


async def test_waiters_are_woken_from_any_thread_and_forgotten() -> None:
    waiters = Waiters()
    with waiters.task() as bell:
        threading.Thread(target=waiters.wake).start()
        async with asyncio.timeout(5):
            await bell.wait()
    assert waiters._bells == set()


def test_unusual_silence_holds_the_next_call() -> None:
    now = 0.0
    overdue, rules = Overdue(clock=lambda: now), OverdueRules()
    for _ in range(20):
        flight = overdue.begin("k", 60.0)
        now += 1.0
        overdue.spoke(flight, rules)
    flights = [overdue.begin("k", 60.0) for _ in range(3)]
    assert not overdue.hushed("k", rules)
    now += 1.1
    assert overdue.hushed("k", rules)
    assert not overdue.silent("k", 60.0, rules)
    overdue.spoke(flights[0], rules)
    overdue.begin("k", 60.0)
    assert not overdue.hushed("k", rules)


def test_a_crowd_that_is_answered_all_the_time_is_silent_sooner() -> None:
    now = 0.0
    overdue, rules = Overdue(clock=lambda: now), OverdueRules()
    flights = []
    for _ in range(60):  # each call takes 4 s, but ten are always under way
        flights.append(overdue.begin("k", 60.0))
        if len(flights) > 10:
            overdue.spoke(flights.pop(0), rules)
        now += 0.4
        assert not overdue.hushed("k", rules)
    now += 0.5
    assert overdue.hushed("k", rules)
    assert not overdue.silent("k", 60.0, rules)


def test_the_usual_time_leaves_the_cold_start_out() -> None:
    now = 0.0
    overdue, rules = Overdue(clock=lambda: now), OverdueRules()
    for seconds in [9.0, 9.0] + [0.5] * 10:
        flight = overdue.begin("k", 4.0)
        now += seconds
        overdue.spoke(flight, rules)
    assert overdue.limit_s("k", 4.0, rules) == 1.5


@pytest.fixture(scope="module")
def sim() -> Iterator[ProviderSimulator]:
    with ProviderSimulator() as simulator:
        yield simulator


def chain_for(sim: ProviderSimulator, **resilience: Any) -> tuple[Any, Circuits]:
    sim.reset()
    counters.clear()
    settings = load_settings(
        environ={},
        env_file=None,
        openai={"api_key": "sk-simulator", "base_url": sim.openai_url},
        ollama={"host": sim.ollama_url},
        embedded={"enabled": False},
        resilience={"first_wait_s": 0.01, **resilience},
    )
    circuits = Circuits(chance=lambda: 0.0)
    return build_chain(settings, circuits=circuits), circuits


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
async def test_a_crowd_wastes_no_more_than_it_takes_to_open(
    sim: ProviderSimulator, way: str
) -> None:
    chain, circuits = chain_for(sim)

    async def ask() -> Any:
        if way == "invoke":
            return await asyncio.to_thread(chain.invoke, "hi")
        if way == "ainvoke":
            return await chain.ainvoke("hi")
        chunks = [chunk async for chunk in chain.astream("hi")]
        return next(c for c in chunks if "allotrope" in c.response_metadata)

    sim.faults.add("503", provider="openai")
    circuits.admit("openai", "o3", deployment=_deployment(chain), lease_s=9).fail(DOWN)
    answers = await asyncio.gather(*(ask() for _ in range(12)))
    assert {a.response_metadata["allotrope"]["provider"] for a in answers} == {"ollama"}
    assert len(sim.chats("openai")) == 2
    if way != "invoke":  # threads come one after the other, and may find the circuit open already
        assert counters.counts()["allotrope_held_calls_total"]


async def test_off_by_setting_and_held_no_longer_than_set(sim: ProviderSimulator) -> None:
    for seconds, requests in ((0.0, 4), (0.1, 4), (30.0, 2)):
        chain, circuits = chain_for(sim, hold_s=seconds)
        sim.faults.add("hang", provider="openai")
        circuits.admit("openai", "o3", deployment=_deployment(chain), lease_s=9).fail(DOWN)
        tasks = [asyncio.create_task(chain.ainvoke("hi")) for _ in range(4)]
        await _until(lambda wanted=requests: len(sim.chats("openai")) >= wanted)
        if seconds == 30.0:
            await asyncio.sleep(0.2)
        assert len(sim.chats("openai")) == requests
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not circuits.waiters._bells


def _deployment(chain: Any) -> str:
    return str(next(iter(chain.runnables))._guard.deployment)


async def _until(met: Any) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110  # the server has no event of ours
            await asyncio.sleep(0.02)
