"""Numbers that follow from a result by one step: sums, means, differences, ratios, shares, growth.

Only what the sentence's own words ask for is worked out, and only from the rows that it names: from
many numbers, one can make any other.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, DivisionByZero, InvalidOperation
from itertools import chain, pairwise

from allotrope.graphs.work.tables.claims.grid import Column
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.quantities import ParsedSentence, WrittenNumber
from allotrope.graphs.work.tables.claims.language.units import CURRENCIES, TIME, UNITS
from allotrope.graphs.work.tables.claims.language.vocabulary import word_set
from allotrope.graphs.work.tables.claims.matching import fits, in_unit
from allotrope.graphs.work.tables.claims.steps.chained import from_numbers
from allotrope.graphs.work.tables.claims.steps.columnar import (
    LACK,
    addable,
    column_ratios,
    from_columns,
    lacking,
    like,
    precise,
)
from allotrope.graphs.work.tables.claims.steps.place import Derived, NumberPlace

_RATIO = word_set("times twice double half factor fold ratio x mal doppelt so as")
_SAID_AFTER = word_set(
    """
    more less fewer higher lower up down above below ahead behind zurück warmer colder cooler larger
    smaller longer shorter increase decrease growth decline drop rise mehr weniger höher niedriger
    über unter hinter vor
    """
)
"""Words of direction that can stand after their number."""
_OTHERS = word_set(
    "excluding without except other others rest remaining apart ohne übrigen anderen"
)
"""Words for the rows that a sentence doesn't name."""
_MOST_PAIRS = 60


def derived(place: NumberPlace, earlier: Sequence[WrittenNumber] = ()) -> Derived | None:
    """The first value that the number can be, or None.

    Args:
        place: What it may be made of.
        earlier: Numbers of the sentence before it.
    """
    quantity = place.quantity
    for one in chain(_candidates(place), from_numbers(place, place.cues(), earlier)):
        for value in _shown(quantity, one):
            if fits(quantity, value, any_sign=one.signed) and _direction_fits(place, one):
                return one
    return None


def _shown(quantity: WrittenNumber, one: Derived) -> list[Decimal]:
    """A derived value in the unit of the number; nothing where they don't go together."""
    unit = quantity.unit
    if one.unit == "%":
        if unit == "%" and not quantity.points:
            return [one.value * 100]
        return [one.value] if unit == "fraction" else []
    if one.unit == "times":
        return [one.value] if unit in ("times", "", "fraction") else []
    if one.unit == "points":
        return [one.value] if unit == "%" or quantity.points else []
    if one.unit == "each" and unit == "cent":
        return [one.value * 100]
    if one.unit == "each":
        return [one.value] if unit not in ("%", "times", "fraction") else []
    if one.column.kind == "share" and unit == "%":
        return []
    if unit in ("C", "F", "deg") and one.signed and unit != "F":
        return [one.value] if one.column.unit in ("C", "F", "deg", "") else []
    return in_unit(quantity, one.column, one.value)


def _direction_fits(place: NumberPlace, one: Derived) -> bool:
    """Whether words of rising and falling say the same as a difference's sign."""
    if not one.signed or one.value == 0:
        return True
    said = direction(place.sentence, place.quantity)
    return said == 0 or (said > 0) == (one.value > 0)


def direction(sentence: ParsedSentence, quantity: WrittenNumber) -> int:
    """What the words nearest to a number say: 1 for a rise, -1 for a fall, 0 for neither.

    Args:
        sentence: The sentence.
        quantity: One of its numbers.
    """
    if quantity.negative:
        return -1
    begin = max((q.last + 1 for q in sentence.quantities if q.last < quantity.at), default=0)
    end = min(
        (q.at for q in sentence.quantities if q.at > quantity.last), default=len(sentence.tokens)
    )
    after = []
    for token in sentence.tokens[quantity.last + 1 : min(end, quantity.last + 4)]:
        if token.kind == "sign":
            break
        after += [token.text] if token.text in _SAID_AFTER else []
    before = sentence.words(begin, quantity.at)
    for near in (after, list(reversed(before)), list(reversed(sentence.words(0, begin)))):
        for word in near:
            if word in words.FALL:
                return -1
            if word in words.RISE and word not in ("over", "über", "above", "expanded"):
                return 1
    return 0


