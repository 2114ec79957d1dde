"""The state every agent's graph has: messages and plain values, nothing else."""

from typing import Annotated, Any, NotRequired

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from langgraph.managed import RemainingSteps
from typing_extensions import TypedDict


def latest(old: Any, new: Any) -> Any:
    """The value of the last step; of parallel ones the last that ended."""
    return new


def calibrated(
    old: dict[str, list[float]] | None, new: dict[str, list[float]] | None
) -> dict[str, list[float]]:
    """Joins what parallel steps learnt: by provider, the ratio that rests on more reports."""
    joined = dict(old or {})
    for provider, known in (new or {}).items():
        if provider not in joined or known[1] >= joined[provider][1]:
            joined[provider] = known
    return joined


class AgentInput(TypedDict):
    """What a run starts with."""

    messages: Annotated[list[AnyMessage], add_messages]


class AgentState(AgentInput):
    """What a run works on.

    Attributes:
        messages: The conversation as it stands in the window.
        provenance: Where the last answer came from (docs/contracts.md).
        degraded: Why the answer isn't from the first choice, or None.
        succession: In place of which ended model the answer was given, or None.
        audit: What the last prompt was packed from (docs/contracts.md, Memory).
        calibration: By provider, how its counts compare to ours: `[ratio, samples]`.
        remaining_steps: LangGraph's count of steps left in this run.
    """

    provenance: NotRequired[dict[str, Any] | None]
    degraded: NotRequired[dict[str, Any] | None]
    succession: NotRequired[dict[str, Any] | None]
    audit: NotRequired[Annotated[dict[str, Any] | None, latest]]
    calibration: NotRequired[Annotated[dict[str, list[float]], calibrated]]
    remaining_steps: RemainingSteps


class AgentOutput(TypedDict):
    """What a run ends with."""

    messages: Annotated[list[AnyMessage], add_messages]
    provenance: NotRequired[dict[str, Any] | None]
    degraded: NotRequired[dict[str, Any] | None]
    succession: NotRequired[dict[str, Any] | None]
    audit: NotRequired[dict[str, Any] | None]
