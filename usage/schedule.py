"""Reports on a schedule: lines for cron and systemd, jobs for APScheduler, and the sending."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from allotrope.exceptions import InputError
from allotrope.settings import Settings
from allotrope.usage import render, reports
from allotrope.usage.advice import advise
from allotrope.usage.budgets import span
from allotrope.usage.ledger import Ledger, open_ledger
from allotrope.usage.notifiers import Alert, deliver, make_notifier

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
) -> reports.Report:
    """A report with its recommendations."""
    found = advise(settings, ledger, now=now)
    return reports.build(ledger, kind, on=on, now=now, recommendations=found[:10])


def send_report(settings: Settings, kind: str, *, now: datetime | None = None) -> list[str]:
    """Sends the report of the last finished period to all notifiers.

    Returns:
        What failed, a sentence each.
    """
    now = now or datetime.now(UTC)
    with open_ledger(settings) as ledger:
        report = full_report(settings, ledger, kind, on=finished(kind, now))
    alert = Alert(
        key=f"report/{kind}/{report.period.key}",
        kind="report",
        severity="info",
        title=render.title(report),
        message=render.markdown(report),
        at=now,
        data={"report": report.to_json(), "html": render.html(report)},
    )
    return deliver(alert, [make_notifier(one) for one in settings.usage.notifiers])


def add_jobs(scheduler: Any, settings: Settings) -> None:
    """Adds the three reports to an APScheduler scheduler (`allotrope serve` has one).

    Args:
        scheduler: An APScheduler 3 scheduler with UTC as its time zone, or none of its own.
        settings: Where the ledger is and who is told.
    """
    for kind, (_, _, fields) in TIMES.items():
        scheduler.add_job(
            send_report,
            "cron",
            args=(settings, kind),
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
