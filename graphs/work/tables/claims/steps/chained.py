"""Numbers that follow from other numbers of the text: `45,000, one and a half times the 30,000`.

The other numbers are held against the result themselves, so what follows from two of them by one
step holds too.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import permutations

from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.quantities import WrittenNumber
from allotrope.graphs.work.tables.claims.steps.columnar import addable
from allotrope.graphs.work.tables.claims.steps.place import Derived, NumberPlace

_MOST_NUMBERS = 6
_OF = words.word_set("of von der aller aus")


def from_numbers(
    place: NumberPlace, cues: set[str], earlier: Sequence[WrittenNumber]
) -> Iterator[Derived]:
    """What a number can be, made of two others, or of one and a sum of the result.

    Args:
        place: The number, in its sentence and result.
        cues: The words of the sentence.
        earlier: Numbers of the sentence before it.
    """
    quantity, grid = place.quantity, place.grid
    if not grid.numeric:
        return
    near = sorted(
        (one for one in place.sentence.quantities if one is not quantity and _plain(one)),
        key=lambda one: abs(one.at - quantity.at),
    )
    others = [*near, *(one for one in earlier if _plain(one))][:_MOST_NUMBERS]
    rates = [one for one in place.sentence.quantities if one.unit == "%" and one is not quantity]
    for one, other in permutations(rates[:_MOST_NUMBERS], 2):
        a, b = one.readings[0], other.readings[0]
        if quantity.unit == "times" and b:
            yield Derived(a / b, f"{one.text} / {other.text}", "times", grid.numeric[0])
        elif quantity.points and a > b:
            yield Derived(a - b, f"{one.text} − {other.text}", "points", grid.numeric[0])
    some = grid.numeric[0]
    moved = cues & (words.RISE | words.FALL | words.MORE_THAN | words.LESS_THAN | words.GAP)
    of = set(place.sentence.words(quantity.last + 1, quantity.last + 3)) & _OF
    share = quantity.unit in ("%", "fraction")
    for one, other in permutations(others, 2):
        if {one.unit, other.unit} - {"", one.unit}:
            continue
        a, b = one.readings[0], other.readings[0]
        how = f"{one.text} / {other.text}"
        if quantity.unit == "times" and b:
            yield Derived(a / b, how, "times", some)
        elif share and b and moved:
            yield Derived(
                abs(a - b) / abs(b), f"({one.text} − {other.text}) / {other.text}", "%", some
            )
        elif not share and not quantity.unit and a > b and cues & words.GAP:
            yield Derived(a - b, f"{one.text} − {other.text}", "each", some)
    if not share or not of:
        return
    every = list(range(len(grid.rows)))
    for one in others[:2]:
        for column in grid.numeric:
            whole = sum(grid.values(column, every), Decimal(0)) if addable(column) else Decimal(0)
            if whole > abs(one.readings[0]) and not one.unit:
                value = one.readings[0] / whole
                yield Derived(value, f"{one.text} / sum of {column.name}", "%", column)


def _plain(one: WrittenNumber) -> bool:
    """Whether a number can be reckoned with: no share, no factor, no word for what is near."""
    return bool(one.readings) and one.unit not in ("%", "times", "fraction") and not one.hedge
