"""The retry loop, sync and async by the same cases, with a clock that only sleeping moves."""

import asyncio
import inspect
from typing import Any

import pytest

from allotrope import exceptions as ours
from allotrope.models.call.retry import Retries, RetryRules


class World:
    """A clock, both sleeps, and a piece of work that fails as told."""

    def __init__(self, *fails: BaseException, **rules: Any) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.calls = 0
        self.fails = list(fails)
        self.heard: list[tuple[str, int]] = []
        self.retries = Retries(
            rules=RetryRules(**rules),
            clock=lambda: self.now,
            asleep=self.asleep,
            chance=lambda: 0.5,
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def work(self) -> str:
        self.calls += 1
        if self.fails:
            raise self.fails.pop(0)
        return "done"

    async def awork(self) -> str:
        return self.work()

    def note(self, error: ours.ProviderError, attempt: int, wait_s: float) -> None:
        self.heard.append((type(error).__name__, attempt))


@pytest.fixture
def run() -> Any:
    def go(world: World, *, within: float = 10.0) -> str:
        deadline = world.now + within
        return asyncio.run(world.retries.acall(world.awork, deadline=deadline, on_retry=world.note))

    return go


def e(kind: type[ours.ProviderError], retry_after_s: float | None = None) -> ours.ProviderError:
    return kind("x", retry_after_s=retry_after_s)


DOWN = ours.ProviderUnavailableError


def test_server_errors_back_off_and_double(run: Any) -> None:
    world = World(e(DOWN), e(DOWN), e(DOWN), attempts=5)
    assert run(world) == "done"
    assert world.slept == [0.125, 0.25, 0.5]
    assert world.heard == [("ProviderUnavailableError", n) for n in (1, 2, 3)]


def test_it_ends_after_the_attempts_with_the_last_error(run: Any) -> None:
    last = e(DOWN)
    world = World(e(DOWN), e(DOWN), last, e(DOWN))
    with pytest.raises(DOWN) as caught:
        run(world)
    assert caught.value is last
    assert world.calls == 3


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (ours.AuthenticationFailedError, 1),
        (ours.QuotaExhaustedError, 1),
        (ours.RequestRejectedError, 1),
        (ours.ContentRefusedError, 1),
        (ours.UnexpectedProviderError, 1),
        (ours.CircuitOpenError, 1),
        (ours.ProviderTimeoutError, 2),
        (ours.ProviderUnreachableError, 2),
        (ours.ContextOverflowError, 2),
        (ours.MalformedReplyError, 2),
        (ours.RateLimitedError, 3),
    ],
)
def test_how_often_each_kind_is_tried(run: Any, kind: type[ours.ProviderError], calls: int) -> None:
    world = World(*[e(kind) for _ in range(9)])
    with pytest.raises(kind):
        run(world)
    assert world.calls == calls


def test_a_short_retry_after_is_waited_for(run: Any) -> None:
    world = World(e(ours.RateLimitedError, 2.0))
    assert run(world) == "done"
    assert world.slept == [2.31]  # never shorter than asked


def test_a_long_one_fails_over_at_once(run: Any) -> None:
    world = World(e(ours.RateLimitedError, 42.0))
    with pytest.raises(ours.RateLimitedError):
        run(world)
    assert (world.calls, world.slept) == (1, [])


def test_no_retry_begins_after_the_deadline(run: Any) -> None:
    world = World(e(DOWN), e(DOWN), attempts=9)
    with pytest.raises(DOWN):
        run(world, within=0.3)
    assert world.slept == [0.125]


def test_the_breaker_does_not_hide_the_real_cause(run: Any) -> None:
    world = World(e(DOWN), e(ours.CircuitOpenError, 30.0))
    with pytest.raises(DOWN):
        run(world)
    assert world.calls == 2


def test_the_last_model_waits_for_its_circuit(run: Any) -> None:
    held = e(ours.CircuitOpenError, 1.0)
    assert run(World(held, patient=True)) == "done"
    with pytest.raises(ours.CircuitOpenError):
        run(World(e(ours.CircuitOpenError, 60.0), patient=True))


@pytest.mark.parametrize("other", [ValueError("x"), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_is_not_ours_goes_up_at_once(run: Any, other: BaseException) -> None:
    world = World(other)
    with pytest.raises(type(other)):
        run(world)
    assert world.calls == 1


def test_the_coroutine_is_awaited() -> None:
    assert inspect.iscoroutinefunction(World().retries.acall)


def test_the_caller_has_the_last_word() -> None:
    world = World(e(DOWN), e(DOWN))
    with pytest.raises(DOWN):
        asyncio.run(world.retries.acall(world.awork, deadline=1e9, may_retry=lambda error: False))
    assert world.calls == 1
