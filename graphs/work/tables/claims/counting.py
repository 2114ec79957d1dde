"""Counts of rows: `three of the four`, `two regions exceeded 500,000`, `there are five teams`."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from allotrope.graphs.work.tables.claims.grid import Column, Grid, pieces
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.quantities import WrittenNumber
from allotrope.graphs.work.tables.claims.language.units import CALENDAR
from allotrope.graphs.work.tables.claims.language.vocabulary import word_set
from allotrope.graphs.work.tables.claims.matching import in_unit
from allotrope.graphs.work.tables.claims.mentions import _matching, column_named, columns_for
from allotrope.graphs.work.tables.claims.steps.place import NumberPlace

_ROWS = word_set(
    """
    rows row records record entries entry results items values zeilen einträge categories
    groups of
    """
)
_GAINS = word_set(
    """
    profitable positive grew rose increased gained gewachsen gestiegen profitabel
    """
)
_LOSSES = word_set(
    """
    unprofitable negative loss losses losing fell declined decreased shrank dropped gefallen
    """
)

_RISEN = words.RISE - words.MORE_THAN - words.OVER - words.word_set("more up plus over vor über")
_FALLEN = words.FALL - words.LESS_THAN - words.word_set("down less under below minus short hinter")

_SELECTED = words.word_set(
    "first last top next other others remaining bottom ersten letzten anderen"
)
"""Before a number: rows that the sentence picks, which it doesn't count."""
_ENDS = words.word_set("in for per pro je at on with from by während im bei für")


def is_count(place: NumberPlace) -> bool:
    """Whether a number counts rows: what follows it names what the rows are.

    Args:
        place: The number, in its sentence and result.
    """
    quantity = place.quantity
    if quantity.whole is None:
        return False
    if quantity.unit in CALENDAR:
        return _is_row(place, CALENDAR[quantity.unit])
    following = _following(place)
    if following[:1] == ["of"]:
        return quantity.word or (quantity.whole or 0) <= len(place.grid.rows)
    names = [name for name in following if name not in ("of", "the", "der")]
    return any(_is_row(place, name) for name in names[:3])


def may_count(place: NumberPlace) -> bool:
    """Whether a small number can be a count of rows that the result confirms.

    `Four items are below their level` of four rows, `the two oldest vans`, `three of the four`.

    Args:
        place: The number, in its sentence and result.
    """
    quantity, grid = place.quantity, place.grid
    whole, every = quantity.whole, len(grid.rows)
    if (
        whole is None
        or (quantity.unit and quantity.unit not in CALENDAR)
        or not 0 < whole <= every
        or every < 2
    ):
        return False
    tokens = place.sentence.tokens
    following = _following(place)
    before = tokens[quantity.at - 1].text if quantity.at else ""
    if following[:1] == ["of"]:
        return _of_every(place) and whole in _present(place)
    if quantity.word and not following and before in ("the", "these", "those", "other", "anderen"):
        return whole < every
    if _listed(place):
        return _listed(place) == whole
    noun = next((name for name in following if name not in ("of", "the", "der")), "")
    measured = any(words.alike(noun, part) for c in grid.numeric for part in c.words)
    if not noun or measured or not quantity.word:
        return False
    test = _condition(place)
    if test is not None:
        return whole in test
    return whole == every or (before in ("the", "these", "those", "die", "diese") and whole < every)


def _of_every(place: NumberPlace) -> bool:
    """Whether the number after `of` is that of the rows."""
    after = place.sentence.quantities[place.number + 1 : place.number + 2]
    return any(one.whole == len(place.grid.rows) for one in after)


def _present(place: NumberPlace) -> set[int]:
    """How many rows have something, nothing or a loss in a column; in the one that is named."""
    named = [
        c
        for c in place.grid.numeric
        if any(
            words.alike(word, part) for word in place.cues() for part in c.words if len(part) > 2
        )
    ]
    found = set()
    for column in named or place.grid.numeric:
        values = place.grid.values(column)
        found |= {
            sum(v > 0 for v in values),
            sum(v == 0 for v in values),
            sum(v < 0 for v in values),
        }
    return found


