"""The figures of a text: numbers with magnitude and unit, dates, and what follows from them.

A figure is supported when the source has it as written, rounded as far as it is written, in another
unit of the same kind, or as a simple derivation that the words around it announce: a share, a
growth, a difference, a total, a multiple.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from allotrope.graphs.work.spelled import (
    GERMAN_MONTH_NAMES,
    GERMAN_ONES,
    MONTH_NAMES,
    ONES,
    TENS,
    words,
)
from allotrope.support.remembered import remembered

_MONTH = {
    name: n for names in (MONTH_NAMES, GERMAN_MONTH_NAMES) for n, name in enumerate(names, 1)
} | {name[:3]: n for n, name in enumerate(MONTH_NAMES, 1) if name != "may"}
for _line in (
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
):
    _MONTH.update({name: n for n, name in enumerate(words(_line), 1)})
_ALONE = [
    name
    for name in (*MONTH_NAMES, *GERMAN_MONTH_NAMES[:3], *GERMAN_MONTH_NAMES[4:])
    if name != "may"
]
"""Months that a text may name without a day or a year; `may` is a verb."""
_MONTH_WORD = "|".join(sorted(_MONTH, key=len, reverse=True))
_DATE = re.compile(
    rf"\b(?P<d1>\d{{1,2}})(?:st|nd|rd|th"
    rf"|\.)?\s+(?:(?:of|de)\s+)?(?P<m1>{_MONTH_WORD})\b\.?,?(?:\s+(?:de\s+)?(?P<y1>\d{{4}}))?"
    rf"|\b(?P<m2>{_MONTH_WORD})\.?\s+(?P<d2>\d{{1,2}})(?:st|nd|rd"
    rf"|th)?\b(?!\d)(?:,?\s+(?P<y2>\d{{4}}))?"
    rf"|\b(?P<m3>{_MONTH_WORD})\.?,?\s+(?P<y3>\d{{4}})\b"
    r"|\b(?P<y4>\d{4})-(?P<m4>\d{2})(?:-(?P<d4>\d{2}))?\b"
    rf"|\b(?P<m5>{'|'.join(_ALONE)})\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<cur>[$€£¥]\s?)?(?P<digits>\d{1,3}(?:[,.'’\u00a0\u202f]\d{3})+(?:[.,]\d+)?(?!\d)"
    r"|\d+(?:[.,]\d+)?)(?![\d])",
)
_VERSION = re.compile(r"(?<![\w.])\d{1,4}(?:\.\d{1,4}){2,5}(?![\d,])")
_MAGNITUDE = re.compile(
    r"[\s-]?(?P<m>thousand|million|billion|trillion|Tausend|Millionen|Milliarden|Mio\.?"
    r"|Mrd\.?|millones|millions|milliards?|bn|mn|m"
    r"|k|tn)\b(?!/)",
    re.IGNORECASE,
)
_POWERS = {
    "thousand": 3, "tausend": 3, "k": 3, "million": 6, "millionen": 6, "mio": 6, "mn": 6, "m": 6,
    "millones": 6, "millions": 6, "milliard": 9, "milliards": 9,
    "billion": 9, "milliarden": 9, "mrd": 9, "bn": 9, "trillion": 12, "tn": 12,
}  # fmt: skip
_UNITS: dict[str, tuple[str, str]] = {}
for _kind, _names in {
    "%": {"1": "% percent prozent"},
    "point": {"1": "percentage-points prozentpunkt prozentpunkte prozentpunkten"},
    "time": {
        "1": "second seconds sec s sekunden", "60": "minute minutes min minuten minutos",
        "3600": "hour hours hr h stunden stunde horas heures",
        "86400": "day days tage tagen tag días jours",
        "604800": "week weeks wochen woche semana semanas semaine semaines",
        "2629800": "month months monate monaten monat meses mois",
        "31557600": "year years jahre jahren yr yrs años ans",
        "315576000": "decade decades jahrzehnte", "3155760000": "century centuries",
    },
    "mass": {
        "0.000001": "microgram micrograms µg μg ug mcg mikrogramm",
        "0.001": "milligram milligrams mg",
        "1": "gram grams g gramm", "1000": "kilogram kilograms kg",
        "1000000": "tonne tonnes ton tons t tonnen toneladas",
    },
    "length": {
        "0.001": "millimetre millimetres millimeter millimeters mm",
        "0.01": "centimetre centimetres centimeter centimeters cm zentimeter",
        "1": "metre metres meter meters", "1000": "kilometre kilometres kilometer kilometers km",
        "1609.344": "mile miles meilen", "0.3048": "foot feet ft",
    },
    "area": {"1": "hectare hectares ha hektar", "100": "km²"},
    "data": {"1": "byte bytes", "1024": "kb kib", "1048576": "mb mib", "1073741824": "gb gib",
             "1099511627776": "tb tib"},
    "power": {"1": "watt watts", "1000": "kw kilowatt kilowatts",
              "1000000": "mw megawatt megawatts",
              "1000000000": "gw gigawatt gigawatts"},
    "energy": {"1": "kwh", "1000": "mwh", "1000000": "gwh", "1000000000": "twh"},
    "volume": {"1": "litre litres liter liters l", "0.001": "ml millilitres"},
    "times": {"1": "times × x fold mal -fold"},
    "EUR": {"1": "€ euro euros eur"}, "USD": {"1": "$ dollar dollars usd"},
    "GBP": {"1": "£ pound pounds gbp sterling"}, "degree": {"1": "°c °f degrees grad"},
}.items():  # fmt: skip
    for _factor, _words in _names.items():
        for _word in _words.split(" "):
            _UNITS[_word] = (_kind, _factor)
_UNIT = re.compile(
    r"[\s-]?(?P<u>%|per ?cent\b|percentage points?\b|[a-zñíäöüµμ°²$€£×]{1,14}(?![a-z]))",
    re.IGNORECASE,
)
_SPELLED = {
    **{word: n for n, word in enumerate(ONES) if n > 1},
    **{word: 10 * n for n, word in enumerate(TENS, 2)},
    **{word: n for n, word in enumerate(GERMAN_ONES[:13]) if n > 1},
    **dict.fromkeys(words("twice double doubled doubles"), 2),
    **dict.fromkeys(words("triple tripled thrice"), 3),
    **dict.fromkeys(words("quadruple quadrupled"), 4),
    **{
        word: n
        for n, word in enumerate(words("dos tres cuatro cinco seis siete ocho nueve diez"), 2)
    },
    **{
        word: n
        for n, word in enumerate(
            words("deux trois quatre cinq six sept huit neuf dix onze douze"), 2
        )
    },
    "dozen": 12,
    "hundred": 100,
}
_MULTIPLES = frozenset(
    ("twice", "double", "doubled", "doubles", "triple", "tripled", "thrice", "quadruple",
     "quadrupled")
)  # fmt: skip
_HALVES = {"half": Decimal("0.5"), "halved": Decimal("0.5"), "halves": Decimal("0.5"),
           "third": None, "quarter": Decimal("0.25"), "hälfte": Decimal("0.5")}  # fmt: skip
_SPELLED_WORD = re.compile(
    rf"\b(?:{'|'.join(sorted(_SPELLED, key=len, reverse=True))})\b", re.IGNORECASE
)
_ABOUT = re.compile(
    r"(?:about|around|roughly|approximately|approx\.?|nearly|almost|over|under|more than|less than"
    r"|some|~|≈|circa|ca\.|rund|etwa|fast|knapp|über|just)\s*[$€£¥]?$",
    re.IGNORECASE,
)
MOST = 60
"""Figures of a text that are compared with each other; a longer list is cut."""


@dataclass(frozen=True)
class Figure:
    """A number or a date as it stands in a text.

    Args:
        text: As written.
        start: Where it begins in the text.
        end: Where it ends.
        value: The number, in the base of its kind; of a date the year, or 0.
        step: How far it is written: the size of its last digit.
        kind: `%`, `time`, `EUR`, … or nothing; `date`; `year`.
        about: Whether the words before it say that it is rounded.
        beyond: 1 where they say that the value is greater (`more than`), -1 where it is less.
        date: Year, month and day of a date; 0 for what isn't given.
        factor: What the unit multiplies the written number by.
        tolerance: How far off it may be, of words such as `one in five`.
        per: The unit that it is for each of: `$9 a tonne`.
    """

    text: str
    start: int
    end: int
    value: Decimal
    step: Decimal
    kind: str = ""
    about: bool = False
    beyond: int = 0
    date: tuple[int, int, int] = (0, 0, 0)
    factor: Decimal = Decimal(1)
    tolerance: Decimal = Decimal(0)
    per: str = ""


@remembered(most=4096, longest=20_000)
def figures(text: str) -> tuple[Figure, ...]:
    """The figures of a text, in order.

    Args:
        text: A claim or a passage.
    """
    found = [*_dates(text), *_fractions(text)]
    taken = [(one.start, one.end) for one in found]
    for one in _shared_units(text, [*_numbers(text), *_spelled(text)]):
        if not any(start < one.end and one.start < end for start, end in taken):
            found.append(one)
    return tuple(sorted(found, key=lambda one: one.start)[: 4 * MOST])


_COUNT = rf"\d{{1,3}}|one|{'|'.join(sorted(_SPELLED, key=len, reverse=True))}"
_FRACTION = re.compile(
    rf"\b(?:(?P<n>one|two|three|four|a)\s(?P<d>half|thirds?|quarters?|fifths?|tenths?)"
    r"|(?P<h>half|hälfte)"
    rf"(?=\s(?:of|the|der|des|as))|(?P<a>{_COUNT})\s(?:out of|in)\s(?:every\s)?(?P<b>{_COUNT}))\b",
    re.IGNORECASE,
)
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "tenth": 10}


def _fractions(text: str) -> Iterator[Figure]:
    """`three quarters`, `nine out of ten` as per cent."""
    small = {**_SPELLED, "a": 1, "one": 1}
    for match in _FRACTION.finditer(text):
        if match["h"]:
            above, below = 1, 2
        elif match["d"]:
            above, below = small[match["n"].lower()], _PARTS[match["d"].lower().removesuffix("s")]
        else:
            above, below = (_small(match[name]) for name in "ab")
        if not 0 < above < below <= 100 or text[: match.start()].lower().endswith("and "):
            continue  # a year and a half is no half
        before = text[max(0, match.start() - 30) : match.start()].rstrip()
        yield Figure(match.group(), match.start(), match.end(), Decimal(100 * above) / below,
                     Decimal(1), "%", True, _beyond(before), tolerance=Decimal(4))  # fmt: skip


def _small(word: str) -> int:
    low = word.lower()
    return int(low) if low.isdecimal() and len(low) < 4 else {**_SPELLED, "one": 1}.get(low, 0)


_TO = re.compile(r"\s?(?:to|and|or|bis|auf|und|oder|al?|–|-)\s?[$€£]?$")


def _shared_units(text: str, found: list[Figure]) -> list[Figure]:
    """With the unit and the magnitude of `710 million` in `540 to 710 million` for both."""
    ordered = sorted(found, key=lambda one: one.start)
    for n in range(len(ordered) - 2, -1, -1):
        one, other = ordered[n], ordered[n + 1]
        if one.kind or not _TO.fullmatch(text[one.end : other.start]):
            continue
        power = _MAGNITUDE.search(other.text)
        scale = _POWERS.get(power["m"].lower().rstrip("."), 0) if power else 0
        _, factor = next(
            (f for f in [_UNITS.get(other.text.split(" ")[-1].lower())] if f), ("", "1")
        )
        if one.value.adjusted() < 6 and (scale or other.kind not in ("", "year")):
            by = Decimal(1).scaleb(scale) * (Decimal(factor) if other.kind != "year" else 1)
            kind = other.kind if other.kind != "year" else ""
            ordered[n] = replace(
                one, value=one.value * by, step=one.step * by, kind=kind, factor=Decimal(factor)
            )
    return ordered


def _dates(text: str) -> Iterator[Figure]:
    for match in _DATE.finditer(text):
        parts = match.groupdict()
        year, month, day = (
            next((parts[f"{name}{n}"] for n in range(1, 6) if parts.get(f"{name}{n}")), "")
            for name in "ymd"
        )
        number = int(month) if month.isdecimal() else _MONTH.get(month.lower().rstrip("."), 0)
        if match["m5"] and match["m5"].lower() in ("march", "may", "mai") and match["m5"].islower():
            continue
        date = (int(year or 0), number, int(day or 0))
        yield Figure(match.group().strip(" ,"), match.start(), match.end(), Decimal(date[0]),
                     Decimal(1), "date", date=date)  # fmt: skip


def _readings(digits: str) -> list[str]:
    text = re.sub(r"['’\u00a0\u202f]", "", digits)
    if "," in text and "." in text:
        thousands = "," if text.rindex(".") > text.rindex(",") else "."
        return [text.replace(thousands, "").replace(",", ".")]
    mark = "," if "," in text else "."
    groups = text.split(mark)
    if len(groups) > 1 and all(len(group) == 3 for group in groups[1:]) and len(groups[0]) <= 3:
        whole = "".join(groups)
        return [whole] if mark == "," or len(groups) > 2 else [whole, ".".join(groups)]
    return [".".join(groups)] if len(groups) <= 2 else ["".join(groups)]


def _numbers(text: str) -> Iterator[Figure]:
    for match in _VERSION.finditer(text):
        value = Decimal("".join(f"{int(part):04d}" for part in match.group().split(".")[:6]))
        yield Figure(match.group(), match.start(), match.end(), value, Decimal(1), "version")
    for match in _NUMBER.finditer(text):
        if _VERSION.match(text, match.start()):
            continue
        if len(match["digits"]) > 30:
            continue
        end = match.end()
        power = 0
        magnitude = _MAGNITUDE.match(text, end)
        if magnitude:
            short = magnitude["m"].lower().rstrip(".")
            if short not in ("m", "k") or match["cur"] or text[end : end + 1].lower() in ("m", "k"):
                power, end = _POWERS[short], magnitude.end()
        kind, factor, end = _unit(text, end, match["cur"])
        joined = text[end : end + 1].isalpha() and end == match.end() and not kind
        if joined and match["digits"].isdigit():
            continue  # 5th, 3D; but 21.5p is a number
        for digits in _readings(match["digits"]):
            value = Decimal(digits).scaleb(power)
            exponent = value.as_tuple().exponent
            step = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)
            bare = not kind and not power and not match["cur"]
            if bare and value == int(value) and 1500 <= value <= 2100 and len(digits) == 4:
                yield Figure(match.group(), match.start(), end, value, Decimal(1), "year",
                             date=(int(value), 0, 0))  # fmt: skip
                continue
            before = text[max(0, match.start() - 30) : match.start()].rstrip()
            yield Figure(
                text[match.start() : end].strip(), match.start(), end, value * factor,
                step * factor,
                kind, _ABOUT.search(before) is not None, _beyond(before), factor=factor,
                per=_per(text, end),
            )  # fmt: skip


def _unit(text: str, at: int, currency: str | None) -> tuple[str, Decimal, int]:
    if currency:
        kind, _ = _UNITS.get(currency.strip(), ("", "1"))
        return kind, Decimal(1), at
    match = _UNIT.match(text, at)
    if not match:
        return "", Decimal(1), at
    word = match["u"].lower()
    if word in _SQUARED and (following := _UNIT.match(text, match.end())):
        return _squared(word, following["u"].lower(), following.end())
    if word.startswith("percentage"):
        word = "percentage-points"
    word = "percent" if word.startswith("per") and word.endswith("cent") else word
    joined = text[at : at + 1] not in (" ", "-", "\u00a0")
    if word in ("m", "t", "s", "h", "g", "l", "x") and match["u"].isupper():
        return "", Decimal(1), at
    if word not in _UNITS:
        following = _UNIT.match(text, match.end()) if text[at : at + 1] == " " else None
        kind, factor = _UNITS.get(following["u"].lower(), ("", "")) if following else ("", "")
        if following and kind == "time" and len(word) > 3 and len(following["u"]) > 3:
            return kind, Decimal(factor), following.end()  # five unused days
        return "", Decimal(1), at
    if len(word) == 1 and not joined and word in "s":
        return "", Decimal(1), at
    kind, factor = _UNITS[word]
    return kind, Decimal(factor), match.end()


_SQUARED = {"square": 2, "cubic": 3, "light": 1}


def _squared(word: str, unit: str, end: int) -> tuple[str, Decimal, int]:
    """`square kilometres` in hectares, `cubic metres` in litres, `light years` of their own."""
    kind, factor = _UNITS.get(unit, ("", "1"))
    if word == "light" and kind == "time":
        return "light", Decimal(factor), end
    if kind != "length" or word == "light":
        return "", Decimal(1), end
    by = Decimal(factor) ** _SQUARED[word]
    return ("area", by / 10_000, end) if word == "square" else ("volume", by * 1000, end)


def _spelled(text: str) -> Iterator[Figure]:
    for match in _SPELLED_WORD.finditer(text):
        word = match.group().lower()
        value, end = Decimal(_SPELLED[word]), match.end()
        if text[: match.start()].lower().endswith(_TENS_BEFORE):
            continue
        ones = re.match(r"-(two|three|four|five|six|seven|eight|nine|one)\b", text[end:], re.I)
        if word in TENS and ones:
            value, end = value + (_SPELLED.get(ones[1].lower(), 1)), end + ones.end()
        if word in ("hundred", "dozen") and match.start() and text[match.start() - 2].isalpha():
            continue
        power = _MAGNITUDE.match(text, end)
        if power and len(power["m"]) > 2:
            value, end = value.scaleb(_POWERS[power["m"].lower().rstrip(".")]), power.end()
        kind, factor, end = _unit(text, end, None)
        if word in _MULTIPLES:
            kind = "times"
        before = text[max(0, match.start() - 30) : match.start()].rstrip()
        yield Figure(match.group(), match.start(), end, value * factor, factor, kind,
                     _ABOUT.search(before) is not None, _beyond(before), factor=factor)  # fmt: skip


_TENS_BEFORE = tuple(f"{word}-" for word in TENS)
_PER = re.compile(
    r"\s?(?:/|\bper\b|\ban?\b|\bpro\b|\bje\b|\beach\b)\s?(?P<u>[a-zäöüµ]{1,12})\b", re.I
)


def _per(text: str, at: int) -> str:
    match = _PER.match(text, at)
    if not match or match["u"].lower() not in _UNITS:
        return ""
    return "/".join(_UNITS[match["u"].lower()])


_MORE = re.compile(
    r"(?:more than|over|above|exceed(?:s|ed|ing)?|mehr als|über|at least)$", re.IGNORECASE
)


def _beyond(before: str) -> int:
    if _MORE.search(before):
        return 1
    return -bool(
        re.search(r"(?:less than|under|below|nearly|almost|fast|knapp|unter)$", before, re.I)
    )
