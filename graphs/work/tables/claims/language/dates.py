"""Dates and periods: how the cells of a result name them, and how sentences do."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from allotrope.graphs.work.spelled import MONTHS

_QUARTERS = ("first 1st erste ersten erstes", "second 2nd zweite zweiten zweites",
             "third 3rd dritte dritten drittes", "fourth 4th vierte vierten viertes")  # fmt: skip
_ISO = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?(?:[T ](\d\d):(\d\d).*)?")
_QUARTER = re.compile(r"(?:(\d{4})[- ]?)?q([1-4])(?:[- ]?(\d{4}))?", re.IGNORECASE)
_NAME = "|".join(sorted(MONTHS, key=len, reverse=True))
_WRITTEN = re.compile(
    r"(?<![\w.])(?:(?P<y1>\d{4})-(?P<m1>\d\d)(?:-(?P<d1>\d\d))?(?![\d-])"
    r"|(?P<d2>\d{1,2})\.(?P<m2>\d{1,2})\.(?P<y2>\d{4})(?!\d)"
    rf"|(?P<d3>\d{{1,2}})(?:st|nd|rd|th|\.)? (?:of )?(?P<n3>{_NAME})\b\.?(?:,? (?P<y3>\d{{4}}))?"
    rf"|(?P<n4>{_NAME})\.? (?P<d4>\d{{1,2}})(?:st|nd|rd|th)?(?![\d.,]*\d)(?:,? (?P<y4>\d{{4}}))?"
    rf"|(?P<n5>{_NAME})\b\.?(?: (?P<y5>\d{{4}}))?"
    r"|(?:(?P<y6>\d{4})[- ]?)?q(?P<q6>[1-4])(?:[- ](?P<y7>\d{4}))?(?!\w)"
    r"|(?P<w8>first|second|third|fourth|1st|2nd|3rd|4th|erste[ns]?|zweite[ns]?|dritte[ns]?"
    r"|vierte[ns]?) (?:quarter|quartal)(?: (?:of )?(?P<y8>\d{4}))?"
    r"|(?P<y9>(?:19|20)\d\d)(?![\d.,]*\d|\s?%))",
    re.IGNORECASE,
)

_ELLIPTIC = re.compile(
    r"\b(?:im|in|vom|zum|the|auf)(?: the)? (first|second|third|fourth|ersten?|zweiten?|dritten?"
    r"|vierten?)\b(?! (?:quarter|quartal|half))",
    re.IGNORECASE,
)
"""`im dritten`, where the sentence speaks of quarters."""
_THE_DAY = re.compile(
    r"\b(?:the|on|from|to|der|am|vom|zum) "
    r"(?:(\d{1,2})(?:st|nd|rd|th)\b|(\d{1,2})\.(?= [a-zäöü]|,|$))"
    r"(?! (?:percentile|place|quarter|rank|of|most|largest|best|time))"
)
"""`on the 4th`, of a month that is known."""


@dataclass(frozen=True)
class Period:
    """A day, month, quarter or year.

    Args:
        year: The year, or None where it isn't said.
        month: The month, or None.
        day: The day, or None.
        quarter: The quarter, or None.
    """

    year: int | None = None
    month: int | None = None
    day: int | None = None
    quarter: int | None = None

    @property
    def key(self) -> tuple[int, int, int, int]:
        """By which periods are put in order."""
        return self.year or 0, self.quarter or 0, self.month or 0, self.day or 0

    @property
    def forms(self) -> set[str]:
        """The period as results may hold it, in lower case."""
        found = set()
        if self.year and self.month and self.day:
            found.add(f"{self.year}-{self.month:02}-{self.day:02}")
        elif self.year and self.month:
            found.add(f"{self.year}-{self.month:02}")
        return found

    def within(self, other: "Period") -> bool:
        """Whether this period, of a row, is or lies in another one, of a sentence."""
        quarter = self.quarter or (self.month and (self.month - 1) // 3 + 1)
        return (
            (other.year is None or self.year in (None, other.year))
            and (other.month is None or self.month == other.month)
            and (other.day is None or self.day in (None, other.day))
            and (other.quarter is None or quarter == other.quarter)
        )


@dataclass(frozen=True)
class Written:
    """A period in a sentence, and where it stands."""

    period: Period
    start: int
    end: int


def periods_of(name: str, cells: Sequence[Any]) -> dict[int, Period]:
    """The period of each row, where a column holds periods; else nothing.

    Args:
        name: The column's name, which says what bare numbers are.
        cells: Its cells.
    """
    low = name.lower()
    found: dict[int, Period] = {}
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        period = _of_cell(str(cell).strip().lower(), low)
        if period is None:
            return {}
        found[row] = period
    days = {period.day for period in found.values()}
    if days == {1} and len(found) > 1:  # a month, written as its first day
        return {row: Period(p.year, p.month) for row, p in found.items()}
    return found


def _of_cell(text: str, column: str) -> Period | None:
    if match := _ISO.fullmatch(text):
        return Period(int(match[1]), int(match[2]), int(match[3]) if match[3] else None)
    if match := _QUARTER.fullmatch(text):
        year = match[1] or match[3]
        return Period(int(year) if year else None, quarter=int(match[2]))
    if text in MONTHS:
        return Period(month=MONTHS[text])
    name, _, year = text.partition(" ")
    if name in MONTHS and re.fullmatch(r"\d{4}", year):
        return Period(int(year), MONTHS[name])
    number = int(text) if re.fullmatch(r"\d{1,4}", text) else None
    if number is not None:
        if ("month" in column or "monat" in column) and 1 <= number <= 12:
            return Period(month=number)
        if ("quarter" in column or "quartal" in column) and 1 <= number <= 4:
            return Period(quarter=number)
        if ("year" in column or "jahr" in column) and 1000 <= number < 3000:
            return Period(number)
    return None


def written_in(text: str) -> list[Written]:
    """The periods that a sentence names.

    Args:
        text: A sentence of limited length.
    """
    found = []
    for match in _WRITTEN.finditer(text):
        part = {key: value for key, value in match.groupdict().items() if value}
        if match.group().lower() in ("may", "mar", "sept") and not match.group()[0].isupper():
            continue
        year = next((int(part[k]) for k in part if k[0] == "y"), None)
        day = next((int(part[k]) for k in part if k[0] == "d"), None)
        month = next((int(part[k]) for k in part if k[0] == "m"), None)
        month = next((MONTHS[part[k].lower()] for k in part if k[0] == "n"), month)
        quarter = int(part["q6"]) if "q6" in part else None
        if "w8" in part:
            quarter = 1 + next(
                at for at, names in enumerate(_QUARTERS) if part["w8"].lower() in names.split()
            )
        found.append(Written(Period(year, month, day, quarter), match.start(), match.end()))
    for match in _THE_DAY.finditer(text):
        day = int(match[1] or match[2])
        if 1 <= day <= 31 and not any(one.start <= match.start(0) < one.end for one in found):
            found.append(Written(Period(day=day), match.start(1 if match[1] else 2), match.end()))
    if "quart" in text.lower():
        for match in _ELLIPTIC.finditer(text):
            quarter = 1 + next(
                at for at, names in enumerate(_QUARTERS) if match[1].lower() in names.split()
            )
            found.append(Written(Period(quarter=quarter), match.start(1), match.end(1)))
    return sorted(found, key=lambda one: one.start)


def rows_within(
    periods: Mapping[int, Period], period: Period, *, since: int | None = None
) -> frozenset[int]:
    """The rows of a column of periods that a sentence's period means.

    Args:
        periods: The periods of the rows.
        period: The period as written.
        since: The first day of `4–6 May`; the period has the last.
    """
    days = range(since or 0, (period.day or 0) + 1)
    spans = [replace(period, day=day) for day in days] if since and period.day else [period]
    return frozenset(row for row, one in periods.items() if any(one.within(span) for span in spans))
