"""Drawing a result: a PNG by matplotlib, and an offline HTML by plotly where it is installed."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, cast

Kind = Literal["bar", "line", "scatter"]
MAX_POINTS = 500
MAX_BARS = 40


@dataclass(frozen=True)
class ChartSpec:
    """What to draw.

    Args:
        kind: bar, line or scatter.
        x: Column along the axis.
        y: Column of numbers.
        title: Above the drawing.
    """

    kind: Kind
    x: str
    y: str
    title: str = ""


def choose(answer: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> ChartSpec | None:
    """A chart that can be drawn, from what a model proposed or from the result itself.

    Args:
        answer: The model's JSON object; anything else is ignored.
        columns: Columns of the result.
        rows: Its rows.

    Returns:
        None if there is nothing to draw: under two rows, no numbers, or the model said `none`.
    """
    if len(rows) < 2 or len(columns) < 2:
        return None
    given = answer if isinstance(answer, dict) else {}
    if given.get("kind") == "none":
        return None
    numeric = [
        name
        for position, name in enumerate(columns)
        if all(row[position] is None or _number(row[position]) is not None for row in rows)
        and any(row[position] is not None for row in rows)
    ]
    y = given.get("y") if given.get("y") in numeric else next(iter(reversed(numeric)), None)
    x = given.get("x") if given.get("x") in columns and given.get("x") != y else None
    x = x or next((name for name in columns if name != y), None)
    if x is None or y is None:
        return None
    kind = given.get("kind")
    if kind not in ("bar", "line", "scatter") or (kind == "scatter" and x not in numeric):
        kind = "bar" if len(rows) <= MAX_BARS else "line"
    title = str(given.get("title") or f"{y} by {x}")[:120]
    return ChartSpec(cast("Kind", kind), str(x), str(y), " ".join(title.split()))


def draw(
    spec: ChartSpec,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    folder: Path,
    name: str,
) -> list[Path]:
    """Draws a chart and saves it.

    Args:
        spec: What to draw.
        columns: Columns of the result.
        rows: Its rows; at most 500 are drawn.
        folder: Where to save.
        name: File name without suffix.

    Returns:
        The files: a PNG, and an HTML if plotly is there (its script lies beside it, once).
    """
    at_x, at_y = columns.index(spec.x), columns.index(spec.y)
    pairs = [(row[at_x], _number(row[at_y])) for row in rows[:MAX_POINTS]]
    points = [(x, y) for x, y in pairs if y is not None]
    if spec.kind == "bar":
        points = points[:MAX_BARS]
    folder.mkdir(parents=True, exist_ok=True)
    files = [_png(spec, points, folder / f"{name}.png")]
    with contextlib.suppress(ImportError):
        files.append(_html(spec, points, folder / f"{name}.html"))
    return files


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(Decimal(str(value)))
    except (InvalidOperation, ValueError):
        return None
    return number if abs(number) < 1e300 else None


def _plain(text: Any) -> str:
    """Without `$`, which would start matplotlib's formulas."""
    return str(text).replace("$", r"\$")


def _png(spec: ChartSpec, points: Sequence[tuple[Any, float]], path: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    ys = [y for _, y in points]
    if spec.kind == "scatter":
        axes.scatter([_number(x) or 0.0 for x, _ in points], ys, s=18)
    else:
        places = list(range(len(points)))
        if spec.kind == "bar":
            axes.bar(places, ys)
        else:
            axes.plot(places, ys, marker="o" if len(points) <= 40 else None)
        step = max(1, len(points) // 20)
        labels = [_plain(x)[:24] for x, _ in points]
        turned = max(map(len, labels), default=0) > 6
        axes.set_xticks(places[::step], labels[::step], rotation=45 if turned else 0)
    axes.set_title(_plain(spec.title))
    axes.set_xlabel(_plain(spec.x))
    axes.set_ylabel(_plain(spec.y))
    figure.savefig(path, dpi=120)
    return path


def _html(spec: ChartSpec, points: Sequence[tuple[Any, float]], path: Path) -> Path:
    import html

    import plotly.graph_objects as go

    xs = [html.escape(str(x)) if isinstance(x, str) else x for x, _ in points]
    ys = [y for _, y in points]
    trace = (
        go.Bar(x=xs, y=ys)
        if spec.kind == "bar"
        else go.Scatter(x=xs, y=ys, mode="markers" if spec.kind == "scatter" else "lines+markers")
    )
    figure = go.Figure(trace)
    figure.update_layout(
        title=html.escape(spec.title),
        xaxis_title=html.escape(spec.x),
        yaxis_title=html.escape(spec.y),
    )
    figure.write_html(path, include_plotlyjs="directory")
    return path
