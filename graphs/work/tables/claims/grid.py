"""A query result as facts: what each column measures, and by which names its rows are known."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from allotrope.graphs.work.tables.claims.language import dates
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.units import CURRENCIES, TIME, UNITS
from allotrope.graphs.work.tables.claims.language.vocabulary import word_set

MAX_CELLS = 20_000
"""Cells of a result that are looked at."""
_PIECE = re.compile(r"[A-Za-zÄÖÜäöüß]+|\d+")
_SMALL = words.word_set(
    "gmbh ltd inc corp company group team north south east west new the and und"
)
_CALL = {
    "mean": ("avg(", "mean("),
    "median": ("median(",),
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
        perhaps: Powers of ten that its name may mean: 6 for `volume_m`.
        named: How many of its words are of its name; the others are of what it is made of.
        period: The year or month that its name ends with, where others differ from it in that.
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
    perhaps: int = 0
    named: int = 0
    period: dates.Period | None = None


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
    named = frozenset(part for name in columns for part in pieces(name))
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
            numeric.append(_column(index, name, there, sql, columns))
            continue
        found = dates.periods_of(name, cells)
        if found:
            periods[index] = found
        labels[index] = _forms(cells, found, named)
    numeric = [replace(column, period=_period_of(column, numeric)) for column in numeric]
    first = min(labels, default=-1)
    sorted_by = " ".join(sql.lower().split()).rpartition(" order by ")[2]
    ordered = first in counted or (
        first in periods and len(set(periods[first].values())) == len(kept)
    )
    if first == 0 and re.fullmatch(r"(?:1|\w{1,40})(?: asc)?;?", sorted_by):
        distinct = {str(row[0]) for row in kept}
        ordered = ordered or (
            sorted_by.split()[0] in ("1", columns[0].lower())
            and len(distinct) == len(kept)
            and all(re.match(r"\D{0,2}\d", one) for one in distinct)
        )
    return Grid(tuple(columns), kept, tuple(numeric), labels, sql, ordered=ordered, periods=periods)


def _period_of(column: Column, others: Sequence[Column]) -> dates.Period | None:
    """The year or month in a column's name, where another column differs from it only in that."""
    written = dates.written_in(" ".join(pieces(column.name)))
    rest = {piece for piece in pieces(column.name) if not _names_period(piece)}
    for other in others:
        same = {piece for piece in pieces(other.name) if not _names_period(piece)} == rest
        if written and rest and other.name != column.name and same:
            return written[0].period
    return None


def _names_period(piece: str) -> bool:
    return bool(dates.written_in(piece)) or piece == "q"


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
    names_of = {" ".join(pieces(name)), *(words.synonyms(name) if name.isalpha() else ())}
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        number = int(cell)
        names = {f"{one}{sign}{number}" for one in names_of for sign in (" ", " #")}
        if number < len(_ORDINALS):
            names |= {
                f"{ordinal} {one}" for one in names_of for ordinal in _ORDINALS[number].split()
            }
            names |= {f"the {ordinal}" for ordinal in _ORDINALS[number].split()}
        for one in names:
            forms.setdefault(one, set()).add(row)
    return {one: frozenset(rows) for one, rows in forms.items()}


def _is_period(name: str, cells: Sequence[Any]) -> bool:
    """Whether numbers are years or months, which name rows instead of measuring them."""
    known = {"year", "jahr", "month", "monat", "quarter", "quartal", "week", "woche", "id"}
    if not known & set(pieces(name)) and pieces(name)[:1] != ("kw",):
        return False
    return all(cell == cell.to_integral_value() and 0 <= cell < 3000 for cell in cells)


