"""A query result as facts: what each column measures, and by which names its rows are known."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from allotrope.graphs.work.tables.claims import dates
from allotrope.graphs.work.tables.claims import vocabulary as words
from allotrope.graphs.work.tables.claims.quantities import CURRENCIES, TIME, UNITS
from allotrope.graphs.work.tables.claims.vocabulary import word_set

MAX_CELLS = 20_000
"""Cells of a result that are looked at."""
_PIECE = re.compile(r"[A-Za-zÄÖÜäöüß]+|\d+")
_SMALL = words.word_set(
    "gmbh ltd inc corp company group team north south east west new the and und"
)
_CALL = {
    "mean": ("avg(", "mean("),
    "median": ("median(", "quantile"),
    "count": ("count(",),
    "max": ("max(",),
    "min": ("min(",),
    "sum": ("sum(",),
}
_SCALES = {"musd": 6, "meur": 6, "mio": 6, "million": 6, "millions": 6, "kusd": 3, "keur": 3}
_SCALES |= {"teur": 3, "thousands": 3, "tsd": 3, "bn": 9, "billions": 9, "mrd": 9}


@dataclass(frozen=True)
class Column:
    """A column of numbers, and what it says it measures.

    Args:
        index: Its place in the result.
        name: Its name.
        words: The words of its name, in lower case.
        measure: `mean`, `sum`, `count`, `max`, `min`, `median` or empty.
        unit: As in `quantities.UNITS`, or empty.
        scale: Powers of ten that its name names: 6 for millions.
        kind: `money`, `count`, `share`, `time` or empty.
        ratio: Whether a share is written from 0 to 1.
        change: Whether it holds changes, whose sign is a direction.
    """

    index: int
    name: str
    words: tuple[str, ...]
    measure: str = ""
    unit: str = ""
    scale: int = 0
    kind: str = ""
    ratio: bool = False
    change: bool = False


@dataclass(frozen=True)
class Grid:
    """A result, ready to be looked up.

    Args:
        columns: Names of its columns.
        rows: Its cells; numbers as `Decimal`.
        numeric: Its columns of numbers.
        labels: For each column of labels: its index, and the forms of a label with their rows.
        sql: The query.
        ordered: Whether the rows have an order that says something (a column of dates).
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    numeric: tuple[Column, ...]
    labels: Mapping[int, Mapping[str, frozenset[int]]]
    sql: str = ""
    ordered: bool = False
    periods: Mapping[int, Mapping[int, dates.Period]] = field(default_factory=dict)

    def cell(self, row: int, column: Column) -> Decimal | None:
        """A number of the result, in the unit that its column's name says."""
        value = self.rows[row][column.index]
        return value.scaleb(column.scale) if isinstance(value, Decimal) else None

    def values(self, column: Column, chosen: Sequence[int] | None = None) -> list[Decimal]:
        """The numbers of a column, of all rows or some."""
        rows = range(len(self.rows)) if chosen is None else chosen
        return [value for row in rows if (value := self.cell(row, column)) is not None]


