"""`allotrope usage`: look into the ledger, export it, prune it, see budgets and advice."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import answer, emit

if TYPE_CHECKING:
    from allotrope.usage.queries.sums import Window

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Days = Annotated[int, typer.Option("--days", help="So many days, up to and with today.")]


@app.callback()
def usage() -> None:
    """Look into the ledger, export it, prune it, see budgets and advice."""


@app.command()
def show(
    days: Days = 7,
    by: Annotated[str, typer.Option("--by", help="agent, model, tenant, user, thread …")] = "agent",
    as_json: Json = False,
) -> None:
    """Sums of the last days, by agent, model, tenant …; of users and threads the costliest."""
    from allotrope.settings import load_settings
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.queries import sums as queries
    from allotrope.usage.reports.reports import money, totals_json

    window = queries.last_days(days)
    if by in ("user", "thread"):
        _show_costliest(by, window, as_json=as_json)
        return
    with open_ledger(load_settings()) as ledger:
        parts = queries.breakdown(ledger, window, by)
        whole = queries.totals(ledger, window)
    if as_json:
        document = {
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
            "totals": totals_json(whole),
            "by": {"dimension": by, "parts": [{"name": n, **totals_json(t)} for n, t in parts]},
        }
        emit(document)
        return
    columns = (by, "USD", "saved", "calls", "hits", "tokens in", "tokens out")
    rows = [
        (
            name or "–",
            money(t.cost),
            money(t.saved),
            f"{t.calls:,}",
            f"{t.hit_rate:.0%}",
            f"{t.input_tokens:,}",
            f"{t.output_tokens:,}",
        )
        for name, t in [*parts, ("all", whole)]
    ]
    _table(f"Usage from {window.start:%Y-%m-%d} to today (UTC)", columns, rows)


def _show_costliest(scope: str, window: "Window", *, as_json: bool) -> None:
    from allotrope.settings import load_settings
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.queries import sums as queries
    from allotrope.usage.reports.reports import money

    with open_ledger(load_settings()) as ledger:
        found = queries.top(ledger, scope, window, limit=20)
    if as_json:
        parts = [
            {
                "name": one.name,
                "calls": one.calls,
                "tokens": one.tokens,
                "cost_usd": str(one.cost),
                "saved_by_cache_usd": str(one.saved_cost),
            }
            for one in found
        ]
        document = {
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
            "by": {"dimension": scope, "parts": parts},
        }
        emit(document)
        return
    rows = [
        (one.name, money(one.cost), money(one.saved_cost), f"{one.calls:,}", f"{one.tokens:,}")
        for one in found
    ]
    title = f"Costliest from {window.start:%Y-%m-%d} to today (UTC)"
    _table(title, (scope, "USD", "saved", "calls", "tokens"), rows)


@app.command()
def calls(
    days: Days = 1,
    limit: Annotated[int, typer.Option("--limit", help="Most rows.")] = 20,
    thread: Annotated[str | None, typer.Option("--thread", help="Only this thread.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only this run.")] = None,
    as_json: Json = False,
) -> None:
    """Single calls, the latest first."""
    from allotrope.settings import load_settings
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.queries import sums as queries

    where = {name: value for name, value in (("thread", thread), ("run", run)) if value}
    with open_ledger(load_settings()) as ledger:
        found = queries.rows(ledger, queries.last_days(days), where, limit=limit)
    if as_json:
        emit({"calls": found})
        return
    columns = ("at (UTC)", "agent", "model", "status", "cached", "in", "out", "USD", "ms")
    rows = [
        (
            f"{row['at']:%m-%d %H:%M:%S}",
            row["agent"],
            row["model"] + (f" for {row['stands_for']}" if row["stands_for"] else ""),
            row["status"] + (" ~" if row["estimated"] else ""),
            row["cached"],
            f"{row['input_tokens']:,}",
            f"{row['output_tokens']:,}",
            "?" if row["cost"] is None else f"{row['cost']:.6f}",
            f"{row['latency_ms']:.0f}",
        )
        for row in found
    ]
    _table("Calls (~ counted by us, ? no known price)", columns, rows)


@app.command()
def export(
    form: Annotated[str, typer.Option("--format", help="csv, json (lines) or parquet.")] = "csv",
    out: Annotated[
        Path | None, typer.Option("--out", help="File; default: standard output.", metavar="FILE")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this day, UTC.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="To this day, UTC.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant.")] = None,
) -> None:
    """Write the calls as CSV, JSON lines or Parquet."""
    from allotrope.settings import load_settings
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.queries.export import export as write

    window = _window(since, until)
    where = {"tenant": tenant} if tenant else None
    with open_ledger(load_settings()) as ledger:
        count = write(ledger, out or sys.stdout, form=form, window=window, where=where)
    if out is not None:
        print(f"{count:,} calls were written to {out}.")


@app.command()
def prune(
    keep_days: Annotated[int, typer.Option("--keep-days", help="Days of single calls to keep.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete single calls older than some days; the sums per hour and day stay."""
    from allotrope.settings import load_settings
    from allotrope.usage.ledger.ledger import open_ledger

    if not yes:
        typer.confirm(f"Delete the calls older than {keep_days} days for good?", abort=True)
    with open_ledger(load_settings()) as ledger:
        deleted = ledger.prune(keep_days=keep_days)
    answer({"deleted": deleted}, f"{deleted:,} calls were deleted.", as_json=as_json)