def _column(
    index: int, name: str, cells: Sequence[Decimal], sql: str, names: Sequence[str]
) -> Column:
    parts = pieces(name)
    meant = _expression(name, sql)
    least = name.lower().startswith("min") or name.lower().replace("min", "max") in [
        one.lower() for one in names if one != name
    ]
    measure = _measure(parts, meant, least=least)
    own_parts = parts[: parts.index("per")] if "per" in parts[1:] else parts
    unit = next((UNITS[part] for part in reversed(own_parts) if part in UNITS and part != "x"), "")
    if unit == "min" and measure == "min":
        unit = ""
    scale = next((_SCALES[part] for part in parts if part in _SCALES), 0)
    whole = all(cell == cell.to_integral_value() for cell in cells)
    said = set(parts)
    kind = ""
    if unit == "%" or said & words.SHARES:
        kind = "share"
    elif unit in CURRENCIES or said & words.MONEY:
        kind = "money"
    elif unit in TIME:
        kind = "time"
    elif whole and (measure == "count" or said & words.COUNTED):
        kind = "count"
    ratio = kind == "share" and unit != "%" and all(abs(cell) <= 1 for cell in cells)
    change = bool(
        said
        & {
            "net",
            "netto",
            "balance",
            "saldo",
            "differenz",
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
    last = parts[-1] if len(parts) > 1 else ""
    unit = unit or (last if last in ("m", "l", "t") and not kind else "")
    perhaps = 0 if scale else {"m": 6, "k": 3, "b": 9}.get(last, 0)
    if not measure and (match := re.search(r"quantile_\w{1,5}\([^,()]{1,40}, ?0?\.50?\)", meant)):
        measure = "median" if match else ""
    extra = tuple(re.findall(r"[a-zäöüß]{3,}", meant)) if meant else ()
    joined = [part for part in name.lower().split("_") if not part.isalpha() and part not in parts]
    own = tuple(
        dict.fromkeys((*parts, *joined, *(part for part in extra if part not in _SQL_WORDS)))
    )
    return Column(
        index,
        name,
        own,
        measure,
        unit,
        scale,
        kind,
        ratio,
        change,
        perhaps,
        len(parts) + len(joined),
    )


def _measure(parts: Sequence[str], meant: str, *, least: bool) -> str:
    """What a column aggregates, by its name, else by its query; `min` can mean minutes.

    Args:
        parts: The words of its name.
        meant: What the query computes.
        least: Whether its name says a minimum: it begins with it, or there is a maximum beside it.
    """
    if "avg" in parts:
        return "mean"
    called = next(
        (kind for kind, calls in _CALL.items() if any(call in meant for call in calls)), ""
    )
    named = [kind for kind, names in words.AGGREGATES.items() if names & set(parts)]
    if "min" in named and called != "min" and not least:
        named.remove("min")
    return named[0] if named else called


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


def plain_name(text: str) -> str:
    """A name without signs, in lower case: `30+ days` and `30 days` are the same."""
    return " ".join(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower()))


def stems(name: str) -> str:
    """The words of a plain name by their stems, marked as such."""
    return "~" + " ".join(words.stem(part) if part.isalpha() else part for part in name.split())


def _forms(
    cells: Sequence[Any], periods: Mapping[int, dates.Period], skip: frozenset[str] = frozenset()
) -> dict[str, frozenset[int]]:
    """The ways a text can name a label, in lower case, with the rows that have it.

    A part of a label names it where no other label has that part; where some but not all have it,
    the part names those: `overdue` for "overdue 30 days" and "overdue 90 days".

    Args:
        cells: The labels.
        periods: Their periods, where they are such.
        skip: Words that name columns.
    """
    whole: dict[str, set[int]] = {}
    parts: dict[str, set[int]] = {}
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        text = " ".join(str(cell).replace("_", " ").split()).lower()
        for name in {text, plain_name(text), *(periods[row].forms if row in periods else ())}:
            whole.setdefault(name, set()).add(row)
        if periods:
            continue
        for alias in (*_hours(text), *_weeks(text), *_ages(text)):
            whole.setdefault(alias, set()).add(row)
        letter = re.match(r"([a-z])(?= ?\()", text)
        if letter and text[0] not in "ai":
            whole.setdefault(letter[1], set()).add(row)
        for word in skip if letter else ():
            whole.setdefault(f"{word} {text[0]}", set()).add(row)
        if text.isalpha() and len(text) > 4:
            whole.setdefault(stems(text), set()).add(row)
        for name in _parts_of(plain_name(text), skip | _common(str(cell))):
            parts.setdefault(name, set()).add(row)
            parts.setdefault(stems(name), set()).add(row)
    every = len({str(cell) for cell in cells})
    for name, rows in parts.items():
        kinds = len({str(cells[row]) for row in rows})
        group = 1 < kinds < every and name.removeprefix("~").isalpha()
        group = group and (len(name) > 5 or _leads(name, rows, cells))
        if name not in whole and (kinds == 1 or group):
            whole[name] = rows
    return {name: frozenset(rows) for name, rows in whole.items() if 0 < len(name) <= 80}


_NO_NAMES = (
    _SMALL | words.HIGHEST | words.LOWEST | words.TOTAL | words.MEAN | words.RISE | words.FALL
)


def _parts_of(name: str, skip: frozenset[str]) -> set[str]:
    """The parts of a plain name that can stand for it: `brandt` of "brandt gmbh"."""
    tokens = name.split()[:8]
    found = set()
    for length in range(1, len(tokens)):
        for at in range(len(tokens) - length + 1):
            part = tokens[at : at + length]
            if _is_name(part) and not all(one in skip or one in _NO_NAMES for one in part):
                found.add(" ".join(part))
    return found


def _hours(text: str) -> list[str]:
    """Other ways to say an hour: `9 am` and `9 Uhr` for "09:00"."""
    match = re.fullmatch(r"([01]\d|2[0-4]):00(?::00)?", text)
    if not match:
        return []
    hour = int(match[1])
    half = f"{hour % 12 or 12} {'am' if hour < 12 else 'pm'}"
    special = {0: ["midnight", "mitternacht"], 12: ["noon", "midday", "mittag"]}.get(hour, [])
    return [half, half.replace(" ", ""), f"{hour} uhr", f"{hour}:00", f"{hour} o'clock", *special]


def _weeks(text: str) -> list[str]:
    """Other ways to name a week: `week 42` for "2026-W42"."""
    match = re.fullmatch(r"(?:\d{4}-?)?(?:w|kw|cw) ?(\d{1,2})", text)
    number = int(match[1]) if match else 0
    return (
        [f"{one}{number}" for one in ("week ", "w", "kw ", "kw", "cw ", "woche ")] if match else []
    )


def _ages(text: str) -> list[str]:
    """Other ways to say a range: `30 bis 44` for "30-44", `ab 60` for "60+"."""
    if match := re.fullmatch(r"(\d{1,6}) ?[-–] ?(\d{1,6})", text):
        return [f"{match[1]}{link}{match[2]}" for link in (" to ", " bis ", "- bis ", " and ", "–")]
    if match := re.fullmatch(r"(\d{1,6}) ?\+", text):
        ways = ("ab {}", "über {}", "over {}", "{} and over", "{} and older", "{} und älter")
        return [way.format(match[1]) for way in ways]
    return []


def _common(cell: str) -> frozenset[str]:
    """Words of a label that are no names by themselves: the `item` of "Wrong item"."""
    return frozenset(word for word in cell.split()[1:] if word.isalpha() and word.islower())


def _leads(name: str, rows: set[int], cells: Sequence[Any]) -> bool:
    """Whether a word of more than three letters begins each of some labels."""
    begins = all(str(cells[row]).lower().startswith(f"{name} ") for row in rows)
    return len(name) > 3 and begins


def _is_name(part: Sequence[str]) -> bool:
    """Whether words can name something: no bare number, nothing of two letters."""
    if len(part) > 1:
        return any(one.isalpha() and len(one) > 2 for one in part)
    alone = part[0]
    return not alone.isdigit() and (len(alone) > 2 or not alone.isalpha())
