"""When every model failed or is held back: which one is tried all the same, and for whom not."""

from collections.abc import Iterable
from typing import Any

from allotrope.exceptions import (
    AuthenticationFailedError,
    CircuitOpenError,
    PermissionRefusedError,
    ProviderError,
    QuotaExhaustedError,
    RateLimitedError,
    UnknownModelError,
)
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.failures.degraded import reason_of
from allotrope.support.compat.langchain import branches_of
from allotrope.support.providers import is_local

POINTLESS = frozenset(
    kind.__name__
    for kind in (
        AuthenticationFailedError,
        PermissionRefusedError,
        QuotaExhaustedError,
        RateLimitedError,
        UnknownModelError,
    )
)
"""What a hosted provider won't think better of before the break is over."""


def last_resort(runnables: Iterable[Any], trail: list[ProviderError]) -> list[Any]:
    """The models to try although their circuits are open; their refusals leave the trail.

    Local ones in their order, then the one hosted model whose probe is due first. Left out is who
    was really asked in this turn, whom an operator isolated, and who would refuse again for sure.

    Args:
        runnables: The chain.
        trail: Why each of them did not answer.
    """
    held = [error for error in trail if isinstance(error, CircuitOpenError)]
    local, hosted = [], []
    for runnable in runnables:
        model = model_in(runnable)
        refusal = next((error for error in held if model and _is_of(error, model)), None)
        if refusal is None or refusal.code == "isolated":
            continue
        if is_local(refusal.provider):
            local.append((runnable, refusal))
        elif reason_of(refusal.code) not in POINTLESS:
            hosted.append((runnable, refusal))
    hosted.sort(key=lambda pair: pair[1].retry_after_s or 0.0)
    chosen = [*local, *hosted[:1]]
    for _, refusal in chosen:
        trail.remove(refusal)
    return [runnable for runnable, _ in chosen]


def model_in(runnable: Any) -> GuardedChatModel | None:
    """The chat model in a link of the chain: bound to tools, or before a parser."""
    for _ in range(8):
        if isinstance(runnable, GuardedChatModel):
            return runnable
        runnable = (
            getattr(runnable, "bound", None)
            or getattr(runnable, "first", None)
            or next(iter(branches_of(runnable)), None)  # `include_raw=True` maps over one model
        )
    return None


def serves(runnable: Any) -> bool:
    """Whether a link of the chain answers now; of a line of successors only one does."""
    model = model_in(runnable)
    return model is None or model.serves()


def _is_of(error: ProviderError, model: GuardedChatModel) -> bool:
    return (error.provider, error.model) == (model.provider, model.name_of_model())