@app.command()
def budgets(as_json: Json = False) -> None:
    """Every budget: used, reserved, what follows, and when it ends at this rate."""
    from allotrope.settings import load_settings
    from allotrope.usage.assembly import budget_states
    from allotrope.usage.budgets.periods import forecast_sentence
    from allotrope.usage.ledger.ledger import open_ledger

    settings = load_settings()
    with open_ledger(settings) as ledger:
        states = budget_states(settings, ledger)
    documents: list[dict[str, Any]] = [
        {
            "budget": state.account.budget.name,
            "scope": state.account.budget.scope,
            "name": state.account.name,
            "period": state.period.key,
            "used": state.account.said(state.balance.spent),
            "reserved": state.account.said(state.balance.reserved),
            "limit": state.account.said(state.account.limit),
            "share": round(state.balance.spent / state.account.limit, 4),
            "action": state.directive.action,
            "forecast": forecast_sentence(state.account, state.forecast)
            if state.forecast
            else None,
        }
        for state in states
    ]
    if as_json:
        emit({"budgets": documents})
        return
    if not documents:
        print("No budgets are set. ALLOTROPE_USAGE__BUDGETS takes a JSON list, see docs/usage.md.")
        return
    columns = ("budget", "of", "period", "used", "limit", "%", "asks for", "forecast")
    rows = [
        (
            d["budget"],
            _whose(d["scope"], d["name"]),
            d["period"],
            d["used"],
            d["limit"],
            f"{d['share']:.0%}",
            d["action"],
            d["forecast"] or "",
        )
        for d in documents
    ]
    _table("Budgets (UTC)", columns, rows)


def _whose(scope: str, name: str) -> str:
    return "all" if scope == "all" else f"{scope} {name}" if name else f"each {scope}, nobody yet"


@app.command()
def recommend(days: Days = 30, as_json: Json = False) -> None:
    """What to change, with evidence and the expected saving."""
    from allotrope.settings import load_settings
    from allotrope.usage.advice.advice import rule_data
    from allotrope.usage.advice.rules import recommend as ask
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.reports.render import gain

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = ask(rule_data(settings, ledger, days=days))
    if as_json:
        document = {"recommendations": [one.to_json() for one in found]}
        emit(document)
        return
    if not found:
        print("Nothing to recommend: the calls so far show no waste, or are too few to tell.")
    for one in found:
        print(f"{one.title} ({gain(one)})")
        print(f"    {one.evidence}\n    {one.setting}: {one.change}\n")


@app.command()
def alerts(
    limit: Annotated[int, typer.Option("--limit", help="Most alerts.")] = 20, as_json: Json = False
) -> None:
    """Alerts that were raised, the latest first."""
    from allotrope.settings import load_settings
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.queries import sums as queries

    with open_ledger(load_settings()) as ledger:
        found = queries.alerts(ledger, limit=limit)
    if as_json:
        emit({"alerts": found})
        return
    rows = [(f"{a['at']:%Y-%m-%d %H:%M}", a["title"], a["message"]) for a in found]
    _table("Alerts (UTC)", ("at", "what", "said"), rows)


def _window(since: str | None, until: str | None) -> "Window | None":
    from allotrope.cli.usage.report import day
    from allotrope.usage.queries.sums import Window

    if since is None and until is None:
        return None
    start = day(since) or datetime(1970, 1, 2, tzinfo=UTC)
    end = day(until)
    end = end + timedelta(days=1) if end is not None else datetime.now(UTC) + timedelta(days=1)
    return Window(start, end)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        right = column in ("USD", "saved", "calls", "hits", "in", "out", "ms", "used", "limit", "%")
        align = "right" if index and (right or column.startswith("tokens")) else "left"
        table.add_column(column, justify=align)  # type: ignore[arg-type]  # one of two literals
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
