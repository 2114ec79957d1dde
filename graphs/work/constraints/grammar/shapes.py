"""Shapes of a text: so many things a line each, stanzas by their names, a last sign."""

from collections.abc import Iterator, Sequence

from allotrope.graphs.work.constraints.grammar.amounts import number_at
from allotrope.graphs.work.constraints.grammar.phrases import Phrase, after, phrases
from allotrope.graphs.work.constraints.grammar.tokens import Token
from allotrope.graphs.work.constraints.grammar.vocabulary import UNITS
from allotrope.graphs.work.constraints.kinds import Constraint

Made = Iterator[tuple[Constraint, int, int]]
"""Constraints, and the places of the tokens that they were read from."""


def shapes(part: Sequence[Token]) -> Made:
    """The shapes that a sentence names.

    Args:
        part: Its tokens.
    """
    yield from _one_a_line(part)
    yield from last_sign(part, _EXCLAIMING, "!")
    yield from _verses(part)


def counted_before(part: Sequence[Token], at: int) -> tuple[int, int] | None:
    """How many things are named before a place, as in `7 tips for sleeping`, and where.

    Args:
        part: The tokens of a sentence.
        at: The place.
    """
    for first in range(max(0, at - 10), at):
        known = number_at(part, first)
        between = part[known[1] : at] if known else []
        plural = any(one.low.endswith("s") for one in between[:3])
        if known and plural and not any(one.low in UNITS or one.low.isdigit() for one in between):
            return known[0], first
    return None


_A_LINE = phrases(
    "one per line | one on each line | each on its own line | each on a separate line | each on a "
    "new line | one a line | each in its own line | eine pro zeile | einer pro zeile | "
    "eins pro zeile"
)
_EXCLAIMING = phrases(
    "end with an exclamation mark | ends with an exclamation mark | ending with an exclamation "
    "mark | ending in an exclamation mark | end in an exclamation mark | ends in an "
    "exclamation mark | "
    "end with an exclamation point | ende mit einem ausrufezeichen | endet mit einem "
    "ausrufezeichen"
)


def _one_a_line(part: Sequence[Token]) -> Made:
    """`five song titles, one per line`: five lines."""
    for at in range(1, len(part)):
        end = after(part, at, _A_LINE)
        if end is None:
            continue
        if counted := counted_before(part, at):
            n, first = counted
            yield {"kind": "length", "unit": "lines", "low": n, "high": n}, first, end
            return


def last_sign(part: Sequence[Token], known: Sequence[Phrase], sign: str) -> Made:
    """With which sign a text is to end, by phrases that nobody denies.

    Args:
        part: The tokens of a sentence.
        known: Phrases that ask for it.
        sign: `?` or `!`.
    """
    for at in range(len(part)):
        end = after(part, at, known)
        if end is not None and not any(
            one.low in ("not", "each", "every", "never") or one.low.endswith("n't")
            for one in part[max(0, at - 4) : at]
        ):
            yield {"kind": "end", "value": sign}, at, end


_VERSES = {"quatrains": 4, "quatrain": 4, "tercets": 3, "tercet": 3, "couplets": 2}


def _verses(part: Sequence[Token]) -> Made:
    """`three quatrains`: three stanzas of four lines each; of couplets the lines."""
    for at, token in enumerate(part):
        size = _VERSES.get(token.low)
        for first in range(max(0, at - 2), at):
            known = number_at(part, first)
            if size is None or known is None or known[1] != at:
                continue
            if size == 2:
                total = size * known[0]
                yield (
                    {"kind": "length", "unit": "lines", "low": total, "high": total},
                    first,
                    at + 1,
                )
                return
            stanzas = {"kind": "length", "unit": "paragraphs", "low": known[0], "high": known[0]}
            yield stanzas, first, at + 1
            lines = {"unit": "lines", "low": size, "high": size, "per": "paragraph"}
            yield {**stanzas, **lines}, first, at + 1
            return
