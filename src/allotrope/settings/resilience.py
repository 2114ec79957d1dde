"""Settings of the resilience: circuit breaker, retries, timeouts' consequences, streams."""

from typing import Annotated, Literal

from pydantic import Field

from allotrope.settings.sections import Seconds, Section

Share = Annotated[float, Field(gt=0, le=1)]


class ResilienceSettings(Section):
    """When a provider is held back, how often it is asked again, and what users see meanwhile."""

    breaker: bool = Field(default=True, description="Whether the circuit breaker is on.")
    consecutive_failures: int = Field(
        default=3, ge=1, description="Failures in a row that open a circuit."
    )
    failure_rate: Share = Field(
        default=0.5, description="Share of failed calls in the window that opens a circuit."
    )
    slow_rate: Share = Field(
        default=0.8, description="Share of slow calls in the window that opens a circuit."
    )
    slow_after_s: Seconds | None = Field(
        default=45.0, description="Seconds to the first token after which a call counts as slow."
    )
    overdue_share: Share | None = Field(
        default=0.25,
        description="Share of the first-token timeout after which a call can be overdue; "
        "null: never.",
    )
    overdue_factor: float = Field(
        default=3.0,
        ge=1,
        description="A call is overdue after so many times the usual time to the first token.",
    )
    overdue_calls: int = Field(
        default=3, ge=3, description="Overdue calls at once, none answered meanwhile, that open."
    )
    hold_s: float = Field(
        default=5.0,
        ge=0,
        le=60,
        description="Seconds a call may wait, at most, for what those under way bring, when a "
        "provider has just failed or is silent for unusually long; 0: never.",
    )
    minimum_calls: int = Field(
        default=10, ge=1, description="Calls in the window before a rate can open a circuit."
    )
    window_s: Seconds = Field(default=60.0, description="Length of the sliding window in seconds.")
    breaks_s: tuple[Seconds, ...] = Field(
        default=(10.0, 30.0, 60.0),
        min_length=1,
        description="Seconds a circuit stays open: the first time, the second time, and so on.",
    )
    ladder_reset_s: Seconds = Field(
        default=30.0, description="Seconds of health after which the next break is a step shorter."
    )
    jitter: float = Field(
        default=0.1, ge=0, le=1, description="Share by which waits are lengthened at random."
    )
    successes_to_close: int = Field(
        default=1, ge=1, description="Probes in a row that must succeed to close a circuit."
    )
    early_probe_s: Seconds = Field(
        default=2.0,
        description="Seconds between two early probes of a hosted model when no other is left.",
    )
    snapshot_s: float = Field(
        default=0.05, ge=0, le=5, description="How old a process's view of a circuit may be."
    )
    redis_retry_s: Seconds = Field(
        default=1.0, description="Seconds between two tries to reach a Redis that is gone."
    )
    attempts: int = Field(
        default=3, ge=1, le=10, description="Requests to one model for one reply, at most."
    )
    first_wait_s: float = Field(
        default=0.25, ge=0, le=60, description="Longest wait before the first retry; then doubled."
    )
    longest_wait_s: float = Field(
        default=4.0, ge=0, le=300, description="Longest wait between two retries."
    )
    deadline_s: Seconds = Field(
        default=10.0,
        description="Seconds in which retries may begin, from when the chain was asked.",
    )
    when_a_stream_breaks: Literal["restart", "partial"] = Field(
        default="restart",
        description="After the first token: start again with the next model, "
        "or keep the partial text.",
    )
