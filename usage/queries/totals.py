"""Sums over calls, and the columns of a roll-up that give them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Table, case, func


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over calls. Money in USD; `unpriced` calls have no known cost and count as 0 here.

    Attributes:
        calls: All calls, hits and failures included.
        hits: Answers from our cache.
        errors: Calls that failed without an answer.
        aborted: Streams that ended early.
        refused: Calls that a budget refused.
        degraded: Answers marked degraded.
        cached_tokens: Input that the provider read from its prompt cache.
        saved_cost: What our cache saved.
        prompt_cache_saving: What the provider's prompt cache saved.
        context_saving: What memory saved by not sending the whole history.
    """

    calls: int = 0
    hits: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    errors: int = 0
    aborted: int = 0
    refused: int = 0
    degraded: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    retries: int = 0
    failovers: int = 0
    estimated: int = 0
    unpriced: int = 0
    context_full_tokens: int = 0
    context_tokens: int = 0
    latency_ms: float = 0.0
    cost: Decimal = Decimal(0)
    saved_cost: Decimal = Decimal(0)
    exact_saved_cost: Decimal = Decimal(0)
    semantic_saved_cost: Decimal = Decimal(0)
    prompt_cache_saving: Decimal = Decimal(0)
    context_saving: Decimal = Decimal(0)

    @property
    def answered(self) -> int:
        """Calls that gave an answer."""
        return self.calls - self.errors - self.refused - self.aborted

    @property
    def hit_rate(self) -> float:
        """Share of the answers that came from our cache, 0 to 1."""
        return self.hits / self.answered if self.answered else 0.0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def saved(self) -> Decimal:
        """Everything saved, USD."""
        return self.saved_cost + self.prompt_cache_saving + self.context_saving


_NAMES = tuple(field.name for field in fields(Totals))


def added(one: Totals, other: Totals) -> Totals:
    """Both together."""
    return Totals(**{name: getattr(one, name) + getattr(other, name) for name in _NAMES})


def sums_of(table: Table) -> list[ColumnElement[Any]]:
    """Columns that sum up a roll-up, in the order of the fields of `Totals`."""
    c = table.c
    conditional = {
        "hits": (c.cached != "", c.calls),
        "exact_hits": (c.cached == "exact", c.calls),
        "semantic_hits": (c.cached == "semantic", c.calls),
        "errors": (c.status == "error", c.calls),
        "aborted": (c.status == "aborted", c.calls),
        "refused": (c.status == "refused", c.calls),
        "degraded": (c.degraded != "", c.calls),
        "exact_saved_cost": (c.cached == "exact", c.saved_cost),
        "semantic_saved_cost": (c.cached == "semantic", c.saved_cost),
    }
    sums: list[ColumnElement[Any]] = []
    for name in _NAMES:
        if name in conditional:
            condition, column = conditional[name]
            sums.append(func.sum(case((condition, column))).label(name))
        else:
            sums.append(func.sum(c[name]).label(name))
    return sums


_MONEY = frozenset(f.name for f in fields(Totals) if f.type is Decimal or "Decimal" in str(f.type))


def totals_from(row: Sequence[Any]) -> Totals:
    """The sums of a row of such columns."""
    values: dict[str, Any] = {}
    for name, value in zip(_NAMES, row, strict=True):
        if name in _MONEY:
            values[name] = value if value is not None else Decimal(0)
        elif name == "latency_ms":
            values[name] = float(value or 0.0)
        else:
            values[name] = int(value or 0)
    return Totals(**values)
