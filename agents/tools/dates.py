"""Dates and times of day as people write them; what has two readings is refused with both."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from allotrope.exceptions import InputError
from allotrope.graphs.work.spelled import GERMAN_ONES, MONTH_NAMES, MONTHS, ONES

LONGEST = 80
"""Characters of a date."""
_MONTHS = {**MONTHS, "maerz": 3}
_HINT = "Write it as year-month-day, such as 2026-12-24."
_TIME = re.compile(
    r"(?:\bat |\bum )?\b(?:(\d{1,2})(?::(\d\d))(?::(\d\d))?\s?([ap])?\.?(?:m\b\.?)?(?:\s?uhr\b)?"
    r"|(\d{1,2})(?::(\d\d))?\s?([ap])\.?m\b\.?|(\d{1,2})\s?(?:uhr|h)\b|(noon|midday|midnight))",
    re.IGNORECASE,
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAY = re.compile(
    r"(?:(this|next|last|on) )?"
    r"((?:mon|tues|wednes|thurs|fri|satur|sun)day|mon|tues?|wed|thur?s?|fri|sat|sun)\.?(?:,?\s+|$)"
)
_OFFSET = re.compile(r"(?<=[\d:]\d)\s?(?:(z)|([+-])(\d\d):?(\d\d))$", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{4})(\d\d)(\d\d)")
_POINTS = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})")
_SLASHES = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)?\s?(?:of )?([a-zäöü]{3,9})\.?,?\s?(\d{4})")
_MONTH_FIRST = re.compile(r"([a-zäöü]{3,9})\.?\s?(\d{1,2})(?:st|nd|rd|th)?,?\s(\d{4})")
_NEAR = {"today": 0, "now": 0, "heute": 0, "tomorrow": 1, "morgen": 1, "yesterday": -1}
_NEAR |= {"gestern": -1, "day after tomorrow": 2, "day before yesterday": -2, "übermorgen": 2}
_COUNTED = re.compile(r"in .+|.+ (?:ago|from now|from today)")
_NO_YEAR = re.compile(
    r"(\d{1,2})(?:st|nd|rd|th|\.)?\s?(?:of )?([a-zäöü]{3,9})"
    r"|([a-zäöü]{3,9})\.?\s?(\d{1,2})(?:st|nd|rd|th)?"
)
_SHORT_YEAR = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d\d)")
_AMOUNT = re.compile(
    r"([+-]?\s?\d{1,6})\s*(business days?|working days?|work ?days?|weekdays?|arbeitstage?"
    r"|werktage?|days?|weeks?|fortnights?|months?|quarters?|years?|tage?|wochen?|monate?|jahre?n?|[dwmy])\b"
)
_NUMBERS = {word: number for number, word in enumerate(ONES)} | {"a": 1, "an": 1, "ein": 1}
_NUMBERS |= {word: number for number, word in enumerate(GERMAN_ONES)} | {"eine": 1, "einem": 1}
_NUMBER_WORD = re.compile(rf"\b({'|'.join(_NUMBERS)})(?= [a-z])")
LAST_YEAR = 9000


@dataclass(frozen=True)
class Moment:
    """A date, and a time of day where one was given.

    Args:
        day: The date.
        at: The time of day.
        offset: Its distance from UTC, where the text names one (`+01:00`, `Z`).
    """

    day: date
    at: time | None = None
    offset: timedelta | None = None

    @property
    def whole(self) -> datetime:
        """Date and time, without a zone."""
        return datetime.combine(self.day, self.at or time())


def read_moment(text: str, *, today: date) -> Moment:
    """The date, or date and time, that a text names.

    Args:
        text: `2026-12-24`, `24 December 2026`, `Dec 24, 2026 6:15 pm`, `24.12.2026`, `today`, `3pm`
            (today), `noon`, `in 2 weeks`, `2026-12-24T15:00+01:00`.
        today: The day from which `today` and a time alone are counted.

    Raises:
        InputError: It isn't a date, doesn't exist, or has two readings (`03/04/2026`, `next
            Friday`).
    """
    written = " ".join(text.replace("\u00a0", " ").split())
    if not written or len(written) > LONGEST:
        raise InputError("The date is empty or too long.", hint=_HINT)
    rest = re.sub(r"(?<=\d)t(?=\d)", " ", written.lower())
    rest = re.sub(r"(:\d\d)\.\d{1,9}", r"\1", rest)  # parts of a second
    at = offset = None
    if ":" in rest and (found := _OFFSET.search(rest)):
        minutes = int(found[3] or 0) * 60 + int(found[4] or 0)
        offset = timedelta(minutes=-minutes if found[2] == "-" else minutes)
        rest = rest[: found.start()]
    if found := _TIME.search(rest):
        at = _time_of(found, written)
        rest = f"{rest[: found.start()]} {rest[found.end() :]}"
    rest = " ".join(rest.split()).strip(" ,").removeprefix("the ")
    if not rest and at is not None:
        return Moment(today, at, offset)
    return Moment(_day_of(rest, written, today), at, offset)


def _day_of(rest: str, written: str, today: date) -> date:
    if rest in _NEAR:
        return today + timedelta(days=_NEAR[rest])
    if _COUNTED.fullmatch(rest):
        return add(today, rest.removesuffix(" from today"))[0]
    named = _WEEKDAY.match(rest)
    if named is None:
        return _date_of(rest, written, today)
    number = next(n for n, name in enumerate(_WEEKDAYS) if name.startswith(named[2][:3]))
    if named.end() == len(rest):
        days = (number - today.weekday() - 1) % 7 + 1
        step = -7 if named[1] == "last" else 7
        first = today + timedelta(days=days if step > 0 else days - 7 or -7)
        raise InputError(
            f"{written!r} can mean more than one day.",
            hint=f"Write {first} or {first + timedelta(days=step)}.",
        )
    found = _date_of(rest[named.end() :], written, today)
    if found.weekday() != number:
        raise InputError(
            f"{found} is a {weekday(found)}, not a {_WEEKDAYS[number].title()} as in {written!r}.",
            hint="Check the date, and leave the weekday out.",
        )
    return found


def _time_of(found: "re.Match[str]", written: str) -> time:
    if found[9]:
        return time(0) if found[9].lower() == "midnight" else time(12)
    hour = int(found[1] or found[5] or found[8])
    minute, second = int(found[2] or found[6] or 0), int(found[3] or 0)
    half = (found[4] or found[7] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise InputError(f"{written!r} has no time of day.", hint="Such as 3 pm or 15:00.")
        hour = hour % 12 + (12 if half == "p" else 0)
    try:
        return time(hour, minute, second)
    except ValueError as exc:
        raise InputError(f"{written!r} has no time of day.", hint="Such as 3 pm or 15:00.") from exc


def _date_of(rest: str, written: str, today: date) -> date:
    if found := _ISO.fullmatch(rest):
        parts = [int(part) for part in found.groups() if part]
        return _day(parts[0], parts[1], parts[2], written)
    if found := _POINTS.fullmatch(rest):
        return _day(int(found[3]), int(found[2]), int(found[1]), written)
    if (found := _DAY_FIRST.fullmatch(rest)) and (month := _MONTHS.get(found[2])):
        return _day(int(found[3]), month, int(found[1]), written)
    if (found := _MONTH_FIRST.fullmatch(rest)) and (month := _MONTHS.get(found[1])):
        return _day(int(found[3]), month, int(found[2]), written)
    if found := _SLASHES.fullmatch(rest):
        first, second, year = int(found[1]), int(found[2]), int(found[3])
        if first <= 12 and second <= 12 and first != second:
            raise InputError(
                f"{written!r} has two readings.",
                hint=f"Write {year}-{first:02}-{second:02} or {year}-{second:02}-{first:02}.",
            )
        month, day = (first, second) if first <= 12 else (second, first)
        return _day(year, month, day, written)
    raise InputError(f"{written!r} is no date that can be read.", hint=_hint(rest, today))


def _hint(rest: str, today: date) -> str:
    """What a date without a whole year can be, or how to write one."""
    if found := _SHORT_YEAR.fullmatch(rest):
        return f"Write it with all of the year, such as 20{found[3]}-{found[2]:>02}-{found[1]:>02}."
    if found := _NO_YEAR.fullmatch(rest):
        month = _MONTHS.get(found[2] or found[3])
        day = int(found[1] or found[4])
        if month and 1 <= day <= calendar.monthrange(today.year, month)[1]:
            years = (today.year, today.year + 1)
            return "Add the year: " + " or ".join(f"{y}-{month:02}-{day:02}" for y in years) + "."
    return _HINT


def _day(year: int, month: int, day: int, written: str) -> date:
    if not 1 <= year <= LAST_YEAR or not 1 <= month <= 12:
        raise InputError(f"{written!r} is no date of the calendar.", hint=_HINT)
    last = calendar.monthrange(year, month)[1]
    if not 1 <= day <= last:
        raise InputError(
            f"{written!r} doesn't exist: {MONTH_NAMES[month - 1].title()} {year} has {last} days.",
            hint=_HINT,
        )
    return date(year, month, day)


def counted(number: int, what: str) -> str:
    """A number and what is counted: `1 day`, `2 days`."""
    return f"{number} {what}" if abs(number) == 1 else f"{number} {what}s"


def weekday(day: date) -> str:
    """The English name of a day of the week."""
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    return names[day.weekday()]


def difference(start: Moment, end: Moment) -> str:
    """How far two dates are apart, as one line.

    Args:
        start: From when.
        end: Until when; before `start`, the days are negative.

    Raises:
        InputError: One has an offset from UTC and the other has none.
    """
    if (start.offset is None) != (end.offset is None):
        raise InputError(
            "Only one of the two times has an offset from UTC.",
            hint="Give both one, such as 2026-12-24T15:00+01:00, or neither.",
        )
    days = (end.day - start.day).days
    names = f"From {weekday(start.day)}, {start.day} to {weekday(end.day)}, {end.day}"
    line = f"{names}: {counted(days, 'day')}"
    if days == 0:
        line = f"{names}: 0 days, the same day"
    else:
        parts = [f"not counting the first day; {abs(days) + 1} counting both"]
        if abs(days) >= 7:
            weeks, left = divmod(abs(days), 7)
            parts.append(f"{counted(weeks, 'week')} and {counted(left, 'day')}")
        early, late = sorted((start.day, end.day))
        years, months, rest = _calendar(early, late)
        if years or months:
            parts.append(
                f"{counted(years, 'year')}, {counted(months, 'month')} and {counted(rest, 'day')} "
                "by the calendar"
            )
        working = counted(_working(early, late), "working day")
        parts.append(f"{working} (Monday to Friday, holidays not known)")
        line += f" ({'; '.join(parts)})"
    if start.at is not None or end.at is not None:
        seconds = int((end.whole - start.whole).total_seconds())
        if start.offset is not None and end.offset is not None:
            seconds += int((start.offset - end.offset).total_seconds())
        hours, left = divmod(abs(seconds), 3600)
        sign = "-" if seconds < 0 else ""
        minutes = counted(left // 60, "minute")
        line += f". With the times of day: {sign}{counted(hours, 'hour')} {minutes}"
        line += f" {counted(left % 60, 'second')}" if left % 60 else ""
        if start.offset is None:
            line += ", if both are in one time zone without a change of clocks between them"
    return line


def _calendar(early: date, late: date) -> tuple[int, int, int]:
    months = (late.year - early.year) * 12 + late.month - early.month
    if add_months(early, months) > late:
        months -= 1
    return (*divmod(months, 12), (late - add_months(early, months)).days)


def _working(early: date, late: date) -> int:
    """Days from Monday to Friday after the first day, up to the last one."""
    weeks, rest = divmod((late - early).days, 7)
    tail = (early + timedelta(days=weeks * 7 + number) for number in range(1, rest + 1))
    return weeks * 5 + sum(day.weekday() < 5 for day in tail)


def add_months(day: date, months: int) -> date:
    """The same day months later, or the last day of a month that is too short for it."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year <= LAST_YEAR:
        raise InputError("The date would lie outside the years 1 to 9000.")
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def add(start: date, amount: str) -> tuple[date, list[str]]:
    """A date some time before or after another one.

    Args:
        start: The date.
        amount: `90 days`, `-2 weeks`, `3 months and 2 days`, `10 business days`, `5 days ago`.

    Returns:
        The date, and what should be known about it.

    Raises:
        InputError: The amount can't be read, or leads out of the calendar.
    """
    text = " ".join(amount.lower().split()) if len(amount) <= LONGEST else ""
    back = text.endswith((" ago", " before", " earlier")) or text.startswith("minus ")
    core = re.sub(r"\s(?:ago|before|earlier|later|from now|after)$|^(?:minus|plus|in) ", "", text)
    core = _NUMBER_WORD.sub(lambda found: str(_NUMBERS[found[1]]), core)
    parts = [(number.replace(" ", ""), unit) for number, unit in _AMOUNT.findall(core)]
    if found := re.search(r"(\d+)\s*m\b", core):
        raise InputError(
            f"{amount[:80]!r} has two readings.",
            hint=f"Write {found[1]} months; minutes are added with convert_time or by hand.",
        )
    left = re.sub(r"\band\b|\bund\b|[,\s+]", "", _AMOUNT.sub("", core))
    if not parts or left:
        raise InputError(
            f"{amount[:80]!r} is no length of time.",
            hint="Write such as 90 days, -2 weeks, 3 months or 10 business days.",
        )
    sign = -1 if back or text.startswith("-") else 1
    signed = len(parts) > 1 and any(number[0] in "+-" for number, _ in parts[1:])
    day, notes = start, []
    try:
        for number, unit in parts:
            count = int(number) if signed and not back else sign * abs(int(number))
            day, note = _stepped(day, count, unit)
            notes += note
    except (OverflowError, ValueError) as exc:
        raise InputError(
            "The date would lie outside the calendar.", hint="Its years are 1 to 9000."
        ) from exc
    return day, notes


def _stepped(day: date, count: int, unit: str) -> tuple[date, list[str]]:
    if unit.startswith(("business", "work", "weekday", "arbeit", "werk")):
        return _workdays(day, count), ["counting Monday to Friday; holidays aren't known"]
    if unit[0] in "mqyj":
        months = count * {"m": 1, "q": 3, "y": 12, "j": 12}[unit[0]]
        found = add_months(day, months)
        clipped = found.day != day.day
        return found, [f"{found:%B %Y} has {found.day} days"] if clipped else []
    each = {"w": 7, "f": 14}.get(unit[0], 1)
    return day + timedelta(days=count * each), []


def _workdays(day: date, count: int) -> date:
    step = 1 if count > 0 else -1
    weeks, rest = divmod(abs(count), 5)
    while rest or weeks:
        if weeks and day.weekday() < 5:
            day, weeks = day + timedelta(days=7 * weeks * step), 0
            continue
        day += timedelta(days=step)
        if day.weekday() < 5:
            if rest:
                rest -= 1
            else:  # from a weekend, the first step of a week of five
                weeks, rest = weeks - 1, 4
    return day
