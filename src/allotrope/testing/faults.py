"""Faults by schedule: which request meets which failure."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from allotrope.exceptions import InputError
from allotrope.testing.content.replies import Provider, SimRequest

KINDS = {
    "quota": "429 insufficient_quota: the account has no credit",
    "content_policy": "400: the prompt was flagged (code invalid_prompt)",
    "content_filter": "200: the answer ends with finish_reason content_filter",
    "context_overflow": "400 context_length_exceeded, three wordings by `variant`",
    "hang": "accepts the request and never answers",
    "slow": "answers after `seconds`",
    "stall": "stops after `after_tokens` tokens, connection open (plain: after half the body)",
    "slow_stream": "`seconds` between tokens",
    "reset": "connection reset before any byte",
    "reset_mid_stream": "connection reset after `after_tokens` tokens",
    "cut": "connection closed after `after_tokens` tokens (plain: after half the body)",
    "sse_error": "an error event after `after_tokens` tokens",
    "malformed_json": "200 with a body that is no JSON",
    "empty": "200 with an empty answer",
    "broken_tool_call": "200 with a tool call whose arguments are no JSON",
}
"""Kinds of faults besides the HTTP statuses `400` to `599` (`401`, `404`, `429`, `503` …)."""

STREAM_KINDS = frozenset({"stall", "cut", "sse_error", "reset_mid_stream"})
"""Faults that begin after some tokens were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure and when it happens; every condition given must hold.

    Args:
        kind: An HTTP status as text, or one of `KINDS`.
        provider: Only requests to this provider.
        model: Only requests for this model.
        requests: Only these requests of the provider, counted from 1.
        after_s: Not before so many seconds on the simulator's clock.
        until_s: No longer after so many seconds.
        times: At most so often.
        probability: How likely it is when everything else holds, 0 to 1.
        retry_after: The Retry-After header: seconds, or any text.
        after_tokens: Tokens that are sent before a fault in the stream.
        seconds: The delay of `slow` and `slow_stream`.
        variant: The wording of `context_overflow`: 0, 1 or 2.
        when: Any further condition.
    """

    kind: str
    provider: Provider | None = None
    model: str | None = None
    requests: Collection[int] | None = None
    after_s: float | None = None
    until_s: float | None = None
    times: int | None = None
    probability: float = 1.0
    retry_after: float | str | None = None
    after_tokens: int = 2
    seconds: float = 1.0
    variant: int = 0
    when: Callable[[SimRequest], bool] | None = None

    def __post_init__(self) -> None:
        """Refuses kinds nobody knows, before a test waits for a fault that never comes."""
        known = self.kind in KINDS or (self.kind.isdigit() and 400 <= int(self.kind) <= 599)
        if not known:
            raise InputError(
                f"{self.kind!r} is no kind of fault.",
                hint=f"Use an HTTP status from 400 to 599 or one of {', '.join(sorted(KINDS))}.",
            )
        if not 0.0 <= self.probability <= 1.0:
            raise InputError(f"probability is {self.probability}, it must be from 0 to 1.")

    def fits(self, request: SimRequest) -> bool:
        """Whether the fixed conditions hold; chance and `times` are the plan's business."""
        return (
            (self.provider is None or self.provider == request.provider)
            and (self.model is None or self.model == request.model)
            and (self.requests is None or request.number in self.requests)
            and (self.after_s is None or request.at >= self.after_s)
            and (self.until_s is None or request.at < self.until_s)
            and (self.when is None or self.when(request))
        )

    @property
    def retry_after_header(self) -> str | None:
        """The header's value; whole seconds as the real API writes them."""
        if self.retry_after is None or isinstance(self.retry_after, str):
            return self.retry_after
        return f"{self.retry_after:g}"


@dataclass(slots=True)
class Planned:
    """A fault in a plan, and how often it was met."""

    fault: Fault
    used: int = 0


class FaultPlan:
    """The faults of a simulator. The first that fits wins.

    Args:
        seed: Seed of the chance behind `probability`.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311  # repeatable chance is the point
        self._faults: tuple[Planned, ...] = ()

    def add(self, kind: str | int | Fault, **conditions: object) -> Fault:
        """Plans a fault.

        Args:
            kind: An HTTP status, one of `KINDS`, or a `Fault` made before.
            conditions: The fields of `Fault`.

        Returns:
            The fault, for `remove`.
        """
        fault = kind if isinstance(kind, Fault) else Fault(kind=str(kind), **conditions)  # type: ignore[arg-type]  # checked by Fault itself
        self._faults = (*self._faults, Planned(fault))
        return fault

    def remove(self, fault: Fault) -> None:
        """Heals one fault."""
        self._faults = tuple(p for p in self._faults if p.fault is not fault)

    def clear(self) -> None:
        """Heals everything and starts the chance anew."""
        self._faults = ()
        self._chance = random.Random(self._seed)  # noqa: S311  # repeatable chance is the point

    def next_for(self, request: SimRequest) -> Fault | None:
        """The fault this request meets; counts it."""
        for planned in self._faults:
            fault = planned.fault
            if not fault.fits(request):
                continue
            if fault.times is not None and planned.used >= fault.times:
                continue
            if fault.probability < 1.0 and self._chance.random() >= fault.probability:
                continue
            planned.used += 1
            return fault
        return None