def _candidates(place: NumberPlace) -> Iterator[Derived]:
    quantity, grid = place.quantity, place.grid
    columns = list(place.columns) if place.columns else list(grid.numeric)
    if quantity.unit in CURRENCIES or quantity.unit in TIME:
        going = [
            c for c in grid.numeric if any(in_unit(quantity, c, v) for v in grid.values(c)[:1])
        ]
        exact = [c for c in going if c.unit in TIME or c.unit in CURRENCIES] or going
        columns = [c for c in columns if c in exact] or exact
    rest = [column for column in grid.numeric if column not in columns]
    cues = place.cues()
    if quantity.unit in ("%", "fraction"):
        yield from _shares(place, columns)
        if _of_all(place):
            yield from _shares(place, rest)
            return
        parts = _of_column(place)
        if not parts:
            yield from _growths(place, columns, cues)
        yield from _points(place, columns)
        yield from _rates_apart(place)
        if quantity.points:
            yield from from_columns(place, cues)
        yield from _quotients(place, columns, cues)
        yield from _overruns(place, cues)
        if not parts or cues & LACK:
            yield from from_columns(place, cues)
        if quantity.unit == "fraction" and not parts:
            yield from _ratios(place, columns, cues)
        yield from _against_question(place, columns + rest, cues)
        if not parts:
            yield from _shares(place, rest)
            yield from _growths(place, rest, cues)
        return
    factor = {"factor", "ratio", "faktor"} & cues and not precise(place)
    if quantity.unit == "times" or (factor and not quantity.unit):
        yield from _ratios(place, columns, cues)
        yield from column_ratios(place, cues)
        return
    yield from _totals(place, columns, cues)
    yield from _against_question(place, columns, cues)
    beyond = _BEYOND - {"left", "remain", "remaining", "übrig"}
    if cues & (words.GAP | words.RISE | words.FALL | words.MORE_THAN | words.LESS_THAN | beyond):
        yield from _groups_apart(place, columns)
        yield from _differences(place, columns, cues)
        yield from _spreads(place, columns)
    yield from _quotients(place, columns, cues)
    yield from from_columns(place, cues)


def _totals(place: NumberPlace, columns: Sequence[Column], cues: set[str]) -> Iterator[Derived]:
    grid = place.grid
    every = list(range(len(grid.rows)))
    sets = [sorted(rows) for rows in place.readings if len(rows) > 1]
    if cues & _OTHERS and place.labels:
        named = frozenset().union(*(one.rows for one in place.labels))
        sets.append([row for row in every if row not in named])
    if len(place.labels) > 1:
        sets.append(sorted(frozenset().union(*(one.rows for one in place.labels))))
    if cues & words.TOTAL or not place.labels or _of_which(place):
        sets.insert(0, every)
    for column in columns:
        if lacking(place, column) and not _of_which(place):
            continue
        if column.kind != "share" and column.measure not in ("mean", "median", "max", "min"):
            for rows in sets:
                values = grid.values(column, rows)
                name = "all" if rows == every else "the named"
                if len(values) > 1:
                    total = sum(values, Decimal(0))
                    how = f"sum of {column.name} of {name} rows"
                    yield Derived(total, how, "same", column)
        if cues & words.MEAN:
            values = grid.values(column, every)
            if len(values) > 1:
                mean = sum(values, Decimal(0)) / len(values)
                yield Derived(mean, f"mean of {column.name}", "same", column)


def _of_which(place: NumberPlace) -> bool:
    """Whether a number is what a share is of: `31 % of the 440 TWh`."""
    before = place.sentence.quantities[place.number - 1] if place.number else None
    if before is None:
        return False
    between = place.sentence.words(before.last + 1, place.quantity.at)
    return len(between) <= 3 and between[:1] in (["of"], ["out"], ["von"], ["der"], ["aller"])