def _following(place: NumberPlace) -> list[str]:
    tokens = place.sentence.tokens
    found: list[str] = []
    for token in tokens[place.quantity.last + 1 : place.quantity.last + 4]:
        if not found and token.text in ("von", "out"):
            found.append("of")
            continue
        if token.kind != "word" or token.text in _ENDS:
            break
        found.append(token.text)
    return found


def _is_row(place: NumberPlace, name: str) -> bool:
    if name in ("rows", "records", "entries", "zeilen", "einträge"):
        return True
    columns = (place.grid.columns[index] for index in place.grid.labels)
    return any(words.alike(name, part) for column in columns for part in pieces(column))


def holds(place: NumberPlace) -> bool | None:
    """Whether a count is right; None where it isn't known what is counted.

    Args:
        place: The number, in its sentence and result.
    """
    whole = place.quantity.whole
    every = len(place.grid.rows)
    before = [
        t.text for t in place.sentence.tokens[max(0, place.quantity.at - 2) : place.quantity.at]
    ]
    earlier = [one for one in place.sentence.quantities if one.last < place.quantity.at][-1:]
    between = [w for one in earlier for w in place.sentence.words(one.last + 1, place.quantity.at)]
    listed = bool(between) and set(between) <= {"of", "the", "der", "von", "den", "out", "our"}
    if {"of", "von"} & set(before) or listed:
        return True if whole == every or whole in _distinct(place) else None
    if set(before[-1:]) & _SELECTED and whole is not None and whole < every:
        return True
    if whole == every and "the" in before:
        return True  # "over the six months": those of the result
    test = _condition(place)
    if test is not None:
        return any(one == whole for one in test)
    near = [one for one in place.labels if 0 < place.quantity.at - one.last <= 4]
    if near and near[-1].rows and not place.quantity.unit and every > 1:
        return len(near[-1].rows) == whole or None
    if whole == every or whole in _distinct(place):
        return True
    listed_rows = _listed(place)
    if listed_rows:
        return listed_rows == whole
    return None if _following(place)[:1] == ["of"] else False


def _listed(place: NumberPlace) -> int:
    """How many rows are listed after a number: `two countries (France and the USA)`."""
    tokens = place.sentence.tokens
    opened = next(
        (n for n in range(place.quantity.last + 1, len(tokens)) if tokens[n].text in (":", "(")), -1
    )
    if opened < 0:
        return 0
    closed = next(
        (n for n in range(opened, len(tokens)) if tokens[n].text == ")"), len(tokens)
    ) if tokens[opened].text == "(" else len(tokens)  # fmt: skip
    return len({row for one in place.labels if opened < one.at < closed for row in one.rows})


def _distinct(place: NumberPlace) -> set[int]:
    grid = place.grid
    return {len({row[index] for row in grid.rows}) for index in grid.labels}


def _condition(place: NumberPlace) -> list[int] | None:
    """How many rows meet what the sentence says of them, for each column that can be meant."""
    grid, sentence = place.grid, place.sentence
    found: list[int] = []
    for number, limit in enumerate(sentence.quantities):
        if limit is place.quantity or not is_limit(limit):
            continue
        columns: Sequence[Column] = columns_for(grid, sentence, number) or grid.numeric
        for column in columns:
            meets = comparison(limit, column)
            values = [(row, grid.cell(row, column)) for row in range(len(grid.rows))]
            if any(value is not None and in_unit(limit, column, value) for _, value in values):
                found.append(sum(v is not None and meets(v) for _, v in values))
        return found
    compared = _more_than(place)
    if compared is not None:
        return [compared]
    flagged = flags_met(grid, place.cues())
    if flagged is not None:
        return [sum(flagged)]
    after = [one for one in place.labels if one.at > place.quantity.last]
    if len(after) == 1 and after[0].column in grid.periods:
        return [len(after[0].rows)]
    cues = place.cues()
    for names, sign in ((_GAINS | _RISEN, 1), (_LOSSES | _FALLEN, -1)):
        said = names & cues
        if not said:
            continue
        signed = [c for c in grid.numeric if c.change or {"profit", "gewinn"} & set(c.words)]
        near = _matching(grid, [*said])
        for column in [c for c in near if c in signed] or signed:
            found.append(sum(value * sign > 0 for value in grid.values(column)))
        return found or None
    return None


