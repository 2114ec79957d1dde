"""The one retry loop: tenacity's, with our rules for when, how long and how often.

The clients' own retries are off. What may be retried is `models.policy`'s word; `Retry-After` is
honoured when it fits the deadline of the run, otherwise the error goes up at once, to the next
model of the chain.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import tenacity

from allotrope.exceptions import CircuitOpenError, ParameterRefusedError, ProviderError
from allotrope.models.failures.policy import policy

T = TypeVar("T")

OnRetry = Callable[[ProviderError, int, float], None]
"""Hears of every retry: the error, the number of the attempt that failed, seconds waited."""

MayRetry = Callable[[ProviderError], bool]
"""Whether asking again could go otherwise this time."""


@dataclass(frozen=True, kw_only=True)
class RetryRules:
    """How often and how long.

    Attributes:
        attempts: Requests for one reply, at most.
        first_wait_s: Longest wait before the first retry; it doubles from there.
        longest_wait_s: No backoff is longer than this.
        jitter: Share by which a wait the provider asked for is lengthened.
        patient: Whether to wait for a circuit that opens again within the deadline. For the last
            model of a chain, after which nobody could answer.
    """

    attempts: int = 3
    first_wait_s: float = 0.25
    longest_wait_s: float = 4.0
    jitter: float = 0.1
    patient: bool = False


@dataclass(frozen=True, kw_only=True)
class Retries:
    """A retry loop with its clock, sleep and chance.

    Attributes:
        rules: How often and how long.
        clock: Seconds of a clock that never goes back; the deadline is one of its readings.
        asleep: Waits so many seconds.
        chance: Random numbers in [0, 1).
    """

    rules: RetryRules = RetryRules()
    clock: Callable[[], float] = time.monotonic
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    async def acall(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        deadline: float,
        on_retry: OnRetry | None = None,
        may_retry: MayRetry | None = None,
    ) -> T:
        """The same for coroutines."""
        real: list[ProviderError] = []

        async def one() -> T:
            try:
                return await work()
            except ProviderError as exc:
                _note(real, exc)
                raise

        loop = tenacity.AsyncRetrying(
            sleep=self.asleep, **self._plan(deadline, on_retry, may_retry)
        )
        try:
            return await loop(one)
        except CircuitOpenError as exc:
            raise (real[-1] if real else exc) from None

    def wait_s(self, error: BaseException, attempt: int) -> float:
        """Seconds to wait after a failed attempt.

        Args:
            error: What failed.
            attempt: How many requests were made.
        """
        asked = getattr(error, "retry_after_s", None)
        if asked is not None:
            # a tenth longer than any jitter of the breaker, whose break began a moment earlier
            return float(asked) * (1 + self.rules.jitter * (1 + self.chance())) + 0.01
        if policy(error).then:
            return 0.0
        return self.chance() * min(
            self.rules.first_wait_s * 2.0 ** (attempt - 1), self.rules.longest_wait_s
        )

    def retryable(self, error: BaseException, attempt: int) -> bool:
        """Whether the same model may be asked again after so many attempts."""
        if not isinstance(error, ProviderError):
            return False
        if isinstance(error, CircuitOpenError):
            return self.rules.patient and error.retry_after_s is not None
        return attempt <= policy(error).retries

    def _plan(
        self, deadline: float, on_retry: OnRetry | None, may_retry: MayRetry | None
    ) -> dict[str, Any]:
        def error_of(state: tenacity.RetryCallState) -> BaseException:
            found = state.outcome.exception() if state.outcome else None
            return found or RuntimeError("no outcome")

        def again(state: tenacity.RetryCallState) -> bool:
            error = error_of(state)
            return (
                self.retryable(error, state.attempt_number)
                and isinstance(error, ProviderError)
                and (may_retry is None or may_retry(error))
            )

        def stop(state: tenacity.RetryCallState) -> bool:
            late = self.clock() + state.upcoming_sleep > deadline
            # a repaired request is another request: the policy limits them
            if isinstance(error_of(state), ParameterRefusedError):
                return late
            return state.attempt_number >= self.rules.attempts or late

        def tell(state: tenacity.RetryCallState) -> None:
            error = error_of(state)
            if on_retry is not None and isinstance(error, ProviderError):
                on_retry(error, state.attempt_number, state.upcoming_sleep)

        return {
            "retry": lambda s: bool(s.outcome and s.outcome.failed) and again(s),
            "wait": lambda s: self.wait_s(error_of(s), s.attempt_number),
            "stop": stop,
            "before_sleep": tell,
            "reraise": True,
        }


def _note(real: list[ProviderError], exc: ProviderError) -> None:
    if not isinstance(exc, CircuitOpenError):
        real.append(exc)
