"""Reports on a schedule: lines for cron and systemd, jobs for APScheduler, and the sending."""

import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from allotrope.exceptions import InputError
from allotrope.settings import Settings
from allotrope.usage.advice.advice import advise
from allotrope.usage.budgets.periods import span
from allotrope.usage.ledger.ledger import Ledger, open_ledger
from allotrope.usage.reports import render, reports
from allotrope.usage.reports.notifiers import Alert, deliver, make_notifier

logger = logging.getLogger(__name__)

TIMES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "daily": ("5 7 * * *", "*-*-* 07:05:00 UTC", {"hour": 7, "minute": 5}),
    "weekly": ("10 7 * * 1", "Mon *-*-* 07:10:00 UTC", {"day_of_week": "mon", "hour": 7}),
    "monthly": ("15 7 1 * *", "*-*-01 07:15:00 UTC", {"day": 1, "hour": 7}),
}
"""Kind to cron line, systemd calendar and APScheduler's cron fields: in the morning after."""


def finished(kind: str, now: datetime) -> datetime:
    """A moment in the last period that is over.

    Raises:
        InputError: No such kind.
    """
    if kind not in reports.PERIODS:
        raise InputError(f"{kind!r} is no report.", hint="Use daily, weekly or monthly.")
    current = span(reports.PERIODS[kind], now)
    return current.start - timedelta(seconds=1)


def full_report(
    settings: Settings,
    ledger: Ledger,
    kind: str,
    *,
    on: datetime | None = None,
    now: datetime | None = None,
    notices: Sequence[str] = (),
) -> reports.Report:
    """A report with its recommendations.

    Args:
        settings: What the rules of recommendations look at.
        ledger: What is read.
        kind: `daily`, `weekly` or `monthly`.
        on: A moment in the period; default: now.
        now: The moment, aware.
        notices: Sentences to be shown first.
    """
    found = advise(settings, ledger, now=now)
    return reports.build(ledger, kind, on=on, now=now, recommendations=found[:10], notices=notices)


def send_report(
    settings: Settings,
    kind: str,
    *,
    now: datetime | None = None,
    again: bool = False,
    notices: Callable[[], Sequence[str]] = tuple,
) -> list[str]:
    """Sends the report of the last finished period to all notifiers, once.

    Of all processes and machines that share the ledger one sends it; where that failed with every
    notifier, the next may.

    Args:
        settings: Where the ledger is and who is told.
        kind: `daily`, `weekly` or `monthly`.
        now: The moment, aware.
        again: Whether to send it although it was sent before.
        notices: Gives sentences to be shown first.

    Returns:
        What failed, a sentence each.
    """
    now = now or datetime.now(UTC)
    key = f"report/{kind}/{span(reports.PERIODS[kind], finished(kind, now)).key}"
    with open_ledger(settings) as ledger:
        ours = ledger.claim(key, now.isoformat())
        if not ours and not again:
            logger.info("The %s was sent at %s already.", key, ledger.note(key))
            return []
        try:
            alert = _report_alert(settings, ledger, kind, key, now, notices())
            notifiers = [make_notifier(one) for one in settings.usage.notifiers]
            failed = deliver(alert, notifiers)
        except BaseException:
            if ours:
                ledger.release(key)
            raise
        if ours and len(failed) == len(notifiers) > 0:
            ledger.release(key)
    return failed


def _report_alert(
    settings: Settings,
    ledger: Ledger,
    kind: str,
    key: str,
    now: datetime,
    notices: Sequence[str],
) -> Alert:
    report = full_report(settings, ledger, kind, on=finished(kind, now), notices=notices)
    return Alert(
        key=key,
        kind="report",
        severity="info",
        title=render.title(report),
        message=render.markdown(report),
        at=now,
        data={"report": report.to_json(), "html": render.html(report)},
    )


def add_jobs(
    scheduler: Any, settings: Settings, *, notices: Callable[[], Sequence[str]] = tuple
) -> None:
    """Adds the three reports to an APScheduler scheduler (`allotrope serve` has one).

    Args:
        scheduler: An APScheduler 3 scheduler with UTC as its time zone, or none of its own.
        settings: Where the ledger is and who is told.
        notices: Gives sentences to be shown first in a report.
    """
    for kind, (_, _, fields) in TIMES.items():
        scheduler.add_job(
            send_report,
            "cron",
            args=(settings, kind),
            kwargs={"notices": notices},
            id=f"allotrope-report-{kind}",
            replace_existing=True,
            misfire_grace_time=3600,
            timezone="UTC",
            **fields,
        )


def _program() -> Path:
    """The command beside this Python."""
    return Path(sys.executable).with_name("allotrope")


def cron_line(kind: str) -> str:
    """The line for a crontab (its clock should be UTC)."""
    return f"{TIMES[kind][0]} {_program()} report {kind} --last --send"


def systemd_units(kind: str) -> str:
    """A service and a timer for systemd."""
    name = f"allotrope-report-{kind}"
    return (
        f"# {name}.service\n[Service]\nType=oneshot\n"
        f"ExecStart={_program()} report {kind} --last --send\n\n"
        f"# {name}.timer\n[Timer]\nOnCalendar={TIMES[kind][1]}\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
