"""What a rule gets and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, func, select

from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.queries.sums import Window, scope_sum
from allotrope.usage.recorder.rows import microseconds, moment

ENOUGH_CALLS = 50
"""Fewer calls than this say nothing about an agent."""

MONTH = timedelta(days=30)
ENOUGH_DAYS = 3.0
"""No sum a month before a tenth of a month was seen, as for the budgets' forecast."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Something to change.

    Attributes:
        rule: Name of the rule.
        title: What is the matter, a line.
        evidence: The numbers behind it, a sentence.
        saving_usd_month: Expected saving in USD per 30 days; 0 where it isn't about money. Where
            it is `too_early`, what would have been saved of the calls seen.
        setting: The setting or file to change.
        change: What to do with it.
        numbers: The same for machines.
        seen_days: How long a stretch of calls it rests on, in days.
    """

    rule: str
    title: str
    evidence: str
    saving_usd_month: Decimal
    setting: str
    change: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    seen_days: float = field(default=MONTH.days, compare=False)

    @property
    def too_early(self) -> bool:
        """Whether too little time was seen to speak of a month."""
        return self.seen_days < ENOUGH_DAYS

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "rule": self.rule,
            "title": self.title,
            "evidence": self.evidence,
            "saving_usd_month": None if self.too_early else str(self.saving_usd_month),
            "saving_usd_seen": str(self.saving_usd_month) if self.too_early else None,
            "seen_days": self.seen_days,
            "setting": self.setting,
            "change": self.change,
            "numbers": {
                k: str(v) if isinstance(v, Decimal) else v for k, v in self.numbers.items()
            },
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Recommendation":
        """It back from `to_json`."""
        given = dict(values)
        seen = given.pop("saving_usd_seen", None)
        return cls(**given | {"saving_usd_month": Decimal(given["saving_usd_month"] or seen or 0)})


MOST_CALLS = 50_000
"""Rules read rows, not sums: of more calls than this they look at the latest."""


@dataclass(frozen=True)
class RuleData:
    """What rules look at.

    Attributes:
        ledger: The ledger, open.
        window: The stretch that is looked at.
        prices: For what-if costs.
        cache_ttl_s: How long answers are cached, seconds.
        ttl_by_agent: The same for agents that have a time of their own.
        semantic_threshold: The score a semantic hit needs; None where no shadow data tell.
        most_calls: Most calls that are read.
    """

    ledger: Ledger
    window: Window
    prices: PriceBook = field(default_factory=PriceBook)
    cache_ttl_s: float = 7 * 86_400.0
    ttl_by_agent: Mapping[str, float] = field(default_factory=dict)
    semantic_threshold: float | None = 0.92
    most_calls: int = MOST_CALLS

    @cached_property
    def sample(self) -> Window:
        """The end of the window with at most `most_calls` calls."""
        at = schema.calls.c.at
        whole = [at >= microseconds(self.window.start), at < microseconds(self.window.end)]
        query = select(at).where(*whole).order_by(at.desc()).offset(self.most_calls).limit(1)
        with self.ledger.engine.connect() as connection:
            beyond = connection.scalar(query)
        if beyond is None:
            return self.window
        return Window(moment(beyond + 1), self.window.end)

    @cached_property
    def sampled(self) -> bool:
        """Whether there were more calls than are read."""
        return self.sample != self.window

    @cached_property
    def calls(self) -> int:
        """Calls of the whole window, by the roll-up."""
        return scope_sum(self.ledger, "all", "", self.window).calls

    @cached_property
    def weight(self) -> Decimal:
        """Calls of the window for each one that is read."""
        if not self.sampled:
            return Decimal(1)
        return max(Decimal(1), Decimal(self.calls) / self.most_calls)

    @property
    def bounds(self) -> list[ColumnElement[bool]]:
        """Conditions on `calls` for what is read."""
        at = schema.calls.c.at
        return [at >= microseconds(self.sample.start), at < microseconds(self.sample.end)]

    @property
    def paid(self) -> list[ColumnElement[bool]]:
        """Conditions on `calls` for answers in the window that were not cached."""
        calls = schema.calls
        return [*self.bounds, calls.c.status == "ok", calls.c.cached == ""]

    def monthly(self, usd: Decimal) -> Decimal:
        """USD in what was read, for all calls of 30 days; as seen where that is too early."""
        days = self.seen_days
        factor = Decimal(MONTH.days) / Decimal(days) if days >= ENOUGH_DAYS else Decimal(1)
        return (usd * self.weight * factor).quantize(Decimal("0.0001"))

    @cached_property
    def seen_days(self) -> float:
        """Days from the first call of the window to its end, or to now where that comes first."""
        end = min(self.window.end, datetime.now(UTC))
        return max(0.0, (end - (self._first or end)) / timedelta(days=1))

    @cached_property
    def _first(self) -> datetime | None:
        at = schema.calls.c.at
        query = select(func.min(at)).where(
            at >= microseconds(self.window.start), at < microseconds(self.window.end)
        )
        with self.ledger.engine.connect() as connection:
            first = connection.scalar(query)
        return None if first is None else moment(first)

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
