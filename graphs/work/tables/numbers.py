"""Checking that every number in an answer stands in a query result.

A number may be rounded as far as it is written (`12.3` for 12.345), be a per cent of a share, use
thousands separators in any usual style, or a magnitude (`1.2 million`). Numbers of the question are
fine, as are digits inside text cells (`Q3`, `2024-05-01`). Nothing is computed: a sum or difference
that no query gave isn't accepted.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

_SPACES = "\u00a0\u202f\u2009"
_TOKEN = re.compile(
    r"(?<![\w.,])([-−–+]?)\s?(?:[$€£¥]\s?)?"
    rf"(\d{{1,3}}(?:[,.'’{_SPACES} ]\d{{3}})+(?:[.,]\d+)?(?!\d)"
    r"|\d+(?:[.,]\d+)?(?:[eE][-+]?\d{1,3})?)"
    r"(?:\s?(%|per ?cent\b|Prozent\b|thousand\b|million\b|billion\b|trillion\b|Mio\b|Mrd\b"
    r"|Tausend\b|Millionen\b|Milliarden\b|[kKM]\b|bn\b))?",
)
_POWERS = {
    **dict.fromkeys(("k", "thousand", "tausend"), 3),
    **dict.fromkeys(("m", "million", "mio", "millionen"), 6),
    **dict.fromkeys(("billion", "bn", "mrd", "milliarden"), 9),
    "trillion": 12,
}
_PERCENT = ("%", "per cent", "percent", "prozent")
_ABOUT = re.compile(
    r"(?:about|around|roughly|approximately|approx\.?|nearly|almost|over|under|more than|less than"
    r"|some|~|≈|circa|ca\.|rund|etwa|fast|knapp|über)\s*[$€£¥]?$",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"^[ \t>]*\d{1,3}[.)](?=\s)", re.MULTILINE)
_CODE = re.compile(r"```.*?```", re.DOTALL)
_DATE = re.compile(r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\d)")
_LONGEST = 60
"""Characters that a number may have; longer ones are never supported."""
_MOST = 2_000
"""So many numbers may be unsupported; those that follow aren't looked for."""
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Number:
    """A number as an answer has it.

    Args:
        text: As written.
        readings: What it can mean; `1,234` is 1234 or 1.234.
        percent: Whether a per cent sign follows.
        about: Whether the words before it say that it is rounded.
    """

    text: str
    readings: tuple[Decimal, ...]
    percent: bool = False
    about: bool = False


def numbers_in(text: str) -> list[Number]:
    """The numbers of a text, in order; list marks (`1.`) and code blocks aren't numbers of it.

    Args:
        text: An answer.
    """
    plain = _LIST_MARK.sub("", _CODE.sub("", text))
    plain = _DATE.sub(r"\1-\2-\3", plain)
    found = []
    for match in _TOKEN.finditer(plain):
        sign, digits, unit = match[1], match[2], (match[3] or "").lower()
        after = plain[match.end() : match.end() + 1]
        if not match[3] and after.isalpha() and plain[match.end(2) : match.end(2) + 1] == after:
            continue  # part of a name: 3D, 2nd
        negative = sign in "-−" and sign != ""
        # scaleb keeps how far it is written: 1.2 million is known to 100,000
        readings = [value.scaleb(_POWERS.get(unit, 0)) for value in _readings(digits)]
        found.append(
            Number(
                match.group().strip(),
                tuple(-value if negative else value for value in readings),
                percent=unit in _PERCENT,
                about=_ABOUT.search(plain[max(0, match.start() - 40) : match.start()].rstrip())
                is not None,
            )
        )
    return found


def _readings(digits: str) -> list[Decimal]:
    """Each way to read digits with separators; the exponent keeps how far it is written."""
    if len(digits) > _LONGEST:
        return []  # nothing that people write, and slow to compare
    text = re.sub(rf"['’{_SPACES} ]", "", digits)
    ways = set()
    if "," in text and "." in text:
        thousands = "," if text.rindex(".") > text.rindex(",") else "."
        ways.add(text.replace(thousands, "").replace(",", "."))
    elif "," in text or "." in text:
        mark = "," if "," in text else "."
        groups = text.split(mark)
        if all(len(group) == 3 for group in groups[1:]) and len(groups[0]) <= 3:
            ways.add("".join(groups))
        if len(groups) == 2:
            ways.add(".".join(groups))
    else:
        ways.add(text)
    readings = []
    for way in sorted(ways):
        try:
            readings.append(Decimal(way))
        except InvalidOperation:
            continue
    return readings


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _is_rounding(written: Decimal, value: Decimal, *, about: bool) -> bool:
    """Whether a written number is a value, rounded as far as it is written."""
    if written == value:
        return True
    step = _places(written)
    ways = [ROUND_HALF_UP, ROUND_HALF_EVEN]
    if about:
        whole = str(abs(int(written)))
        step = max(step, len(whole) - len(whole.rstrip("0")) if step <= 0 else step)
        ways.append(ROUND_DOWN)  # "over 1,234,000"
    unit = Decimal(1).scaleb(step)
    try:
        return any(
            (value / unit).quantize(Decimal(1), rounding=way) * unit == written for way in ways
        )
    except InvalidOperation:
        return False


def _matches(number: Number, value: Decimal) -> bool:
    for written in number.readings:
        for sign in (1, -1):  # "fell by 5" for -5
            candidate = value * sign
            if _is_rounding(written, candidate, about=number.about):
                return True
            if number.percent and _is_rounding(written, candidate * 100, about=number.about):
                return True
    return False


def values_of(results: Iterable[tuple[Sequence[str], Sequence[Sequence[Any]]]]) -> set[Decimal]:
    """Every number that results hold: cells, digits within text cells and names, number of rows.

    Args:
        results: Pairs of column names and rows.
    """
    values: set[Decimal] = set()
    for columns, rows in results:
        if columns:
            values.add(Decimal(len(rows)))
        for column in columns:
            values.update(_digits(column))
        for row in rows:
            for cell in row:
                if isinstance(cell, bool) or cell is None:
                    continue
                if isinstance(cell, int | float):
                    values.add(Decimal(str(cell)))
                    continue
                text = str(cell)
                try:
                    values.add(Decimal(text if len(text) <= _LONGEST else ""))
                except InvalidOperation:
                    values.update(_digits(text))
    return {value for value in values if value.is_finite() and abs(value.adjusted()) <= 300}


def _digits(text: str) -> set[Decimal]:
    found: set[Decimal] = set()
    for match in _DIGITS.findall(text):
        found.update(_readings(match))
        for part in re.split(r"[.,]", match):
            if len(part) <= _LONGEST:
                found.add(Decimal(part))
    return found


def unsupported(
    answer: str,
    results: Sequence[tuple[Sequence[str], Sequence[Sequence[Any]]]],
    *,
    question: str = "",
) -> list[str]:
    """The numbers of an answer that stand in no result.

    Args:
        answer: What a model wrote.
        results: Pairs of column names and rows.
        question: The user's question; its numbers are fine.

    Returns:
        Them as written, without repeats; empty when all hold.
    """
    values = values_of(results)
    asked = {reading for number in numbers_in(question) for reading in number.readings}
    asked |= _digits(question)
    missing: list[str] = []
    for number in dict.fromkeys(numbers_in(answer)):
        if any(abs(reading) in asked for reading in number.readings):
            continue
        if len(missing) >= _MOST or not any(_matches(number, value) for value in values):
            missing.append(number.text)
    return list(dict.fromkeys(missing))
