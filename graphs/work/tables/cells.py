"""Text of a column to numbers, dates or text, and what was understood, as notes.

Numbers are read in the style of the whole file: a cell such as `1.020,43` says what `1.020` means.
Where nothing in the file says it, both readings are named. Its text is sent into the sandbox.
"""

import re
from dataclasses import dataclass, field
from typing import Any

_NONE = ("", "na", "n/a", "nan", "null", "none", "-", "–", "—", ".", "#n/a", "k.a.", "k. a.")
_MONEY = r"(?:[$€£¥₹]|r\$|usd|eur|gbp|chf|euro|kr)"
_MONEY_BEFORE = re.compile(rf"^(-?)\s*{_MONEY}\s*")
_MONEY_AFTER = re.compile(rf"{_MONEY}$")
_POINT = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:e[+-]?\d{1,3})?")
_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)?(?:,\d+)?(?:e[+-]?\d{1,3})?")
_BOTH = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_ZEROS = re.compile(r"0\d+")
_DAYS = re.compile(
    r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?:,?[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?"
)
_ISO = re.compile(
    r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"
    r"(Z|z|\s?[+-]\d{2}:?\d{2})?"
)
_LOOKED_AT = 20_000
"""Cells of a column by which its style is found; all must fit it, or the column stays text."""


@dataclass
class Style:
    """How a file writes numbers.

    Args:
        decimal: The decimal sign, where the file shows one.
        mark: The sign between its cells.
        notes: What a person should know about the columns.
    """

    decimal: str
    mark: str = ","
    notes: list[str] = field(default_factory=list)


def style_of(columns: dict[str, list[str]], mark: str) -> Style:
    """The style of a file's numbers, by the cells that can be read in one way only.

    Args:
        columns: The text of each column.
        mark: The sign between cells.
    """
    comma = point = 0
    for cells in columns.values():
        cores = [core for cell in cells[:_LOOKED_AT] if (core := _core(cell)) is not None]
        in_point = [bool(_POINT.fullmatch(core)) for core in cores]
        in_comma = [bool(_COMMA.fullmatch(core)) for core in cores]
        if cores and all(in_comma) and not all(in_point):
            comma += 1
        if cores and all(in_point) and not all(in_comma):
            point += 1
    if comma and not point:
        return Style(",", mark)
    return Style("." if point else "", mark)


def _core(cell: str) -> str | None:
    """A cell as a bare number; None for a gap."""
    text = cell.strip().lower().replace("\u00a0", " ").replace("\u202f", " ")
    if text in _NONE:
        return None
    text = _MONEY_BEFORE.sub(r"\1", text)
    text = _MONEY_AFTER.sub("", text).rstrip()
    text = text.removesuffix("%").strip().replace("−", "-")
    if text.startswith("(") and text.endswith(")"):
        text = "-" + text[1:-1]
    if text.endswith("-") and len(text) > 1:
        text = "-" + text[:-1]
    if re.fullmatch(r"[+-]?\d{1,3}(?:['’ ]\d{3})+(?:[.,]\d+)?", text):
        text = re.sub(r"['’ ]", "", text)
    return text


def typed(name: str, cells: list[str], style: Style) -> Any:
    """A column with the type that all of its cells have.

    Args:
        name: Its name, for the notes.
        cells: Its text.
        style: The file's; notes are added to it.

    Returns:
        A pandas series.
    """
    import pandas as pd

    there = [cell for cell in cells if cell.strip().lower() not in _NONE]
    text = pd.Series([cell if cell.strip() else None for cell in cells], dtype="string")
    if not there:
        return text
    low = {cell.strip().lower() for cell in there[:_LOOKED_AT]}
    if low <= {"true", "false"}:
        return text.str.strip().str.lower().map({"true": True, "false": False}).astype("boolean")
    found = _dates(name, cells, there, style)
    if found is not None:
        return found
    found = _numbers(name, cells, there, style)
    return text if found is None else found


def _numbers(name: str, cells: list[str], there: list[str], style: Style) -> Any:
    import pandas as pd

    cores = [_core(cell) for cell in cells]
    known = [core for core in cores if core is not None]
    if not all(any(sign.isdigit() for sign in core) for core in known[:_LOOKED_AT]):
        return None
    if any(_ZEROS.fullmatch(core) for core in known) or any(len(core) > 25 for core in known):
        return None
    fits = {
        ".": all(_POINT.fullmatch(core) for core in known),
        ",": all(_COMMA.fullmatch(core) for core in known),
    }
    decimal = next((mark for mark in (style.decimal or ".", ".", ",") if fits[mark]), None)
    if decimal is None:
        return None
    marked = [core for core in known if "." in core or "," in core]
    if marked and fits["."] and fits[","] and all(_BOTH.fullmatch(core) for core in marked):
        decimal = _undecided(name, marked[0], style)
    thousands = "," if decimal == "." else "."
    plain = [
        None if core is None else core.replace(thousands, "").replace(decimal, ".")
        for core in cores
    ]
    values = pd.to_numeric(pd.Series(plain, dtype="string"), errors="coerce")
    if int(values.isna().sum()) != len(cells) - len(known):
        return None
    if decimal == "," and marked:
        style.notes.append(
            f"“{name}”: the comma is the decimal sign, {marked[0]} is {_plain(marked[0], decimal)}."
        )
    if all(cell.strip().endswith("%") for cell in there):
        number = _plain(_core(there[0]) or "", decimal)
        style.notes.append(f"“{name}” holds per cent: {there[0].strip()} is the number {number}.")
    money = re.search(_MONEY, there[0].strip().lower())
    if money:
        style.notes.append(f"“{name}” is an amount in {money.group().upper()}.")
    if any(cell.strip().startswith("(") for cell in there):
        style.notes.append(f"“{name}”: numbers in parentheses are negative.")
    return values


def _plain(core: str, decimal: str) -> str:
    return core.replace("," if decimal == "." else ".", "").replace(decimal, ".")


def _undecided(name: str, example: str, style: Style) -> str:
    """The decimal sign of a column of which each cell has two readings; both are named."""
    sign = "." if "." in example else ","
    grouped = example.replace(sign, "")
    as_decimal = example.replace(",", ".")
    if style.decimal:
        thousands = sign != style.decimal
        why = "as the other columns are"
    else:
        thousands = sign == "," or style.mark == ";"
        why = "nothing else in the file says which"
    taken = grouped if thousands else as_decimal
    other = as_decimal if thousands else grouped
    style.notes.append(
        f"“{name}” has two readings: {example} is read as {taken} ({why}), but may be {other}. "
        "Say so if it is."
    )
    return ("," if sign == "." else ".") if thousands else sign


def _dates(name: str, cells: list[str], there: list[str], style: Style) -> Any:
    import pandas as pd

    values = pd.Series(
        [None if cell.strip().lower() in _NONE else cell.strip() for cell in cells], dtype="string"
    )
    iso = [_ISO.fullmatch(cell.strip()) for cell in there]
    if all(iso):
        zoned = any(match is not None and match[1] for match in iso)
        found = pd.to_datetime(
            values.str.replace("/", "-"),
            format="ISO8601"
            if all(re.match(r"\d{4}-\d\d-\d\d", cell.strip()) for cell in there)
            else "mixed",
            utc=zoned,
            errors="coerce",
        )
        if int(found.isna().sum()) != int(values.isna().sum()):
            return None
        if zoned:
            style.notes.append(f"“{name}”: times with a zone are shown in UTC.")
            found = found.dt.tz_localize(None)
        return _as_date(found)
    days = [_DAYS.fullmatch(cell.strip()) for cell in there]
    if not all(days):
        return _named(name, values, there, style)
    parts = [(int(m[1]), m[2], int(m[3])) for m in days if m is not None]
    if len({sign for _, sign, _ in parts}) > 1:
        return None
    sign = parts[0][1]
    first = max(one for one, _, _ in parts)
    second = max(two for _, _, two in parts)
    if first > 12 and second > 12:
        return None
    day_first = first > 12 or (
        second <= 12 and (sign == "." or style.mark == ";" or style.decimal == ",")
    )
    order = "day, month" if day_first else "month, day"
    clock = any(m is not None and m[5] for m in days)
    year = "%Y" if len(days[0][4]) == 4 else "%y"  # type: ignore[index] # all match
    form = f"%d{sign}%m{sign}{year}" if day_first else f"%m{sign}%d{sign}{year}"
    text = values.str.replace(r",?[ T]+\d.*$", "", regex=True)
    found = pd.to_datetime(text, format=form, errors="coerce")
    if clock:
        hours = values.str.extract(r"(\d{1,2}:\d{2}(?::\d{2})?)$")[0]
        full = hours.where(hours.str.count(":") == 2, hours + ":00")
        found = found + pd.to_timedelta(full).fillna(pd.Timedelta(0))
    if int(found.isna().sum()) != int(values.isna().sum()):
        return None
    example = there[0].strip()
    if first <= 12 and second <= 12 and sign != ".":
        shown = next((f"{v:%Y-%m-%d}" for v in found.dropna()), "")
        style.notes.append(
            f"“{name}” has two readings: {example} is read as {shown} ({order}, year), but the two "
            "may be the other way round. Say so if they are."
        )
    else:
        style.notes.append(f"“{name}” holds dates ({order}, year).")
    return _as_date(found)


def _named(name: str, values: Any, there: list[str], style: Style) -> Any:
    """Dates with the name of a month: `15 Jan 2026`."""
    import pandas as pd

    form = re.compile(
        r"(?:\d{1,2}[ .-]+[A-Za-z]{3,9}[ .,-]+\d{4}|[A-Za-z]{3,9}\.? \d{1,2}, ?\d{4})"
    )
    if not all(form.fullmatch(cell.strip()) for cell in there):
        return None
    found = pd.to_datetime(values, format="mixed", errors="coerce")
    if int(found.isna().sum()) != int(values.isna().sum()):
        return None
    style.notes.append(f"“{name}” holds dates.")
    return _as_date(found)


def _as_date(found: Any) -> Any:
    """Days, where no time of day is told."""
    whole = found.dropna()
    return found.dt.date if len(whole) and (whole == whole.dt.normalize()).all() else found
