"""What to do with each kind of error: retry, fail over, count against a circuit, alert."""

from dataclasses import dataclass, replace
from typing import Literal

from allotrope.exceptions import (
    AuthenticationFailedError,
    BudgetExceededError,
    CircuitOpenError,
    ContentRefusedError,
    ContextOverflowError,
    LocalOnlyError,
    MalformedReplyError,
    ModelGoneError,
    OwnShortageError,
    ParameterRefusedError,
    PermissionRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
    QuotaExhaustedError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedProviderError,
    UnknownModelError,
)
from allotrope.support.providers import is_local


@dataclass(frozen=True)
class Handling:
    """What to do with a failed call.

    Attributes:
        retries: How often the same model may be asked again for this error.
        failover: Whether the next model of the chain should be asked.
        counts: What the circuit of `scope` records: a failure, nothing, or a success (it answered).
        reached: Whether the provider itself was reached, which is a success of its own circuit.
        scope: Whose circuit: this model's, or the provider's with all its models.
        opens_for_s: Opens that circuit at once for at least so many seconds; None: only counts.
        at_most_s: A break that begins for it is no longer, whatever the ladder says.
        alert: Whether the operator must act; waiting will not help.
        then: `repack` (memory packs tighter), `correct` (tell the model what was wrong) or `repair`
            (leave out what it doesn't take) before the retry.
    """

    retries: int = 0
    failover: bool = True
    counts: Literal["failure", "nothing"] = "nothing"
    reached: bool = False
    scope: Literal["model", "provider"] = "model"
    opens_for_s: float | None = None
    at_most_s: float | None = None
    alert: bool = False
    then: Literal["", "repack", "correct", "repair"] = ""


REPAIRS = 2
"""How many things of one request may be changed because the model refuses them."""

_UNLIMITED = 1_000_000  # the retry loop's own limits (attempts, deadline) decide

# After section 4 of the survey of peers (OpenAI's and Azure's codes, Polly, Envoy, LiteLLM).
_POLICIES: tuple[tuple[type[BaseException], Handling], ...] = (
    (CircuitOpenError, Handling()),
    (OwnShortageError, Handling(retries=_UNLIMITED)),
    (
        QuotaExhaustedError,
        Handling(counts="failure", scope="provider", opens_for_s=3600.0, alert=True),
    ),
    (
        AuthenticationFailedError,
        Handling(counts="failure", scope="provider", opens_for_s=300.0, alert=True),
    ),
    (
        PermissionRefusedError,
        Handling(counts="failure", reached=True, opens_for_s=300.0, alert=True),
    ),
    (UnknownModelError, Handling(counts="failure", reached=True, opens_for_s=300.0, alert=True)),
    (RateLimitedError, Handling(retries=_UNLIMITED, counts="failure", reached=True)),
    (ProviderUnavailableError, Handling(retries=_UNLIMITED, counts="failure", reached=True)),
    (ProviderTimeoutError, Handling(retries=1, counts="failure")),
    (ProviderUnreachableError, Handling(retries=1, counts="failure")),
    (ContextOverflowError, Handling(retries=1, reached=True, then="repack")),
    (MalformedReplyError, Handling(retries=1, reached=True, then="correct")),
    # the chain asks the successor by itself: a retired model is no reason to ask a local one
    (
        ModelGoneError,
        Handling(failover=False, counts="failure", reached=True, opens_for_s=300.0),
    ),
    (ParameterRefusedError, Handling(retries=REPAIRS, reached=True, then="repair")),
    (RequestRejectedError, Handling(failover=False, reached=True, alert=True)),
    (ContentRefusedError, Handling(failover=False, reached=True)),
    (UnexpectedProviderError, Handling(alert=True)),
    (LocalOnlyError, Handling()),
    (BudgetExceededError, Handling(failover=False)),
)

FAILOVER_ERRORS: tuple[type[BaseException], ...] = tuple(
    kind for kind, handling in _POLICIES if handling.failover
)
"""The classes that may hand a turn to the next model."""

HANDED_ON: tuple[type[BaseException], ...] = (*FAILOVER_ERRORS, ModelGoneError)
"""As `FAILOVER_ERRORS`, for who walks over a chain's models by himself, successors included."""

UNREACHABLE_S, SILENT_S = 10.0, 60.0
"""Longest break in seconds when no connection is made: it costs one call a moment to find out that
the provider is back, or, where nobody refuses, one call its connect timeout."""

_LOCAL_MISSING_MODEL_S = 30.0  # someone pulls the model, and should not wait five minutes for us


def policy(error: BaseException) -> Handling:
    """What to do with an error: pure, and the only place that decides it.

    Args:
        error: A classified error, our own refusal, or a cancellation.

    Returns:
        The handling. Cancellations, budget refusals, 400s and refused content never count against
        a circuit.
    """
    handling = next((found for kind, found in _POLICIES if isinstance(error, kind)), None)
    if handling is None:
        return Handling(failover=False)
    if isinstance(error, ProviderUnreachableError):
        if error.code == "event_loop_closed":  # ours, not the provider's
            return replace(handling, counts="nothing")
        if error.code != "cut":
            longest = SILENT_S if error.code == "connect_timeout" else UNREACHABLE_S
            return replace(handling, scope="provider", at_most_s=longest)
    if isinstance(error, MalformedReplyError) and error.code == "length":
        return replace(handling, retries=0)  # it would think itself out of room again
    if isinstance(error, RateLimitedError) and error.retry_after_s:
        return replace(handling, opens_for_s=error.retry_after_s)
    if isinstance(error, UnknownModelError) and is_local(error.provider):
        return replace(handling, opens_for_s=_LOCAL_MISSING_MODEL_S)
    return handling
