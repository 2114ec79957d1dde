"""Which rows and columns a sentence speaks of, and which of them each number belongs to."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from allotrope.graphs.work.spelled import GERMAN_ONES, ONES
from allotrope.graphs.work.tables.claims.grid import Column, Grid, pieces, plain_name, stems
from allotrope.graphs.work.tables.claims.language import dates
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.quantities import (
    ParsedSentence,
    WrittenToken,
    tokens_of,
)
from allotrope.graphs.work.tables.claims.language.vocabulary import word_set

_FROM_DAY = re.compile(r"(?<!\S)\(?(\d{1,2})(?:st|nd|rd|th|\.)?\s?(?:[-–—]|to|bis|and|und)\s?\Z")
_LONGEST_LABEL = 8
"""Tokens that the name of a row may have."""
_BEFORE_LABEL = word_set(
    """
    in for from by at of on with im auf bei für aus von der the a an measured to compared
    """
)
_PARTS = word_set(", ; : and und but aber while whereas")
_OPPOSED = word_set("against versus vs vs. compared gegenüber")
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
        first_day = written.period.day
        since = written.period.day and _FROM_DAY.search(flat, max(0, span[0] - 12), span[0])
        if since:
            taken.append((since.start(), span[0]))
            first_day = int(since[1])
        at, last = _span(tokens, *span)
        known = False
        for column, periods in grid.periods.items():
            rows = dates.rows_within(periods, written.period, since=first_day)
            known = known or bool(rows)
            if rows and (len(rows) < every or every == 1):
                found.append(Mention(column, rows, at, last, text[span[0] : span[1]]))
        exact = written.period.day or (
            written.period.year and (written.period.month or written.period.quarter)
        )
        if exact and not known and (written.period.day or _has_years(grid)):
            unknown.append(text[span[0] : span[1]])
    taken += _in_columns(grid, tokens)
    for column, forms in grid.labels.items():
        if column in grid.periods:
            continue
        at = 0
        while at < len(tokens):
            step = 1
            for length in range(min(_LONGEST_LABEL, len(tokens) - at), 0, -1):
                start, end = tokens[at].start, tokens[at + length - 1].end
                name = _own(flat[start:end])
                signs = "sign" in (tokens[at].kind, tokens[at + length - 1].kind)
                named = forms.get(name.lower())
                if length == 3 and tokens[at + 1].text in ("and", "to", "bis", "und"):
                    ends = tokens[at].text, tokens[at + 2].text
                    named = named or (
                        forms.get("-".join(ends)) if "".join(ends).isdigit() else None
                    )
                if not named and not signs:
                    named = _by_form(forms, name, one=length == 1)
                if named and not _hidden(name, tokens[at : at + length]):
                    found.append(Mention(column, named, at, at + length - 1, text[start:end]))
                    taken.append((start, start + len(name)))
                    step = length
                    break
            at += step
    found.sort(key=lambda mention: (mention.at, -mention.last))
    return Named(tuple(found), tuple(taken), tuple(unknown))


def _in_columns(grid: Grid, tokens: Sequence[WrittenToken]) -> list[tuple[int, int]]:
    """Numbers that are part of a column's name: `five-star reviews` of `five_star`."""
    found = []
    pairs = {
        (_DIGITS.get(one, one), words.stem(other))
        for column in grid.numeric
        for one, other in pairwise(pieces(column.name))
    }
    for at, token in enumerate(tokens[:-1]):
        value = _DIGITS.get(token.text, token.text)
        if not value.isdigit():
            continue
        after = at + 2 if tokens[at + 1].text == "-" and at + 2 < len(tokens) else at + 1
        if (value, words.stem(tokens[after].text)) in pairs:
            found.append((token.start, token.end))
    return found


_DIGITS = {name: str(n) for names in (ONES, GERMAN_ONES) for n, name in enumerate(names)}


