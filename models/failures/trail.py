"""What failed in one run of a chain, and what listeners are told when another model takes over."""

from collections.abc import Callable
from typing import Literal

from langchain_core.runnables.config import ensure_config

from allotrope.contracts import Configurable, Event
from allotrope.exceptions import ProviderError
from allotrope.models.events import emit
from allotrope.models.failures.degraded import degraded
from allotrope.support.counters import count


class Trail(list[ProviderError]):
    """The failures of a run, in order.

    Attributes:
        void: Why a stream broke whose text was seen, until the next answer begins.
        deadline: `time.monotonic()` after which no retry begins, of whichever model; set by the
            first one that is asked.
        earlier: Whether the model that is asked first would get leave now (`Circuits.lets_pass`).
        returns: How often the run went back to that one.
    """

    void: ProviderError | None = None
    deadline: float | None = None
    earlier: Callable[[], Literal["closed", "due"] | None] | None = None
    returns: int = 0


def trail_of_run() -> Trail:
    """The trail of the chain's run that is under way; outside of one a trail of its own."""
    found = ensure_config().get("configurable", {}).get(Configurable.TRAIL)
    return found if isinstance(found, Trail) else Trail()


def takes_over(trail: Trail, *, provider: str, model: str) -> None:
    """Tells that this model's answer begins: what was said before is void, service is degraded.

    Args:
        trail: What failed before; nothing is told where nothing did.
        provider: Who answers.
        model: With which model.
    """
    if not trail:
        return
    count("allotrope_failovers_total", provider=provider, model=model)
    void, trail.void = trail.void, None
    if void is not None:
        emit(
            {
                "type": Event.RESTART,
                "provider": void.provider,
                "model": void.model,
                "reason": type(void).__name__,
            }
        )
    emit({"type": Event.DEGRADED, **(degraded(trail, provider=provider, model=model) or {})})