def _pairs(place: NumberPlace, column: Column) -> Iterator[tuple[int, int]]:
    """Rows that a sentence sets against each other; the first is the one that is spoken of."""
    grid = place.grid
    seen: set[tuple[int, int]] = set()
    rows = [next(iter(one.rows)) for one in place.labels if len(one.rows) == 1]
    order = [row for row in range(len(grid.rows)) if grid.cell(row, column) is not None]
    if not order:
        return
    ranked = sorted(order, key=lambda row: grid.cell(row, column) or Decimal(0), reverse=True)
    found: list[tuple[int, int]] = []
    distinct = list(dict.fromkeys(rows))
    for n, one in enumerate(distinct):
        found += [(one, other) for other in distinct[n + 1 :]]
    owners = [next(iter(r)) for r in place.readings if len(r) == 1]
    for one in owners or distinct[:1]:
        if grid.ordered and one in order and order.index(one):
            found.append((one, order[order.index(one) - 1]))
        if len(distinct) < 2 and one in ranked and ranked.index(one) + 1 < len(ranked):
            found.append((one, ranked[ranked.index(one) + 1]))
    if len(distinct) < 2:
        found += [(ranked[0], ranked[-1]), (order[-1], order[0])]
        if len(distinct) == 0:
            found.append((ranked[0], ranked[1 if len(ranked) > 1 else 0]))
    for pair in found[:_MOST_PAIRS]:
        if pair[0] != pair[1] and pair not in seen:
            seen.add(pair)
            yield pair


def _differences(
    place: NumberPlace, columns: Sequence[Column], cues: set[str]
) -> Iterator[Derived]:
    for column in columns:
        for one, other in _pairs(place, column):
            yield from _difference(place, column, *_in_time(place, one, other, cues))


def _groups_apart(place: NumberPlace, columns: Sequence[Column]) -> Iterator[Derived]:
    """How far the sums of two names of several rows are apart: all of Alt, and all of Neu."""
    names = [one.rows for one in place.labels]
    for one, other in pairwise(dict.fromkeys(names)):
        if one & other or (len(one) < 2 and len(other) < 2):
            continue
        for column in columns:
            if addable(column):
                a = sum(place.grid.values(column, sorted(one)), Decimal(0))
                b = sum(place.grid.values(column, sorted(other)), Decimal(0))
                yield Derived(a - b, f"{a} − {b}", "same", column, signed=True)


def _in_time(place: NumberPlace, one: int, other: int, cues: set[str]) -> tuple[int, int]:
    """A rise from January to June is June less January, whichever stands first."""
    ordered = place.grid.ordered and not cues & {"than", "als"}
    return (max(one, other), min(one, other)) if ordered else (one, other)


def _difference(place: NumberPlace, column: Column, one: int, other: int) -> Iterator[Derived]:
    first, second = place.grid.cell(one, column), place.grid.cell(other, column)
    if first is None or second is None:
        return
    unit = "points" if column.kind == "share" else "same"
    factor = 100 if column.ratio else 1
    yield Derived((first - second) * factor, f"{first} − {second}", unit, column, signed=True)


def _points(place: NumberPlace, columns: Sequence[Column]) -> Iterator[Derived]:
    for column in columns:
        if column.kind == "share" and (place.quantity.points or place.quantity.unit == "%"):
            for one, other in _pairs(place, column):
                if place.quantity.points:
                    order = _in_time(place, one, other, place.cues())
                    yield from _difference(place, column, *order)


def _rates_apart(place: NumberPlace) -> Iterator[Derived]:
    """How far two rows' rates are apart, a rate being one column by another: delayed by flights."""
    if not place.quantity.points:
        return
    grid = place.grid
    for first in grid.numeric:
        for second in grid.numeric:
            if first is second or not (_countable(first, second) or _part_of(place, first, second)):
                continue
            for one, other in _pairs(place, second):
                a, b = grid.cell(one, first), grid.cell(one, second)
                c, d = grid.cell(other, first), grid.cell(other, second)
                if a is not None and c is not None and b and d and 0 <= a <= b and 0 <= c <= d:
                    how = f"{a} / {b} − {c} / {d}"
                    yield Derived((a / b - c / d) * 100, how, "points", second, signed=True)


def _spreads(place: NumberPlace, columns: Sequence[Column]) -> Iterator[Derived]:
    """How far two columns of a row are apart: its maximum and its minimum."""
    same = [c for c in place.grid.numeric if c.measure in ("max", "min")] or [
        c for c in place.grid.numeric if c.kind != "share"
    ]
    for rows in place.readings:
        for row in rows if len(rows) == 1 else ():
            for n, first in enumerate(same):
                for second in same[n + 1 :]:
                    a, b = place.grid.cell(row, first), place.grid.cell(row, second)
                    alike = first.unit == second.unit and first.kind == second.kind
                    if a is None or b is None or not alike:
                        continue
                    if set(first.words) & words.PLANS and not set(second.words) & words.PLANS:
                        a, b = b, a
                    planned = bool({*first.words, *second.words} & words.PLANS)
                    value = a - b if planned else abs(a - b)
                    yield Derived(value, f"{a} − {b}", "same", first, signed=planned)


