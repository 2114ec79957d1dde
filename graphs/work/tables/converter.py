"""CSV, JSON, Excel, Parquet to Parquet; its text is sent into the sandbox and runs there alone."""

import io
import json
import re
import zipfile
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
    seen: dict[str, int] = {}
    names = []
    for position, column in enumerate(frame.columns, 1):
        name = " ".join(str(column).split())[:80] or f"column_{position}"
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        names.append(name if seen[name.lower()] == 1 else f"{name}_{seen[name.lower()]}")
    frame.columns = names
    return frame.convert_dtypes()


def _csv(text: str) -> tuple[Any, list[str]]:
    import pandas as pd

    notes: list[str] = []
    header = next((line for line in text.split("\n") if line.strip()), "")
    mark = max(",;\t|", key=header.count)
    decimal = (
        "," if mark == ";" and re.search(r"(?:^|[;\n])-?\d+,\d+(?:;|\n|$)", text[:100_000]) else "."
    )
    broken: list[int] = []
    width = len(header.split(mark))

    def mend(cells: list[str]) -> list[str]:
        broken.append(1)
        return cells[:width]

    frame = pd.read_csv(
        io.StringIO(text),
        sep=mark,
        decimal=decimal,
        engine="python",
        on_bad_lines=mend,
        skipinitialspace=True,
        index_col=False,
    )
    if broken:
        notes.append(f"{len(broken)} lines had too many cells; the extra cells were left out.")
    for column in frame.columns:
        frame[column] = _numbers(frame[column])
    return frame, notes


def _numbers(column: Any) -> Any:
    """Text such as `1,234.50` to numbers, if all of the column's cells are of that form."""
    import pandas as pd

    if not pd.api.types.is_string_dtype(column) and column.dtype != object:
        return column
    texts = column.dropna().astype(str).str.strip()
    if len(texts) and texts.str.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?|-?\d+(\.\d+)?").all():
        return pd.to_numeric(column.astype("string").str.strip().str.replace(",", ""))
    return column


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
    import pandas as pd

    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED or len(entries) > MAX_ENTRIES:
        raise Refused(
            f"unpacks to {unpacked / 1e6:.0f} MB in {len(entries)} files; "
            f"{MAX_UNPACKED / 1e6:.0f} MB in {MAX_ENTRIES} files is the limit."
        )
    source.seek(0)
    sheets = pd.read_excel(source, sheet_name=None, engine="openpyxl")
    full = {name: sheet for name, sheet in sheets.items() if len(sheet.dropna(how="all"))}
    if not full:
        raise Refused("has no rows.")
    single = len(full) == 1
    return [("" if single else str(name), _tidy(sheet), []) for name, sheet in full.items()]
