"""What a rule gets and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, func, select

from allotrope.usage import schema
from allotrope.usage.ledger import Ledger
from allotrope.usage.prices import PriceBook
from allotrope.usage.queries import Window
from allotrope.usage.rows import microseconds, moment

ENOUGH_CALLS = 50
"""Fewer calls than this say nothing about an agent."""

MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Something to change.

    Attributes:
        rule: Name of the rule.
        title: What is the matter, a line.
        evidence: The numbers behind it, a sentence.
        saving_usd_month: Expected saving in USD per 30 days; 0 where it isn't about money.
        setting: The setting or file to change.
        change: What to do with it.
        numbers: The same for machines.
    """

    rule: str
    title: str
    evidence: str
    saving_usd_month: Decimal
    setting: str
    change: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "rule": self.rule,
            "title": self.title,
            "evidence": self.evidence,
            "saving_usd_month": str(self.saving_usd_month),
            "setting": self.setting,
            "change": self.change,
            "numbers": {
                k: str(v) if isinstance(v, Decimal) else v for k, v in self.numbers.items()
            },
        }


@dataclass(frozen=True, slots=True)
class RuleData:
    """What rules look at.

    Attributes:
        ledger: The ledger, open.
        window: The stretch that is looked at.
        prices: For what-if costs.
        cache_ttl_s: How long answers are cached, seconds.
        semantic_threshold: The score a semantic hit needs.
    """

    ledger: Ledger
    window: Window
    prices: PriceBook = field(default_factory=PriceBook)
    cache_ttl_s: float = 7 * 86_400.0
    semantic_threshold: float = 0.92

    @property
    def bounds(self) -> list[ColumnElement[bool]]:
        """Conditions on `calls` for the window."""
        at = schema.calls.c.at
        return [at >= microseconds(self.window.start), at < microseconds(self.window.end)]

    @property
    def paid(self) -> list[ColumnElement[bool]]:
        """Conditions on `calls` for answers in the window that were not cached."""
        calls = schema.calls
        return [*self.bounds, calls.c.status == "ok", calls.c.cached == ""]

    def monthly(self, usd: Decimal) -> Decimal:
        """USD in the window, extended to 30 days; the window counts from its first call on."""
        begin = self._first() or self.window.start
        seen = max(self.window.end - begin, timedelta(days=1))
        factor = Decimal(MONTH.total_seconds()) / Decimal(seen.total_seconds())
        return (usd * min(factor, Decimal(30))).quantize(Decimal("0.0001"))

    def _first(self) -> datetime | None:
        with self.ledger.engine.connect() as connection:
            at = connection.scalar(select(func.min(schema.calls.c.at)).where(*self.bounds))
        return None if at is None else moment(at)

    def select(self, query: Any) -> list[Any]:
        """The rows of a query."""
        with self.ledger.engine.connect() as connection:
            return list(connection.execute(query).all())

    def hits(self, agent: str) -> int:
        """Answers of an agent that came from the cache."""
        calls = schema.calls
        query = select(func.count()).where(*self.bounds, calls.c.cached != "")
        with self.ledger.engine.connect() as connection:
            return int(connection.scalar(query.where(calls.c.agent == agent)) or 0)


def called(agent: str) -> str:
    """An agent's name for people."""
    return f"agent {agent!r}" if agent else "calls without an agent's name"
