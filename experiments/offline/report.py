"""Reports for people: Markdown anywhere, HTML with plots that need no network."""

import html
import math
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from allotrope.experiments.analysis import Analysis
from allotrope.experiments.decision import Comparison, Estimate
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.results import Run

_PLOT_WIDTH = 41
_MONEY = {"cost_usd"}


def cost_per_correct(experiment: Experiment, run: Run, variant: str) -> Decimal | None:
    """USD for each right answer (score ≥ 0.999); None where there is none or a price is unknown.

    Args:
        experiment: The definition.
        run: The results.
        variant: The variant.
    """
    results = [r for r in run.results.values() if r.variant == variant]
    costs = [result.outcome.cost_usd for result in results]
    name = experiment.primary.name
    right = sum(result.scores.get(name, 0) >= 0.999 for result in results)
    if not right or any(cost is None for cost in costs):
        return None
    return sum((cost for cost in costs if cost is not None), Decimal(0)) / right


def markdown(experiment: Experiment, analysis: Analysis, run: Run) -> str:
    """The report as Markdown.

    Args:
        experiment: The definition.
        analysis: What it shows.
        run: The results.
    """
    lines = [f"# Experiment {experiment.name}", ""]
    if experiment.description:
        lines += [experiment.description, ""]
    lines += [f"**{analysis.verdict}**", ""]
    lines += [f"- {fact}" for fact in _facts(experiment, analysis, run)]
    if analysis.warnings:
        lines += ["", "## Caveats", "", *(f"- {warning}" for warning in analysis.warnings)]
    lines += [
        "",
        "## Variants",
        "",
        "| variant | profile | prompt | parameters |",
        "|---|---|---|---|",
    ]
    for variant in experiment.variants:
        given = ", ".join(f"{k} = {v}" for k, v in variant.parameters.items()) or "–"
        role = " (control)" if variant.name == experiment.control_name else ""
        lines.append(
            f"| {variant.name}{role} | {variant.profile or 'default'} "
            f"| {variant.prompt or 'default'} | {given} |"
        )
    level = f"{(1 - experiment.stop.alpha) * 100:g} %"
    lines += ["", f"## Metrics ({level} intervals)", "", *_metric_table(experiment, analysis)]
    lines += ["", "## Differences to the control", "", *_difference_table(experiment, analysis)]
    primary = [c for c in analysis.comparisons if c.metric == experiment.primary.name]
    lines += ["", "```text", *forest(primary), "```", ""]
    lines += [
        "The fixed test promises its error rate for one look at a complete run; the always-valid "
        "columns promise it however often the run was looked at. p-values are Holm-corrected over "
        "the variants. Intervals are over items, not over repeats of an item.",
        "",
    ]
    return "\n".join(lines)


