"""The tables of an SQLite database, for `converter`; its text is sent into the sandbox too."""

import sqlite3
from collections.abc import Iterator
from typing import Any

MAX_TABLES = 50
MAX_ROWS = 5_000_000
_MAGIC = b"SQLite format 3\x00"


def read_database(raw: bytes) -> Iterator[tuple[str, list[str], list[list[Any]], list[str]]]:
    """The tables that have rows: name, header, cells, notes.

    The database is opened in memory. Views, virtual tables and triggers are left alone.

    Args:
        raw: The file.

    Raises:
        ValueError: It is no SQLite database, it is damaged or too large; the text says which.
    """
    if not raw.startswith(_MAGIC):
        raise ValueError("is no SQLite database")
    # bytes 18 and 19 say that a write-ahead log lies beside the file; there is none in memory
    logged = raw[18:20] == b"\x02\x02"
    base = sqlite3.connect(":memory:")
    try:
        base.deserialize(raw[:18] + b"\x01\x01" + raw[20:])
        base.execute("PRAGMA trusted_schema = OFF")
        base.text_factory = lambda text: text.decode("utf-8", "replace")
        names = [
            str(name)
            for (name,) in base.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
                "AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
            )
        ]
        notes = (
            ["What was written last may lie in the file's “-wal” beside it, which isn't read."]
            if logged
            else []
        )
        for name in names[:MAX_TABLES]:
            quoted = name.replace('"', '""')
            cursor = base.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 # quoted as SQLite does
            header = [str(column[0]) for column in cursor.description]
            rows = [[_plain(cell) for cell in row] for row in cursor.fetchmany(MAX_ROWS + 1)]
            if len(rows) > MAX_ROWS:
                raise ValueError(f"has more than {MAX_ROWS:,} rows in the table {name}")
            if rows:
                yield name, header, rows, notes
    except sqlite3.Error as exc:
        raise ValueError(f"can't be read: {str(exc)[:200]}") from exc
    finally:
        base.close()


def _plain(cell: Any) -> Any:
    """A cell without bytes, which no table shows."""
    return f"({len(cell)} bytes)" if isinstance(cell, bytes) else cell
