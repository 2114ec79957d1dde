"""Long messages in passages: the records, rows, lines or sentences that a question is about.

A tool's output of five thousand words is about as many things as it has rows. It is ranked by the
passage that bears on the question, and that passage is what a prompt shows of it.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from allotrope.memory.compression.json_text import is_json, records
from allotrope.memory.compression.outline import (
    Record,
    cells,
    columns,
    outlined,
    quoted_lines,
)
from allotrope.memory.recall.sentences import SENTENCE
from allotrope.memory.recall.words import bag
from allotrope.support.remembered import remembered

_LONGEST = 400
"""Characters of a passage; longer lines and sentences are cut where they pause."""
_SHORTEST_CUT = 200
_READ = 400_000
_MOST = 4_000
"""Passages of one message, and characters that are read: what is beyond is one last passage."""
_PAUSES = ("}, ", "},", "; ", ". ", ", ", ",", " ")
_KEYS, _KEY = 2, 80
"""First cells of a long row that say what it is about, and characters of each."""
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SHARE = 0.35
"""Passages with less than so much of the best one's score aren't shown of a list or log."""


@dataclass(frozen=True)
class MessagePart:
    """A part of a message.

    Args:
        text: As it stands there, or with the path to it where it is JSON.
        words: How often each of its words occurs.
        head: Whether it is a table's head, which the rows need to be read.
        path: Lines above it that say what it belongs to; its words have theirs.
    """

    text: str
    words: Mapping[str, int]
    head: bool = False
    path: str = ""


@dataclass(frozen=True)
class Passages:
    """A message in its passages.

    Args:
        parts: In order.
        listed: Whether they are records, rows or lines, each for itself, and not prose.
    """

    parts: tuple[MessagePart, ...]
    listed: bool

    def scores(self, asked: Mapping[str, float]) -> list[float]:
        """How well each passage bears on a question, by words that few others have.

        Args:
            asked: Words of the question with their weights.
        """
        rows = [part for part in self.parts if not part.head]
        have = Counter(word for part in rows for word in part.words if word in asked)
        rarity = {
            word: weight * math.log(1 + (len(rows) - have[word] + 0.5) / (have[word] + 0.5))
            for word, weight in asked.items()
        }
        return [
            0.0 if part.head else sum(rarity[word] for word in part.words.keys() & rarity.keys())
            for part in self.parts
        ]

    def best(self, asked: Mapping[str, float]) -> Mapping[str, int]:
        """The words of the passage that bears on a question most; a row has its table's head."""
        scores = self.scores(asked)
        found = Counter(self.parts[max(range(len(scores)), key=scores.__getitem__)].words)
        for part in self.parts[:2]:
            if part.head:
                found.update(part.words)
        return found


@remembered(most=64, longest=_READ)
def passages(text: str) -> Passages:
    """A text in its passages: JSON in records, logs and tables in lines, prose in sentences.

    Args:
        text: Any text.
    """
    read, rest = text[:_READ], text[_READ:]
    stripped = text.strip()
    listed, head = True, -1
    try:
        found = records(stripped, longest=_LONGEST) if is_json(stripped) else None
    except RecursionError:  # nested as deep as Python reads, and no deeper
        found = None
    parts = [Record(one) for one in found or ()]
    if found is None:
        lines = read.splitlines()
        rows = quoted_lines(lines)
        head, mark = _head(rows)
        listed = head >= 0 or _is_list(lines)
        if head >= 0:
            parts = _rows(rows, head, mark)
        elif listed:
            parts = outlined(lines, longest=_LONGEST)
        else:
            parts = [Record(one) for one in (SENTENCE.split(read) if lines else [read])]
        parts += [Record(rest)] if rest else []
    pieces: list[tuple[Record, bool]] = []
    for at, part in enumerate(parts):
        if not part.text.strip():
            continue
        cut = [part.text] if at == len(parts) - 1 and rest else _cut(part.text)
        pieces += [(Record(piece, part.path), at <= head) for piece in cut]
    if len(pieces) > _MOST:
        more = "\n".join(piece.text for piece, _ in pieces[_MOST:])
        pieces = [*pieces[:_MOST], (Record(more), False)]
    return Passages(
        tuple(
            MessagePart(
                piece.text,
                bag(_CAMEL.sub(" ", f"{piece.path}\n{piece.text}")),
                is_head,
                piece.path,
            )
            for piece, is_head in pieces
        ),
        listed,
    )


