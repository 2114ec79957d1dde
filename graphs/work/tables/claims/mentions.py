"""Which rows and columns a sentence speaks of, and which of them each number belongs to."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from allotrope.graphs.work.tables.claims import dates
from allotrope.graphs.work.tables.claims import vocabulary as words
from allotrope.graphs.work.tables.claims.grid import Column, Grid
from allotrope.graphs.work.tables.claims.quantities import ParsedSentence, WrittenToken, tokens_of
from allotrope.graphs.work.tables.claims.vocabulary import word_set

_LONGEST_LABEL = 8
"""Tokens that the name of a row may have."""
_BEFORE_LABEL = word_set(
    """
    in for from by at of on with im auf bei für aus von der the a an measured to compared
    """
)
_APART = word_set(", ; and than more less fewer that twice times as")
_LIST = word_set(
    """
    . , and und & or oder as well the ; / vs vs. versus against gegenüber with to than
    compared not
    """
)


@dataclass(frozen=True)
class Mention:
    """A row's name in a sentence.

    Args:
        column: The column of labels that has it.
        rows: The rows that it names.
        at: Its first token.
        last: Its last token.
        name: As written.
    """

    column: int
    rows: frozenset[int]
    at: int
    last: int
    name: str


@dataclass(frozen=True)
class Named:
    """What a sentence names.

    Args:
        labels: Rows, in order.
        taken: Stretches of characters that are names or dates.
        unknown: Whole dates that no row has, as written.
    """

    labels: tuple[Mention, ...]
    taken: tuple[tuple[int, int], ...]
    unknown: tuple[str, ...]


def named_in(grid: Grid, text: str) -> Named:
    """The rows that a sentence names, and the dates.

    Args:
        grid: The result.
        text: The sentence.
    """
    flat = text.replace("_", " ")
    tokens = tokens_of(flat)
    found: list[Mention] = []
    taken: list[tuple[int, int]] = []
    unknown: list[str] = []
    every = len(grid.rows)
    for written in dates.written_in(flat[:2000]):
        span = written.start, written.end
        taken.append(span)
        at, last = _span(tokens, *span)
        known = False
        for column, periods in grid.periods.items():
            rows = dates.rows_within(periods, written.period)
            known = known or bool(rows)
            if rows and (len(rows) < every or every == 1):
                found.append(Mention(column, rows, at, last, text[span[0] : span[1]]))
        exact = written.period.day or (
            written.period.year and (written.period.month or written.period.quarter)
        )
        if exact and not known and (written.period.day or _has_years(grid)):
            unknown.append(text[span[0] : span[1]])
    for column, forms in grid.labels.items():
        if column in grid.periods:
            continue
        at = 0
        while at < len(tokens):
            step = 1
            for length in range(min(_LONGEST_LABEL, len(tokens) - at), 0, -1):
                start, end = tokens[at].start, tokens[at + length - 1].end
                name = _own(flat[start:end])
                named = forms.get(name.lower()) or (
                    forms.get(f"~{words.stem(name)}") if length == 1 and name.isalpha() else None
                )
                if named and not _hidden(name, tokens[at : at + length]):
                    found.append(Mention(column, named, at, at + length - 1, text[start:end]))
                    taken.append((start, start + len(name)))
                    step = length
                    break
            at += step
    found.sort(key=lambda mention: (mention.at, -mention.last))
    return Named(tuple(found), tuple(taken), tuple(unknown))


def _has_years(grid: Grid) -> bool:
    return any(one.year for periods in grid.periods.values() for one in periods.values())


def _own(name: str) -> str:
    """A name without `'s`."""
    return re.sub(r"['’]s?$", "", name)


def _hidden(name: str, tokens: Sequence[WrittenToken]) -> bool:
    """Whether what looks like a label is a small word or a bare number."""
    if name.isalpha() and len(name) <= 3 and not name.isupper():
        return name.lower() in words._ENGLISH | words._GERMAN or len(name) == 1
    return all(token.kind != "word" for token in tokens) and len(name) < 3


def _span(tokens: Sequence[WrittenToken], start: int, end: int) -> tuple[int, int]:
    inside = [n for n, token in enumerate(tokens) if start <= token.start < end]
    return (inside[0], inside[-1]) if inside else (0, 0)


def rows_of(
    sentence: ParsedSentence,
    labels: Sequence[Mention],
    topic: Sequence[Mention],
    number: int,
    times: Collection[int] = (),
) -> list[frozenset[int]]:
    """The rows that a number can belong to by its place in the sentence; nothing where it is free.

    Each column of labels gives one or more readings; a reading is the rows of one or, where the
    columns differ, of several mentions together.

    Args:
        sentence: The sentence.
        labels: Its labels.
        topic: The labels of the sentence before it.
        number: Which of its numbers.
        times: The columns of labels that are periods, in order.
    """
    readings: list[frozenset[int]] = []
    for column in dict.fromkeys(one.column for one in (*labels, *topic)):
        own = [one for one in labels if one.column == column]
        if not own:
            own = [one for one in topic if one.column == column]
            choices = [one.rows for one in own[-1:]] + [own[0].rows]
        else:
            choices = _choices(sentence, own, number, column_is_time=column in times)
        if not readings:
            readings = choices
        elif choices:
            both = [a & b for a in readings for b in choices if a & b]
            readings = both or readings + choices
    return list(dict.fromkeys(readings))


def _choices(
    sentence: ParsedSentence, own: Sequence[Mention], number: int, *, column_is_time: bool
) -> list[frozenset[int]]:
    quantity = sentence.quantities[number]
    tokens = sentence.tokens
    following = next((one for one in own if one.at > quantity.last), None)
    if following is not None:
        between = tokens[quantity.last + 1 : following.at]
        free = all(token.kind != "number" for token in between) and len(between) <= 5
        texts = [token.text for token in between]
        bound = texts and texts[-1] in _BEFORE_LABEL
        bound = bound or (
            len(texts) > 1
            and texts[-2] in _BEFORE_LABEL
            and texts[-1] in ("the", "der", "dem", "a")
        )
        bound = bound or texts in (["("], [])
        if free and bound and not _APART & set(texts):
            return [following.rows]
    paired = _paired(sentence, own, number)
    before = [one for one in own if one.last < quantity.at]
    if not before:
        return [following.rows] if following is not None else []
    nearest = before[-1]
    choices = [nearest.rows]
    if paired is not None:
        choices = [paired] if _respectively(sentence) else [paired, nearest.rows]
    together = _together(sentence, before)
    if len(together) > 1:
        choices.append(frozenset().union(*(one.rows for one in together)))
    if column_is_time and {"from", "von"} & {
        t.text for t in tokens[max(0, quantity.at - 2) : quantity.at]
    }:
        choices += [frozenset({row - 1}) for row in nearest.rows if row > 0]
    gap = [token.text for token in tokens[max(0, nearest.at - 3) : nearest.at]]
    if {"than", "als", "behind", "hinter", "ahead", "vor", "above", "below", "over"} & set(gap):
        choices.append(before[0].rows)
    return choices


def _respectively(sentence: ParsedSentence) -> bool:
    return any(
        token.text in ("respectively", "beziehungsweise", "bzw") for token in sentence.tokens
    )


def _run(sentence: ParsedSentence, number: int) -> list[int]:
    """The numbers that stand in one list with a number: `437k and 412k`."""
    runs, run = [], [0]
    for n in range(1, len(sentence.quantities)):
        before, after = sentence.quantities[n - 1], sentence.quantities[n]
        between = sentence.tokens[before.last + 1 : after.at]
        joined = (
            bool(between)
            and all(token.text in _LIST or token.text in "$€£~≈-" for token in between)
            and any(token.text in _LIST for token in between)
        )
        if joined:
            run.append(n)
        else:
            runs.append(run)
            run = [n]
    runs.append(run)
    return next(run for run in runs if number in run)


def _paired(sentence: ParsedSentence, own: Sequence[Mention], number: int) -> frozenset[int] | None:
    """The label at the same place of the list of labels as a number has in its list."""
    run = _run(sentence, number)
    if len(run) < 2:
        return None
    first = sentence.quantities[run[0]].at
    last = sentence.quantities[run[-1]].last
    if any(first < one.at < last for one in own):
        return None
    before = [one for one in own if one.last < first][-len(run) :]
    after = [one for one in own if one.at > last][: len(run)]
    chosen = before if len(before) == len(run) else after
    return chosen[run.index(number)].rows if len(chosen) == len(run) else None


def _together(sentence: ParsedSentence, before: Sequence[Mention]) -> list[Mention]:
    """The labels at the end of those before a number that are joined by `and` or commas."""
    chosen = [before[-1]]
    for one in reversed(before[:-1]):
        between = [token.text for token in sentence.tokens[one.last + 1 : chosen[0].at]]
        if not between or not all(text in (",", "and", "und", "&", "the") for text in between):
            break
        chosen.insert(0, one)
    return chosen


def columns_for(grid: Grid, sentence: ParsedSentence, number: int) -> list[Column] | None:
    """The columns that the words around a number name; None where no word names one.

    A noun right after the number decides; else the nearest words before it.

    Args:
        grid: The result.
        sentence: The sentence.
        number: Which of its numbers.
    """
    quantity = sentence.quantities[number]
    tokens = sentence.tokens
    until = next((q.at for q in sentence.quantities[number + 1 :]), len(tokens))
    after: list[str] = []
    for token in tokens[quantity.last + 1 : min(until, quantity.last + 6)][:5]:
        if quantity.unit and token.text in ("of", "all", "the", "der", "aller"):
            continue
        if token.text in _HELPERS and not after:
            continue
        if token.kind != "word" or token.text in _STOP:
            break
        after.append(token.text)
    hit = _matching(grid, after)
    if hit:
        return hit
    begin = own_part(sentence, number)
    own = _nearest(grid, list(tokens[begin : quantity.at]))
    if own:
        return own
    first = _run(sentence, number)[0]
    return columns_for(grid, sentence, first) if first != number else None


def own_part(sentence: ParsedSentence, number: int) -> int:
    """Where the words begin that can be said of a number, and not of the one before it."""
    if not number:
        return 0
    begin = sentence.quantities[number - 1].last + 1
    end = sentence.quantities[number].at
    for at in range(begin, min(begin + 4, end)):
        if sentence.tokens[at].text in (")", ",", ";", "but", "although", "while"):
            return at + 1
    # "14 deals worth 124,800", "277 mm of rain and 838 hours": the first noun is the first number's
    text = [token.text for token in sentence.tokens[begin:end]]
    if text[:1] == ["of"] and len(text) > 2:
        return begin + 2
    if text[:1] and text[0].isalpha() and text[0] not in _STOP | _HELPERS and len(text) > 1:
        return begin + 1
    return begin


_HELPERS = word_set("were was have has had been wurden wurde")
_STOP = word_set(
    """
    against versus vs gegenüber
    in for from by at of on with while and or but compared than as per im auf bei für aus von
    und oder pro je to which who is are was were has have
    """
)


def _nearest(grid: Grid, tokens: Sequence[WrittenToken]) -> list[Column]:
    """The columns named nearest to the end of some tokens; two words of one name count double."""
    for end in range(len(tokens), 0, -1):
        if tokens[end - 1].text in (";", "|") or (tokens[end - 1].text == "while"):
            return []
        if tokens[end - 1].kind == "word":
            near = [token.text for token in tokens[max(0, end - 6) : end] if token.kind == "word"]
            if _matching(grid, near[-1:]):
                return _matching(grid, near)
    return []


def _matching(grid: Grid, near: Sequence[str]) -> list[Column]:
    scores = {column: score(column, near) for column in grid.numeric}
    best = max(scores.values(), default=0.0)
    if best <= 0:
        return []
    return [column for column, points in scores.items() if points >= best - 0.01]


def score(column: Column, near: Sequence[str]) -> float:
    """How well words name a column; an aggregate that contradicts it counts against it.

    Args:
        column: The column.
        near: Words in lower case.
    """
    points = 0.0
    for word in near:
        kind = next((kind for kind, names in words.AGGREGATES.items() if word in names), "")
        if kind:
            points += 1.0 if kind == column.measure else 0.0
            continue
        if any(words.stem(word) == words.stem(part) for part in column.words):
            points += 1.0
        elif any(words.alike(word, part) for part in column.words if len(part) > 2):
            points += 0.75
    return points
