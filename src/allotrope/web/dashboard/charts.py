"""The dashboard's charts, from the ledger."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import browse
from allotrope.usage.queries.latencies import KNOWN, percentile_series
from allotrope.usage.queries.sums import Point, Window
from allotrope.usage.queries.totals import Totals, added
from allotrope.web.dashboard.figures import Chart, across, buckets, over_time, said, side_by_side
from allotrope.web.dashboard.filters import View


def draw(ledger: Ledger, view: View, points: Sequence[Point], *, now: datetime) -> list[Chart]:
    """All charts of a view, in their order.

    Args:
        ledger: Open.
        view: Period and filters.
        points: The series of the view, by its dimension.
        now: The moment, aware.
    """
    slots = buckets(view, now=now)
    sums: dict[datetime, Totals] = {}
    for point in points:
        sums[point.at] = added(sums.get(point.at, Totals()), point.totals)
    whole = Totals()
    for one in sums.values():
        whole = added(whole, one)
    per_slot = [sums.get(slot.start, Totals()) for slot in slots]
    names = _names(points)
    found = [
        over_time(view, points, slots, names=names, id="cost", title="Cost", unit="usd",
                  measure=lambda one: one.cost),
        over_time(view, points, slots, names=names, id="tokens", title="Tokens", unit="tokens",
                  measure=lambda one: one.tokens),
        _hit_rate(view, whole, per_slot, slots),
        _savings(view, whole),
        _latency(ledger, view, slots),
        _troubles(view, whole, per_slot, slots),
    ]  # fmt: skip
    fill = browse.context_fill(ledger, view.pick)
    return [*found, _fill(view, fill)] if fill else found


def _names(points: Sequence[Point]) -> list[str]:
    """The costliest first; of those that cost nothing, the one with most tokens."""
    sums: dict[str, tuple[Decimal, int]] = {}
    for point in points:
        cost, tokens = sums.get(point.name, (Decimal(0), 0))
        sums[point.name] = (cost + point.totals.cost, tokens + point.totals.tokens)
    return sorted(sums, key=lambda name: (-sums[name][0], -sums[name][1], name))


def latency_filters(view: View) -> dict[str, str]:
    """The filters that the latencies know."""
    return {name: value for name, value in view.where.items() if name in KNOWN}


def share(part: int, whole: int) -> float:
    """A part in percent."""
    return 100 * part / whole if whole else 0.0


def _hit_rate(
    view: View, whole: Totals, per_slot: Sequence[Totals], slots: Sequence[Window]
) -> Chart:
    def rates(hits: Callable[[Totals], int]) -> list[float | None]:
        return [share(hits(one), one.answered) if one.answered else None for one in per_slot]

    return side_by_side(
        view, slots, id="hit-rate", title="Cache hit rate", unit="percent", kind="bars",
        summary=f"{said(whole.hit_rate * 100, 'percent')} of {whole.answered:,} answers came "
        "from the cache.",
        parts=[
            ("exact", rates(lambda one: one.exact_hits), {"where": {"cached": "exact"}}),
            ("semantic", rates(lambda one: one.semantic_hits), {"where": {"cached": "semantic"}}),
        ],
    )  # fmt: skip


def _savings(view: View, whole: Totals) -> Chart:
    bars: list[tuple[str, Decimal, str]] = [
        ("Exact cache", whole.exact_saved_cost, view.rows({"cached": "exact"})),
        ("Semantic cache", whole.semantic_saved_cost, view.rows({"cached": "semantic"})),
        ("Provider's prompt cache", whole.prompt_cache_saving, view.rows(only="prompt-cache")),
        ("Memory", whole.context_saving, view.rows(only="context")),
    ]
    return across(
        id="savings", title="Saved, by what saved it", unit="usd", color=2,
        summary=f"{said(whole.saved, 'usd')} in all, against {said(whole.cost, 'usd')} spent.",
        head=("By", "USD"),
        bars=[(name, float(value), link) for name, value, link in bars],
    )  # fmt: skip


def _latency(ledger: Ledger, view: View, slots: Sequence[Window]) -> Chart:
    where = latency_filters(view)

    def found(kind: str, points: Sequence[float]) -> Mapping[datetime, Mapping[float, float]]:
        return dict(
            percentile_series(
                ledger, view.window, bucket=view.bucket, kind=kind, points=points, where=where
            )
        )

    series = {"total": found("total", (0.5, 0.95, 0.99)), "ttft": found("ttft", (0.5, 0.95))}
    wanted: list[tuple[str, str, float, dict[str, Any]]] = [
        ("median", "total", 0.5, {"only": "answered-by-model"}),
        ("95 %", "total", 0.95, {"only": "answered-by-model"}),
        ("99 %", "total", 0.99, {"only": "answered-by-model"}),
        ("first token, median", "ttft", 0.5, {"only": "first-token"}),
        ("first token, 95 %", "ttft", 0.95, {"only": "first-token"}),
    ]
    summary = "Of answers that no cache of ours gave, to ±5 %."
    if set(view.where) - set(KNOWN):
        summary += " Of all tenants: latencies aren't kept per tenant."
    return side_by_side(
        view, slots, id="latency", title="Latency and time to first token", unit="ms",
        kind="lines", summary=summary,
        parts=[
            (name, [series[kind].get(slot.start, {}).get(point) for slot in slots], behind)
            for name, kind, point, behind in wanted
        ],
    )  # fmt: skip


def _troubles(
    view: View, whole: Totals, per_slot: Sequence[Totals], slots: Sequence[Window]
) -> Chart:
    def status(name: str) -> dict[str, Any]:
        return {"where": {"status": name}}

    return side_by_side(
        view, slots, id="troubles", title="Failovers and failed calls", unit="calls", kind="bars",
        summary=f"{whole.failovers:,} failovers, {whole.errors:,} errors, {whole.aborted:,} "
        f"aborted streams, {whole.refused:,} refused.",
        parts=[
            ("failovers", [one.failovers for one in per_slot], {"only": "failovers"}),
            ("errors", [one.errors for one in per_slot], status("error")),
            ("aborted streams", [one.aborted for one in per_slot], status("aborted")),
            ("refused by a budget", [one.refused for one in per_slot], status("refused")),
        ],
    )  # fmt: skip


def _fill(view: View, fill: Sequence[int]) -> Chart:
    names = [f"{10 * n}–{10 * n + 10} %" for n in range(len(fill) - 1)]
    bars = zip([*names, "over 90 %"], fill, strict=True)
    return across(
        id="fill", title="Context fill", unit="calls", color=4,
        summary=f"How full the context window was, in {sum(fill):,} of the latest calls; "
        f"{fill[-1]:,} over 90 %.",
        head=("Of the window", "Calls"),
        bars=[(name, calls, view.rows(fill=tenth)) for tenth, (name, calls) in enumerate(bars)],
    )  # fmt: skip
