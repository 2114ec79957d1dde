"""What the dashboard's first page shows, gathered from the ledger in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from allotrope.settings import Settings
from allotrope.usage.ledger.ledger import Ledger, open_ledger
from allotrope.usage.queries import browse
from allotrope.usage.queries import sums as queries
from allotrope.usage.queries.sums import ScopeSum, Totals, Window
from allotrope.web.dashboard.charts import draw, latency_filters, share
from allotrope.web.dashboard.data import BudgetLine, budget_states
from allotrope.web.dashboard.figures import Chart, said, short
from allotrope.web.dashboard.filters import FILTERS, View


@dataclass(frozen=True)
class Tile:
    """A number with its words.

    Attributes:
        id: For scripts and tests.
        name: What it is.
        value: The number.
        note: More about it.
        link: The calls behind it.
    """

    id: str
    name: str
    value: str
    note: str
    link: str


@dataclass(frozen=True)
class Overview:
    """The page's facts; `charts` in their order."""

    view: View
    empty: bool
    ever: bool
    tiles: Sequence[Tile]
    budgets: Sequence[BudgetLine]
    charts: Sequence[Chart]
    parts: Mapping[str, Sequence[tuple[str, Totals, str]]]
    threads: Sequence[tuple[ScopeSum, str]]
    threads_note: str
    alerts: Sequence[Mapping[str, Any]]
    choices: Mapping[str, Sequence[str]]

    @property
    def specs(self) -> dict[str, Any]:
        """What the script draws, by chart."""
        return {chart.id: chart.spec for chart in self.charts}


def gather(settings: Settings, view: View, *, now: datetime) -> Overview:
    """Reads everything; blocking.

    Args:
        settings: Where the ledger is.
        view: Period and filters.
        now: The moment, aware.

    Raises:
        StoreError: The ledger can't be opened.
    """
    with open_ledger(settings) as ledger:
        whole = queries.totals(ledger, view.window, view.where)
        ever = bool(whole.calls) or ledger.last_at() is not None
        points = queries.series(
            ledger, view.window, bucket=view.bucket, by=view.by, where=view.where
        )
        threads, note = _threads(ledger, view)
        return Overview(
            view=view,
            empty=not whole.calls,
            ever=ever,
            tiles=_tiles(ledger, view, whole, now) if ever else (),
            budgets=budget_states(settings, now=now),
            charts=draw(ledger, view, points, now=now) if whole.calls else (),
            parts={
                name: [
                    (part, sums, view.rows({name: part}))
                    for part, sums in queries.breakdown(ledger, view.window, name, view.where)[:12]
                ]
                for name in FILTERS
            },
            threads=[(one, view.rows({"thread": one.name})) for one in threads],
            threads_note=note,
            alerts=queries.alerts(ledger, limit=5),
            choices={name: _choices(ledger, view, name) for name in FILTERS},
        )


def _choices(ledger: Ledger, view: View, name: str) -> list[str]:
    found = queries.choices(ledger, view.window, name)
    chosen = view.where.get(name)
    return found if not chosen or chosen in found else sorted([*found, chosen])


def _tiles(ledger: Ledger, view: View, whole: Totals, now: datetime) -> list[Tile]:
    today = queries.last_days(1, now)
    spent = queries.totals(ledger, today, view.where)
    length = view.window.end - view.window.start
    gone = min(now, view.window.end) - view.window.start
    start = view.window.start - length
    before = queries.totals(
        ledger, Window(start, start + max(gone, timedelta(hours=1))), view.where
    )
    where = latency_filters(view)
    total = queries.percentiles(ledger, view.window, where=where)
    first = queries.percentiles(ledger, view.window, kind="ttft", where=where)
    inner = [
        Tile("today", "Spent today", said(spent.cost, "usd"),
             f"{spent.calls:,} calls (UTC)", replace(view, period="today").rows()),
        Tile("cost", "Spent", said(whole.cost, "usd"), _trend(whole.cost, before.cost),
             view.rows()),
        Tile("calls", "Calls", f"{whole.calls:,}", f"{whole.answered:,} answered", view.rows()),
        Tile("input", "Tokens in", short(whole.input_tokens),
             f"{said(share(whole.cached_tokens, whole.input_tokens), 'percent')} read from the "
             "provider's prompt cache", view.rows(only="answered-by-model")),
        Tile("output", "Tokens out", short(whole.output_tokens),
             f"{short(whole.reasoning_tokens)} of them reasoning",
             view.rows(only="answered-by-model")),
        Tile("hits", "Cache hit rate", said(whole.hit_rate * 100, "percent"),
             f"{whole.exact_hits:,} exact, {whole.semantic_hits:,} semantic",
             view.rows(only="hits")),
        Tile("saved", "Saved", said(whole.saved, "usd"),
             f"by our cache {said(whole.saved_cost, 'usd')}", view.rows(only="hits")),
        Tile("latency", "Latency, median", said(total.get(0.5), "ms"),
             f"95 % within {said(total.get(0.95), 'ms')}", view.rows(only="answered-by-model")),
        Tile("ttft", "First token, median", said(first.get(0.5), "ms"),
             f"95 % within {said(first.get(0.95), 'ms')}", view.rows(only="first-token")),
        Tile("failovers", "Failovers", f"{whole.failovers:,}",
             f"and {whole.retries:,} retries", view.rows(only="failovers")),
        Tile("errors", "Errors", f"{whole.errors:,}",
             f"{said(share(whole.errors, whole.calls), 'percent')} of the calls",
             view.rows({"status": "error"})),
    ]  # fmt: skip
    if whole.refused:
        inner.append(
            Tile(
                "refused",
                "Refused",
                f"{whole.refused:,}",
                "by a budget",
                view.rows({"status": "refused"}),
            )
        )
    if whole.unpriced:
        inner.append(
            Tile("unpriced", "Without a price", f"{whole.unpriced:,}",
                 "calls whose cost isn't known", view.rows(only="unpriced"))
        )  # fmt: skip
    return inner


def _threads(ledger: Ledger, view: View) -> tuple[list[ScopeSum], str]:
    if not view.where and view.bucket == "day":
        found = [one for one in queries.top(ledger, "thread", view.window, limit=11) if one.name]
        return found[:10], ""
    return browse.top_threads(ledger, view.pick), "Among the latest 50,000 calls of the period."


def _trend(now: Decimal, before: Decimal) -> str:
    if not before:
        return "nothing in the period before"
    change = float(now / before) - 1
    word = "more" if change >= 0 else "less"
    return f"{abs(change):.0%} {word} than in the period before".replace("%", " %")
