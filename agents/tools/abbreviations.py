"""Abbreviations of time zones: CST, BST, IST. Few of them mean one zone only.

The one that is taken is named, beside what else the letters can stand for.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from allotrope.exceptions import InputError

_FIRST_MEANT = {
    "est": -5,
    "cst": -6,
    "mst": -7,
    "pst": -8,
    "edt": -4,
    "cdt": -5,
    "mdt": -6,
    "pdt": -7,
}
"""Abbreviations that CLDR gives to English readers, with their hours from UTC."""
_ELSEWHERE = {
    "act": (("Acre Standard Time", -5),),
    "adt": (("Arabian Daylight Time", 4),),
    "amt": (("Amazon Standard Time", -4), ("Armenia Standard Time", 4)),
    "ast": (("Arabian Standard Time", 3),),
    "art": (("Argentina Standard Time", -3),),
    "brt": (("Brasilia Standard Time", -3),),
    "bst": (("Bangladesh Standard Time", 6), ("Bougainville Standard Time", 11)),
    "ect": (("Ecuador Time", -5), ("Eastern Caribbean Time", -4)),
    "est": (("Australian Eastern Standard Time", 10),),
    "gst": (("Gulf Standard Time", 4), ("South Georgia Time", -2)),
    "mst": (("Malaysia Time", 8), ("Myanmar Time", 6.5)),
    "pkt": (("Pakistan Standard Time", 5),),
    "sgt": (("Singapore Standard Time", 8),),
    "sst": (("Singapore Standard Time", 8),),
    "wst": (("West Samoa Time", 13), ("Western Standard Time, in Australia,", 8)),
}
"""What abbreviations mean where the time zone database has numbers in place of them, in hours from
UTC (Wikipedia, List of time zone abbreviations; names as in CLDR)."""


@dataclass(frozen=True)
class Zone:
    """A zone, and how its name was understood.

    Args:
        zone: The zone; None is the zone of this machine.
        note: What the reader should know, or an empty text.
    """

    zone: tzinfo | None
    note: str = ""


@cache
def _abbreviations(year: int) -> dict[str, dict[timedelta, list[str]]]:
    """Each abbreviation of the database with its offsets, and the zones that use it."""
    found: dict[str, dict[timedelta, list[str]]] = defaultdict(dict)
    for zone in sorted(available_timezones()):
        if "/" not in zone or zone.startswith("Etc/"):
            continue
        for month in (1, 7):
            moment = datetime(year, month, 15, tzinfo=ZoneInfo(zone))
            name, offset = moment.tzname(), moment.utcoffset()
            if name and name.isalpha() and offset is not None:
                found[name.lower()].setdefault(offset, []).append(zone)
    return dict(found)


def read_abbreviation(word: str, at: datetime | None) -> Zone | None:
    """The offset that letters stand for; None where they stand for none.

    Args:
        word: Letters, in either case.
        at: The moment for which they are looked up; default: now.

    Raises:
        InputError: They stand for several, and none of them is the usual one.
    """
    moment = at or datetime.now(UTC)
    short = word.lower()
    offsets = _abbreviations(moment.year).get(short, {})
    known = [
        (_long_name(zones[0], offset, moment.year), offset) for offset, zones in offsets.items()
    ]
    known += [(name, timedelta(hours=hours)) for name, hours in _ELSEWHERE.get(short, ())]
    if not known:
        return None
    hours = _FIRST_MEANT.get(short)
    first = timedelta(hours=hours) if hours is not None else known[0][1]
    listed = [f"{name} ({offset_text(offset)})" for name, offset in known if offset != first]
    if hours is None and (len(offsets) > 1 or (not offsets and listed)):
        choices = ", ".join(f"{name} ({offset_text(offset)})" for name, offset in known)
        place = next((f"{zones[0]} or " for zones in offsets.values()), "")
        raise InputError(
            f"{word!r} stands for several time zones: {choices}.",
            hint=f"Name a place or an offset, such as {place}{offset_text(first)}.",
        )
    name = next((name for name, offset in known if offset == first), word.upper())
    notes = [f"{word.upper()} is read as {name}, {offset_text(first)} all year"]
    if listed:
        notes.append(f"it can also mean {', '.join(listed)}")
    if changed := _changed(offsets.get(first, ()), first, moment):
        notes.append(changed)
    return Zone(timezone(first, word.upper()), "; ".join(notes))


def _long_name(zone: str, offset: timedelta, year: int) -> str:
    """`Central Standard Time`, by CLDR."""
    from babel.dates import get_timezone_name

    moments = (datetime(year, month, 15, tzinfo=ZoneInfo(zone)) for month in (1, 7))
    return get_timezone_name(
        next(moment for moment in moments if moment.utcoffset() == offset), "long", locale="en"
    )


def _changed(zones: Iterable[str], offset: timedelta, moment: datetime) -> str:
    """Says so where places that use an abbreviation have another time at that moment."""
    for zone in zones:
        there = moment.astimezone(ZoneInfo(zone))
        if there.utcoffset() not in (None, offset):
            now = offset_text(there.utcoffset() or offset)
            return f"in {zone}, {there.tzname()} holds at that time ({now})"
    return ""


def offset_text(offset: timedelta) -> str:
    """An offset from UTC for people, such as `UTC+05:30`."""
    minutes = int(offset.total_seconds()) // 60
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
