"""What a variant answered to an item, and the shape of what can be put to the test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Variant

OF_ANSWERS = frozenset(
    {"latency_ms", "cost_usd", "input_tokens", "output_tokens", "total_tokens", "cache_share"}
)
"""Metrics of answers only: where nothing was answered there is no price and no time of one."""


@dataclass(frozen=True)
class Outcome:
    """One answer with what it took.

    Args:
        answer: The text; empty where there is none.
        usage: Tokens: `input_tokens`, `output_tokens`, `cached_input_tokens`, `reasoning_tokens`.
        cost_usd: USD; None where no price is known.
        latency_ms: Milliseconds for the whole answer.
        provenance: Provider, model, cached and so on, as in `docs/contracts.md`.
        error: Class and sentence of what went wrong, where something did.
    """

    answer: str
    usage: Mapping[str, int] = field(default_factory=dict)
    cost_usd: Decimal | None = Decimal(0)
    latency_ms: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    def built_in(self) -> dict[str, float]:
        """The metrics that every outcome carries; an unknown cost is left out.

        A failed answer carries its failure alone: else it would be the cheapest and quickest of
        all. What it cost all the same stays in `cost_usd`, for the caps.
        """
        if self.error is not None:
            return {"error_rate": 1.0}
        incoming = self.usage.get("input_tokens", 0)
        outgoing = self.usage.get("output_tokens", 0)
        read = self.usage.get("cached_input_tokens", 0)
        from_prompt_cache = read / incoming if incoming else 0.0
        metrics = {
            "error_rate": 0.0,
            "latency_ms": self.latency_ms,
            "input_tokens": float(incoming),
            "output_tokens": float(outgoing),
            "total_tokens": float(incoming + outgoing),
            "cache_share": 1.0 if self.provenance.get("cached") else from_prompt_cache,
        }
        if self.cost_usd is not None:
            metrics["cost_usd"] = float(self.cost_usd)
        return metrics


class Subject(Protocol):
    """Whatever answers: an agent, a bare chain, or a function of a test."""

    async def __call__(self, item: Item, variant: Variant, *, repeat: int) -> Outcome:
        """Answers an item the way a variant says.

        Args:
            item: The question.
            variant: Profile, prompt and parameters.
            repeat: Counts the answers to the same item, from 0; a cache must not mix them up.
        """
        ...
