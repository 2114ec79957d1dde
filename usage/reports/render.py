"""A report as Markdown or as one HTML page without scripts, fit for mail."""

import re
from collections.abc import Sequence
from datetime import timedelta
from html import escape

from allotrope.usage.advice.rules.base import Recommendation
from allotrope.usage.queries.sums import Totals
from allotrope.usage.reports.reports import Report, ReportLine, money

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}
h1+p{color:#57606a;margin-top:0}
table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;text-align:right;
border-bottom:1px solid #d0d7de}th:first-child,td:first-child{text-align:left}
th{font-weight:600;color:#57606a}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}
th,td{border-color:#30363d}th,h1+p{color:#8b949e}}
"""

_MARKS = re.compile(r"[\\`*_\[\]<>|~&]")

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]


def markdown(report: Report) -> str:
    """The report as Markdown."""
    lines = [f"# {title(report)}", "", subtitle(report), "", *_headline(report), ""]
    for heading, columns, rows in _tables(report):
        lines += [f"## {heading}", "", "| " + " | ".join(columns) + " |"]
        lines.append("|" + "|".join(["---"] + ["---:"] * (len(columns) - 1)) + "|")
        lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
        lines.append("")
    if report.recommendations:
        lines += ["## Recommendations", ""]
        for one in report.recommendations:
            lines.append(
                f"- **{_cell(one.title)}** ({gain(one)}). {_cell(one.evidence)}"
                f" Change: {_cell(one.change)}"
            )
        lines.append("")
    return "\n".join(lines)


def html(report: Report) -> str:
    """The report as one HTML page; no name in it is read as markup."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    return "\n".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width,initial-scale=1'>",
            f"<title>{escape(title(report))}</title><style>{_STYLE}</style></head><body>",
            reader.render(markdown(report)),
            "</body></html>",
        ]
    )


def title(report: Report) -> str:
    """What the report is about."""
    return f"Usage of {PERIOD_NAMES[report.kind]} {report.period.key}"


PERIOD_NAMES = {"daily": "the day", "weekly": "the week", "monthly": "the month"}


def subtitle(report: Report) -> str:
    """From when to when."""
    until = f"{report.until:%Y-%m-%d %H:%M}"
    running = ", still running" if report.running else ""
    return f"{report.period.start:%Y-%m-%d %H:%M} to {until} UTC{running}"


def _headline(report: Report) -> list[str]:
    now = report.now
    change = report.change()
    trend = (
        "nothing was spent in the stretch before"
        if change is None
        else f"{change:+.0%} against {money(report.before.cost)} in the stretch before"
    )
    lines = [
        *(f"- {_cell(notice)}" for notice in report.notices),
        f"- Spent: {money(now.cost)} ({trend})",
        f"- Saved: {money(now.saved)}",
        f"- Calls: {now.calls:,}, of which {now.hits:,} were answered from the cache "
        f"({now.hit_rate:.0%} of the answers)",
        f"- Tokens: {now.input_tokens:,} in ({now.cached_tokens:,} of them cached by the "
        f"provider), {now.output_tokens:,} out ({now.reasoning_tokens:,} of them reasoning)",
        f"- Failovers: {now.failovers:,}; retries: {now.retries:,}; errors: {now.errors:,}; "
        f"degraded answers: {now.degraded:,}; refused by a budget: {now.refused:,}",
    ]
    if report.latency:
        lines.append(
            "- Latency: "
            + ", ".join(f"p{p * 100:g} {ms / 1000:.2f} s" for p, ms in report.latency.items())
        )
    lines += [
        f"- {_cell(wanted)} has ended: {_cell(answered)} answered {calls:,} calls in its place"
        for wanted, answered, calls in report.successions
    ]
    if now.unpriced:
        lines.append(f"- {now.unpriced:,} calls have no known price and are not in the sums")
    if now.estimated:
        lines.append(f"- {now.estimated:,} calls were counted by us: no usage was reported")
    return lines


def _tables(report: Report) -> list[Table]:
    now = report.now
    left_out = max(0, now.context_full_tokens - now.context_tokens)
    tables: list[Table] = [
        (
            "What was saved",
            ("By", "USD", "How much"),
            [
                ("Exact cache", money(now.exact_saved_cost), f"{now.exact_hits:,} hits"),
                ("Semantic cache", money(now.semantic_saved_cost), f"{now.semantic_hits:,} hits"),
                (
                    "Provider's prompt cache",
                    money(now.prompt_cache_saving),
                    f"{now.cached_tokens:,} tokens",
                ),
                (
                    "Memory, against sending everything",
                    money(now.context_saving),
                    f"{left_out:,} tokens",
                ),
            ],
        )
    ]
    for heading, parts in (
        ("By agent", report.agents),
        ("By model", report.models),
        ("By tenant", report.tenants),
        ("Over time", report.days),
    ):
        if parts:
            columns = ("Name", "USD", "Saved", "Calls", "Hits", "Tokens in", "Tokens out")
            tables.append((heading, columns, [_row(part) for part in parts]))
    if report.threads:
        rows = [(t.name, money(t.cost), f"{t.calls:,}", f"{t.tokens:,}") for t in report.threads]
        tables.append(("Costliest threads", ("Thread", "USD", "Calls", "Tokens"), rows))
    return tables


def _row(part: ReportLine) -> tuple[str, ...]:
    t: Totals = part.totals
    return (
        part.name,
        money(t.cost),
        money(t.saved),
        f"{t.calls:,}",
        f"{t.hits:,}",
        f"{t.input_tokens:,}",
        f"{t.output_tokens:,}",
    )


def _cell(text: str) -> str:
    """A name as Markdown that stands for nothing but itself."""
    return _MARKS.sub(r"\\\g<0>", text.replace("\n", " "))


def gain(one: Recommendation) -> str:
    """What a recommendation saves, for people.

    Args:
        one: The recommendation.
    """
    if not one.saving_usd_month:
        return "no saving in USD by itself"
    if one.too_early:
        seen = timedelta(days=one.seen_days)
        return (
            f"saves {money(one.saving_usd_month)} in the {_stretch(seen)} seen, too little time to "
            "speak of a month"
        )
    return f"saves about {money(one.saving_usd_month)} a month"


def _stretch(time: timedelta) -> str:
    minutes = max(1, round(time.total_seconds() / 60))
    return f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
