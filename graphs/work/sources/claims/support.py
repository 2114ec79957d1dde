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
            one.kind == "year" and any(same(one, other) for other in source)
        )
    if any(same(one, other) for other in source):
        return True
    return _derived(one, source[:MOST], around)


def stands(one: Figure, source: Sequence[Figure]) -> bool:
    """Whether a figure or a date stands in a source, without any derivation."""
    if one.kind in ("date", "year"):
        return any(_same_date(one, other) for other in source)
    return any(same(one, other) for other in source)


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
    r"|remain\w*|left|not|years? (?:later|after)|after|did not|um)\b",
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
_TIMES = re.compile(r"\b(?:times|twice|double\w*|triple\w*|fold|half|halv\w*|mal)\b|×", re.I)


def _derived(one: Figure, source: Sequence[Figure], around: str) -> bool:
    amounts = [other for other in source if other.kind not in ("date",)]
    for a in amounts:
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
    alike = a.kind == b.kind
    if alike and one.kind in ("", a.kind) and a.value > b.value:
        if a.kind == "year":
            if one.kind == "" and _CHANGE.search(around):
                yield a.value - b.value
        elif _CHANGE.search(around):
            yield a.value - b.value
            if not a.kind:
                yield a.value + b.value
        elif _TOTAL.search(around):
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
    if a.kind == "%" and b.kind != "%" and one.kind in ("", b.kind):
        yield a.value / 100 * b.value
    if alike and one.kind in ("times", "") and _TIMES.search(around) and a.value > b.value:
        yield a.value / b.value
