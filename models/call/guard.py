"""One wanted reply from one model: leave from the breaker, attempts, what each failure teaches."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from langchain_core.messages import BaseMessage
from langchain_core.runnables.config import ensure_config

from allotrope.contracts import Configurable, DegradedState
from allotrope.exceptions import (
    BudgetExceededError,
    CircuitOpenError,
    ContextOverflowError,
    LeftQueueError,
    MalformedReplyError,
    ModelGoneError,
    ParameterRefusedError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    RequestRejectedError,
    UnexpectedProviderError,
)
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.permits import Permit, circuit_name
from allotrope.models.call.replies import correction
from allotrope.models.call.retry import Retries, RetryRules
from allotrope.models.call.window import window_of
from allotrope.models.failures.degraded import degraded
from allotrope.models.failures.errors import classify, describe, own_shortage
from allotrope.models.failures.policy import policy
from allotrope.models.failures.trail import takes_over, trail_of_run
from allotrope.models.providers.content import text_length
from allotrope.models.waiting import queue as slots
from allotrope.models.waiting.admission import Admission
from allotrope.models.waiting.caution import CautionRules
from allotrope.models.waiting.first_token import REASON, FirstTokenWatch, Watched
from allotrope.models.waiting.overdue import OverdueRules
from allotrope.models.waiting.queue import MOST_RETURNS, CallQueue, Leaves
from allotrope.models.waiting.stalls import STALLS
from allotrope.support.counters import count
from allotrope.support.pools import pool_for
from allotrope.support.providers import label_of

T = TypeVar("T")

log = logging.getLogger("allotrope.models")

Repack = Callable[[list[BaseMessage], int], Sequence[BaseMessage]]
"""`repack(messages, budget_tokens)`: the same conversation, packed into so many tokens."""

TIGHTER = 0.8
"""After an overflow the window was smaller than we thought: pack to this share of it."""


@dataclass(frozen=True, kw_only=True)
class CallLimits:
    """How long a call may take; None waits for ever.

    Attributes:
        first_token_s: Seconds to the first chunk of a stream.
        idle_s: Seconds between two chunks.
        total_s: Seconds for the whole reply.
    """

    first_token_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None


@dataclass(kw_only=True)
class Guard:
    """What stands between a model and its provider.

    Attributes:
        circuits: The breaker.
        retries: The retry loop.
        limits: Timeouts.
        deployment: Which account at which address, from `deployment_of`.
        deadline_s: Seconds in which retries may begin, from when the chain was asked.
        overdue: When silence opens the circuit before the timeouts do; None: never.
        caution: When calls wait for what others bring; None: never.
        keep_partial: Whether a stream that breaks after it spoke ends there, marked incomplete.
    """

    circuits: Circuits = field(default_factory=lambda: Circuits(enabled=False))
    retries: Retries = field(default_factory=lambda: Retries(rules=RetryRules(attempts=1)))
    limits: CallLimits = CallLimits()
    deployment: str = ""
    deadline_s: float = 10.0
    keep_partial: bool = False
    overdue: OverdueRules | None = None
    caution: CautionRules | None = None


class Guarded(Protocol):
    """What a call needs to know of its model."""

    provider: str

    def name_of_model(self) -> str:
        """The model asked for."""

    def judged(self, error: ProviderError, cause: BaseException) -> ProviderError:
        """What a classified error means for this model."""

    def slot(self) -> CallQueue | None:
        """The queue before it, where it answers one request at a time."""


class Call:
    """One reply wanted from one model, over all its attempts.

    Args:
        guard: What stands in front of the model.
        model: The model.
        messages: The prompt.
        streamed: Whether the first token is heard of before the last.
        tools: Whether tools are offered.
    """

    def __init__(
        self,
        guard: Guard,
        model: Guarded,
        messages: list[BaseMessage],
        *,
        streamed: bool = False,
        tools: bool = False,
    ) -> None:
        configurable = ensure_config().get("configurable", {})
        self.trail = trail_of_run()
        self.started = time.perf_counter()
        self.offers_tools = tools
        self._since = time.monotonic()
        self.attempts = 0
        self.repairs: list[str] = []
        self.first_token: float | None = None
        self._guard = guard
        self._model = model
        self._messages = messages
        self._repack: Repack | None = configurable.get(Configurable.REPACK)
        clock = guard.retries.clock
        if self.trail.deadline is None:
            self.trail.deadline = clock() + guard.deadline_s
        self.deadline = self.trail.deadline
        self._last = bool(configurable.get(Configurable.LAST))
        self._overflowed = False
        self._correction: BaseMessage | None = None
        self._spoken = False
        self._permit: Permit | None = None
        self._slot = model.slot()
        self.watch = FirstTokenWatch(self._watched(streamed))
        self._admission = Admission(
            circuits=guard.circuits,
            provider=model.provider,
            model=model.name_of_model(),
            deployment=guard.deployment,
            lease_s=(guard.limits.total_s or 300.0) + 5.0,
            last=self._last,
            caution=guard.caution,
            watch=self.watch,
            clock=clock,
        )

    # -- one attempt ------------------------------------------------------------------------------

    async def aadmit(self) -> Permit:
        """Leave for one request.

        Raises:
            CircuitOpenError: The breaker holds calls back.
        """
        STALLS.watch(asyncio.get_running_loop())
        self._permit = permit = await self._admission.aleave()
        if self._slot is not None:
            permit.place = self._slot.join()
            try:
                stays = await permit.place.aturn(self._leaves(), self._guard.limits.total_s)
            except BaseException as exc:  # noqa: BLE001 - the place is given back in any case
                permit.agive_back()
                raise self._in_queue(exc) from None
            self._stays(permit, stays=stays)
        self.attempts += 1
        self._since = time.monotonic()
        return self._permit

    def _leaves(self) -> Leaves:
        """When to leave the model's queue: the model that failed before can be asked again."""
        joined, held = time.monotonic(), False

        def leaves(newest: bool) -> bool:
            nonlocal held
            trail = self.trail
            failed = policy(trail[0]) if trail else None
            if failed is None or trail.earlier is None or trail.void is not None:
                return False
            outage = failed.counts == "failure" or isinstance(trail[0], CircuitOpenError)
            if not outage or trail.returns >= MOST_RETURNS:
                return False
            state = trail.earlier()
            if state is None:
                held = True
                return False
            if state == "due":  # one is enough, and it loses nothing
                return newest
            return held or time.monotonic() - joined >= slots.BACK_S

        return leaves

    def _stays(self, permit: Permit, *, stays: bool) -> None:
        """Ends the permit of a call that leaves the queue.

        Raises:
            LeftQueueError: It does.
        """
        if not stays:
            permit.agive_back()
            model = self._model
            raise LeftQueueError(
                "An earlier model can be asked again.",
                provider=model.provider,
                model=model.name_of_model(),
            )

    def _in_queue(self, exc: BaseException) -> BaseException:
        return self.too_slow("queue") if isinstance(exc, TimeoutError) else exc

    def heard(self) -> None:
        """The provider sent text, or a part of a call of a tool: it is alive."""
        self.watch.spoke()
        if self._permit is not None:
            self._permit.spoke()

    def request(self) -> list[BaseMessage]:
        """The prompt of this attempt: packed for this model, with a correction where it erred."""
        messages = self._messages
        if self._repack is not None and (self.trail or self._overflowed):
            window = window_of(self._model)
            if window is not None:
                fits = int(window.prompt * TIGHTER) if self._overflowed else window.prompt
                messages = list(self._repack(messages, fits))
        return messages if self._correction is None else [*messages, self._correction]

    async def arequest(self) -> list[BaseMessage]:
        """The same; packing counts tokens and may summarise, so a thread does it."""
        if self._repack is None or not (self.trail or self._overflowed):
            return self.request()
        return await pool_for(text_length(self._messages)).run(self.request)

    async def afailed(self, exc: BaseException, permit: Permit | None) -> BaseException:
        """What to raise for a failed attempt; tells the breaker.

        Args:
            exc: What was raised.
            permit: The attempt's leave, if it had one.
        """
        error = self._error(exc)
        if error is None:
            if permit is not None:
                permit.agive_back()
            return exc
        if permit is not None:
            await permit.afail(error)
        return self._learnt(error)

    def may_retry(self, error: ProviderError) -> bool:
        """Whether asking again could go otherwise: packed tighter, or told what was wrong."""
        if isinstance(error, ContextOverflowError):
            return self._repack is not None and window_of(self._model) is not None
        if isinstance(error, MalformedReplyError):
            return self._correction is not None or error.code == "body"
        return True

    def retried(self, error: ProviderError, attempt: int, wait_s: float) -> None:
        """Counts a retry."""
        count("allotrope_retries_total", provider=self._model.provider, error=type(error).__name__)

    # -- the end ----------------------------------------------------------------------------------

    def spoke(self) -> None:
        """The reply begins: whoever listens hears first that it is a degraded one."""
        if self.first_token is None:
            self.first_token = time.perf_counter()
        if self._spoken:
            return
        self._spoken = True
        takes_over(self.trail, provider=self._model.provider, model=self._model.name_of_model())

    def seconds_to_first_token(self) -> float:
        """How long the provider took to say something."""
        return (self.first_token or time.perf_counter()) - self.started

    def degraded(self, reported: str | None) -> DegradedState | None:
        """The `degraded` field of the reply's provenance."""
        if not self.trail:
            return None
        name = reported or self._model.name_of_model()
        return degraded(self.trail, provider=self._model.provider, model=name)

    def gives_up(self, error: BaseException) -> BaseException:
        """The error this model ends with; the chain's trail keeps it."""
        if not isinstance(error, ProviderError) or isinstance(
            error, ModelGoneError | LeftQueueError
        ):
            return error  # a model that ended is no outage: its successor answers
        if isinstance(error, RequestRejectedError) and self.trail:
            # a substitute that can't take the request is no reason to stop asking others
            error = UnexpectedProviderError(
                error.message,
                provider=error.provider,
                model=error.model,
                code=error.code,
                status=error.status,
            )
        self.trail.append(error)
        return error

    def broke(self, error: ProviderError) -> None:
        """A stream died after its first token: what was said is void when another begins."""
        count("allotrope_stream_restarts_total", provider=self._model.provider)
        self.trail.void = error

    def too_slow(self, code: str) -> ProviderTimeoutError:
        """The error for a limit of ours that ran out: `first_token`, `idle` or `total`."""
        code = REASON if self.watch.gave_up else code
        who = label_of(self._model.provider)
        return ProviderTimeoutError(
            f"{who} didn't answer in time ({code.replace('_', ' ')}).",
            provider=self._model.provider,
            model=self._model.name_of_model(),
            code=code,
        )

    def seconds_left(self, since: float) -> tuple[float | None, str]:
        """How long the next chunk may take, and which limit that is.

        Args:
            since: `time.perf_counter()` when this attempt began.
        """
        limits = self._guard.limits
        begun = self.first_token is not None
        wait, code = (limits.idle_s, "idle") if begun else (limits.first_token_s, "first_token")
        if limits.total_s is None:
            return wait, code
        left = max(0.0, limits.total_s - (time.perf_counter() - since))
        return (left, "total") if wait is None or left < wait else (wait, code)

    def _watched(self, streamed: bool) -> Watched | None:
        guard, model = self._guard, self._model
        timeout_s = guard.limits.first_token_s if streamed else guard.limits.total_s
        if guard.overdue is None or timeout_s is None or self._last or not guard.circuits.enabled:
            return None
        name = model.name_of_model()
        circuit = circuit_name(model.provider, name, deployment=guard.deployment)
        effort = getattr(model, "reasoning_effort", None)
        return Watched(
            circuits=guard.circuits,
            circuit=circuit,
            kind=f"{circuit} {effort} {'streamed' if streamed else 'whole'}",
            timeout_s=timeout_s,
            rules=guard.overdue,
        )

    def _error(self, exc: BaseException) -> ProviderError | None:
        if not isinstance(exc, Exception) or isinstance(exc, BudgetExceededError):
            return None
        name = self._model.name_of_model()
        error = classify(exc, provider=self._model.provider, model=name)
        waited = isinstance(error, ProviderTimeoutError | ProviderUnreachableError)
        if waited and STALLS.to_blame(self._since):
            return own_shortage("time", provider=self._model.provider, model=name)
        return error if error is exc else self._model.judged(error, exc)

    def _learnt(self, error: ProviderError) -> ProviderError:
        self._overflowed = self._overflowed or isinstance(error, ContextOverflowError)
        if isinstance(error, MalformedReplyError):
            self._correction = correction(error)
        if isinstance(error, ParameterRefusedError):
            self.repairs.append(error.message)
        if isinstance(error, CircuitOpenError):
            return error
        count(
            "allotrope_model_errors_total",
            provider=error.provider,
            model=error.model,
            error=type(error).__name__,
        )
        needs_someone = policy(error).alert
        log.log(
            logging.ERROR if needs_someone else logging.INFO,
            "a model call failed and waiting won't help: %s" if needs_someone else "%s",
            type(error).__name__,
            extra=describe(error),
        )
        if error.retry_after_s is None:
            error.retry_after_s = self._guard.circuits.next_try_s(
                self._model.provider,
                self._model.name_of_model(),
                deployment=self._guard.deployment,
            )
        return error