def _rows(lines: Sequence[str], head: int, mark: str) -> list[Record]:
    """The rows of a table; one that is too long in groups of cells with their columns' names."""
    full = [line for line in lines if line.strip()]
    names = cells(full[0], mark)
    found: list[Record] = []
    for at, line in enumerate(full):
        if at <= head or len(line) <= _LONGEST:
            found.append(Record(line))
            continue
        named = list(zip(names, cells(line, mark), strict=False))
        key = " | ".join(f"{name}: {cell[:_KEY]}" for name, cell in named[:_KEYS])
        group = ""
        for name, cell in named[_KEYS:]:
            pair = f"{name}: {cell}"
            if group and len(group) + len(pair) > _SHORTEST_CUT:
                found.append(Record(group, key))
                group = ""
            group = f"{group} | {pair}" if group else pair
        found.append(Record(group or key, key if group else ""))
    return found


def excerpt(
    text: str, asked: Mapping[str, float], *, tokens: int, count: Callable[[str], int]
) -> str:
    """The passages of a long text that bear on a question, in order, gaps marked.

    Args:
        text: The text.
        asked: Words of the question with their weights.
        tokens: The most the passages may cost.
        count: Counts tokens.
    """
    found = passages(text)
    scores = found.scores(asked)
    order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    least = _SHARE * scores[order[0]] if found.listed and order else 0.0
    kept: set[int] = set()
    left = tokens
    if order and scores[order[0]] > 0:
        heads = [at for at in order if found.parts[at].head]
        order = [*order[:1], *heads, *(at for at in order[1:] if at not in heads)]
    for at in order:
        part = found.parts[at]
        if scores[at] < least and not part.head:
            continue
        cost = count(f"{part.path}\n{part.text}" if part.path else part.text) + 2
        if cost <= left:
            kept.add(at)
            left -= cost
    between = "\n" if found.listed else " "
    parts: list[str] = []
    last = -1
    above: list[str] = []
    for at in sorted(kept):
        part = found.parts[at]
        gap = "" if at == last + 1 else "… "
        path = part.path.split("\n") if part.path else []
        # lines that several parts stand under are shown once
        known = next(
            (n for n in range(len(path)) if n >= len(above) or path[n] != above[n]), len(path)
        )
        text = part.text.rstrip() if found.listed else part.text.strip()
        parts.append(gap + "\n".join([*path[known:], text]))
        last, above = at, [*path, text]
    return between.join(parts)


def _head(lines: Sequence[str]) -> tuple[int, str]:
    """The last line of a table's head and what divides its cells; -1 where there is none."""
    full = [line for line in lines[:200] if line.strip()]
    if len(full) < 4:
        return -1, ""
    for mark in ("|", "\t", ",", ";"):
        number = columns(full[0], mark)
        alike = sum(columns(line, mark) == number for line in full)
        if number < 2 or alike < 0.8 * len(full):
            continue
        if not any(cell.replace(".", "").isdigit() for cell in cells(full[0], mark)):
            return (1 if set(full[1].strip()) <= set("|-: +=") else 0), mark
    return -1, ""


def _is_list(lines: Sequence[str]) -> bool:
    """Whether lines stand each for itself: many of them, and few end as sentences do."""
    full = [line.strip() for line in lines[:200] if line.strip()]
    if len(full) < 6:
        return False
    ended = sum(line.endswith((".", "!", "?", "。", "！", "？", "؟")) for line in full)
    return ended < 0.5 * len(full)


def _cut(part: str) -> list[str]:
    """A long part in pieces, cut at the best pause near its length."""
    pieces: list[str] = []
    start = 0
    while len(part) - start > _LONGEST:
        window = part[start : start + _LONGEST]
        end = next(
            (at + len(pause) for pause in _PAUSES if (at := window.rfind(pause)) >= _SHORTEST_CUT),
            _LONGEST,
        )
        pieces.append(window[:end])
        start += end
    pieces.append(part[start:])
    return pieces