def grid_of(columns: Sequence[str], rows: Sequence[Sequence[Any]], sql: str = "") -> Grid:
    """A result as facts.

    Args:
        columns: Names of its columns.
        rows: Its rows, as the query engine gives them.
        sql: The query, which says what a column measures.
    """
    kept = tuple(tuple(map(_plain, row)) for row in rows[: MAX_CELLS // max(1, len(columns))])
    numeric, labels, periods = [], {}, {}
    counted: set[int] = set()
    for index, name in enumerate(columns):
        cells = [row[index] for row in kept]
        there = [cell for cell in cells if cell is not None]
        if not there:
            continue
        numbers = all(isinstance(cell, Decimal) for cell in there)
        if numbers and _is_key(name, index, there, sql):
            labels[index] = _numbered(name, cells)
            counted.add(index)
            continue
        if numbers and not _is_period(name, there):
            numeric.append(_column(index, name, there, sql))
            continue
        found = dates.periods_of(name, cells)
        if found:
            periods[index] = found
        labels[index] = _forms(cells, found)
    first = min(labels, default=-1)
    ordered = first in counted or (
        first in periods and len(set(periods[first].values())) == len(kept)
    )
    return Grid(tuple(columns), kept, tuple(numeric), labels, sql, ordered=ordered, periods=periods)


def ordering(grid: "Grid") -> Column | None:
    """The column of numbers by which the query sorts, if it does.

    Args:
        grid: The result.
    """
    low = " ".join(grid.sql.lower().split())
    key = (
        low.rpartition(" order by ")[2].split(",")[0].split(" limit ")[0]
        if " order by " in low
        else ""
    )
    name = key.replace(" desc", "").replace(" asc", "").strip().strip('"')
    for column in grid.numeric:
        if name in (column.name.lower(), str(column.index + 1)):
            return column
    return None


def _plain(cell: Any) -> Any:
    if isinstance(cell, bool) or cell is None:
        return cell
    if isinstance(cell, int | float):
        return Decimal(str(cell)) if abs(cell) < 1e30 else None
    text = str(cell)
    if len(text) <= 60 and re.fullmatch(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", text):
        if re.fullmatch(r"0\d+", text):
            return text
        try:
            return Decimal(text)
        except InvalidOperation:
            return text
    return text


def pieces(name: str) -> tuple[str, ...]:
    """The words of a column's name, in lower case: `avgResolution_hours` has three."""
    split = re.sub(r"(?<=[a-zäöüß])(?=[A-ZÄÖÜ])", "_", name)
    return tuple(piece.lower() for piece in _PIECE.findall(split))


def _is_key(name: str, index: int, cells: Sequence[Decimal], sql: str) -> bool:
    """Whether numbers name the rows: what the query groups by, counted through."""
    whole = all(cell == cell.to_integral_value() and 0 <= cell < 10_000 for cell in cells)
    if index or len(cells) < 2 or not whole or len(set(cells)) < len(cells):
        return False
    if _is_period(name, cells):
        return False
    grouped = " ".join(sql.lower().split()).partition(" group by ")[2].partition(" order by ")[0]
    keys = [key.strip().strip('"') for key in grouped.split(",")]
    return name.lower() in keys or "1" in keys


_ORDINALS = (
    "zeroth", "first 1st erste ersten", "second 2nd zweite zweiten", "third 3rd dritte dritten",
    "fourth 4th vierte vierten", "fifth 5th fünfte fünften", "sixth 6th", "seventh 7th",
)  # fmt: skip


def _numbered(name: str, cells: Sequence[Any]) -> dict[str, frozenset[int]]:
    """The forms of rows that a number names: `visit 2`, `the second visit`."""
    forms: dict[str, set[int]] = {}
    words_of_name = " ".join(pieces(name))
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        number = int(cell)
        names = {f"{words_of_name} {number}", f"{words_of_name} #{number}"}
        if number < len(_ORDINALS):
            names |= {f"{ordinal} {words_of_name}" for ordinal in _ORDINALS[number].split()}
            names |= {f"the {ordinal}" for ordinal in _ORDINALS[number].split()}
        for one in names:
            forms.setdefault(one, set()).add(row)
    return {one: frozenset(rows) for one, rows in forms.items()}


def _is_period(name: str, cells: Sequence[Any]) -> bool:
    """Whether numbers are years or months, which name rows instead of measuring them."""
    known = {"year", "jahr", "month", "monat", "quarter", "quartal", "week", "woche", "kw", "id"}
    if not known & set(pieces(name)):
        return False
    return all(cell == cell.to_integral_value() and 0 <= cell < 3000 for cell in cells)


def _column(index: int, name: str, cells: Sequence[Decimal], sql: str) -> Column:
    parts = pieces(name)
    meant = _expression(name, sql)
    measure = next((kind for kind, names in words.AGGREGATES.items() if names & set(parts)), "")
    if "avg" in parts:
        measure = "mean"
    measure = measure or next(
        (kind for kind, calls in _CALL.items() if any(call in meant for call in calls)), ""
    )
    unit = next((UNITS[part] for part in reversed(parts) if part in UNITS and part != "x"), "")
    scale = next((_SCALES[part] for part in parts if part in _SCALES), 0)
    whole = all(cell == cell.to_integral_value() for cell in cells)
    names = set(parts)
    kind = ""
    if unit == "%" or names & words.SHARES:
        kind = "share"
    elif unit in CURRENCIES or names & words.MONEY:
        kind = "money"
    elif unit in TIME:
        kind = "time"
    elif whole and (measure == "count" or names & words.COUNTED):
        kind = "count"
    ratio = kind == "share" and unit != "%" and all(abs(cell) <= 1 for cell in cells)
    change = bool(
        names
        & {
            "veraenderung",
            "veränderung",
            "wachstum",
            "change",
            "growth",
            "delta",
            "diff",
            "difference",
            "yoy",
            "mom",
        }
    )
    extra = tuple(re.findall(r"[a-zäöüß]{3,}", meant)) if meant else ()
    own = tuple(dict.fromkeys((*parts, *(part for part in extra if part not in _SQL_WORDS))))
    return Column(index, name, own, measure, unit, scale, kind, ratio, change)


_SQL_WORDS = word_set(
    """
    select round cast avg sum count max min double case when then else end over partition
    order by as and or not null coalesce distinct median
    """
)


def _expression(name: str, sql: str) -> str:
    """What a query computes for a column, in lower case; empty where it can't be seen."""
    low = " ".join(sql.lower().split())
    marks = (f" as {name.lower()}", f' as "{name.lower()}"')
    at = next((at for mark in marks if (at := _whole(low, mark)) >= 0), -1)
    if at < 0:
        return ""
    depth, begin = 0, at
    while begin > 0:
        sign = low[begin - 1]
        depth += (sign == ")") - (sign == "(")
        if depth < 0 or (depth == 0 and (sign == "," or low[:begin].endswith("select "))):
            break
        begin -= 1
    return low[begin:at].strip()[:500]


def _whole(text: str, part: str) -> int:
    """Where a part stands that no letter follows; -1 where it doesn't."""
    at = text.find(part)
    while at >= 0 and text[at + len(part) : at + len(part) + 1].replace("_", "a").isalnum():
        at = text.find(part, at + 1)
    return at


def _forms(cells: Sequence[Any], periods: Mapping[int, dates.Period]) -> dict[str, frozenset[int]]:
    """The ways a text can name a label, in lower case, with the rows that have it."""
    forms: dict[str, set[int]] = {}
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        text = " ".join(str(cell).replace("_", " ").split()).lower()
        names = {text, *(periods[row].forms if row in periods else ())}
        if not periods:
            tokens = text.split()
            if len(tokens) > 1:  # "Brandt" for "Brandt GmbH"; dropped where others have it too
                names.update(token for token in tokens if token not in _SMALL)
            elif text.isalpha() and len(text) > 4:
                names.add(f"~{words.stem(text)}")
        for name in names:
            if 0 < len(name) <= 80:
                forms.setdefault(name, set()).add(row)
    whole = {" ".join(str(cell).replace("_", " ").split()).lower() for cell in cells if cell}
    kinds: dict[str, set[str]] = {}
    for name, rows in forms.items():
        kinds[name] = {str(cells[row]) for row in rows}
    return {
        name: frozenset(rows)
        for name, rows in forms.items()
        if name in whole or periods or (len(kinds[name]) == 1 and len(name) > 3)
    }
