"""What can be done for a corrupted SQLite ledger: move it aside, read what is still readable."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from allotrope.usage.rows import COLUMNS, CallRow

# SQLite's wordings for SQLITE_CORRUPT and SQLITE_NOTADB (sqlite.org/rescode.html).
_CORRUPT = ("malformed", "not a database", "database corruption", "file is encrypted")
_MONEY = frozenset({"cost", "saved_cost", "prompt_cache_saving", "context_saving"})


def is_corrupted(exc: Exception) -> bool:
    """Whether an error says that the file itself is broken (not locked, full or missing)."""
    cause = getattr(exc, "orig", exc)  # SQLAlchemy wraps the driver's error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return any(word in str(cause) for word in _CORRUPT)


def move_aside(path: Path) -> Path | None:
    """Renames a database with its WAL and shared-memory files.

    Returns:
        The new path, or None where there is no file any more (another process was first).
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return None
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            os.replace(companion, aside.with_name(aside.name + suffix))
    return aside


def readable_rows(path: Path, *, batch: int = 500) -> Iterator[list[CallRow]]:
    """The calls of a damaged ledger that can still be read, from both ends of the table.

    Args:
        path: The file that was moved aside.
        batch: Rows per list.
    """
    seen: set[str] = set()
    for order in ("rowid", "rowid DESC"):
        rows: list[CallRow] = []
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                connection.row_factory = sqlite3.Row
                # Row order, by no index: an index may be the part that is broken.
                cursor = connection.execute(f"SELECT * FROM calls NOT INDEXED ORDER BY {order}")  # noqa: S608 - `order` is one of two literals above
                for raw in cursor:
                    row = _row(dict(raw))
                    if row is not None and row.id not in seen:
                        seen.add(row.id)
                        rows.append(row)
                    if len(rows) >= batch:
                        yield rows
                        rows = []
        except sqlite3.DatabaseError:
            pass  # what follows can't be read from this end
        if rows:
            yield rows


def _row(raw: dict[str, Any]) -> CallRow | None:
    try:
        values = {name: raw[name] for name in COLUMNS if name in raw}
        for name in _MONEY & values.keys():
            if values[name] is not None:
                values[name] = str(Decimal(int(values[name])).scaleb(-12))
        return CallRow.from_json(values)
    except (ValueError, TypeError, ArithmeticError):
        return None
