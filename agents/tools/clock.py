"""The current time, times in other zones, and days between dates; a model alone gets them wrong."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING

from allotrope.agents.tools import dates
from allotrope.agents.tools.abbreviations import Zone, offset_text
from allotrope.agents.tools.zones import look_up
from allotrope.exceptions import InputError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

Clock = Callable[[], datetime]
"""Gives the present moment with a time zone."""


def system_clock() -> datetime:
    """The present moment of this machine, in UTC."""
    return datetime.now(UTC)


def find_zone(name: str) -> tzinfo | None:
    """The time zone of a name; see `zones.look_up`, which also says how it was understood.

    Args:
        name: A zone, city, country, abbreviation or offset.

    Returns:
        The zone; None stands for the zone of this machine.

    Raises:
        InputError: No zone has that name, or several have.
    """
    return look_up(name).zone


def describe(moment: datetime, zone: tzinfo | None = None) -> str:
    """A moment for people and models: weekday, date, time, zone and offset.

    Args:
        moment: A moment with a time zone.
        zone: Where to show it; None is the zone of this machine.

    Returns:
        For example `Sunday, 2026-11-22 19:15:28 (Europe/Berlin, UTC+01:00, week 47)`.
    """
    there = moment.astimezone(zone)
    offset = there.strftime("%z")
    name = getattr(zone, "key", None) or there.tzname() or "local"
    sign = f"UTC{offset[:3]}:{offset[3:5]}"
    place = sign if name.startswith("UTC") else f"{name}, {sign}"
    day = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    week = there.isocalendar().week
    return f"{day[there.weekday()]}, {there:%Y-%m-%d %H:%M:%S} ({place}, week {week})"


def _zone_of_run() -> str | None:
    """The user's time zone, where the run names one."""
    from langgraph.runtime import get_runtime

    from allotrope.graphs.context import context_of

    try:
        return context_of(get_runtime().context).time_zone
    except (RuntimeError, KeyError, AttributeError):  # the tool is called outside of a graph
        return None


def clock_tool(*, clock: Clock = system_clock) -> "BaseTool":
    """The tool `current_time` for an agent's tool list.

    Args:
        clock: Where the time comes from.
    """
    from allotrope.agents.tools.making import make_tool

    def current_time(timezone: str = "local") -> str:
        found = _named(timezone, clock())
        return _with_note(describe(clock(), found.zone), found.note)

    return make_tool(
        current_time,
        description="The current date, weekday and time in a time zone.",
        arguments={"timezone": "City, zone or offset: Munich, Europe/Berlin, CET, UTC+2; or local"},
    )


def convert_time_tool(*, clock: Clock = system_clock) -> "BaseTool":
    """The tool `convert_time` for an agent's tool list.

    Args:
        clock: Says what day it is, for times without a date.
    """
    from allotrope.agents.tools.making import make_tool

    def convert_time(time: str, from_zone: str, to_zone: str) -> str:
        return convert(time, from_zone, to_zone, now=clock())

    return make_tool(
        convert_time,
        description="What a time in one time zone is in another: 3 pm in New York, in Berlin.",
        arguments={
            "time": "The time, with the date where it matters: 2026-07-10 15:00, 3pm",
            "from_zone": "City, zone or offset of that time: New York, EST, UTC-5; or local",
            "to_zone": "City, zone or offset wanted",
        },
    )


def dates_tool(*, clock: Clock = system_clock) -> "BaseTool":
    """The tool `date_difference` for an agent's tool list.

    Args:
        clock: Says what day is today.
    """
    from allotrope.agents.tools.making import make_tool

    def date_difference(start: str, end: str) -> str:
        today = _today(clock())
        return dates.difference(
            dates.read_moment(start, today=today), dates.read_moment(end, today=today)
        )

    return make_tool(
        date_difference,
        description="Days, weeks, months, years and working days between two dates.",
        arguments={"start": "The first date: 2026-03-01, or today", "end": "The second date"},
    )


