"""The days that a question speaks of: "in July 2022", "on 9 November", "August 11"."""

import re
from calendar import month_name
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")

_MONTHS = {name.casefold(): number for number, name in enumerate(month_name) if number}
_MONTH = "|".join(_MONTHS)
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})\b")
_MONTH_FIRST = re.compile(rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?\b(?!\d)")
_MONTH_ALONE = re.compile(rf"\b({_MONTH})\b")
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b")
_ISO = re.compile(r"\b((?:19|20)\d\d)-(\d\d)-(\d\d)\b")
_WHEN = re.compile(r"^\W*(?:when|how long|how often|what (?:date|day|year|month|time))\b")
_TIME_WORDS = re.compile(
    r"\b(?:yesterday|today|tomorrow|tonight|last|next|ago|since|weeks?|weekend|months?|years?|days?"
    rf"|morning|recently|(?:mon|tues|wednes|thurs|fri|satur|sun)day|{_MONTH}|\d+)\b"
)
_TOLD_LATER_DAYS = 12
"""People tell of a day up to this long after it."""
_MOST = 50
"""Years, days and months of a text that are combined with each other."""
_BESIDE = 40
"""Characters before and after a word in which the words beside it are looked for."""


@dataclass(frozen=True)
class DaySpan:
    """Days within which a message that tells of the date was probably written."""

    first: date
    last: date


def asks_when(text: str) -> bool:
    """Whether a question asks for a time."""
    return bool(_WHEN.match(text.casefold()))


def speaks_of_time(text: str) -> bool:
    """Whether a text mentions a time: a weekday, "last week", a number."""
    return bool(_TIME_WORDS.search(text.casefold()))


def spans(text: str, *, years: Sequence[int]) -> list[DaySpan]:
    """When messages were probably written that tell of the dates in a text.

    Args:
        text: A question.
        years: Years that the conversation touches, used when the text names none.
    """
    text = text.casefold().replace(",", "")
    found: list[DaySpan] = []
    for match in islice(_ISO.finditer(text), _MOST):
        found += _span(int(match[1]), int(match[2]), int(match[3]))
    text = _ISO.sub(" ", text)
    named = _first(int(match[1]) for match in _YEAR.finditer(text)) or list(years)
    days = _first(
        chain(
            ((_MONTHS[m[2]], int(m[1])) for m in _DAY_FIRST.finditer(text)),
            ((_MONTHS[m[1]], int(m[2])) for m in _MONTH_FIRST.finditer(text)),
        )
    )
    with_day = {month for month, _ in days}
    alone = _first(
        _MONTHS[match[1]]
        for match in _MONTH_ALONE.finditer(text)
        if match[1] not in ("may", "march") or _means_month(text, match)
    )
    told = [*days, *((month, None) for month in alone if month not in with_day)]
    for month, day in told[:_MOST]:
        for year in named:
            found += _span(year, month, day)
    return found


def _first(values: Iterable[T]) -> list[T]:
    """The first different ones; a text may name a million."""
    return list(dict.fromkeys(islice(values, 20 * _MOST)))[:_MOST]


def _means_month(text: str, match: re.Match[str]) -> bool:
    """May and March are also words: they count after in, of, since, by … or before a year."""
    before = text[max(0, match.start() - _BESIDE) : match.start()].split()[-1:]
    after = text[match.end() : match.end() + _BESIDE].split()[:1]
    prepositions = ("in", "of", "since", "until", "during", "by", "last", "early", "late", "on")
    return bool(before and before[0] in prepositions) or bool(after and _YEAR.match(after[0]))


def _span(year: int, month: int, day: int | None) -> list[DaySpan]:
    try:
        first = date(year, month, day or 1)
    except ValueError:  # 31 February
        return []
    length = _TOLD_LATER_DAYS if day else 31 + 9
    return [DaySpan(first, first + timedelta(days=length))]
