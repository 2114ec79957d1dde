"""CSV, JSON, Excel, SQLite, Parquet to Parquet; its text is sent into the sandbox."""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

MAX_UNPACKED = 500_000_000
"""Bytes that a workbook may unpack to, and a Parquet file by its own account."""
MAX_ENTRIES = 10_000
MAX_CELLS = 100_000_000
MAX_COLUMNS = 2_000

if "Refused" not in globals():  # it stands above this text in the sandbox

    class Refused(Exception):
        """What a person should read; the file's name is put before it."""


def convert(source: IO[bytes], out: IO[bytes], facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Writes Parquet files one after the other; gives `suffix`, `notes` and `bytes` of each."""
    import pandas as pd

    kind, told = facts["kind"], []
    try:
        if kind == ".parquet":
            _check_parquet(source)
            frames: list[tuple[str, Any, list[str]]] = [("", pd.read_parquet(source), [])]
        elif kind in (".xlsx", ".xlsm"):
            frames = _sheets(source)
        elif kind in (".sqlite", ".sqlite3", ".db"):
            frames = _databases(source)
        else:
            text = source.read().decode("utf-8", "surrogatepass")
            frame, notes = (_json if kind in (".json", ".jsonl", ".ndjson") else _csv)(text)
            frames = [("", _tidy(frame), notes)]
    except (Refused, MemoryError):
        raise
    except Exception as exc:  # each reader has its own errors for broken files
        if "malloc" in str(exc) or "bad_alloc" in str(exc) or "emory" in type(exc).__name__:
            raise MemoryError from exc
        words = str(exc).strip().split("\n")[0][:200]
        raise Refused(f"can't be read: {words}.") from exc
    for suffix, frame, notes in frames:
        begin = out.tell()
        _write(frame, out)
        told.append({"suffix": suffix, "notes": notes, "bytes": out.tell() - begin})
    return told


def _write(frame: Any, out: IO[bytes]) -> None:
    for again in (False, True):
        buffer = io.BytesIO()
        try:
            (frame.astype("string") if again else frame).to_parquet(buffer, index=False)
        except MemoryError:
            raise
        except Exception as exc:  # pyarrow's errors for mixed columns are many
            if again:
                raise Refused(f"can't be read as a table: {exc}.") from exc
            continue
        out.write(buffer.getbuffer())
        return


def _check_parquet(source: IO[bytes]) -> None:
    """What its metadata say, before anything is unpacked."""
    import pyarrow.parquet as pq

    facts = pq.ParquetFile(source).metadata
    unpacked = sum(facts.row_group(n).total_byte_size for n in range(facts.num_row_groups))
    cells = facts.num_rows * facts.num_columns
    if unpacked > MAX_UNPACKED or cells > MAX_CELLS:
        raise Refused(
            f"unpacks to {unpacked / 1e6:.0f} MB and {cells:,} cells; "
            f"{MAX_UNPACKED / 1e6:.0f} MB and {MAX_CELLS:,} cells are the limit."
        )
    source.seek(0)


def _tidy(frame: Any) -> Any:
    """Column names that are text and unique; no empty frame."""
    frame = frame.dropna(how="all")
    if not len(frame) or not len(frame.columns):
        raise Refused("has no rows.")
    if len(frame.columns) > MAX_COLUMNS:
        raise Refused(f"has {len(frame.columns):,} columns; {MAX_COLUMNS:,} is the limit.")
    frame.columns = _names(list(frame.columns))
    return frame.convert_dtypes()


def _csv(text: str) -> tuple[Any, list[str]]:
    try:
        from delimited import read_lines  # type: ignore[import-not-found] # beside it in the sandbox
    except ImportError:
        from allotrope.graphs.work.tables.delimited import read_lines

    try:
        lines = read_lines(text)
    except ValueError as exc:
        raise Refused("has no rows.") from exc
    if not lines.rows:
        raise Refused("has no rows.")
    return _frame(lines.header, lines.rows, lines.mark, lines.notes)


def _frame(
    header: list[str], rows: list[list[Any]], mark: str, notes: list[str]
) -> tuple[Any, list[str]]:
    """A frame whose columns of text have the types of their cells."""
    import pandas as pd

    try:
        from cells import style_of, typed  # type: ignore[import-not-found] # beside it in the sandbox
    except ImportError:
        from allotrope.graphs.work.tables.cells import style_of, typed

    names = _names(header)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    texts = {
        name: [str(cell) if cell is not None else "" for cell in cells]
        for name, cells in columns.items()
        if all(cell is None or isinstance(cell, str) for cell in cells)
    }
    style = style_of(texts, mark)
    made = {
        name: typed(name, texts[name], style) if name in texts else pd.Series(list(cells))
        for name, cells in columns.items()
    }
    return pd.DataFrame(made), notes + style.notes


def _names(header: Sequence[Any]) -> list[str]:
    """Names of columns that are text and unique."""
    seen: dict[str, int] = {}
    names = []
    for position, column in enumerate(header, 1):
        name = " ".join(str(column).split())[:80] or f"column_{position}"
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        names.append(name if seen[name.lower()] == 1 else f"{name}_{seen[name.lower()]}")
    return names


def _json(text: str) -> tuple[Any, list[str]]:
    import pandas as pd

    notes: list[str] = []
    try:
        value = json.loads(text)
    except RecursionError as exc:
        raise Refused("is nested too deeply.") from exc
    except ValueError:
        value, bad = [], 0
        for line in text.split("\n"):
            if line.strip():
                try:
                    value.append(json.loads(line))
                except (ValueError, RecursionError):
                    bad += 1
        if not value:
            raise Refused("is no JSON.") from None
        if bad:
            notes.append(f"{bad} lines were no JSON and were left out.")
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        value = lists[0] if len(lists) == 1 else [value]
    rows = [row if isinstance(row, dict) else {"value": row} for row in value]
    frame = pd.json_normalize(rows, max_level=2)
    for column in frame.columns:
        if frame[column].map(lambda cell: isinstance(cell, list | dict)).any():
            frame[column] = frame[column].map(json.dumps)
    return frame, notes


def _sheets(source: IO[bytes]) -> list[tuple[str, Any, list[str]]]:
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED or len(entries) > MAX_ENTRIES:
        raise Refused(
            f"unpacks to {unpacked / 1e6:.0f} MB in {len(entries)} files; "
            f"{MAX_UNPACKED / 1e6:.0f} MB in {MAX_ENTRIES} files is the limit."
        )
    source.seek(0)
    sheets = {name: grid for name, grid in _grids(source) if grid}
    if not sheets:
        raise Refused("has no rows.")
    found = []
    for name, grid in sheets.items():
        frame, notes = _sheet(grid)
        found.append(("" if len(sheets) == 1 else name, _tidy(frame), notes))
    return found


def _databases(source: IO[bytes]) -> list[tuple[str, Any, list[str]]]:
    try:
        from databases import read_database  # type: ignore[import-not-found] # beside it there
    except ImportError:
        from allotrope.graphs.work.tables.databases import read_database

    found = []
    try:
        for name, header, rows, notes in read_database(source.read()):
            frame, more = _frame(header, rows, ",", list(notes))
            found.append((name, _tidy(frame), more))
    except ValueError as exc:
        raise Refused(f"{exc}.") from exc
    if not found:
        raise Refused("has no rows.")
    return found if len(found) > 1 else [("", found[0][1], found[0][2])]


def _grids(source: IO[bytes]) -> Iterator[tuple[str, list[list[Any]]]]:
    """The cells of each sheet; those that are merged sideways have their value in each column."""
    import openpyxl

    book = openpyxl.load_workbook(source, data_only=True)
    for sheet in book.worksheets:
        if (sheet.max_row or 0) * (sheet.max_column or 0) > MAX_CELLS:
            raise Refused(f"has more than {MAX_CELLS:,} cells in the sheet {sheet.title}.")
        rows = [list(row) for row in sheet.iter_rows(values_only=True)]
        for area in list(sheet.merged_cells.ranges)[:10_000]:
            value = rows[area.min_row - 1][area.min_col - 1]
            for row in range(area.min_row - 1, min(area.max_row, area.min_row)):
                for column in range(area.min_col - 1, min(area.max_col, len(rows[row]))):
                    rows[row][column] = _Merged(value) if isinstance(value, str) else value
        yield str(sheet.title), [row for row in rows if any(_told(cell) for cell in row)]


class _Merged(str):
    """Text of a merged cell, in each of the columns that it stands over."""


def _told(cell: Any) -> bool:
    return cell is not None and str(cell).strip() != ""


def _sheet(grid: list[list[Any]]) -> tuple[Any, list[str]]:
    """A sheet as a table: its header may have lines above it, and two lines of its own."""
    try:
        from delimited import first_row
    except ImportError:
        from allotrope.graphs.work.tables.delimited import first_row

    texts = [["" if not _told(cell) else str(cell) for cell in _once(row)] for row in grid[:200]]
    begin, width = first_row(texts)
    end = begin + 1
    if begin and _spans(grid[begin - 1]):
        begin -= 1
    notes = []
    two = _spans(grid[begin]) and len(grid) > begin + 2
    if two:
        end = begin + 2
    if begin:
        above = " / ".join(" ".join(filter(None, row)) for row in texts[:begin])
        notes.append(f"{begin} lines above the header were left out: “{above[:120]}”.")
    header = [_title([row[n] for row in grid[begin:end]]) for n in range(width)]
    if two:
        named = ", ".join(filter(None, header))[:300]
        notes.append(f"The header has two lines; its columns are named {named}.")
    rows = [list(row[:width]) + [None] * (width - len(row)) for row in grid[end:]]
    if not rows:
        raise Refused("has no rows.")
    used = [n for n in range(width) if header[n] or any(_told(row[n]) for row in rows)]
    cells = [[None if not _told(row[n]) else row[n] for n in used] for row in rows]
    return _frame([header[n] for n in used], cells, ",", notes)


def _once(row: list[Any]) -> list[Any]:
    """A row in which a merged cell counts once."""
    kept: list[Any] = []
    for cell in row:
        repeated = isinstance(cell, _Merged) and any(cell == other for other in kept)
        kept.append(None if repeated else cell)
    return kept


def _spans(row: list[Any]) -> bool:
    """Whether a row has two titles or more that each stand over other columns."""
    merged = {str(cell) for cell in row if isinstance(cell, _Merged)}
    return bool(merged) and len({str(cell) for cell in row if _told(cell)}) > 1


def _title(parts: list[Any]) -> str:
    words = [str(part).strip() for part in parts if _told(part)]
    return " ".join(dict.fromkeys(words))
