"""Numbers with a unit, and the range or the spread that they are given with."""

from collections.abc import Sequence
from dataclasses import dataclass

from allotrope.graphs.work.constraints.grammar.amounts import number_at
from allotrope.graphs.work.constraints.grammar.phrases import after, before
from allotrope.graphs.work.constraints.grammar.tokens import Token
from allotrope.graphs.work.constraints.grammar.vocabulary import (
    ABOVE,
    AFTER_BARE,
    BELOW,
    BETWEEN_BOUNDS,
    BETWEEN_NOUNS,
    ENDINGS,
    LOWER,
    UNITS,
    UPPER,
    WITHIN,
)
from allotrope.graphs.work.constraints.kinds import MOST
from allotrope.graphs.work.spelled import words

_FILLERS = frozenset(words(": = of is be should must at to approximately about max maximum min"))


@dataclass(frozen=True)
class Quantity:
    """A number with its unit. Places are tokens of the sentence."""

    start: int
    end: int
    low: int
    high: int
    unit: str
    ranged: bool = False
    open: bool = False
    spread: float | None = None
    share: bool = False
    labelled: bool = False
    attribute: bool = False


def quantities(part: Sequence[Token]) -> list[Quantity]:
    found: list[Quantity] = []
    bare: list[tuple[int, int, int]] = []
    at = 0
    while at < len(part):
        one = _labelled(part, at) or _plain(part, at)
        if one is not None:
            found.append(one)
            at = one.end
            continue
        known = _bounded_number(part, at)
        if known is not None:
            bare.append((at, *known))
        at += 1
    for start, value, end in bare[:MOST]:
        unit = _unit_of_neighbour(part, start, end, found)
        if unit is not None:
            found.append(Quantity(start, end, value, value, unit))
    return sorted(found, key=lambda one: one.start)


def _bounded_number(part: Sequence[Token], at: int) -> tuple[int, int] | None:
    """A number without a unit behind words such as `at most`; its value, and where it ends."""
    known = number_at(part, at)
    if known is None or not any(
        before(part, at, cues) is not None for cues in (UPPER, LOWER, BELOW, ABOVE)
    ):
        return None
    following = part[known[1]].low if known[1] < len(part) else "."
    return known if following in AFTER_BARE else None


def _unit_of_neighbour(
    part: Sequence[Token], start: int, end: int, found: Sequence[Quantity]
) -> str | None:
    """The unit of `at least 400 words but no more than 600`, also the other way round."""
    for one in found:
        first, last = (one.end, start) if one.end <= start else (end, one.start)
        if last - first > 8:
            continue
        if all(token.low in BETWEEN_BOUNDS for token in part[first:last]):
            return one.unit
    return None


def _unit_at(part: Sequence[Token], at: int) -> tuple[str, int] | None:
    """The unit after a number, with at most two words between them."""
    for skipped in range(4):
        if at + skipped >= len(part):
            return None
        word = part[at + skipped].low
        if word in UNITS:
            if word.startswith("bullet") and at + skipped + 1 < len(part):
                follows = part[at + skipped + 1]
                if follows.low in ("point", "points", "item", "items"):
                    return "bullets", at + skipped + 2
                if follows.low in UNITS:
                    continue
            return UNITS[word], at + skipped + 1
        fits = word in BETWEEN_NOUNS or (len(word) > 4 and word.endswith(ENDINGS)) or word == "-"
        if not fits:
            return None
    return None


def _spread_at(part: Sequence[Token], at: int) -> tuple[float, bool, int] | None:
    """`± 10 %` or `(+/- 5 words)`: how much, whether per cent, where it ends."""
    start = at
    while start < len(part) and part[start].text in "(,":
        start += 1
    sign = after(part, start, WITHIN)
    if sign is None or (known := number_at(part, sign)) is None:
        return None
    value, end = known
    share = end < len(part) and part[end].low in ("%", "percent", "prozent")
    if share:
        end += 1
    if end < len(part) and part[end].low in UNITS:
        end += 1
    if end < len(part) and part[end].text == ")":
        end += 1
    return float(value), share, end


def _range_at(part: Sequence[Token], at: int) -> tuple[int, int, bool, int] | None:
    """A number or a range: low, high, whether it is a range, where it ends."""
    between = at > 0 and part[at - 1].low in ("between", "zwischen")
    known = number_at(part, at, joined=not between)
    if known is None:
        return None
    low, end = known
    joins = ("-", "–", "—", "to", "bis", "or", "oder", "and", "und")
    if end < len(part) and part[end].low in joins:
        second = number_at(part, end + 1)
        if part[end].low in ("and", "und") and not between:
            second = None
        if second and second[0] > low:
            return low, second[0], True, second[1]
    return low, low, False, end


def _plain(part: Sequence[Token], at: int) -> Quantity | None:
    if at and part[at - 1].text in "#$€£.:" and part[at - 1].end == part[at].start:
        return None
    known = _range_at(part, at)
    if known is None:
        return None
    low, high, ranged, end = known
    is_open = end < len(part) and part[end].text == "+" and part[end].start == part[end - 1].end
    about = end < len(part) and part[end].low == "ish"
    end += is_open or about
    spread = _spread_at(part, end)
    share = False
    if spread:
        end = spread[2]
    attribute = end < len(part) and part[end].text == "-" and part[end].start == part[end - 1].end
    unit = _unit_at(part, end)
    if unit is None:
        return None
    end = unit[1]
    if attribute and UNITS.get(part[end - 1].low) is None:
        attribute = False
    if spread is None and (spread := _spread_at(part, end)):
        end = spread[2]
    size: float | None = None
    if spread:
        size, share = spread[0], spread[1]
    elif about:
        size, share = 10, True
    return Quantity(at, end, low, high, unit[0], ranged, is_open, size, share, False, attribute)


def _labelled(part: Sequence[Token], at: int) -> Quantity | None:
    """`word count: 600`, `character limit of 160`, `number of lines: 4`."""
    word, end = part[at].low, at + 1
    if word not in UNITS:
        for joined in ("anzahl", "zahl", "limit"):
            if word.endswith(joined) and (stem := word.removesuffix(joined)) in UNITS:
                return _value_of(part, at, end, UNITS[stem], needs_sign=False)
        return None
    numbered = at >= 2 and part[at - 1].low == "of" and part[at - 2].low == "number"
    if at + 1 < len(part) and part[end].low in ("count", "limit", "length", "total", "maximum"):
        return _value_of(part, at, end + 1, UNITS[word], needs_sign=False)
    return _value_of(part, at, end, UNITS[word], needs_sign=not numbered)


def _value_of(
    part: Sequence[Token], start: int, at: int, unit: str, *, needs_sign: bool
) -> Quantity | None:
    end, signs = at, 0
    while end < len(part) and end - at < 4 and part[end].low in _FILLERS:
        signs += part[end].text in ":="
        end += 1
    if needs_sign and not signs:
        return None
    known = _range_at(part, end)
    if known is None:
        return None
    low, high, ranged, end = known
    if end < len(part) and part[end].low in UNITS:
        return None  # “Length in words: 3 paragraphs” is another quantity
    spread = _spread_at(part, end)
    size, share = (spread[0], spread[1]) if spread else (None, False)
    return Quantity(start, spread[2] if spread else end, low, high, unit, ranged, False,
                     size, share, True)  # fmt: skip
