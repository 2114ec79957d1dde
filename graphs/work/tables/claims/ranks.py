"""Whether what a sentence ranks or compares stands so in the result: highest, second, more than."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from allotrope.graphs.work.tables.claims.grid import Column, Grid, ordering, pieces
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.quantities import ParsedSentence
from allotrope.graphs.work.tables.claims.language.vocabulary import word_set
from allotrope.graphs.work.tables.claims.mentions import Mention, _matching, column_named
from allotrope.graphs.work.tables.claims.quantifiers import overstated

_OBJECTS = word_set(
    """
    than als behind hinter ahead of vor above below over exceeds exceeded beats beat outsold
    outperforms outperformed surpasses surpassed trails
    """
)
_COSTS = word_set(
    """
    return returns cost price hours minutes seconds error errors churn delay complaints
    resolution duration kosten dauer fehler open delayed cancelled canceled defects reopened
    litres liters fuel consumption verbrauch complaints returned overdue downtime stops wait
    waiting late missed
    """
)
_CARRIERS = word_set(
    "month quarter year week day region product channel team country one of at with in is and was "
    "value number amount total performer seller"
)
"""After `most` or `best`: words that are no adjective of another measure."""
_VALUED = word_set(
    """
    best strongest beste stärkste worst weakest schwächste schlechteste poorest better worse
    """
)


def contradiction(
    grid: Grid,
    sentence: ParsedSentence,
    labels: Sequence[Mention],
    cells: dict[int, tuple[int, Column]],
) -> str | None:
    """What a sentence ranks or compares wrongly, as a reason; None where nothing is wrong.

    Args:
        grid: The result.
        sentence: The sentence.
        labels: The rows that it names.
        cells: For its numbers that are cells: row and column.
    """
    for problem in (
        *_superlatives(grid, sentence, labels, cells),
        *_comparisons(grid, sentence, labels),
        *_courses(grid, sentence, labels, cells),
        *_columns_compared(grid, sentence, labels),
        *overstated(grid, sentence, labels),
    ):
        return problem
    return None


def _superlatives(
    grid: Grid,
    sentence: ParsedSentence,
    labels: Sequence[Mention],
    cells: dict[int, tuple[int, Column]],
) -> Iterator[str]:
    tokens = sentence.tokens
    for at, token in enumerate(tokens):
        name = token.text.removesuffix("n") if token.text.endswith("sten") else token.text
        sign = 1 if name in words.HIGHEST else -1 if name in words.LOWEST else 0
        inside = any(one.at <= at <= one.last for one in labels)
        either = not sign and not inside and _is_superlative(sentence, at)
        if either:  # "the driest": which end is meant isn't known
            sign = 1
        rank = 1
        if token.text in words.ORDINALS and not sign:
            after = [one.text for one in tokens[at + 1 : at + 3]]
            before = [one.text for one in tokens[max(0, at - 2) : at]]
            if not (
                {"ranks", "ranked", "place", "platz", "auf", "is", "comes", "came", "in"}
                & set(before)
                or {"place", "rank", "up", "platz"} & set(after)
            ):
                continue
            if "quarter" in after or set(after) & words.HIGHEST or set(after) & words.LOWEST:
                continue
            sign, rank = 1, words.ORDINALS[token.text]
        if not sign or _not_a_rank(sentence, at):
            continue
        for back in tokens[max(0, at - 2) : at]:
            rank = words.ORDINALS.get(back.text, rank)
        if {"two", "three", "four", "both", "among", "zwei", "drei", "beiden"} & {
            one.text for one in tokens[max(0, at - 3) : at]
        }:
            continue  # it is said of several
        mention = _subject(labels, sentence, at)
        if mention is None and not labels and rank == 1:
            yield from _unnamed(grid, sentence, at, sign, cells)
        if mention is None or len(mention.rows) != 1:
            continue
        row = next(iter(mention.rows))
        if token.text in _BY_DATE and grid.periods:
            if not _by_date(grid, row, last=_BY_DATE[token.text]):
                yield f"“{token.text}” doesn't hold of {mention.name}"
            continue
        columns = _measured(grid, sentence, at, mention, cells)
        beside = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if (
            token.text in ("most", "least", "best", "worst")
            and beside.isalpha()
            and not _matching(grid, [beside])
            and beside not in _CARRIERS | _GOOD | {"common", "frequent", "numerous"}
            and not beside.endswith("s")
            and {"is", "are", "was", "were", "ist", "war"}
            & {one.text for one in tokens[max(0, at - 2) : at]}
        ):
            continue
        if beside in ("common", "frequent", "numerous") or token.text.startswith("häufigst"):
            counts = [c for c in grid.numeric if "count" in (c.kind, c.measure)]
            columns = counts or columns
        columns = [column for column in columns if grid.cell(row, column) is not None]
        if not columns or len(grid.rows) == 1:
            if len(grid.rows) == 1 and _against_order(grid, sign):
                yield f"the query looked for the other end than “{token.text}”"
            continue
        valued = token.text in _VALUED or beside in _GOOD
        if beside in _GOOD:
            columns = [c for c in columns if _is_cost(c)] or columns
        elif valued:
            columns = [c for c in columns if c.kind != "count" or _is_cost(c)] or columns
        if columns and not any(
            _ranked(grid, column, row, -sign if valued and _is_cost(column) else sign, rank)
            or (either and _ranked(grid, column, row, -sign, rank))
            for column in columns
        ):
            yield (
                f"“{token.text}” doesn't hold: by {columns[0].name} it is "
                f"{_name(grid, columns[0], sign, rank, mention.column)}"
            )


def _unnamed(
    grid: Grid,
    sentence: ParsedSentence,
    at: int,
    sign: int,
    cells: dict[int, tuple[int, Column]],
) -> Iterator[str]:
    """`the lowest temperature was 11.8` without a row: it must be the lowest of a column."""
    after = [n for n, one in enumerate(sentence.quantities) if at < one.at <= at + 10]
    if not after or after[0] not in cells or len(grid.rows) < 2:
        return
    row, found = cells[after[0]]
    value = grid.cell(row, found)
    holders = [
        column
        for column in grid.numeric
        if any(grid.cell(one, column) == value for one in range(len(grid.rows)))
    ]
    if value is not None and not any(
        value in (min(grid.values(c)), max(grid.values(c)))
        if (sign < 0) == _is_cost(c)
        else value == (max if sign > 0 else min)(grid.values(c))
        for c in holders
    ):
        yield f"“{sentence.tokens[at].text}” doesn't hold of {sentence.quantities[after[0]].text}"


def _is_cost(column: Column) -> bool:
    """Whether less is better."""
    return any(words.stem(part) in _COST_STEMS for part in column.words)


def _by_date(grid: Grid, row: int, *, last: bool) -> bool:
    """Whether a row has the first or the last date of a column of dates."""
    for periods in grid.periods.values():
        if row in periods:
            end = (max if last else min)(one.key for one in periods.values())
            if periods[row].key == end:
                return True
    return False


_BY_DATE = {
    **dict.fromkeys(("oldest", "earliest", "älteste", "älteste", "früheste"), False),
    **dict.fromkeys(("newest", "latest", "youngest", "neueste", "jüngste"), True),
}
_BESIDE = word_set("in at for on by is was with bei im")
_OF_KIND = {
    "time": word_set(
        "fastest quickest slowest longest shortest schnellste langsamste längste kürzeste"
    ),
    "money": word_set("cheapest priciest costliest teuerste günstigste billigste"),
}
"""Superlatives that are of a kind of column."""
_COST_STEMS = {words.stem(word) for word in _COSTS}
_GOOD = word_set(
    "punctual reliable efficient stable accurate affordable economical pünktlich pünktlichste "
    "punctually reliably efficiently economically"
)
"""Adjectives that are good to have: the most punctual has the least delay."""
_NO_SUPERLATIVES = word_set(
    """
    interest request forest harvest contest invest guest protest suggest latest earliest newest
    highest digest manifest honest modest conquest midwest northwest southwest closest nearest
    """
)
_TURNED = word_set("emptiest narrowest thinnest slimmest lowliest calmest quietest rarest")


def _is_superlative(sentence: ParsedSentence, at: int) -> bool:
    """Whether a word is another superlative, by its ending: `the fullest`."""
    text = sentence.tokens[at].text
    before = sentence.tokens[at - 1].text if at else ""
    ends = text.endswith("est") and len(text) >= 6 and text not in _NO_SUPERLATIVES | _TURNED
    return ends and before in ("the", "is", "are", "was", "were")


def _not_a_rank(sentence: ParsedSentence, at: int) -> bool:
    """`at most`, `at least`, `the first half`, `most of`, `last year`, `leading to`."""
    token = sentence.tokens[at]
    before = sentence.tokens[at - 1].text if at else ""
    after = sentence.tokens[at + 1].text if at + 1 < len(sentence.tokens) else ""
    if before in ("at", "bis") or (token.text in ("most", "leading") and after in ("of", "to")):
        return True
    if token.text in ("first", "last", "top", "best", "peak", "maximum", "minimum"):
        if token.text in ("first", "last"):
            return before not in (
                "is",
                "ranks",
                "came",
                "comes",
                "ist",
                "placed",
                "in",
                "being",
            ) or (after in ("half", "quarter", "year", "month", "week", "six", "three"))
        if token.text == "top" and (after.isdigit() or before not in ("the", "is", "on", "")):
            return True
        return token.text in ("maximum", "minimum", "peak")
    if token.text in ("lead", "leads", "leader"):
        return after in ("to", "time") or before == "a"
    return token.text == "oldest" and after == "in"


def _subject(labels: Sequence[Mention], sentence: ParsedSentence, at: int) -> Mention | None:
    """The row that a superlative is said of: the nearest before it, else the first after it."""
    stop = max(
        (
            n
            for n, token in enumerate(sentence.tokens[:at])
            if token.text in (";", "while", "whereas")
        ),
        default=-1,
    )
    if at >= 2 and sentence.tokens[at - 1].text in ("by", "von"):
        return None
    before = [one for one in labels if stop < one.last < at]
    after = [one for one in labels if one.at > at]
    follows = [token.text for token in sentence.tokens[at + 1 : after[0].at]] if after else []
    linked = (
        bool(after)
        and len(follows) <= 12
        and bool(
            {"is", "was", "are", ":", "in", "(", "ist", "war", "by", "goes", "at"} & set(follows)
        )
    )
    parted = {one.text for one in sentence.tokens[before[-1].last + 1 : at]} if before else set()
    beside = after and len(follows) <= 2 and set(follows) <= _BESIDE
    if beside and parted & {"and", "und", ",", ";", "but"}:
        return after[0]
    if before and not (
        linked
        and sentence.tokens[at - 1].text in ("the", "der", "die", "das", "most")
        and before[-1].last < at - 6
    ):
        return before[-1]
    return after[0] if after else None


def _measured(
    grid: Grid,
    sentence: ParsedSentence,
    at: int,
    mention: Mention,
    cells: dict[int, tuple[int, Column]],
) -> list[Column]:
    """The columns by which a superlative can be meant."""
    near = [
        token.text for token in sentence.tokens[max(0, at - 1) : at + 5] if token.kind == "word"
    ]
    named = _matching(grid, [word for word in near if word not in words.HIGHEST | words.LOWEST])
    row = next(iter(mention.rows))
    end = next(
        (n for n in range(at, len(sentence.tokens)) if sentence.tokens[n].text in (";", "while")),
        len(sentence.tokens),
    )
    found = [
        (abs(sentence.quantities[number].at - at), column)
        for number, (cell_row, column) in cells.items()
        if cell_row == row and sentence.quantities[number].at < end
    ]
    nearest = [column for _, column in sorted(found, key=lambda pair: pair[0])[:2]]
    if named:
        return list(dict.fromkeys([*named, *nearest]))
    if nearest:
        return nearest
    near = [token.text for token in sentence.tokens if token.kind == "word"]
    kinds = {kind for kind, names in _OF_KIND.items() if sentence.tokens[at].text in names}
    if kinds and (alike := [c for c in grid.numeric if c.kind in kinds]):
        return alike
    named = _matching(grid, near)
    if named:
        return named
    sorted_by = ordering(grid)
    if sorted_by is not None:
        return [sorted_by]
    return list(grid.numeric)


def _ranked(grid: Grid, column: Column, row: int, sign: int, rank: int) -> bool:
    value = grid.cell(row, column)
    values = sorted(set(grid.values(column)), reverse=sign > 0)
    return value is not None and rank <= len(values) and values[rank - 1] == value


def _name(grid: Grid, column: Column, sign: int, rank: int, labels: int) -> str:
    rows = sorted(
        (row for row in range(len(grid.rows)) if grid.cell(row, column) is not None),
        key=lambda row: (grid.cell(row, column) or Decimal(0)) * -sign,
    )
    return str(grid.rows[rows[min(rank, len(rows)) - 1]][labels])


def _against_order(grid: Grid, sign: int) -> bool:
    """Whether the query took the first row of the other order."""
    low = " ".join(grid.sql.lower().split())
    if "order by" not in low or "limit 1" not in low:
        return False
    falling = " desc" in low.rpartition("order by")[2]
    return falling != (sign > 0)


def _comparisons(grid: Grid, sentence: ParsedSentence, labels: Sequence[Mention]) -> Iterator[str]:
    tokens = sentence.tokens
    for at, token in enumerate(tokens):
        sign = 1 if token.text in words.MORE_THAN else -1 if token.text in words.LESS_THAN else 0
        valued = token.text in ("better", "worse", "besser", "schlechter")
        if valued:
            sign = 1 if token.text in ("better", "besser") else -1
        if not sign:
            continue
        after = [one for one in labels if one.at > at and one.at - at <= 8]
        before = [one for one in labels if one.last < at and at - one.last <= 10]
        if not after or not before or len(after[0].rows) != 1 or len(before[-1].rows) != 1:
            continue
        between = [one.text for one in tokens[at : after[0].at]]
        if not _OBJECTS & set(between) or any(
            one.kind == "number" for one in tokens[at : after[0].at]
        ):
            continue
        if before[-1].column != after[0].column:
            continue
        one, other = (next(iter(m.rows)) for m in (before[-1], after[0]))
        near = [token.text for token in tokens if token.kind == "word"]
        columns = _matching(grid, [word for word in near if word not in words.HIGHEST])
        columns = columns or list(grid.numeric)
        if valued:
            columns = [c for c in grid.numeric if c.measure in ("mean", "median") or c.kind]
            columns = [c for c in columns if c.measure != "count" and c.kind != "count"]
        held = []
        for column in columns:
            a, b = grid.cell(one, column), grid.cell(other, column)
            if a is not None and b is not None:
                held.append((a - b) * (-sign if valued and _is_cost(column) else sign) > 0)
        if held and not any(held):
            yield f"“{token.text}” doesn't hold between {before[-1].name} and {after[0].name}"


def _columns_compared(
    grid: Grid, sentence: ParsedSentence, labels: Sequence[Mention]
) -> Iterator[str]:
    """`exports exceed imports in France`: two columns of the rows that are named, else of all."""
    tokens = sentence.tokens
    for at, token in enumerate(tokens[1:-1], 1):
        sign = 1 if token.text in _EXCEEDS else -1 if token.text in _STAYS_BELOW else 0
        if not sign:
            continue
        one, other = (column_named(grid, texts) for texts in (
            [t.text for t in tokens[max(0, at - 4) : at]],
            [t.text for t in tokens[at + 1 : at + 4]],
        ))  # fmt: skip
        if one is None or other is None or one is other or one.unit != other.unit:
            continue
        if any(quantity.at > at for quantity in sentence.quantities if quantity.at < at + 4):
            continue
        every = any(t.text in words.EVERY | {"all", "alle"} for t in tokens)
        rows = {row for label in labels for row in label.rows} or set(range(len(grid.rows)))
        if not labels and not every:
            continue
        for row in sorted(rows):
            a, b = grid.cell(row, one), grid.cell(row, other)
            if a is not None and b is not None and (a - b) * sign <= 0:
                yield f"“{token.text}” doesn't hold: {one.name} is {a}, {other.name} {b}"
                return


_EXCEEDS = word_set("exceed exceeds exceeded outweigh outweighs outweighed surpass surpassed")
_STAYS_BELOW = word_set("trail trails trailed")


def _courses(
    grid: Grid,
    sentence: ParsedSentence,
    labels: Sequence[Mention],
    cells: dict[int, tuple[int, Column]],
) -> Iterator[str]:
    """`rose from A to B`, and `increased every month`."""
    texts = [token.text for token in sentence.tokens]
    said = [
        (at, 1 if text in words.RISE else -1)
        for at, text in enumerate(texts)
        if text in words.RISE | words.FALL
        and not any(one.at <= at <= one.last for one in labels)
        and text not in ("over", "über", "more", "less", "up", "down", "plus", "minus", "before")
    ]
    for at, sign in said:
        nearby = [q for q in sentence.quantities if 0 < q.at - at <= 14]
        if len(nearby) >= 2 and {"from", "von"} & set(texts[at : nearby[0].at]):
            between = texts[nearby[0].last + 1 : nearby[1].at]
            if "to" in between or "auf" in between:
                first, second = nearby[0].readings[:1], nearby[1].readings[:1]
                if first and second and (second[0] - first[0]) * sign < 0:
                    yield f"“{texts[at]}” doesn't hold from {nearby[0].text} to {nearby[1].text}"
    if grid.ordered and said and (_throughout(texts) or _along(grid, texts)):
        columns = _matching(grid, texts) or list(grid.numeric)[:1]
        left_out = _exceptions(sentence, labels)
        for column in columns:
            values = [(row, grid.cell(row, column)) for row in range(len(grid.rows))]
            steps = [
                (row, (b or Decimal(0)) - (a or Decimal(0)))
                for (_, a), (row, b) in pairwise(values)
            ]
            sign = said[0][1]
            if any(step * sign <= 0 for row, step in steps if row not in left_out):
                yield f"“{texts[said[0][0]]}” doesn't hold for every row of {column.name}"


def _throughout(texts: Sequence[str]) -> bool:
    if any(text in words.EVERY and text not in ("each",) for text in texts):
        return True
    return any(
        text == "all"
        and set(texts[at + 1 : at + 4]) & {"months", "quarters", "years", "weeks", "days"}
        for at, text in enumerate(texts)
    )


def _along(grid: Grid, texts: Sequence[str]) -> bool:
    """`rises with age`: from row to row, of what the rows are."""
    first = min(grid.labels, default=-1)
    return first >= 0 and any(
        text in ("with", "mit")
        and any(words.alike(texts[at + 1], part) for part in pieces(grid.columns[first]))
        for at, text in enumerate(texts[:-1])
    )


def _exceptions(sentence: ParsedSentence, labels: Sequence[Mention]) -> frozenset[int]:
    at = next((n for n, t in enumerate(sentence.tokens) if t.text in words.EXCEPT), None)
    if at is None:
        return frozenset()
    return frozenset().union(*(one.rows for one in labels if one.at > at))
