"""All and none: `every region grew`, `no airline cancelled a flight`, `all teams score above 4`.

Only what can be worked out is judged: a sign, a bound, or whether something is there at all. What
the words leave open passes.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from allotrope.graphs.work.tables.claims import counting
from allotrope.graphs.work.tables.claims.grid import Column, Grid, pieces
from allotrope.graphs.work.tables.claims.language import dates
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.quantities import (
    ParsedSentence,
    WrittenNumber,
    WrittenToken,
)
from allotrope.graphs.work.tables.claims.language.vocabulary import word_set
from allotrope.graphs.work.tables.claims.matching import in_unit
from allotrope.graphs.work.tables.claims.mentions import Mention, columns_for

_ALL = word_set("all every each both alle jede jeder jedes sämtliche everyone")
_NONE = word_set("no none neither kein keine keiner keines nobody")
_BARE = word_set("the of them these our single der die den in for bei im in")
_MORE_ROWS = word_set("except but besides apart other others außer bis")
_SOME = word_set("not nearly almost fast hardly kaum nicht than als")
_THERE = word_set(
    """
    there gab had have has needed need needs received got carried caused made brought sold used saw
    showed
    recorded reported cancelled canceled hatte hatten brauchte brauchten brachte gab
    """
)
_POSITIVE = word_set("positive profitable profit surplus gain gains positiv profitabel gewinn")
_NEGATIVE = word_set("negative unprofitable loss losses deficit negativ verlust verluste")
_GROWN = word_set(
    """
    grew grow grown growing rose risen increased gained improved climbed stiegen stieg gewachsen
    wuchsen wuchs gestiegen
    """
)
_SHRUNK = word_set(
    """
    fell fallen declined decreased shrank shrunk dropped lost sank sanken fiel fielen gesunken
    gefallen schrumpften
    """
)


def overstated(grid: Grid, sentence: ParsedSentence, labels: Sequence[Mention]) -> Iterator[str]:
    """What a sentence says of all rows, or of none, that some row contradicts.

    Args:
        grid: The result.
        sentence: The sentence.
        labels: The rows that it names.
    """
    tokens = sentence.tokens
    if len(grid.rows) < 2 or len(tokens) > 60:
        return
    for at, token in enumerate(tokens):
        none = token.text in _NONE
        if not none and token.text not in _ALL:
            continue
        end = _clause_end(tokens, at)
        begin = _clause_begin(tokens, at)
        texts = [one.text for one in tokens[begin:end]]
        if set(texts) & _MORE_ROWS or (at and tokens[at - 1].text in _SOME):
            continue
        if any(one.at < end and one.last >= begin for one in labels):
            continue  # it is said of some rows
        if not _are_rows(grid, [one.text for one in tokens[at + 1 : at + 5]]):
            continue
        flagged = counting.flags_met(grid, set(texts))
        if flagged is not None:
            met = sum(flagged)
            if met if none else met < len(flagged):
                yield f"“{token.text}” doesn't hold: it is so in {met} of {len(flagged)} rows"
            break
        for name, test, columns in _tests(grid, sentence, at, begin, end):
            counted = [_counts(grid, column, test) for column in columns]
            held = [one for one in counted if one is not None]
            if none and held and all(met for met, _ in held):
                yield f"“{token.text}” doesn't hold: {held[0][0]} of the rows have {name}"
            if not none and held and all(met < of for met, of in held):
                yield f"“{token.text}” doesn't hold: {held[0][1] - held[0][0]} of the rows don't"
            break


def about_all(sentence: ParsedSentence) -> bool:
    """Whether a sentence speaks of all rows or of none, so that a bound in it is no cell."""
    return any(token.text in _ALL | _NONE for token in sentence.tokens)


def _counts(grid: Grid, column: Column, test: Callable[[Decimal], bool]) -> tuple[int, int] | None:
    values = grid.values(column)
    return (sum(test(value) for value in values), len(values)) if values else None


def _clause_end(tokens: Sequence[WrittenToken], at: int) -> int:
    for end in range(at + 1, len(tokens)):
        if tokens[end].text in (";", "but", "aber", "while", "whereas", ":"):
            return end
        if tokens[end].text == "," and end > at + 3:
            return end
    return len(tokens)


def _clause_begin(tokens: Sequence[WrittenToken], at: int) -> int:
    for begin in range(at - 1, -1, -1):
        if tokens[begin].text in (";", "but", "aber", "while", "whereas", ":", ","):
            return begin + 1
    return 0


def _are_rows(grid: Grid, following: Sequence[str]) -> bool:
    """Whether what follows `all` or `no` names what the rows are."""
    nouns = [word for word in following if word not in _BARE and word.isalpha()]
    nouns = nouns[1:] if nouns and nouns[0] in _COUNTS else nouns
    if not nouns:
        return False
    if any(
        words.alike(nouns[0], part) for index in grid.labels for part in pieces(grid.columns[index])
    ):
        return True
    measured = any(words.alike(nouns[0], part) for column in grid.numeric for part in column.words)
    # "all four vehicles" of a table of plates: the number of rows says that the rows are meant
    counted = [word for word in following[:3] if word in _COUNTS]
    return bool(counted) and _COUNTS[counted[0]] == len(grid.rows) and not measured


_COUNTS = {
    name: number
    for number, names in enumerate(
        ("two zwei", "three drei", "four vier", "five fünf", "six sechs", "seven sieben",
         "eight acht", "nine neun", "ten zehn"), 2,
    )
    for name in names.split()
}  # fmt: skip


def _tests(
    grid: Grid, sentence: ParsedSentence, at: int, begin: int, end: int
) -> Iterator[tuple[str, Callable[[Decimal], bool], Sequence[Column]]]:
    """What is said of the rows, as a test of a cell, and the columns that can be meant."""
    texts = [one.text for one in sentence.tokens[begin:end]]
    said = set(texts)
    near = [text for text in texts if text.isalpha()]
    for number, limit in enumerate(sentence.quantities):
        if begin <= limit.at < end and counting.is_limit(limit):
            named: Sequence[Column] = columns_for(grid, sentence, number) or grid.numeric
            named = [
                c for c in named if any(in_unit(limit, c, value) for value in grid.values(c)[:1])
            ]
            named = named or [
                c for c in grid.numeric if any(in_unit(limit, c, v) for v in grid.values(c)[:1])
            ]
            named = [c for c in named if c.measure != "count"] or named
            named = [c for c in named if _of_this_size(grid, c, limit)] or named
            # one test each: a bound is compared in the column's own unit
            for column in named[:1]:
                yield f"it {limit.hedge} {limit.text}", counting.comparison(limit, column), named
            return
    earned = "money" in said and said & {"made", "make", "makes", "earned"}
    spent = "money" in said and said & {"lost", "lose", "loses"}
    year = dates.written_in(sentence.text[:2000])[:1]
    for names, sign, signed in (
        (_POSITIVE, 1, False), (_NEGATIVE, -1, False), (_GROWN, 1, True), (_SHRUNK, -1, True),
    ):  # fmt: skip
        if not (said & names or (earned and names is _POSITIVE) or (spent and names is _NEGATIVE)):
            continue
        columns = [c for c in grid.numeric if c.change or any(v < 0 for v in grid.values(c))]
        if year:
            columns = [c for c in columns if not c.period or c.period.within(year[0].period)]
        if signed:
            columns = [c for c in columns if c.change]
        named = [c for c in _named(grid, near) if c in columns] or columns
        if named:
            word = next((text for text in texts if text in names), "money")
            yield word, lambda value, sign=sign: value * sign > 0, named  # type: ignore[misc]
        return
    negated = {"not", "n't", "nicht", "never"} & said
    after = [text for text in near if text in _THERE or text.endswith("ed")]
    if (
        after
        and not negated
        and not any(
            q
            for q in sentence.quantities
            if begin <= q.at < end and q.text not in _COUNTS and q.at > at + 3
        )
    ):
        follows = texts[texts.index(after[0]) :]
        columns = [
            c
            for c in _named(grid, follows)
            if c.kind != "share" and c.measure not in ("mean", "median", "max", "min")
        ]
        if columns:
            yield "some", lambda value: value > 0, columns[:1]


def _of_this_size(grid: Grid, column: Column, limit: WrittenNumber) -> bool:
    """Whether a column's values are of the size of a bound, so that the bound can be of it."""
    bound = abs(limit.readings[0])
    shown = [abs(one) for value in grid.values(column) for one in in_unit(limit, column, value)]
    return bool(shown) and min(shown) / 5 <= bound <= max(shown) * 5


def _named(grid: Grid, near: Sequence[str]) -> list[Column]:
    """The columns that words name, the best first."""
    points = {
        column: max((words.alike(word, part) * (2 - n / 20) for n, word in enumerate(near[:20])
                     for part in column.words if len(part) > 2), default=0.0)
        for column in grid.numeric
    }  # fmt: skip
    return sorted((c for c in points if points[c] > 0), key=lambda c: -points[c])
