"""The dashboard's charts as plain facts: what the script draws, and the same as a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from allotrope.usage.queries.sums import Point, Totals, Window
from allotrope.usage.reports.reports import money
from allotrope.web.dashboard.filters import View

MOST_SERIES = 7
OTHERS = "others"
NO_NAME = "no name"

Cell = tuple[str, str | None]
"""A text, and the address of the calls behind it."""

Part = tuple[str, Sequence[float | None], Mapping[str, Any]]
"""A series' name, values, and what picks the calls behind them."""


@dataclass(frozen=True)
class ChartLine:
    """One series of a chart.

    Attributes:
        name: For the legend.
        values: One per place on the axis; None leaves a gap.
        links: The calls behind each value.
        color: Number of the colour in the palette.
    """

    name: str
    values: Sequence[float | None]
    links: Sequence[str | None]
    color: int = 0


@dataclass(frozen=True)
class Chart:
    """A chart and its table.

    Attributes:
        id: In the page.
        title: Its heading.
        summary: What it says, in a sentence; read out instead of the picture.
        kind: `bars` (stacked), `lines` or `across` (one bar per line of text).
        unit: `usd`, `tokens`, `calls`, `ms` or `percent`.
        axis: Moments (ISO) or names.
        lines: The series.
        head: The table's column names.
        rows: The table.
    """

    id: str
    title: str
    summary: str
    kind: str
    unit: str
    axis: Sequence[str]
    lines: Sequence[ChartLine]
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]] = field(default_factory=tuple)

    @property
    def spec(self) -> dict[str, Any]:
        """What the script gets."""
        return {
            "kind": self.kind,
            "unit": self.unit,
            "axis": list(self.axis),
            "lines": [
                {
                    "name": line.name,
                    "values": list(line.values),
                    "links": list(line.links),
                    "color": line.color,
                }
                for line in self.lines
            ],
        }


def said(value: float | Decimal | None, unit: str) -> str:
    """A number for people."""
    if value is None:
        return "–"
    if unit == "usd":
        return money(Decimal(value))
    if unit == "percent":
        return f"{float(value):.1f} %"
    if unit == "ms":
        return f"{float(value) / 1000:.2f} s" if value >= 1000 else f"{float(value):.0f} ms"
    return f"{int(value):,}"


