"""`allotrope report`: spend and savings of a day, week or month."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from allotrope.settings import Settings

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
Again = Annotated[bool, typer.Option("--again", help="With --send: although it was sent before.")]


@app.callback()
def report() -> None:
    """Spend and savings of a day, week or month."""


def _add(kind: str, about: str) -> None:
    """Adds the command of a kind; they differ in nothing but their period."""

    @app.command(kind, help=about)
    def of_period(
        on: On = None,
        last: Last = False,
        html: Html = False,
        md: Md = False,
        as_json: Json = False,
        out: Out = None,
        send: Send = False,
        again: Again = False,
    ) -> None:
        from allotrope.exceptions import InputError
        from allotrope.settings import load_settings

        if html + md + as_json > 1:
            raise InputError("Only one of --html, --md and --json can be printed.")
        settings = load_settings()
        if send:
            _send(settings, kind, again=again)
            return
        moment = _finished(kind) if last else day(on)
        form = "json" if as_json else "html" if html else "md" if md else None
        _put(_text(settings, kind, moment, form or "md"), form, out)


for _kind, _about in {
    "daily": "The report of a day.",
    "weekly": "The report of an ISO week.",
    "monthly": "The report of a month.",
}.items():
    _add(_kind, _about)


@app.command()
def schedule(
    kind: Annotated[str, typer.Argument(help="daily, weekly or monthly.")] = "daily",
    systemd: Annotated[bool, typer.Option("--systemd", help="Units for systemd instead.")] = False,
) -> None:
    """Print the crontab line, or the systemd units, that send a report."""
    from allotrope.exceptions import InputError
    from allotrope.usage.reports.schedule import TIMES, cron_line, systemd_units

    if kind not in TIMES:
        raise InputError(f"{kind!r} is no report.", hint="Use daily, weekly or monthly.")
    print(systemd_units(kind) if systemd else cron_line(kind))


def _send(settings: "Settings", kind: str, *, again: bool) -> None:
    from allotrope.exceptions import StoreError
    from allotrope.succession.ends import end_sentences, tell_of_ends
    from allotrope.usage.reports.schedule import send_report

    failed = send_report(settings, kind, again=again, notices=lambda: end_sentences(settings))
    failed += tell_of_ends(settings)
    if failed:
        raise StoreError(f"The report could not be delivered: {'; '.join(failed)}.")


def _finished(kind: str) -> datetime:
    from allotrope.usage.reports.schedule import finished

    return finished(kind, datetime.now(UTC))


def _text(settings: "Settings", kind: str, on: datetime | None, form: str) -> str:
    from allotrope.succession.ends import end_sentences
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.reports import render
    from allotrope.usage.reports.schedule import full_report

    with open_ledger(settings) as ledger:
        found = full_report(settings, ledger, kind, on=on, notices=end_sentences(settings))
    if form == "json":
        return json.dumps(found.to_json(), ensure_ascii=False)
    return render.html(found) if form == "html" else render.markdown(found)


def _put(text: str, form: str | None, out: Path | None) -> None:
    from allotrope.exceptions import StoreError

    if out is not None:
        try:
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as exc:
            raise StoreError(f"{out} can't be written: {exc.strerror}.") from exc
    elif form or not sys.stdout.isatty():
        print(text)
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))


def day(text: str | None) -> datetime | None:
    """The day that a text names.

    Raises:
        InputError: It names none.
    """
    from allotrope.exceptions import InputError

    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as exc:
        raise InputError(f"{text!r} is no day.", hint="Write it as YYYY-MM-DD.") from exc