def _said(column: Column, cues: set[str]) -> bool:
    """Whether a sentence names a column."""
    return any(words.alike(word, part) for word in cues for part in column.words if len(part) > 2)


def _overruns(place: NumberPlace, cues: set[str]) -> Iterator[Derived]:
    """How far one column of a row is above or below another one, in per cent."""
    if not cues & _BEYOND:
        return
    grid = place.grid
    for rows in place.readings:
        for row in rows if len(rows) == 1 else ():
            for first in grid.numeric:
                for second in grid.numeric:
                    alike = first.kind == second.kind and first.unit == second.unit
                    if first is second or not alike or first.kind not in ("money", "count", "time"):
                        continue
                    a, b = grid.cell(row, first), grid.cell(row, second)
                    if a is not None and b:
                        yield Derived(abs(a - b) / abs(b), f"({a} − {b}) / {b}", "%", first)


_BEYOND = word_set(
    "over overrun overspent exceeded exceeds above under underspent below left remaining remain "
    "surplus shortfall more less über unter übrig"
)
"""Words for how far a value is from a plan."""


def _of_all(place: NumberPlace) -> bool:
    """Whether a fraction is one of everything: `half of all errors`."""
    following = place.sentence.words(place.quantity.last + 1, place.quantity.last + 4)
    return bool({"all", "total", "aller", "every"} & set(following))


def _of_column(place: NumberPlace) -> bool:
    """Whether a share is one of a column: `a third of the overtime`."""
    following = place.sentence.words(place.quantity.last + 1, place.quantity.last + 4)
    if following[:1] not in (["of"], ["der"], ["des"], ["aller"]):
        return False
    return any(
        words.stem(word) == words.stem(part)
        for word in following[1:]
        for column in place.grid.numeric
        for part in column.words
    )


def _ratios(place: NumberPlace, columns: Sequence[Column], cues: set[str]) -> Iterator[Derived]:
    for column in columns:
        for one, other in _pairs(place, column):
            a, b = place.grid.cell(one, column), place.grid.cell(other, column)
            if cues & {"doubled", "tripled", "quadrupled"}:
                a, b = (place.grid.cell(row, column) for row in (max(one, other), min(one, other)))
            if a is not None and b:
                yield Derived(a / b, f"{a} / {b}", "times", column)


def _shares(place: NumberPlace, columns: Sequence[Column]) -> Iterator[Derived]:
    grid = place.grid
    sets = list(place.readings)
    if (len(place.labels) > 1 and place.cues() & words.TOTAL) or _joined(place):
        sets.append(frozenset().union(*(one.rows for one in place.labels)))
    for column in columns:
        if column.kind == "share" or column.measure in ("mean", "median", "max", "min"):
            continue
        values = grid.values(column)
        whole = sum(values, Decimal(0))
        if len(values) < 2 or whole == 0 or any(value < 0 for value in values):
            continue
        for rows in sets:
            part = sum(grid.values(column, sorted(rows)), Decimal(0))
            if len(rows) < len(grid.rows):
                yield Derived(part / whole, f"{part} / {whole}", "%", column)


def _joined(place: NumberPlace) -> bool:
    """Whether all names of rows stand in one list: `good or very good`."""
    return len(place.labels) > 1 and all(
        {
            token.text
            for token in place.sentence.tokens[one.last + 1 : other.at]
            if token.kind != "sign"
        }
        <= {"or", "oder", "and", "und"}
        for one, other in pairwise(place.labels)
    )


def _growths(place: NumberPlace, columns: Sequence[Column], cues: set[str]) -> Iterator[Derived]:
    if not cues & (words.RISE | words.FALL | words.MORE_THAN | words.LESS_THAN):
        return
    for column in columns:
        for one, other in _pairs(place, column):
            new, old = _in_time(place, one, other, cues)
            a, b = place.grid.cell(new, column), place.grid.cell(old, column)
            if a is not None and b:
                yield Derived((a - b) / abs(b), f"({a} − {b}) / {b}", "%", column, signed=True)


