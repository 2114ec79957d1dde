"""What people are told while something is broken: plain sentences, made in one place."""

from collections.abc import Sequence

from allotrope.contracts import DegradedState
from allotrope.exceptions import (
    AuthenticationFailedError,
    CircuitOpenError,
    ContentRefusedError,
    ContextOverflowError,
    MalformedReplyError,
    OwnShortageError,
    PermissionRefusedError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
    QuotaExhaustedError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedProviderError,
    UnknownModelError,
)
from allotrope.models.failures.errors import LACKING
from allotrope.support.providers import label_of

STATES: dict[str, str] = {
    RateLimitedError.__name__: "is rate-limited",
    QuotaExhaustedError.__name__: "has no credit left on this account",
    AuthenticationFailedError.__name__: "refuses the API key",
    PermissionRefusedError.__name__: "doesn't allow this key to use {model}",
    ProviderUnavailableError.__name__: "has a server error",
    ProviderTimeoutError.__name__: "doesn't answer in time",
    ProviderUnreachableError.__name__: "can't be reached",
    UnknownModelError.__name__: "has no model {model}",
    ContextOverflowError.__name__: "can't take a conversation this long",
    MalformedReplyError.__name__: "gave a reply that can't be used",
    RequestRejectedError.__name__: "rejected the request",
    ContentRefusedError.__name__: "refused the content",
    UnexpectedProviderError.__name__: "failed unexpectedly",
    "slow_rate": "answers too slowly",
    "LocalOnlyError": "is over budget",
    "overdue": "doesn't answer in time",
    "isolated": "is switched off by an operator",
}
"""The state of a provider in words, by error class or by the reason of an open circuit."""


def wait_in_words(seconds: float) -> str:
    """`42 s`, `3 min`, `2 h`: rounded up, for nobody should come back too early."""
    if seconds < 90:
        return f"{max(1, -int(-seconds // 1))} s"
    if seconds < 3500:
        return f"{-int(-seconds // 60)} min"
    return f"{-int(-(seconds - 180) // 3600)} h"


def state_in_words(error: ProviderError) -> str:
    """One provider's trouble: `OpenAI is rate-limited, next try in 42 s`.

    Args:
        error: What it failed with, or the refusal of its open circuit.
    """
    reason = type(error).__name__
    if isinstance(error, CircuitOpenError):
        reason = reason_of(error.code)
    default = "is held back by the circuit breaker"
    words = STATES.get(reason, default).format(model=error.model)
    if isinstance(error, ProviderUnreachableError) and error.code == "cut":
        words = "cut the connection"
    if isinstance(error, UnexpectedProviderError) and error.code == "setup":
        words = "isn't set up"
    if isinstance(error, UnexpectedProviderError) and error.code == "tools":
        words = f"can't call tools with {error.model}"
    who = label_of(error.provider)
    if isinstance(error, OwnShortageError):
        return f"{who} couldn't be asked: {LACKING[error.code or 'time']}"
    if error.retry_after_s is not None:
        return f"{who} {words}, next try in {wait_in_words(error.retry_after_s)}"
    if isinstance(error, CircuitOpenError) and reason != "isolated":
        return f"{who} {words}, being tested again now"
    return f"{who} {words}"


def reason_of(code: str | None) -> str:
    """What opened a circuit; of `failure_rate (RateLimitedError)` the class in brackets."""
    code = code or ""
    return code.partition("(")[2].rstrip(")") or code


def degraded(
    failures: Sequence[ProviderError], *, provider: str, model: str
) -> DegradedState | None:
    """The `degraded` field of a reply's provenance.

    Args:
        failures: What failed before this model answered; empty means nothing is degraded.
        provider: Who answered.
        model: With which model.

    Returns:
        `{"reason", "message", "retry_after_s"}`: reason is the class of the first failure (for an
        open circuit, of what opened it), the wait is until the first choice is tried again.
    """
    if not failures:
        return None
    first = failures[0]
    reason = type(first).__name__
    if isinstance(first, CircuitOpenError):
        reason = reason_of(first.code) or reason
    told = "; ".join(state_in_words(failure) for failure in failures)
    return {
        "reason": reason,
        "message": f"{told}; answered by {_answerer(provider, model)}.{_meant(failures)}",
        "retry_after_s": None if first.retry_after_s is None else round(first.retry_after_s, 1),
    }


def _meant(failures: Sequence[ProviderError]) -> str:
    """The model that a misspelt name may stand for: another one that answers mustn't hide that."""
    hints = (f.hint or "" for f in failures if isinstance(f, UnknownModelError))
    return next((f" {hint}" for hint in hints if hint.startswith("Did you mean")), "")


def _answerer(provider: str, model: str) -> str:
    label = label_of(provider)
    if label.startswith("The "):
        return f"{label[:1].lower()}{label[1:]} {model}"
    return f"{model} on {label}"


def cut_short(error: ProviderError) -> DegradedState:
    """The `degraded` field of a partial answer that was kept because its stream broke."""
    return {
        "reason": type(error).__name__,
        "message": f"{state_in_words(error)}; the answer above is incomplete.",
        "retry_after_s": error.retry_after_s,
    }


def nobody(failures: Sequence[BaseException]) -> str:
    """The sentence for "no model can answer now"."""
    told = "; ".join(
        state_in_words(failure) if isinstance(failure, ProviderError) else str(failure)
        for failure in failures
    )
    return f"No model can answer now: {told}."


def refusal(function: str, failures: Sequence[BaseException]) -> str:
    """The sentence for a function that has no local substitute and is refused in an outage.

    Args:
        function: What was asked for, as a noun: `Judging answers`.
        failures: Why.
    """
    told = "; ".join(
        state_in_words(failure) if isinstance(failure, ProviderError) else str(failure)
        for failure in failures
    )
    return f"{function} isn't available now and has no local substitute: {told}."
