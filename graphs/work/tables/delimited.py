"""CSV text to rows of text: which sign separates, where the header stands, which lines are broken.

The separator comes from DuckDB's sniffer. Its text is sent into the sandbox beside the converter.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE = 1_000_000
"""Characters that the sniffer sees."""
LOOKED_AT = 200
"""Rows by which the number of columns is found."""
_MARKS = ",;\t|"


@dataclass
class Lines:
    """The rows of a file.

    Args:
        header: Names of the columns as written.
        rows: Cells as text, each row as long as the header.
        mark: The sign between cells.
        notes: What a person should know about the reading.
    """

    header: list[str]
    rows: list[list[str]]
    mark: str
    notes: list[str] = field(default_factory=list)


def read_lines(text: str) -> Lines:
    """Reads delimited text.

    Args:
        text: The whole file.

    Raises:
        ValueError: There is no row.
    """
    mark, quote = _dialect(text)
    rows = [row for row in _parsed(text, mark, quote) if any(cell.strip() for cell in row)]
    if not rows:
        raise ValueError("no rows")
    begin, width = first_row(rows[:LOOKED_AT])
    notes = []
    if begin:
        above = " / ".join(" ".join(filter(None, map(str.strip, row))) for row in rows[:begin])
        notes.append(f"{begin} lines above the header were left out: “{above[:120]}”.")
    header = [cell.strip() for cell in rows[begin]]
    header += [""] * (width - len(header))
    body = rows[begin + 1 :]
    broken = sum(len(row) > len(header) and any(map(str.strip, row[len(header) :])) for row in body)
    if broken:
        notes.append(f"{broken} lines had too many cells; the extra cells were left out.")
    size = len(header)
    full = [[cell.strip() for cell in row[:size]] + [""] * (size - len(row)) for row in body]
    empty = {n for n, name in enumerate(header) if not name and not any(row[n] for row in full)}
    if empty:
        header = [name for n, name in enumerate(header) if n not in empty]
        full = [[cell for n, cell in enumerate(row) if n not in empty] for row in full]
    if mark != ",":
        notes.append(f"Cells are separated by {_NAMES.get(mark, repr(mark))}.")
    return Lines(header, full, mark, notes)


_NAMES = {";": "semicolons", "\t": "tabs", "|": "bars"}


def _dialect(text: str) -> tuple[str, str]:
    """The sign between cells and the quote, by DuckDB's sniffer, else by counting."""
    sample = text[:SAMPLE]
    found = None
    try:
        import duckdb

        path = Path("sample.csv")
        path.write_text(sample[: sample.rfind("\n") + 1] or sample, encoding="utf-8")
        try:
            found = (
                duckdb.connect()
                .execute("SELECT Delimiter, Quote FROM sniff_csv('sample.csv')")
                .fetchone()
            )
        finally:
            path.unlink()
    except Exception:  # noqa: BLE001 # the sniffer's errors are many; then the lines are counted
        found = None
    lines = [line for line in sample.split("\n")[:LOOKED_AT] if line.strip()]
    if found and str(found[0]) in _MARKS and any(str(found[0]) in line for line in lines):
        quote = str(found[1])
        return str(found[0]), quote if quote in ('"', "'") else '"'
    return max(_MARKS, key=lambda mark: _steadiness(lines, mark)), '"'


def _steadiness(lines: list[str], mark: str) -> float:
    counts = Counter(line.count(mark) for line in lines)
    counts.pop(0, None)
    if not counts:
        return 0.0
    count, often = counts.most_common(1)[0]
    return often / len(lines) * (1 + count / 100)


def _parsed(text: str, mark: str, quote: str) -> Iterator[list[str]]:
    """The rows; after a quote that is never closed, the rest is read line by line."""
    csv.field_size_limit(10_000_000)
    lines = text.split("\n")
    try:
        rows = list(
            csv.reader(io.StringIO(text), delimiter=mark, quotechar=quote, skipinitialspace=True)
        )
        if len(rows) * 4 >= len(lines) or len(lines) < 8 or not _swallowed(rows):
            yield from rows
            return
    except csv.Error:
        pass
    for line in lines:
        yield [cell.strip(quote) for cell in line.split(mark)]


def _swallowed(rows: list[list[str]]) -> bool:
    """Whether a cell holds most of the file."""
    return any(cell.count("\n") > 200 for row in rows for cell in row)


def first_row(rows: list[list[str]]) -> tuple[int, int]:
    """Where the header stands, and how many columns there are.

    Lines above a table (a title, a source, a date) have fewer cells than the table.

    Args:
        rows: The first rows, none of them empty.
    """
    filled = [sum(bool(str(cell).strip()) for cell in row) for row in rows]
    width = Counter(map(len, rows)).most_common(1)[0][0]
    usual = Counter(count for count in filled if count > 1).most_common(1)
    if not usual:
        return 0, width
    wanted = max(2, round(0.6 * usual[0][0]))
    begin = next((at for at, count in enumerate(filled) if count >= wanted), 0)
    return (begin, max(width, len(rows[begin]))) if begin < len(rows) - 1 else (0, width)
