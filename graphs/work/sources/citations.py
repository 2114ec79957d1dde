"""Checking a report's citations against the passages they point to.

A sentence is verified when each of its marks exists, every number in it stands in the passages it
cites (as written or rounded), every quotation stands there word for word, every name does, and
most of its words do. That is a check of words, not of logic: a sentence that turns a passage's
meaning round with the passage's own words isn't found, except that a `not` on one side only is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from allotrope.graphs.work.sources.index import terms, words
from allotrope.graphs.work.tables.numbers import unsupported

MARK = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
UNVERIFIED = "[unverified]"
ENOUGH = 0.6
"""Share of a sentence's content words that must stand in what it cites."""
_QUOTE = re.compile(r"[\"“„«]([^\"“”„«»]{4,300})[\"”“»]")
_SENTENCE = re.compile(
    r"(?<=[.!?…])(?<!\b[A-Z]\.)(?<!e\.g\.)(?<!i\.e\.)(?<!\bDr\.)(?<!\bMr\.)\s+(?=[\"“„A-ZÄÖÜ0-9*-])"
)
_NAME = re.compile(r"(?<=[a-zäöüß,;:] )[A-ZÄÖÜ][\w’'-]+")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|without|cannot|nicht|kein\w*|nie)\b|n['’]t\b", re.I
)
_OPEN = re.compile(
    r"\b(?:no source|the sources (?:do not|don't)|the notes (?:do not|don't)|not (?:stated"
    r"|supported|mentioned|answered)|open question|no information|unknown|unclear"
    r"|keine (?:quelle|angabe))\b",
    re.I,
)


@dataclass(frozen=True)
class Sentence:
    """A sentence of a report, judged.

    Args:
        text: As written.
        marks: The numbers it cites.
        problem: Why it isn't verified, or None.
    """

    text: str
    marks: tuple[int, ...]
    problem: str | None


def check(report: str, passages: Mapping[int, str]) -> list[list[Sentence]]:
    """Judges each sentence of a report.

    Args:
        report: Text with marks such as `[2]` or `[1][4]`.
        passages: The text that each number stands for.

    Returns:
        The lines of the report, each as its sentences; an empty line is an empty list.
    """
    return [
        [_judge(piece, passages) for piece in _pieces(line)] if line.strip() else []
        for line in report.strip().split("\n")
    ]


def _pieces(line: str) -> list[str]:
    """The sentences of a line; marks after the full stop belong to the sentence before them."""
    moved = re.sub(r"([.!?…])((?:\s*\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\])+)", r"\2\1", line.strip())
    return [piece.strip() for piece in _SENTENCE.split(moved) if piece.strip()]


def _judge(text: str, passages: Mapping[int, str]) -> Sentence:
    marks = tuple(int(n) for group in MARK.findall(text) for n in re.findall(r"\d+", group))
    plain = MARK.sub("", text)
    if re.match(r"#{1,6}\s|\*\*[^*]+\*\*:?$", text.strip()) or not re.search(r"\w{2}", plain):
        return Sentence(text, marks, None)  # a heading states nothing
    if not marks:
        if _OPEN.search(plain):
            return Sentence(text, marks, None)
        return Sentence(text, marks, "it has no citation")
    unknown = [mark for mark in marks if mark not in passages]
    if unknown:
        return Sentence(text, marks, f"there is no source [{unknown[0]}]")
    cited = "\n".join(passages[mark] for mark in marks)
    return Sentence(text, marks, _mismatch(plain, cited))


def _mismatch(plain: str, cited: str) -> str | None:
    wrong = unsupported(plain, [([], [[cited]])])
    if wrong:
        return f"{wrong[0]} doesn't stand in the source"
    flat = _flat(cited)
    for quote in _QUOTE.findall(plain):
        if _flat(quote).strip(" .,;:!?") not in flat:
            return f"the quotation “{quote[:40]}” doesn't stand in the source"
    there = set(words(cited))
    for name in _NAME.findall(plain):
        if not set(words(name)) <= there:
            return f"{name!r} doesn't stand in the source"
    content = [word for word in terms(plain) if not word.isdigit()]
    shared = sum(word in there for word in content)
    if content and shared / len(content) < ENOUGH:
        return "too few of its words stand in the source"
    if bool(_NEGATION.search(plain)) and not _NEGATION.search(cited):
        return "it says “not” where the source doesn't"
    return None


def _flat(text: str) -> str:
    return re.sub(r"[\s*_]+", " ", text.replace("’", "'")).lower()


def marked(lines: Sequence[Sequence[Sentence]]) -> str:
    """The report with a mark after each sentence that isn't verified.

    Args:
        lines: From `check`.
    """
    return "\n".join(
        " ".join(one.text if one.problem is None else f"{one.text} {UNVERIFIED}" for one in line)
        for line in lines
    )


def problems(lines: Sequence[Sequence[Sentence]]) -> list[str]:
    """What is wrong, one line a sentence, for the model to write it again.

    Args:
        lines: From `check`.
    """
    return [f"“{one.text[:120]}”: {one.problem}." for line in lines for one in line if one.problem]
