"""Numbers that follow from two columns of the same rows: what failed, is missing or changed.

Two columns go together when they measure the same in the same unit: `pupils` and `passed`,
`kosten_2024` and `kosten_2025`, `normal_day` and `strike_day`.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import combinations, permutations

from allotrope.graphs.work.tables.claims.grid import Column
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.vocabulary import word_set
from allotrope.graphs.work.tables.claims.steps.place import Derived, NumberPlace

LACK = word_set(
    """
    not no none fail failed failing fails miss missing missed lack lacks lacking without remaining
    remain left short shortfall needed need needs gap unpaid unsold open other others rest didn't
    doesn't don't buy nicht fehlen fehlt fehlten übrig durchgefallen ohne instead
    """
)
"""Words for what one column leaves of another."""
_EACH_ONE = word_set("unit per each price avg mean median rate stück einzelpreis")
"""Words of columns whose values can't be added to those of another column."""
_MOST_COLUMNS = 12


def precise(place: NumberPlace) -> bool:
    """Whether a number is written with so many digits that it matches nothing by chance."""
    quantity = place.quantity
    digits = sum(sign.isdigit() for sign in quantity.text)
    return digits >= 3 and not quantity.hedge and not quantity.word and quantity.unit != "%"


def from_columns(place: NumberPlace, cues: set[str]) -> Iterator[Derived]:
    """What a number can be, made of two columns of the rows that it belongs to.

    Args:
        place: The number, in its sentence and result.
        cues: The words of the sentence.
    """
    share = place.quantity.unit in ("%", "fraction")
    moved = cues & (words.RISE | words.FALL | words.MORE_THAN | words.LESS_THAN | words.GAP)
    lacks = cues & LACK
    exact = precise(place)
    if place.quantity.points:
        yield from _points_apart(place)
    for first, second in _pairs(place):
        planned = bool({*first.words, *second.words} & words.PLANS)
        for rows in _sets(place, cues):
            a = sum(place.grid.values(first, rows), Decimal(0))
            b = sum(place.grid.values(second, rows), Decimal(0))
            if not share:
                if (cues & words.TOTAL or exact) and a and b and _summed(first, second, cues):
                    yield Derived(a + b, f"{a} + {b}", "same", first)
                if not planned and (moved or lacks or {*first.words, *second.words} & LACK):
                    yield _difference(first, second, a, b)
                continue
            if moved and first.period and second.period:
                if a:
                    how = f"({b} − {a}) / {a}"
                    yield Derived((b - a) / abs(a), how, "%", first, signed=True)
            elif moved or lacks:
                for base, other in ((a, b), (b, a)):
                    if base:
                        value = abs(base - other) / abs(base)
                        yield Derived(value, f"({base} − {other}) / {base}", "%", first)


def _points_apart(place: NumberPlace) -> Iterator[Derived]:
    """How many points a share of one year lies above that of another year."""
    shares = [c for c in place.grid.numeric if c.kind == "share" and c.period]
    for first, second in combinations(shares[:_MOST_COLUMNS], 2):
        if first.period and second.period and first.period.key > second.period.key:
            first, second = second, first
        for rows in place.readings:
            for row in rows if len(rows) == 1 else ():
                a, b = place.grid.cell(row, first), place.grid.cell(row, second)
                if a is not None and b is not None:
                    value = (b - a) * (100 if first.ratio else 1)
                    yield Derived(value, f"{b} − {a}", "points", first, signed=True)


def _summed(first: Column, second: Column, cues: set[str]) -> bool:
    """Whether adding two columns makes sense: money and money, or two of what is named."""
    if first.unit or {*first.words} & {*second.words}:
        return True
    return all(
        any(words.alike(word, part) for word in cues for part in column.words if len(part) > 2)
        for column in (first, second)
    )


def column_ratios(place: NumberPlace, cues: set[str]) -> Iterator[Derived]:
    """How many times one column of a row another one is: a row's slowest by its median.

    Args:
        place: The number, in its sentence and result.
        cues: The words of the sentence, which must name both columns.
    """
    grid = place.grid
    named = [
        column
        for column in grid.numeric
        if column.measure in {kind for kind, names in words.AGGREGATES.items() if names & cues}
        or any(words.alike(word, part) for word in cues for part in column.words if len(part) > 2)
    ][:_MOST_COLUMNS]
    for first, second in permutations(named, 2):
        if not like(first, second):
            continue
        for rows in place.readings:
            for row in rows if len(rows) == 1 else ():
                a, b = grid.cell(row, first), grid.cell(row, second)
                if a is not None and b:
                    yield Derived(a / b, f"{a} / {b}", "times", first)


def _difference(first: Column, second: Column, a: Decimal, b: Decimal) -> Derived:
    if first.period and second.period:
        return Derived(b - a, f"{b} − {a}", "same", first, signed=True)
    return Derived(abs(a - b), f"{max(a, b)} − {min(a, b)}", "same", first)


def _pairs(place: NumberPlace) -> Iterator[tuple[Column, Column]]:
    """Columns that go together; of two years, the earlier one first."""
    named = [c for c in place.grid.numeric if addable(c)][:_MOST_COLUMNS]
    for first, second in combinations(named, 2):
        if not like(first, second):
            continue
        if first.period and second.period and first.period.key > second.period.key:
            first, second = second, first
        yield first, second


def addable(column: Column) -> bool:
    """Whether values of a column can be added up: no share, no mean, no price of one."""
    return (
        column.kind != "share"
        and column.measure not in ("mean", "median", "max", "min")
        and not set(column.words[:3]) & _EACH_ONE
        and not column.change
    )


def like(first: Column, second: Column) -> bool:
    """Whether two columns measure the same, in the same unit."""
    plain = {first.kind, second.kind} <= {"count", ""}
    return first.unit == second.unit and (first.kind == second.kind or plain)


def _sets(place: NumberPlace, cues: set[str]) -> Iterator[Sequence[int]]:
    every = range(len(place.grid.rows))
    for reading in place.readings:
        yield sorted(reading)
    if not place.readings or cues & words.TOTAL or not place.own_label():
        yield every
    if len(place.labels) > 1:
        yield sorted(frozenset().union(*(one.rows for one in place.labels)))


_LACKING = word_set(
    """
    not didn't doesn't don't owe owes owed missing outstanding unpaid remaining failed nicht fehlen
    fehlt fehlten schuldet
    """
)
"""Words by which a number is what one column leaves of another, and neither of them."""


def lacking(place: NumberPlace, column: Column) -> bool:
    """Whether a number is said to be what a column lacks: `780 people did not vote`.

    Args:
        place: The number, in its sentence and result.
        column: A column that it could stand in.
    """
    if set(place.clause()) & _LACKING and not set(column.words) & (LACK | _LACKING):
        return any(_has_part(place, column, other) for other in place.grid.numeric)
    return False


def _has_part(place: NumberPlace, one: Column, other: Column) -> bool:
    """Whether of two columns one is a part of the other, in each row."""
    if one is other or not (addable(one) and addable(other) and like(one, other)):
        return False
    if {*one.words, *other.words} & (LACK | _LACKING):
        return False
    first, second = place.grid.values(one), place.grid.values(other)
    if len(first) != len(second):
        return False
    pairs = list(zip(first, second, strict=True))
    return all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs)
