"""User files to Parquet: CSV in any usual encoding and with broken lines, JSON, Excel, Parquet.

The Parquet files lie in the data folder by the hash of the content, so a file is converted once.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allotrope.exceptions import InputError
from allotrope.extras import needed
from allotrope.graphs.sources.files import allowed_file, decode

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".json", ".jsonl", ".ndjson", ".xlsx", ".xlsm")
"""What the analyst reads."""
MAX_UNPACKED = 500_000_000
_NAME = re.compile(r"[^a-z0-9_]+")


@dataclass(frozen=True)
class Table:
    """A table made from a file.

    Args:
        name: Its name in SQL.
        parquet: Where its data lies.
        source: The file it is from, with the sheet of a workbook.
        notes: What was wrong with the file and how it was read.
    """

    name: str
    parquet: Path
    source: str
    notes: tuple[str, ...] = ()


def read_tables(
    files: Sequence[str], *, roots: Sequence[Path], max_bytes: int, folder: Path
) -> list[Table]:
    """Converts files to tables.

    Args:
        files: Paths that the user named.
        roots: Folders that may be read.
        max_bytes: Largest file in bytes.
        folder: Where the Parquet files are kept.

    Returns:
        One table a file, or one a sheet of a workbook.

    Raises:
        InputError: A file is missing, forbidden, empty, too large, broken, or of another type.
    """
    tables: list[Table] = []
    for file in files:
        path = allowed_file(file, roots=roots, max_bytes=max_bytes)
        for suffix, frame, notes in _frames(path):
            name = _name(f"{path.stem} {suffix}" if suffix else path.stem)
            taken = {table.name for table in tables}
            unique, number = name, 2
            while unique in taken:
                unique, number = f"{name}_{number}", number + 1
            source = f"{path.name} ({suffix})" if suffix else path.name
            tables.append(Table(unique, _keep(frame, path, suffix, folder), source, tuple(notes)))
    if not tables:
        raise InputError(
            "There is no data to analyse.", hint="Name a CSV, Parquet, JSON or Excel file."
        )
    return tables


def _name(text: str) -> str:
    name = _NAME.sub("_", text.lower()).strip("_")[:60] or "data"
    return f"t_{name}" if name[0].isdigit() else name


def _keep(frame: Any, path: Path, suffix: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256(path.read_bytes() + suffix.encode()).hexdigest()
    target = folder / f"{digest[:32]}.parquet"
    if not target.exists():
        partial = target.with_suffix(".partial")
        try:
            frame.to_parquet(partial, index=False)
        except Exception as exc:  # noqa: BLE001 # pyarrow's errors for mixed columns are many
            try:
                frame.astype("string").to_parquet(partial, index=False)
            except Exception:  # noqa: BLE001 # as above
                raise InputError(f"{path.name} can't be read as a table: {exc}.") from exc
        partial.chmod(0o644)  # the query process runs as another user; the folder is ours alone
        partial.replace(target)
    return target


def _frames(path: Path) -> list[tuple[str, Any, list[str]]]:
    with needed("Reading tables"):
        import pandas as pd
        import pyarrow  # noqa: F401  # what pandas writes Parquet with; say so now

    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise InputError(
            f"{path.name} is no table.", hint="CSV, TSV, Parquet, JSON, JSONL and Excel are read."
        )
    try:
        if kind == ".parquet":
            return [("", pd.read_parquet(path), [])]
        if kind in (".xlsx", ".xlsm"):
            return _sheets(path)
        if kind in (".json", ".jsonl", ".ndjson"):
            frame, notes = _json(path)
        else:
            frame, notes = _csv(path)
    except InputError:
        raise
    except Exception as exc:  # each reader has its own errors for broken files
        words = str(exc).strip().split("\n")[0][:200]
        raise InputError(f"{path.name} can't be read: {words}.") from exc
    return [("", _tidy(frame, path), notes)]


def _tidy(frame: Any, path: Path) -> Any:
    """Column names that are text and unique; no empty frame."""
    frame = frame.dropna(how="all")
    if not len(frame) or not len(frame.columns):
        raise InputError(f"{path.name} has no rows.")
    if len(frame.columns) > 2000:
        raise InputError(f"{path.name} has {len(frame.columns)} columns; 2,000 is the limit.")
    seen: dict[str, int] = {}
    names = []
    for position, column in enumerate(frame.columns, 1):
        name = " ".join(str(column).split())[:80] or f"column_{position}"
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        names.append(name if seen[name.lower()] == 1 else f"{name}_{seen[name.lower()]}")
    frame.columns = names
    return frame.convert_dtypes()


def _csv(path: Path) -> tuple[Any, list[str]]:
    import pandas as pd

    text = decode(path.read_bytes(), name=path.name)
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


def _json(path: Path) -> tuple[Any, list[str]]:
    import json

    import pandas as pd

    text = decode(path.read_bytes(), name=path.name)
    notes: list[str] = []
    try:
        value = json.loads(text)
    except RecursionError as exc:
        raise InputError(f"{path.name} is nested too deeply.") from exc
    except ValueError:
        value, bad = [], 0
        for line in text.split("\n"):
            if line.strip():
                try:
                    value.append(json.loads(line))
                except (ValueError, RecursionError):
                    bad += 1
        if not value:
            raise InputError(f"{path.name} is no JSON.") from None
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


def _sheets(path: Path) -> list[tuple[str, Any, list[str]]]:
    import pandas as pd

    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED:
            raise InputError(f"{path.name} unpacks to more than {MAX_UNPACKED // 10**6} MB.")
    sheets = pd.read_excel(path, sheet_name=None, engine="openpyxl")
    full = {name: sheet for name, sheet in sheets.items() if len(sheet.dropna(how="all"))}
    if not full:
        raise InputError(f"{path.name} has no rows.")
    single = len(full) == 1
    return [("" if single else str(name), _tidy(sheet, path), []) for name, sheet in full.items()]


def describe(tables: Sequence[Table], profile: dict[str, Any], *, max_chars: int = 12_000) -> str:
    """The tables for a prompt: name, rows, and each column with type, range and samples.

    Args:
        tables: The tables.
        profile: From `Engine.profile`.
        max_chars: Longest text; columns beyond it are named only.
    """
    blocks = []
    for table in tables:
        facts = profile[table.name]
        lines = [f'Table "{table.name}" from {table.source}: {facts["rows"]} rows']
        lines += [f"  note: {note}" for note in table.notes]
        for number, column in enumerate(facts["columns"]):
            samples = [_short(row[number]) for row in facts["sample"]]
            line = f'  "{column["column_name"]}" {column["column_type"]}'
            if column.get("min") is not None:
                line += f", {_short(column['min'])} to {_short(column['max'])}"
            gaps = float(column.get("null_percentage") or 0)
            line += f", about {column.get('approx_unique')} different"
            line += f", {gaps:g} % missing" if gaps else ""
            lines.append(f"{line}, for example {', '.join(samples)}")
        blocks.append("\n".join(lines))
    text = "\n\n".join(blocks)
    return text if len(text) <= max_chars else f"{text[:max_chars]}\n  … (cut)"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:40]}…"