def date_add_tool(*, clock: Clock = system_clock) -> "BaseTool":
    """The tool `date_add` for an agent's tool list.

    Args:
        clock: Says what day is today.
    """
    from allotrope.agents.tools.making import make_tool

    def date_add(date: str, amount: str) -> str:
        start = dates.read_moment(date, today=_today(clock())).day
        day, notes = dates.add(start, amount)
        line = f"{start} and {amount.strip()}: {dates.weekday(day)}, {day}"
        return _with_note(f"{line}, week {day.isocalendar().week}", "; ".join(notes))

    return make_tool(
        date_add,
        description="The date some days, weeks, months, years or business days before or after.",
        arguments={
            "date": "The date to count from: 2026-03-01, or today",
            "amount": "How far: 90 days, -2 weeks, 3 months, 10 business days",
        },
    )


def convert(text: str, from_zone: str, to_zone: str, *, now: datetime) -> str:
    """What a time in one zone is in another, as one line.

    Args:
        text: The time, with or without a date.
        from_zone: Its zone.
        to_zone: The zone wanted.
        now: The present moment; a time without a date is today's in `from_zone`.

    Raises:
        InputError: A zone or the time can't be read, or the clocks skip that time.
    """
    start = _named(from_zone, now)
    if text.strip().lower() in ("now", "jetzt"):
        end = _named(to_zone, now)
        line = f"{describe(now, start.zone)} is {describe(now, end.zone)}"
        return _with_note(line, "; ".join(filter(None, (start.note, end.note))))
    moment = dates.read_moment(text, today=now.astimezone(start.zone).date())
    if moment.offset is not None:
        return _from_offset(moment, start if from_zone.strip() else None, _named(to_zone, now))
    if moment.at is None:
        raise InputError(f"{text!r} has no time of day.", hint="Add one, such as 15:00 or 3 pm.")
    first, second = (
        moment.whole.replace(tzinfo=start.zone, fold=fold)
        if start.zone is not None
        else moment.whole.replace(fold=fold).astimezone()
        for fold in (0, 1)
    )
    back = first.astimezone(UTC).astimezone(start.zone)
    if back.replace(tzinfo=None) != moment.whole:
        raise InputError(
            f"{moment.whole:%Y-%m-%d %H:%M} doesn't exist in {from_zone}: clocks are put forward.",
            hint=f"Use an offset, such as {offset_text(first.utcoffset() or timedelta())}.",
        )
    start, end = _named(from_zone, first), _named(to_zone, first)  # notes of that day
    line = f"{describe(first, start.zone)} is {describe(first, end.zone)}"
    if first.utcoffset() != second.utcoffset():
        line += f". That hour comes twice; the second time it is {describe(second, end.zone)}"
    return _with_note(line, "; ".join(filter(None, (start.note, end.note))))


def _from_offset(moment: dates.Moment, said: Zone | None, end: Zone) -> str:
    """A time that names its offset; the zone it is said to be in must have that one."""
    first = moment.whole.replace(tzinfo=timezone(moment.offset or timedelta()))
    there = first.astimezone(said.zone).utcoffset() if said else moment.offset
    if there != moment.offset:
        raise InputError(
            f"The time is written with {offset_text(moment.offset or timedelta())}, but its zone "
            f"has {offset_text(there or timedelta())} then.",
            hint="Leave out the offset or the zone, whichever is wrong.",
        )
    return _with_note(f"{describe(first, first.tzinfo)} is {describe(first, end.zone)}", end.note)


def _named(name: str, at: datetime) -> Zone:
    if name.strip().lower() in ("", "local", "here"):
        name = _zone_of_run() or name
    return look_up(name, at=at)


def _today(now: datetime) -> date:
    return now.astimezone(_named("local", now).zone).date()


def _with_note(line: str, note: str) -> str:
    return f"{line} [{note}]" if note else line
