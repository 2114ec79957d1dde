"""Whether a figure of a claim stands in its source, or follows from what stands there.

A figure is supported when the source has it as written, rounded as far as it is written, in another
unit of the same kind, or as a simple derivation that the words around it announce: a share, a
growth, a difference, a total, a multiple.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from allotrope.graphs.work.sources.claims.figures import MOST, Figure


def supported(one: Figure, source: Sequence[Figure], around: str) -> bool:
    """Whether a figure stands in a source, or follows from what stands there.

    Args:
        one: The figure of a claim.
        source: The figures of what is cited.
        around: The claim, whose words say whether a figure is derived.
    """
    if one.kind in ("date", "year"):
        return any(_same_date(one, other) for other in source) or (
            one.kind == "year"
            and (any(same(one, other) for other in source) or _years_apart(one, source, around))
        )
    if any(same(one, other) for other in source):
        return True
    return _derived(one, source[:MOST], around)


def _years_apart(one: Figure, source: Sequence[Figure], around: str) -> bool:
    """Whether a year lies as far from one of the source as a figure there says: two years later."""
    if not _FORMERLY.search(around):
        return False
    years = [other.value for other in source if other.kind == "year"]
    years += [Decimal(other.date[0]) for other in source if other.kind == "date" and other.date[0]]
    spans = {round(other.value / 31557600) for other in source if other.kind == "time"} - {0}
    return any(abs(one.value - year) == span for year in years for span in spans)


_FORMERLY = re.compile(
    r"\b(?:initial\w*|original\w*|first|earlier|before|previous\w*|later|after|until|since"
    r"|ursprünglich|zunächst|bis|seit)\b",
    re.IGNORECASE,
)


def stands(one: Figure, source: Sequence[Figure]) -> bool:
    """Whether a figure or a date stands in a source, without any derivation."""
    if one.kind in ("date", "year"):
        return any(_same_date(one, other) for other in source)
    return any(same(one, other) for other in source)


_PERIODS = (
    (3, re.compile(r"\b(?:quarter(?:ly)?|quartal\w*|trimestre)\b", re.I)),
    (6, re.compile(r"\b(?:half[- ]year\w*|(?:first|second) half|halbjahr\w*|semestre)\b", re.I)),
    (12, re.compile(r"\b(?:year|annual\w*|jahr\w*|año|an)\b", re.I)),
)


def period_of(one: Figure, cited: str) -> bool:
    """Whether a figure is a period that a source names in a word: three months, a quarter.

    Args:
        one: The figure of a claim.
        cited: The source.
    """
    months = one.value / Decimal(2629800) if one.kind == "time" else Decimal(0)
    return any(months == n and pattern.search(cited) for n, pattern in _PERIODS)


_INSTEAD = {
    "half": re.compile(r"\bhal[vf]\w{0,3}\b", re.I),
    "two": re.compile(r"\b(?:second|doubled?|twice|both)\b", re.I),
    "three": re.compile(r"\bthird\b", re.I),
    "four": re.compile(r"\b(?:fourth|quarter\w{0,3})\b", re.I),
    "five": re.compile(r"\bfifth\b", re.I),
    "six": re.compile(r"\bsixth\b", re.I),
    "ten": re.compile(r"\btenth\b", re.I),
}


def named_so(one: Figure, cited: str) -> bool:
    """Whether a source has a small number as another word: number three, the third-largest."""
    said = one.text.lower().replace("-", " ").split()
    return any(name in said and other.search(cited) for name, other in _INSTEAD.items())


def shared_out(cited: str) -> bool:
    """Whether a source says that something is shared out, so that what is left can be reckoned."""
    return (
        re.search(r"\b(?:shared|split|divided|rest|remainder|resto|übrig\w*)\b", cited, re.I)
        is not None
    )


def _same_date(one: Figure, other: Figure) -> bool:
    if other.kind not in ("date", "year"):
        return False
    return all(mine in (0, theirs) for mine, theirs in zip(one.date, other.date, strict=True))


def same(one: Figure, other: Figure) -> bool:
    """Whether a figure is another one, as written or rounded, in a unit of the same kind."""
    if other.kind == "date" or (other.kind == "year" and one.kind not in ("", "year")):
        return False
    if one.kind and other.kind and one.kind != other.kind:
        return {one.kind, other.kind} == {"%", "point"} and one.value == other.value
    if one.per and other.per and one.per != other.per:
        return False
    if one.kind == "time" and not other.kind:
        return False
    if one.kind == "%" and not other.kind and other.value < 1:
        return _rounds(one, other.value * 100)  # a share as a fraction
    if not one.kind:
        return _rounds(one, other.value / other.factor)
    if not other.kind:  # the unit may stand in the header of a table
        plain = replace(one, value=one.value / one.factor, step=one.step / one.factor)
        return _rounds(plain, other.value)
    return _rounds(one, other.value)


def _rounds(one: Figure, value: Decimal) -> bool:
    if one.value == value:
        return True
    if not value:
        return False
    if one.tolerance:
        return abs(one.value - value) <= one.tolerance
    if one.beyond and 0 < (value - one.value) * one.beyond < one.step:
        return True
    try:
        if abs((value / one.step).quantize(Decimal(1)) * one.step - one.value) == 0:
            return abs(one.value - value) <= abs(value) * Decimal("0.12")
        half = Decimal("0.5") * one.step
        if abs(value - one.value) <= half and one.kind == "time":
            return True
    except InvalidOperation:
        return False
    off = abs(one.value - value) / abs(value)
    whole = one.value / one.step
    zeros = len(str(whole)) - len(str(whole).rstrip("0")) if whole == int(whole) else 0
    if one.kind == "time" and off < Decimal("0.01"):
        return True
    if zeros and off < (Decimal("0.05") if one.about else Decimal("0.01")):
        return zeros >= (1 if one.about else 2)
    return False


_SHARE = re.compile(r"\b(?:of|share|about|some|roughly|just|around|or|under|over)\b", re.I)
_CHANGE = re.compile(
    r"\b(?:by|more|fewer|less|than|up|down|difference|gap|rise|rose|increase\w*|decrease\w*"
    r"|growth|grew"
    r"|climb\w*|fell|drop\w*|higher|lower|gain\w*|plus|mehr|weniger|earlier|year before"
    r"|compared|other"
    r"|remain\w*|left|loss|losses|profit|savings?|extra|additional|not|no|none"
    r"|years? (?:later|after)|after|did not|um)\b|n['’]t\b",
    re.I,
)
_REST = re.compile(
    r"\b(?:not|never|no|none|other|rest|remaining|remainder|majority|without|kein\w*|nicht"
    r"|nie|übrig\w*"
    r"|while|whereas|against|most)\b|n['’]t\b",
    re.I,
)
_TOTAL = re.compile(
    r"\b(?:total|together|combined|altogether|sum|overall|insgesamt|zusammen)\b", re.I
)
_BEFOREHAND = re.compile(r"\b(?:before|previous\w*|earlier|from|had|prior|zuvor|vorher)\b", re.I)
_TIMES = re.compile(r"\b(?:times|twice|double\w*|triple\w*|fold|half|halv\w*|mal)\b|×", re.I)


def _derived(one: Figure, source: Sequence[Figure], around: str) -> bool:
    amounts = [other for other in source if other.kind not in ("date",)]
    for a in amounts:
        more = a.kind == "times" and one.kind == "%" and a.value > 1
        if more and _rounds(one, (a.value - 1) * 100):
            return True  # 1.3 times as wide is 30 % wider
        if a.kind == "%" and one.kind == "times" and _rounds(one, 1 + a.value / 100):
            return True
        both = one.kind == a.kind == "%"
        if both and _REST.search(around) and _rounds(one, 100 - a.value):
            return True
        for b in amounts:
            if a is b or not b.value:
                continue
            if any(_rounds(one, value) for value in _results(one, a, b, around)):
                return True
    return False


def _results(one: Figure, a: Figure, b: Figure, around: str) -> Iterator[Decimal]:
    if not a.kind and b.kind not in ("", "%", "year", "times", "date"):
        a = replace(a, kind=b.kind, value=a.value * b.factor)  # “46,200, down from 50,000 tonnes”
    elif not b.kind and a.kind not in ("", "%", "year", "times", "date"):
        b = replace(b, kind=a.kind, value=b.value * a.factor)
    alike = a.kind == b.kind
    if alike and one.kind in ("", a.kind) and a.value > b.value:
        if a.kind == "year":
            if one.kind == "" and _CHANGE.search(around):
                yield a.value - b.value
        elif _CHANGE.search(around):
            yield a.value - b.value
            if not a.kind:
                yield a.value + b.value
        if _TOTAL.search(around):
            yield a.value + b.value
    if alike and one.kind == "point" and a.kind == "%" and a.value > b.value:
        yield a.value - b.value
    if alike and one.kind == "time" and a.kind == "year" and a.value > b.value:
        yield (a.value - b.value) * Decimal(31557600)
    if alike and one.kind == "%" and a.kind not in ("%", "year"):
        if _SHARE.search(around) and a.value < b.value:
            yield a.value / b.value * 100
        if _CHANGE.search(around):
            yield abs(a.value - b.value) / b.value * 100
    if (one.kind, a.kind, b.kind) == ("%", "%", "point") and _BEFOREHAND.search(around):
        yield a.value - b.value
        yield a.value + b.value
    if b.kind == "times" and a.kind != "times" and one.kind in ("", a.kind) and b.value > 1:
        yield a.value / b.value
        yield a.value * b.value
    if a.kind == "%" and b.kind != "%" and one.kind in ("", b.kind):
        yield a.value / 100 * b.value
        if _BEFOREHAND.search(around) and 0 < a.value < 100:
            yield b.value / (1 - a.value / 100)
            yield b.value / (1 + a.value / 100)
    if alike and one.kind in ("times", "") and _TIMES.search(around) and a.value > b.value:
        yield a.value / b.value
