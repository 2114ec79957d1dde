"""The current time in any time zone; a model alone can't know it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from allotrope.exceptions import InputError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

Clock = Callable[[], datetime]
"""Gives the present moment with a time zone."""

_OFFSET = re.compile(r"(?:utc|gmt)?\s*([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_WORDS = {"": None, "local": None, "here": None, "z": UTC, "utc": UTC, "gmt": UTC}


def system_clock() -> datetime:
    """The present moment of this machine, in UTC."""
    return datetime.now(UTC)


def find_zone(name: str) -> tzinfo | None:
    """The time zone of a name.

    Args:
        name: An IANA name (`Europe/Berlin`), a city of one (`Berlin`, `new york`), an offset
            (`UTC+5:30`), `UTC`, or `local`/empty for the zone of this machine.

    Returns:
        The zone; None stands for the zone of this machine.

    Raises:
        InputError: No zone has that name.
    """
    word = name.strip()
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if found := _OFFSET.fullmatch(word):
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        if minutes > 14 * 60:
            raise InputError(f"No time zone is {word!r}: offsets end at 14 hours.")
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    wanted = re.sub(r"[\s_]+", "_", word).lower()
    known = available_timezones()
    exact = [zone for zone in known if zone.lower() == wanted]
    cities = sorted(zone for zone in known if zone.lower().rsplit("/", 1)[-1] == wanted)
    for zone in exact + cities:
        try:
            return ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # pragma: no cover - broken zone data
            continue
    raise InputError(
        f"No time zone is called {word[:60]!r}.",
        hint="Give an IANA name such as Europe/Berlin, a large city, or an offset such as UTC+2.",
    )


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
        if timezone.strip().lower() in ("", "local", "here"):
            timezone = _zone_of_run() or timezone
        return describe(clock(), find_zone(timezone))

    return make_tool(
        current_time,
        description="The current date, weekday and time in a time zone.",
        arguments={"timezone": "IANA name, city or offset: Europe/Berlin, Tokyo, UTC+2; or local"},
    )
