"""`allotrope report`: spend and savings of a day, week or month."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True)

On = Annotated[
    str | None, typer.Option("--on", help="A day in the period, YYYY-MM-DD (UTC).", metavar="DATE")
]
Last = Annotated[bool, typer.Option("--last", help="The last period that is over.")]
Html = Annotated[bool, typer.Option("--html", help="Print one HTML page.")]
Md = Annotated[bool, typer.Option("--md", help="Print Markdown, also in a terminal.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write to a file.", metavar="FILE")]
Send = Annotated[bool, typer.Option("--send", help="Send the last finished one to the notifiers.")]


@app.callback()
def report() -> None:
    """Spend and savings of a day, week or month."""


@app.command()
def daily(
    on: On = None,
    last: Last = False,
    html: Html = False,
    md: Md = False,
    as_json: Json = False,
    out: Out = None,
    send: Send = False,
) -> None:
    """The report of a day."""
    _report("daily", on, last, html, md, as_json, out, send)


@app.command()
def weekly(
    on: On = None,
    last: Last = False,
    html: Html = False,
    md: Md = False,
    as_json: Json = False,
    out: Out = None,
    send: Send = False,
) -> None:
    """The report of an ISO week."""
    _report("weekly", on, last, html, md, as_json, out, send)


@app.command()
def monthly(
    on: On = None,
    last: Last = False,
    html: Html = False,
    md: Md = False,
    as_json: Json = False,
    out: Out = None,
    send: Send = False,
) -> None:
    """The report of a month."""
    _report("monthly", on, last, html, md, as_json, out, send)


@app.command()
def schedule(
    kind: Annotated[str, typer.Argument(help="daily, weekly or monthly.")] = "daily",
    systemd: Annotated[bool, typer.Option("--systemd", help="Units for systemd instead.")] = False,
) -> None:
    """Print the crontab line, or the systemd units, that send a report."""
    from allotrope.exceptions import InputError
    from allotrope.usage.schedule import TIMES, cron_line, systemd_units

    if kind not in TIMES:
        raise InputError(f"{kind!r} is no report.", hint="Use daily, weekly or monthly.")
    print(systemd_units(kind) if systemd else cron_line(kind))


def _report(
    kind: str,
    on: str | None,
    last: bool,
    html: bool,
    md: bool,
    as_json: bool,
    out: Path | None,
    send: bool,
) -> None:
    from allotrope.exceptions import InputError, StoreError
    from allotrope.settings import load_settings

    if html + md + as_json > 1:
        raise InputError("Only one of --html, --md and --json can be printed.")
    settings = load_settings()
    if send:
        from allotrope.usage.schedule import send_report

        failed = send_report(settings, kind)
        if failed:
            raise StoreError(f"The report could not be delivered: {'; '.join(failed)}.")
        return
    from allotrope.usage import render
    from allotrope.usage.ledger import open_ledger
    from allotrope.usage.schedule import finished, full_report

    moment = finished(kind, datetime.now(UTC)) if last else day(on)
    with open_ledger(settings) as ledger:
        found = full_report(settings, ledger, kind, on=moment)
    if as_json:
        text = json.dumps(found.to_json(), ensure_ascii=False)
    elif html:
        text = render.html(found)
    else:
        text = render.markdown(found)
    if out is not None:
        try:
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as exc:
            raise StoreError(f"{out} can't be written: {exc.strerror}.") from exc
    elif html or md or as_json or not sys.stdout.isatty():
        print(text)
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))


def day(text: str | None) -> datetime | None:
    from allotrope.exceptions import InputError

    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as exc:
        raise InputError(f"{text!r} is no day.", hint="Write it as YYYY-MM-DD.") from exc
