"""What a query is limited to, so that an answer can say when a follow-up isn't limited so."""

import re
from collections.abc import Sequence

MAX_SQL = 8_000
"""Characters of a query that are looked at."""
_PIECE = re.compile(r"'(?:[^']|'')*+'|\"(?:[^\"]|\"\")*+\"|\w++|[<>=!]++|\S")
_ENDS = frozenset(
    "group order limit having qualify window union except intersect".split()  # noqa: SIM905 # words
)
_NO_COLUMNS = frozenset(
    """
    and or not in is null like ilike between as from select where true false case when then else
    end date interval exists any all
    """.split()  # noqa: SIM905 # a list of words reads better as words
)


def filters_of(sql: str) -> list[str]:
    """The conditions of a query's WHERE, those of its subqueries too, without `IS NOT NULL`.

    Args:
        sql: The query.
    """
    pieces = _PIECE.findall(sql[:MAX_SQL])
    found: list[str] = []
    for at, piece in enumerate(pieces):
        if piece.lower() == "where":
            found += _conditions(pieces[at + 1 :])
    return list(dict.fromkeys(found))


def dropped(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """The conditions of the question before whose columns the queries of this one don't limit.

    Args:
        before: Conditions of its queries.
        now: Conditions of this question's queries.
    """
    limited = {name for one in now for name in _columns(one)}
    return [one for one in before if (own := _columns(one)) and not own & limited]


def _conditions(pieces: Sequence[str]) -> list[str]:
    """The conditions that AND joins, up to the end of a WHERE; one with OR stays whole."""
    parts: list[list[str]] = [[]]
    depth, between, either = 0, False, False
    for piece in pieces:
        low = piece.lower()
        depth += (piece == "(") - (piece == ")")
        if depth < 0 or piece == ";" or low == "where" or (depth == 0 and low in _ENDS):
            break
        either = either or (depth == 0 and low == "or")
        if low == "between":
            between = True
        elif depth == 0 and low == "and":
            if not between:
                parts.append([])
                continue
            between = False
        parts[-1].append(piece)
    if either:
        parts = [[piece for part in parts for piece in (*part, "AND")][:-1]]
    texts = [" ".join(part) for part in parts if part]
    return [text for text in texts if not text.lower().endswith("is not null")]


def _columns(condition: str) -> frozenset[str]:
    """The names in a condition, without values and functions."""
    names = set()
    pieces = _PIECE.findall(condition)
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        if piece.startswith('"'):
            names.add(piece.strip('"').lower())
        elif piece[:1].isalpha() and piece.lower() not in _NO_COLUMNS and following != "(":
            names.add(piece.lower())
    return frozenset(names)
