"""What a circuit breaker knows and is told: plain facts, no behaviour.

Terms and defaults follow Polly, resilience4j and Envoy's outlier detection.
"""

from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half_open", "isolated", "disabled"]
Kind = Literal["success", "slow", "failure", "nothing"]

KEPT_ERRORS = 5
"""How many of the last errors a circuit remembers for the operator."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When a circuit opens and closes.

    Attributes:
        consecutive: Opens after so many failures in a row.
        failure_rate: Opens when this share of the calls in the window failed …
        slow_rate: … or this share was slower than it should be …
        minimum_calls: … and the window saw at least so many calls.
        window_s: Length of the sliding window in seconds.
        buckets: Parts the window is counted in.
        breaks_s: Seconds it stays open: the first time, the second time …; the last repeats.
        jitter: Share by which a break is lengthened at random, lest all processes probe as one.
        ladder_reset_s: Seconds closed that make the next break a step shorter, as Envoy does it.
        successes_to_close: Probes in a row that must succeed.
        early_s: Seconds open after which a probe may be due early, when nobody else can answer.
    """

    consecutive: int = 3
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    minimum_calls: int = 10
    window_s: float = 60.0
    buckets: int = 10
    breaks_s: tuple[float, ...] = (10.0, 30.0, 60.0)
    jitter: float = 0.1
    ladder_reset_s: float = 30.0
    successes_to_close: int = 1
    early_s: float = 2.0


@dataclass(frozen=True)
class Bucket:
    """Calls of one part of the window; `index` counts parts since the epoch."""

    index: int
    ok: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(frozen=True)
class Seen:
    """An error as an operator may see it: no content, no key."""

    at: float
    error: str
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """All that is known of one circuit. Times are seconds since the epoch.

    Attributes:
        version: Counts changes; the stores swap by it.
        generation: Counts closings; a call that began before the last one doesn't count.
        opened_until: When the next probe may run, while open.
        trips: Steps climbed on the ladder of breaks.
        since: When the state began.
        reason: Why it is not closed: an error class, `failure_rate`, or an operator's words.
    """

    name: str
    state: State = "closed"
    version: int = 0
    generation: int = 0
    since: float = 0.0
    opened_until: float = 0.0
    trips: int = 0
    consecutive: int = 0
    buckets: tuple[Bucket, ...] = ()
    probe_owner: str | None = None
    probe_until: float = 0.0
    probe_successes: int = 0
    reason: str | None = None
    errors: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """The answer to "may this call go out?".

    Attributes:
        granted: Whether it may.
        owner: The lease of a probe; None for an ordinary call.
        generation: The circuit's, to be given back with the outcome.
        retry_after_s: When refused: seconds until the next probe may run, where known.
    """

    granted: bool
    owner: str | None = None
    generation: int = 0
    retry_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class CallOutcome:
    """How a call went.

    Attributes:
        kind: `nothing` for what says nothing about the provider: cancelled, a 400, our own refusal.
        owner: The probe's lease, if it was one.
        generation: The ticket's.
        opens_for_s: Opens at once for so long, whatever the counts say.
        floor_s: A break that begins now lasts at least so long (`Retry-After`).
        at_most_s: A break that begins now lasts no longer, but for jitter and `floor_s`.
        error: Class name of the error.
        code: The provider's code.
    """

    kind: Kind
    owner: str | None = None
    generation: int = 0
    opens_for_s: float | None = None
    floor_s: float = 0.0
    at_most_s: float | None = None
    error: str | None = None
    code: str | None = None