def as_document(experiment: Experiment, analysis: Analysis, run: Run) -> dict[str, Any]:
    """The report as plain JSON values; what isn't finite becomes None.

    Args:
        experiment: The definition.
        analysis: What it shows.
        run: The results.
    """
    document: dict[str, Any] = _plain(asdict(analysis))
    return {
        "experiment": experiment.name,
        "kind": experiment.kind,
        "answers": len(run.results),
        "cost_usd": f"{run.spent:.6f}",
        **document,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _facts(experiment: Experiment, analysis: Analysis, run: Run) -> list[str]:
    stop = experiment.stop
    facts = [
        f"{analysis.pairs} of {len(run.header.get('items', []))} items answered by all running "
        f"variants; {'complete' if analysis.complete else 'not complete'}",
        f"cost {_money(run.spent)}",
        f"alpha {stop.alpha:g}",
    ]
    models = {
        f"{r.outcome.provenance['provider']}/{r.outcome.provenance['model']}"
        for r in run.results.values()
        if r.outcome.provenance.get("model")
    }
    if models:
        facts.insert(0, f"answered by {', '.join(sorted(models))}")
    if run.header.get("at"):
        facts.append(f"begun {run.header['at']}")
    for variant in experiment.variants:
        each = cost_per_correct(experiment, run, variant.name)
        said = "no right answer, or a price is unknown" if each is None else _money(each)
        facts.append(f"cost per right answer, {variant.name}: {said}")
    for name, (share, kappa) in analysis.judge.items():
        extra = "" if kappa is None else f", Cohen's kappa {kappa:.2f}"
        facts.append(f"{name}: {share:.0%} of the verdicts survived swapping the answers{extra}")
    errors = sum(bool(result.outcome.error) for result in run.results.values())
    facts.append(f"{errors} of {len(run.results)} answers failed")
    return facts


def _metric_table(experiment: Experiment, analysis: Analysis) -> list[str]:
    names = [variant.name for variant in experiment.variants]
    lines = ["| metric | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for metric, row in analysis.estimates.items():
        cells = [_estimate(metric, row.get(name)) for name in names]
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    return lines


def _difference_table(experiment: Experiment, analysis: Analysis) -> list[str]:
    lines = [
        "| metric | variant | difference | fixed: interval | p | always valid: interval | p |",
        "|---|---|---:|---|---:|---|---:|",
    ]
    for c in analysis.comparisons:
        bold = "**" if c.metric == experiment.primary.name else ""
        lines.append(
            f"| {bold}{c.metric}{bold} | {c.variant} | {_number(c.metric, c.fixed.estimate, '+')} "
            f"| {_ends(c.metric, c.fixed.low, c.fixed.high)} | {c.p_fixed:.3g} "
            f"| {_ends(c.metric, c.always.low, c.always.high)} | {c.p_always:.3g} |"
        )
    return lines


def forest(comparisons: Sequence[Comparison]) -> list[str]:
    """A plot of differences as text: `o` the estimate, `|` zero, dashes the always-valid interval.

    Args:
        comparisons: All of one metric.
    """
    ends = [v for c in comparisons for v in (c.always.low, c.always.high, c.fixed.estimate)]
    finite = [abs(end) for end in ends if math.isfinite(end)]
    if not finite:
        return ["nothing to plot yet"]
    reach = max([*finite, 1e-9])
    width = max(len(c.variant) for c in comparisons)

    def column(value: float) -> int:
        value = min(max(value, -reach), reach)
        return round((value / reach + 1) / 2 * (_PLOT_WIDTH - 1))

    lines = []
    for c in comparisons:
        row = [" "] * _PLOT_WIDTH
        for index in range(column(c.always.low), column(c.always.high) + 1):
            row[index] = "-"
        row[column(0)] = "|"
        if math.isfinite(c.fixed.estimate):
            row[column(c.fixed.estimate)] = "o"
        lines.append(f"{c.variant:<{width}}  [{''.join(row)}]")
    left, right = f"{-reach:.3g}", f"{reach:.3g}"
    middle = "0".center(_PLOT_WIDTH + 2 - len(left) - len(right))
    lines.append(" " * (width + 2) + left + middle + right)
    return lines


def html_page(experiment: Experiment, analysis: Analysis, run: Run) -> str:
    """The report as one HTML file; the plotting library is inside, nothing is loaded.

    Args:
        experiment: The definition.
        analysis: What it shows.
        run: The results.
    """
    import plotly.graph_objects as go

    level = f"{(1 - experiment.stop.alpha) * 100:g} %"
    primary = experiment.primary.name
    figures = []
    rows = [c for c in analysis.comparisons if c.metric == primary]
    if rows:
        figure = go.Figure(layout={"title": f"{primary}: difference to {experiment.control_name}"})
        for label, intervals in (
            ("one look", [c.fixed for c in rows]),
            ("always valid", [c.always for c in rows]),
        ):
            figure.add_scatter(
                name=f"{label}, {level}",
                x=[i.estimate for i in intervals],
                y=[c.variant for c in rows],
                error_x={
                    "type": "data",
                    "array": [_finite(i.high - i.estimate) for i in intervals],
                    "arrayminus": [_finite(i.estimate - i.low) for i in intervals],
                },
                mode="markers",
            )
        figure.add_vline(x=0, line_dash="dot")
        figures.append(figure)
    for metric, row in analysis.estimates.items():
        figure = go.Figure(layout={"title": metric})
        figure.add_bar(
            x=list(row),
            y=[_finite(e.mean) for e in row.values()],
            error_y={
                "type": "data",
                "array": [_finite(e.high - e.mean) for e in row.values()],
                "arrayminus": [_finite(e.mean - e.low) for e in row.values()],
            },
        )
        figures.append(figure)
    plots = [
        figure.to_html(full_html=False, include_plotlyjs=index == 0)
        for index, figure in enumerate(figures)
    ]
    return _page(f"Experiment {experiment.name}", markdown(experiment, analysis, run), plots)


def _page(title: str, text: str, plots: Sequence[str]) -> str:
    """Markdown's tables and lists as HTML, with everything a person wrote escaped."""
    body: list[str] = []
    kind = ""
    for line in text.splitlines():
        new = {"|": "table", "-": "ul", "`": "pre"}.get(line[:1], "")
        if kind == "pre":
            body.append("</pre>" if line.startswith("```") else html.escape(line))
            kind = "" if line.startswith("```") else "pre"
            continue
        if new != kind:
            body += [f"</{kind}>"] if kind else []
            body += [f"<{new}>"] if new else []
            kind = new
        body.append(_html_line(line, kind))
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>{html.escape(title)}</title>\n"
        "<style>body{font:16px/1.5 system-ui;margin:2rem auto;max-width:70rem;padding:0 1rem}"
        "table{border-collapse:collapse}td{padding:.2rem .6rem;border-bottom:1px solid #ccc}"
        "pre{overflow:auto}</style>\n" + "\n".join(body) + "\n".join(plots) + "\n</html>\n"
    )


def _html_line(line: str, kind: str) -> str:
    safe = html.escape(line)
    if kind == "table":
        if set(line) <= set("|-: "):
            return ""
        cells = [cell.strip().replace("**", "") for cell in safe.strip("|").split("|")]
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    if kind == "ul":
        return f"<li>{safe[2:]}</li>"
    if kind == "pre":
        return ""
    if line.startswith("#"):
        depth = len(line) - len(line.lstrip("#"))
        return f"<h{depth}>{safe.lstrip('# ')}</h{depth}>"
    return f"<p>{safe.replace('**', '')}</p>" if line else ""


def _estimate(metric: str, estimate: Estimate | None) -> str:
    if estimate is None or not estimate.n:
        return "–"
    mean = _number(metric, estimate.mean)
    return f"{mean} {_ends(metric, estimate.low, estimate.high)}, n = {estimate.n}"


def _ends(metric: str, low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "(unbounded)"
    return f"({_number(metric, low)} to {_number(metric, high)})"


def _number(metric: str, value: float, sign: str = "") -> str:
    if math.isnan(value):
        return "–"
    return f"{value:{sign}.2e}" if metric in _MONEY and value else f"{value:{sign}.4g}"


def _money(value: Decimal) -> str:
    return f"{value:.6f} USD"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