def _by_form(forms: Mapping[str, frozenset[int]], name: str, *, one: bool) -> frozenset[int] | None:
    """The rows of a name that is written with other signs or endings."""
    plain = plain_name(name)
    if one and not name.isalpha():
        return forms.get(plain)
    return forms.get(plain) or forms.get(stems(plain))


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
    at = sentence.quantities[number].at
    nearest = sorted(labels, key=lambda one: abs(at - one.last))
    for column in dict.fromkeys(one.column for one in (*nearest, *topic)):
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
            # "The Wall by Haushofer … more than Momo (161)": the author isn't Momo's
            meets = any(readings[0] & b for b in choices)
            readings = both if both and meets else readings + choices
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
    if following is not None and free and paired is None:
        # "94 by more than 30 days and 36 by more than 90 days": each with the label that follows
        apart = {token.text for token in tokens[nearest.last + 1 : quantity.at]} & _PARTS
        joined = {token.text for token in tokens[quantity.last + 1 : following.at]} & _PARTS
        if apart and not joined:
            return [following.rows]
    choices = [nearest.rows]
    if paired is not None:
        choices = [paired] if _respectively(sentence) else [paired, nearest.rows]
    run = _run(sentence, number)
    if len(run) == 2 and number == run[1]:
        first = sentence.quantities[run[0]]
        if {t.text for t in tokens[first.last + 1 : quantity.at]} & _OPPOSED:
            choices += [one.rows for one in before if one.rows != nearest.rows]
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
    for at, token in enumerate(tokens[quantity.last + 1 : min(until, quantity.last + 6)]):
        nearby = tokens[quantity.last + at + 2 : quantity.last + at + 3]
        if quantity.unit and token.text in ("of", "all", "the", "der", "aller"):
            continue
        if token.text in _HELPERS and not after:
            continue
        if token.kind != "word" or (token.text in _STOP and not _in_name(grid, token, *nearby)):
            break
        after.append(token.text)
    predicate = _predicate(grid, sentence, number, until) or _verb_before(grid, sentence, number)
    hit = (
        predicate
        or _matching(grid, after)
        or _matching(grid, _complement(grid, sentence, number, until))
    )
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
    # "1,200 on hand against a level of 5,000": the words up to the break are the first number's
    for at in range(begin, end):
        near = at < begin + 4
        if sentence.tokens[at].text in (_BREAKS if near else _BREAKS - {"and", "und", "("}):
            return at + 1
    # "14 deals worth 124,800", "277 mm of rain and 838 hours": the first noun is the first number's
    text = [token.text for token in sentence.tokens[begin:end]]
    if text[:1] == ["of"] and len(text) > 2:
        return begin + 2
    if text[:1] and text[0].isalpha() and text[0] not in _STOP | _HELPERS and len(text) > 1:
        return begin + 1
    return begin


def column_named(grid: Grid, texts: Sequence[str]) -> Column | None:
    """The column that words name by its own name, if only one is.

    Args:
        grid: The result.
        texts: Words in lower case.
    """
    found = [
        column
        for column in grid.numeric
        if {words.stem(text) for text in texts}
        & {words.stem(part) for part in column.words[: column.named] if len(part) > 3}
    ]
    return found[0] if len(found) == 1 else None


def _predicate(grid: Grid, sentence: ParsedSentence, number: int, until: int) -> list[Column]:
    """The columns that a predicate names: `23 votes were invalid` is of what is invalid."""
    texts = [
        token.text for token in sentence.tokens[sentence.quantities[number].last + 1 : until][:7]
    ]
    first = sentence.quantities[number].at
    if {"of", "von"} & {token.text for token in sentence.tokens[max(0, first - 3) : first]}:
        return []  # "40 % of its 350 flights were delayed" says it of the 40 %
    at = next((n for n, text in enumerate(texts) if text in _HELPERS), -1)
    if not 0 <= at <= 2 or not all(text.isalpha() for text in texts[:at]):
        return []
    after = [text for text in texts[at + 1 : at + 3] if text.isalpha()]
    said = [words.stem(text) for text in (*after, "".join(after))]
    return [c for c in grid.numeric if {words.stem(part) for part in c.words} & {*said}]


def _verb_before(grid: Grid, sentence: ParsedSentence, number: int) -> list[Column]:
    """The column of the verb right before a number: `damaged 39 parcels`."""
    at = sentence.quantities[number].at - 1
    if at < 1 or sentence.tokens[at].kind != "word" or not sentence.tokens[at].text.endswith("ed"):
        return []
    found = column_named(grid, [sentence.tokens[at].text])
    return [found] if found is not None else []


def _in_name(grid: Grid, *tokens: WrittenToken) -> bool:
    """Whether two words stand one after the other in a column's name: `on hand`."""
    pair = tuple(token.text for token in tokens)
    return len(pair) == 2 and any(pair in pairwise(column.words) for column in grid.numeric)


_BREAKS = word_set(
    ") ( , ; and und but aber although while whereas against versus vs gegenüber during"
)
"""Where the words of one number end and those of the next begin."""


def _complement(grid: Grid, sentence: ParsedSentence, number: int, until: int) -> list[str]:
    """The noun of `3,980 in repairs` or `400 worth of fuel`; nothing where it names a row."""
    quantity = sentence.quantities[number]
    texts = [token.text for token in sentence.tokens[quantity.last + 1 : until]]
    if texts[:1] == ["worth"]:
        texts = texts[1:]
    if quantity.unit in ("%", "fraction") or len(texts) < 2 or texts[0] not in _PREPOSITIONS:
        return []
    noun = texts[1:3] if texts[1] in ("the", "a", "total", "all", "der", "den") else texts[1:2]
    return [word for word in noun if word.isalpha()]


_PREPOSITIONS = word_set("in of for on an für bei")

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
        if word in words.LIKE_NOTHING:
            continue
        kind = next((kind for kind, names in words.AGGREGATES.items() if word in names), "")
        if kind:
            points += 1.0 if kind == column.measure else 0.0
            continue
        if any(words.stem(word) == words.stem(part) for part in column.words[: column.named]):
            points += 1.0
        elif any(words.stem(word) == words.stem(part) for part in column.words):
            points += 0.85
        elif any(words.alike(word, part) for part in column.words if len(part) > 2):
            points += 0.75
    return points
