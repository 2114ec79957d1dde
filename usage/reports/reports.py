"""Reports: what a day, week or month cost, what was saved, and how it compares."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

from allotrope.exceptions import InputError
from allotrope.usage.budgets.periods import Span, span
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.queries.sums import ScopeSum, Totals, Window
from allotrope.usage.queries.totals import added

PERIODS = {"daily": "day", "weekly": "week", "monthly": "month"}


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of a table: a name and its sums."""

    name: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report says. Money in USD, latencies in ms.

    Attributes:
        kind: `daily`, `weekly` or `monthly`.
        period: The period on the calendar (UTC).
        until: What the sums go up to, where the period isn't over yet.
        now: Sums of the period.
        before: Sums of the same stretch of the period before.
        recommendations: What to change, the largest saving first.
        successions: The model asked for, its successor that answered, and calls.
        notices: What else people must know, in sentences: such as a model that ends soon.
    """

    kind: str
    period: Span
    until: datetime
    now: Totals
    before: Totals
    agents: Sequence[ReportLine]
    models: Sequence[ReportLine]
    tenants: Sequence[ReportLine]
    days: Sequence[ReportLine]
    threads: Sequence[ScopeSum]
    latency: dict[float, float]
    recommendations: Sequence[Any] = ()
    successions: Sequence[tuple[str, str, int]] = ()
    notices: Sequence[str] = ()

    @property
    def running(self) -> bool:
        """Whether the period isn't over yet."""
        return self.until < self.period.end

    def change(self) -> float | None:
        """Cost against the period before, as a ratio minus one; None where that cost nothing."""
        if not self.before.cost:
            return None
        return float(self.now.cost / self.before.cost) - 1.0

    def to_json(self) -> dict[str, Any]:
        """The report as plain types; money as texts, so that it stays exact."""
        return {
            "kind": self.kind,
            "period": self.period.key,
            "start": self.period.start.isoformat(),
            "end": self.period.end.isoformat(),
            "until": self.until.isoformat(),
            "totals": totals_json(self.now),
            "before": totals_json(self.before),
            "cost_change": self.change(),
            "latency_ms": {f"p{point * 100:g}": value for point, value in self.latency.items()},
            "agents": [{"name": p.name, **totals_json(p.totals)} for p in self.agents],
            "models": [{"name": p.name, **totals_json(p.totals)} for p in self.models],
            "tenants": [{"name": p.name, **totals_json(p.totals)} for p in self.tenants],
            "days": [{"name": p.name, **totals_json(p.totals)} for p in self.days],
            "top_threads": [
                {"thread": t.name, "calls": t.calls, "tokens": t.tokens, "cost_usd": str(t.cost)}
                for t in self.threads
            ],
            "recommendations": [one.to_json() for one in self.recommendations],
            "successions": [
                {"from": wanted, "to": answered, "calls": calls}
                for wanted, answered, calls in self.successions
            ],
            "notices": list(self.notices),
        }


def totals_json(totals: Totals) -> dict[str, Any]:
    """Sums as plain types."""
    return {
        "calls": totals.calls,
        "answered": totals.answered,
        "errors": totals.errors,
        "aborted": totals.aborted,
        "refused": totals.refused,
        "degraded": totals.degraded,
        "retries": totals.retries,
        "failovers": totals.failovers,
        "estimated": totals.estimated,
        "unpriced": totals.unpriced,
        "cache_hits": {"exact": totals.exact_hits, "semantic": totals.semantic_hits},
        "cache_hit_rate": round(totals.hit_rate, 4),
        "tokens": {
            "input": totals.input_tokens,
            "cached_input": totals.cached_tokens,
            "output": totals.output_tokens,
            "reasoning": totals.reasoning_tokens,
            "saved_input": totals.saved_input_tokens,
            "saved_output": totals.saved_output_tokens,
            "left_out_by_memory": max(0, totals.context_full_tokens - totals.context_tokens),
        },
        "cost_usd": str(totals.cost),
        "saved_usd": {
            "exact_cache": str(totals.exact_saved_cost),
            "semantic_cache": str(totals.semantic_saved_cost),
            "provider_prompt_cache": str(totals.prompt_cache_saving),
            "memory": str(totals.context_saving),
            "all": str(totals.saved),
        },
    }


def build(
    ledger: Ledger,
    kind: str,
    *,
    on: datetime | None = None,
    now: datetime | None = None,
    recommendations: Sequence[Any] = (),
    notices: Sequence[str] = (),
) -> Report:
    """The report of the period that a moment lies in.

    Args:
        ledger: What is read: roll-ups and indexes, so it stays fast.
        kind: `daily`, `weekly` or `monthly`.
        on: A moment in the period; default: now.
        now: The moment, aware; a running period is compared with the same stretch before.
        recommendations: To be shown in it.
        notices: Sentences to be shown first.

    Raises:
        InputError: No such kind.
    """
    if kind not in PERIODS:
        raise InputError(f"{kind!r} is no report.", hint="Use daily, weekly or monthly.")
    now = now or datetime.now(UTC)
    period = span(PERIODS[kind], on or now)
    until = min(max(now, period.start + timedelta(hours=1)), period.end)
    window = Window(period.start, period.end)
    earlier = span(PERIODS[kind], period.start - timedelta(seconds=1))
    stretch = min(until - period.start, earlier.end - earlier.start)
    whole = until == period.end
    before = Window(earlier.start, earlier.end if whole else earlier.start + stretch)
    bucket = "hour" if kind == "daily" else "day"
    form = "%H:00" if kind == "daily" else "%a %d %b"
    parts = queries.breakdowns(ledger, window, ("agent", "model", "tenant"))
    return Report(
        kind=kind,
        period=period,
        until=until,
        now=reduce(added, (sums for _, sums in parts["agent"]), Totals()),
        before=queries.totals(ledger, before),
        agents=_parts(parts["agent"]),
        models=_parts(parts["model"]),
        tenants=_parts(parts["tenant"]),
        days=[
            ReportLine(point.at.strftime(form), point.totals)
            for point in queries.series(ledger, window, bucket=bucket)
        ],
        threads=[t for t in queries.top(ledger, "thread", window, limit=5) if t.name],
        latency=queries.percentiles(ledger, window),
        recommendations=tuple(recommendations),
        successions=queries.successions(ledger, window),
        notices=tuple(notices),
    )


def _parts(found: Sequence[tuple[str, Totals]], most: int = 12) -> list[ReportLine]:
    return [ReportLine(name or "–", sums) for name, sums in found[:most]]


def money(usd: Decimal) -> str:
    """USD for people: cents, or four digits where there is less than a dollar."""
    return f"${usd:,.2f}" if abs(usd) >= 1 or not usd else f"${usd:.4f}"