def _more_than(place: NumberPlace) -> int | None:
    """In how many rows one column is above another: `more bugs were closed than opened`."""
    texts = [token.text for token in place.sentence.tokens]
    at = next((n for n, text in enumerate(texts) if text in ("than", "als")), -1)
    if at < 0:
        return None
    begin = next(
        (n for n in range(at, -1, -1) if texts[n] in words.MORE_THAN | words.LESS_THAN), -1
    )
    if begin < 0:
        return None
    one = column_named(place.grid, texts[begin + 1 : at])
    other = column_named(place.grid, texts[at + 1 : at + 4])
    if one is None or other is None or one is other:
        return None
    sign = 1 if texts[begin] in words.MORE_THAN else -1
    pairs = zip(place.grid.values(one), place.grid.values(other), strict=False)
    return sum((a - b) * sign > 0 for a, b in pairs)


_NOT_SO = words.word_set(
    "not outside beyond exceed exceeds exceeded failed fail fails un without nicht außerhalb over"
)


def flags_met(grid: Grid, cues: set[str]) -> list[bool] | None:
    """For a column of yes and no that a sentence names: which rows are as it says.

    Args:
        grid: The result.
        cues: The words of the sentence.
    """
    for index in range(len(grid.columns)):
        cells = [row[index] for row in grid.rows]
        if not cells or not all(isinstance(cell, bool) for cell in cells):
            continue
        parts = [part for part in pieces(grid.columns[index]) if part not in ("is", "has", "was")]
        if any(words.alike(cue, part) for cue in cues for part in parts if len(part) > 3):
            said = bool(cues & _NOT_SO) != bool(set(parts) & _NOT_SO)
            return [cell != said for cell in cells]
    return _against_plan(grid, cues)


_REACHED = words.word_set("reached reach met meet hit hits achieved erreicht erreichten")
_ABOVE = words.word_set("over above exceeded exceeds beat beats überschritten")
_SHORT = words.word_set("below under missed miss misses short unter verfehlt verfehlten")


def _against_plan(grid: Grid, cues: set[str]) -> list[bool] | None:
    """Which rows are over, under or on their plan, where a sentence says so of a column's plan."""
    plans = [c for c in grid.numeric if set(c.words[: c.named]) & words.PLANS]
    if len(plans) != 1 or not cues & (words.PLANS | words.PLURAL_PLANS):
        return None
    others = [c for c in grid.numeric if c is not plans[0] and c.kind == plans[0].kind]
    others = [
        c for c in others if c.unit == plans[0].unit and not (c.change or c.measure == "mean")
    ]
    others = [c for c in others if not set(c.words[: c.named]) & {"variance", "diff", "abweichung"}]
    if len(others) != 1:
        return None
    pairs = list(zip(grid.values(others[0]), grid.values(plans[0]), strict=False))
    for names, test in (
        (_SHORT, [a < b for a, b in pairs]),
        (_ABOVE, [a > b for a, b in pairs]),
        (_REACHED, [a >= b for a, b in pairs]),
    ):
        if cues & names:
            return test
    return None


def is_limit(quantity: WrittenNumber) -> bool:
    """Whether a number is a bound: `above 500,000`, `at least 5 %`."""
    return quantity.hedge in ("over", "under") and bool(quantity.readings)


def comparison(limit: WrittenNumber, column: Column) -> Callable[[Decimal], bool]:
    """Whether a cell lies beyond a bound, as a function.

    Args:
        limit: The bound as written.
        column: The cell's column.
    """

    def meets(value: Decimal) -> bool:
        bound = limit.readings[0]
        shown = in_unit(limit, column, value)
        return any(one > bound if limit.hedge == "over" else one < bound for one in shown)

    return meets
