"""User files to Parquet: CSV in any usual encoding and with broken lines, JSON, Excel, Parquet.

They are parsed in the sandbox. The Parquet files lie in the data folder by the hash of the content,
so a file is converted once.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading.converting import (
    ConversionLimits,
    converted,
    text_of_module,
)
from allotrope.graphs.work.sources.reading.files import allowed_file, decode
from allotrope.support.extras import needed

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".json", ".jsonl", ".ndjson", ".xlsx", ".xlsm",
            ".sqlite", ".sqlite3", ".db")  # fmt: skip
"""What the analyst reads."""
UNREADABLE = {
    **dict.fromkeys(
        (".xls", ".xlsb", ".ods", ".numbers"), "Save it as .xlsx or CSV, and name that."
    ),
    **dict.fromkeys(
        (".mdb", ".accdb", ".duckdb"),
        "Export the tables that matter as CSV, and name those files.",
    ),
    **dict.fromkeys(
        (".sav", ".dta", ".sas7bdat", ".rds", ".orc", ".avro", ".feather"),
        "Save it as CSV or Parquet, and name that.",
    ),
}
"""Endings of data files that no reader here understands, and what to do instead."""
_READER = b"3"
"""Counts up when files are read otherwise than before, so that kept conversions aren't used."""
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
        One table a file, or one a sheet of a workbook or a table of an SQLite database.

    Raises:
        InputError: A file is missing, forbidden, empty, too large, broken, or of another type.
    """
    tables: list[Table] = []
    for file in files:
        path = allowed_file(file, roots=roots, max_bytes=max_bytes)
        for parquet, suffix, notes in _converted(path, folder):
            name = _name(f"{path.stem} {suffix}" if suffix else path.stem)
            taken = {table.name for table in tables}
            unique, number = name, 2
            while unique in taken:
                unique, number = f"{name}_{number}", number + 1
            source = f"{path.name} ({suffix})" if suffix else path.name
            tables.append(Table(unique, parquet, source, tuple(notes)))
    if not tables:
        raise InputError(
            "There is no data to analyse.", hint="Name a CSV, Parquet, JSON or Excel file."
        )
    return tables


def _name(text: str) -> str:
    name = _NAME.sub("_", text.lower()).strip("_")[:60] or "data"
    return f"t_{name}" if name[0].isdigit() else name


def _converted(path: Path, folder: Path) -> list[tuple[Path, str, list[str]]]:
    """The Parquet files of a file, with sheet and notes; parsed in the sandbox, once a content."""
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        if kind in UNREADABLE:
            raise InputError(
                f"{path.name} is a {kind} file, which can't be read here.", hint=UNREADABLE[kind]
            )
        raise InputError(
            f"{path.name} is no table.",
            hint="CSV, TSV, Parquet, JSON, JSONL, Excel and SQLite are read.",
        )
    with needed("Reading tables"):
        _look_for_readers()
    raw = path.read_bytes()
    digest = hashlib.sha256(_READER + kind.encode() + raw).hexdigest()[:32]
    listing = folder / f"{digest}.json"
    try:
        rows = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        rows = _convert(raw, kind, path.name, digest, folder)
        partial = listing.with_suffix(".partial")
        partial.write_text(json.dumps(rows), encoding="utf-8")
        partial.replace(listing)
    return [(folder / row["file"], row["suffix"], row["notes"]) for row in rows]


def _look_for_readers() -> None:
    """Says that a library is missing, without the half second that importing them takes."""
    for name in ("pandas", "pyarrow"):
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _convert(raw: bytes, kind: str, name: str, digest: str, folder: Path) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if kind not in (".parquet", ".xlsx", ".xlsm", ".sqlite", ".sqlite3", ".db"):
        raw = decode(raw, name=name).encode("utf-8", "surrogatepass")
    rows = []
    with converted(
        raw,
        {"kind": kind},
        program=text_of_module("allotrope.graphs.work.tables", "converter.py"),
        name=name,
        packages=("pandas", "pyarrow", "openpyxl", "duckdb"),
        modules={
            name: text_of_module("allotrope.graphs.work.tables", name)
            for name in ("delimited.py", "cells.py", "databases.py")
        },
        limits=ConversionLimits(cpu_s=30, wall_s=120.0, memory_mb=3072, result_mb=1024),
    ) as (told, result):
        for number, one in enumerate(told):
            target = folder / f"{digest}-{number}.parquet"
            partial = target.with_suffix(".partial")
            partial.write_bytes(result.read(one["bytes"]))
            partial.chmod(0o644)  # the query process runs as another user; the folder is ours alone
            partial.replace(target)
            rows.append({"file": target.name, "suffix": one["suffix"], "notes": one["notes"]})
    return rows


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