def _quotients(place: NumberPlace, columns: Sequence[Column], cues: set[str]) -> Iterator[Derived]:
    """One column by another one: revenue per order, conversions of sessions."""
    percent = place.quantity.unit in ("%", "fraction")
    grid = place.grid
    every = list(range(len(grid.rows)))
    per = _per(place)
    if not percent and not per and not cues & (words.MEAN | _PRICED):
        return
    sets = [sorted(rows) for rows in place.readings] or []
    if not sets or cues & words.TOTAL:
        sets.append(every)
    for rows in sets[:4]:
        for first in grid.numeric:
            for second in grid.numeric:
                if first is second or "share" in (first.kind, second.kind):
                    continue
                alike = like(first, second)
                whole = percent and alike and _said(second, cues)
                priced = first.kind == "money" and not (second.kind or second.unit)
                named = second in per or second.kind == "count" or whole or percent or priced
                if not named or second.measure in ("mean", "median", "max", "min"):
                    continue
                heads = first.measure != "count" == second.measure
                if not percent and first.kind == "count" and second not in per and not heads:
                    continue
                part = percent and _part_of(place, first, second) and _said(second, cues)
                if percent and not (whole or part or _countable(first, second)):
                    continue
                a = sum(grid.values(first, rows), Decimal(0))
                b = sum(grid.values(second, rows), Decimal(0))
                try:
                    value = a / b
                except (DivisionByZero, InvalidOperation):
                    continue
                how = f"{a} / {b}"
                yield Derived(value, how, "%" if percent else "each", first)


_PRICED = word_set("costs cost sells sell price priced apiece kostet kosten")
"""Words for the price of one."""
_PER = word_set("per pro je each every jeden jede jedes jedem")


def _part_of(place: NumberPlace, first: Column, second: Column) -> bool:
    """Whether whole numbers of one column are never more than those of another beside them."""
    if not like(first, second) or first.unit or not (addable(first) and addable(second)):
        return False
    pairs = list(zip(place.grid.values(first), place.grid.values(second), strict=False))
    return all(a <= b and a == a.to_integral_value() == a for a, b in pairs)


def _countable(first: Column, second: Column) -> bool:
    """Whether one column can be a part of another: both count, and neither has a unit."""
    kinds = {first.kind, second.kind}
    return kinds <= {"count", ""} and "count" in kinds and not (first.unit or second.unit)


def _per(place: NumberPlace) -> list[Column]:
    """The columns that a sentence divides by: `per kWh`, `je Kunde`."""
    tokens = place.sentence.tokens
    for at in range(len(tokens) - 1):
        near = place.quantity.last < at < place.quantity.last + 4
        if tokens[at].text in _PER or (near and tokens[at].text in ("a", "/")):
            found = [
                column
                for column in place.grid.numeric
                for name in (one.text for one in tokens[at + 1 : at + 4])
                if any(words.alike(name, part) for part in column.words if len(part) > 1)
                or (column.unit and UNITS.get(name) == column.unit)
            ]
            if found:
                return found
    return []


def _against_question(
    place: NumberPlace, columns: Sequence[Column], cues: set[str]
) -> Iterator[Derived]:
    """How far a cell is from a number of the question: a target, a plan, a limit."""
    if not cues & (
        words.RISE | words.FALL | words.MORE_THAN | words.LESS_THAN | words.GAP | words.SHARE
    ):
        return
    grid = place.grid
    rows = sorted(frozenset().union(*place.readings)) if place.readings else range(len(grid.rows))
    for given in place.asked:
        for column in columns:
            if not given or column.kind == "share":
                continue
            for row in list(rows)[:50]:
                value = grid.cell(row, column)
                if value is None:
                    continue
                if place.quantity.unit in ("%", "fraction"):
                    yield Derived(
                        (value - given) / given,
                        f"({value} − {given}) / {given}",
                        "%",
                        column,
                        signed=True,
                    )
                    yield Derived(value / given, f"{value} / {given}", "%", column)
                else:
                    yield Derived(value - given, f"{value} − {given}", "same", column, signed=True)