def short(number: int) -> str:
    """A count in few characters: 1,234 or 12.3 M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if number >= size:
            return f"{number / (1000 if letter == 'k' else size):.1f} {letter}"
    return f"{number:,}"


def buckets(view: View, *, now: datetime) -> list[Window]:
    """The hours or days of a view, without those that are yet to come."""
    width = timedelta(hours=1) if view.bucket == "hour" else timedelta(days=1)
    at = view.window.start.replace(minute=0, second=0, microsecond=0)
    if view.bucket == "day":
        at = at.replace(hour=0)
    found: list[Window] = []
    while at < view.window.end and (at <= now or not found):
        found.append(Window(at, at + width))
        at += width
    return found


def over_time(
    view: View,
    points: Sequence[Point],
    slots: Sequence[Window],
    *,
    names: Sequence[str],
    id: str,
    title: str,
    unit: str,
    measure: Callable[[Totals], Any],
) -> Chart:
    """A measure per bucket, stacked by the names of the view's dimension.

    Args:
        view: The page.
        points: The series, by name.
        slots: The buckets.
        names: In the order of the stack, so that a name has one colour in all charts.
        id: Of the chart.
        title: Of the chart.
        unit: Of the measure.
        measure: What is drawn, of the sums of a bucket.
    """
    sums: dict[str, Any] = {}
    cells: dict[tuple[str, datetime], Any] = {}
    for point in points:
        value = measure(point.totals)
        sums[point.name] = sums.get(point.name, 0) + value
        cells[point.name, point.at] = value
    shown, rest = names[:MOST_SERIES], names[MOST_SERIES:]
    lines = []
    for number, name in enumerate(shown):
        if not sums.get(name):
            continue
        values = [cells.get((name, slot.start), 0) for slot in slots]
        links = [view.rows({view.by: name}, window=slot) for slot in slots]
        lines.append(ChartLine(name or NO_NAME, [float(v) for v in values], links, number))
    if rest:
        values = [sum(cells.get((name, slot.start), 0) for name in rest) for slot in slots]
        links = [view.rows(window=slot) for slot in slots]
        lines.append(ChartLine(OTHERS, [float(v) for v in values], links, MOST_SERIES))
    rows: list[list[Cell]] = []
    for number, slot in enumerate(slots):
        if any(line.values[number] for line in lines):
            cut = [(said(line.values[number], unit), line.links[number]) for line in lines]
            whole = sum(line.values[number] or 0 for line in lines)
            every = (said(whole, unit), view.rows(window=slot))
            rows.append([(when(slot, view), None), *cut, every])
    whole = sum(sums.values())
    summary = f"{said(whole, unit)}{'' if unit == 'usd' else f' {unit}'} in all"
    if len(sums) > 1 and whole:
        most = max(sums, key=lambda name: sums[name])
        summary += f"; most by {most or 'calls without a name'}: {said(sums[most], unit)}"
    return Chart(
        id=id,
        title=f"{title} by {view.by}",
        summary=f"{summary}.",
        kind="bars",
        unit=unit,
        axis=[stamp(slot) for slot in slots],
        lines=lines,
        head=[view.bucket.capitalize(), *(line.name for line in lines), "All"],
        rows=rows,
    )


def side_by_side(
    view: View,
    slots: Sequence[Window],
    *,
    id: str,
    title: str,
    unit: str,
    kind: str,
    summary: str,
    parts: Sequence[Part],
) -> Chart:
    """Several measures per bucket.

    Args:
        view: The page.
        slots: The buckets.
        id: Of the chart.
        title: Of the chart.
        unit: Of the measures.
        kind: `bars` or `lines`.
        summary: What it says.
        parts: Name, values, and what picks the calls behind them (`only`, `status` …).
    """
    lines = [
        ChartLine(name, values, [view.rows(window=slot, **behind) for slot in slots], number)
        for number, (name, values, behind) in enumerate(parts)
        if any(values)
    ]
    rows: list[list[Cell]] = [
        [(when(slot, view), None), *((said(one.values[n], unit), one.links[n]) for one in lines)]
        for n, slot in enumerate(slots)
        if any(line.values[n] for line in lines)
    ]
    return Chart(
        id=id, title=title, summary=summary, kind=kind, unit=unit,
        axis=[stamp(slot) for slot in slots], lines=lines,
        head=[view.bucket.capitalize(), *(line.name for line in lines)], rows=rows,
    )  # fmt: skip


def across(
    *, id: str, title: str, unit: str, summary: str, head: Sequence[str],
    bars: Sequence[tuple[str, float, str | None]], color: int = 0,
) -> Chart:  # fmt: skip
    """One bar per name.

    Args:
        id: Of the chart.
        title: Of the chart.
        unit: Of the values.
        summary: What it says.
        head: The table's two column names.
        bars: Name, value, the calls behind it.
        color: Number in the palette.
    """
    return Chart(
        id=id, title=title, summary=summary, kind="across", unit=unit,
        axis=[name for name, _, _ in bars],
        lines=[ChartLine(title, [v for _, v, _ in bars], [link for _, _, link in bars], color)],
        head=head,
        rows=[[(name, None), (said(value, unit), link)] for name, value, link in bars],
    )  # fmt: skip


def when(slot: Window, view: View) -> str:
    """A bucket for people (UTC)."""
    return f"{slot.start:%-d %b %H:00}" if view.bucket == "hour" else f"{slot.start:%a %-d %b}"


def stamp(slot: Window) -> str:
    """A bucket for the axis."""
    return slot.start.strftime("%Y-%m-%d %H:%M")
