"""Holding an answer against the results of its queries, sentence by sentence.

A number holds when it stands in the row and column that the words around it name, in a unit and
with a sign that fit; when it follows from such cells by one step that the words ask for; or when it
is a bound or a count that the rows confirm. What is ranked or compared must stand so in the result.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from allotrope.graphs.work.tables.claims.grid import Grid, grid_of
from allotrope.graphs.work.tables.claims.language.quantities import (
    LONGEST,
    ParsedSentence,
    WrittenNumber,
    parse,
)
from allotrope.graphs.work.tables.claims.mentions import (
    Mention,
)
from allotrope.graphs.work.tables.claims.view import SentenceView

MAX_SENTENCES = 200
"""Sentences of an answer that are looked at; those that follow count as wrong."""
MAX_NUMBERS = 60
"""Numbers that a sentence may have; people read no more."""
MAX_LOOKS = 600_000
"""Cells that are looked at for the numbers of one answer, about."""
_SPLIT = re.compile(
    r"(?<=[a-zäöüß%)][a-zäöüß%)][.!?])(?<!\b[Nn][or]\.)(?<!\bca\.)(?<!rox\.)(?<!\bvs\.)(?<!etc\.)"
    r"(?<!\binkl\.)(?<!\bincl\.)(?<!\bmax\.)(?<!\bmin\.)(?<!\bavg\.)(?<!io\.)\s+(?=\d)|"
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bvs\.)(?<!\bca\.)(?<!\bapprox\.)\s+(?=[A-ZÄÖÜ*_\"(“])"
)
_MARK = re.compile(r"^[ \t>]*(?:[-*•]|\d{1,3}[.)])\s+|^#{1,6}\s+")
_FENCE = re.compile(r"^\s*```")


@dataclass(frozen=True)
class Judged:
    """A sentence of an answer.

    Args:
        text: As written.
        line: The line in which it stands, from 0.
        problem: Why it doesn't hold, or None.
        derived: Numbers of it that were worked out from the results, as `number = sum`.
    """

    text: str
    line: int
    problem: str | None = None
    derived: tuple[str, ...] = ()


@dataclass(frozen=True)
class QueryFacts:
    """A query's result, as the analyst keeps it.

    Args:
        columns: Names of its columns.
        rows: Its rows.
        sql: The query.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    sql: str = ""


def judge(answer: str, results: Sequence[QueryFacts], *, question: str = "") -> list[Judged]:
    """Judges each sentence of an answer.

    Args:
        answer: What a model wrote.
        results: What the queries gave.
        question: What was asked; its numbers hold only where they are used as there.
    """
    grids = [grid_of(one.columns, one.rows, one.sql) for one in results]
    asked = parse(question[:2000])
    found: list[Judged] = []
    topics: list[tuple[Mention, ...]] = [() for _ in grids]
    fenced = False
    earlier: Sequence[WrittenNumber] = ()
    cells = sum(len(grid.rows) * max(1, len(grid.numeric)) for grid in grids)
    left = max(30, MAX_LOOKS // max(300, cells))
    for number, line in enumerate(answer.split("\n")):
        if _FENCE.match(line):
            fenced = not fenced
            continue
        if fenced or not line.strip():
            continue
        for piece in _sentences(line.strip()):
            if len(found) >= MAX_SENTENCES or left <= 0:
                found.append(Judged(piece, number, "the answer is too long to be checked"))
                continue
            judged, topics, numbers = _judged(piece, number, grids, topics, asked, earlier)
            left -= len(numbers)
            earlier = () if judged.problem else numbers
            found.append(judged)
    return found


def _sentences(line: str) -> list[str]:
    """The sentences of a line; the mark of a list stays with the first."""
    mark = _MARK.match(line)
    start = mark.end() if mark else 0
    first, *others = _SPLIT.split(line[start:])
    return [line[:start] + first, *others]


def kept(answer: str, judged: Sequence[Judged]) -> str:
    """An answer without the sentences that don't hold.

    Args:
        answer: What a model wrote.
        judged: From `judge`.
    """
    lines: list[str] = []
    by_line: dict[int, list[Judged]] = {}
    for one in judged:
        by_line.setdefault(one.line, []).append(one)
    for number, line in enumerate(answer.split("\n")):
        pieces = by_line.get(number)
        if not pieces or all(one.problem is None for one in pieces):
            lines.append(line)
            continue
        good = [one.text for one in pieces if one.problem is None]
        if any(re.search(r"\w", _MARK.sub("", text)) for text in good):
            lines.append(" ".join(good))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _judged(
    piece: str,
    line: int,
    grids: Sequence[Grid],
    topics: Sequence[tuple[Mention, ...]],
    asked: ParsedSentence,
    earlier: Sequence[WrittenNumber] = (),
) -> tuple[Judged, list[tuple[Mention, ...]], Sequence[WrittenNumber]]:
    plain = re.sub(r"\*\*|__|`", "", _MARK.sub("", piece))
    own = parse(plain).quantities
    problem = None
    if len(plain) > LONGEST or len(own) > MAX_NUMBERS:
        problem = "a sentence is too long to be checked"
    elif not grids and own:
        problem = f"{own[0].text}: there is no result"
    if problem or not grids:
        return Judged(piece, line, problem), list(topics), ()
    views = [
        SentenceView.of(grid, plain, topic, asked, earlier)
        for grid, topic in zip(grids, topics, strict=True)
    ]
    following = [
        tuple(view.named.labels) or topic for view, topic in zip(views, topics, strict=True)
    ]
    best = min(views, key=lambda view: len(view.problems))
    common = set.intersection(*(set(view.problems) for view in views))
    problem = next((best.problems[text] for text in best.problems if text in common), None)
    if problem is None:
        wrong = [view.contradiction for view in views if view.named.labels or len(views) == 1]
        problem = wrong[0] if wrong and all(wrong) else None
    made = dict.fromkeys(note for view in views for note in view.made)
    return Judged(piece, line, problem, tuple(made) if problem is None else ()), following, own
