"""What can be done for a corrupted SQLite ledger: move it aside, read what is still readable."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, Text, select

from allotrope.usage import schema
from allotrope.usage.rows import COLUMNS, DAY_US, CallRow, by_month

if TYPE_CHECKING:
    from allotrope.usage.ledger import Ledger

PRUNED_NOTE = "pruned_before"
"""The note that says up to which moment (µs) single calls were deleted."""

FACTS = (schema.feedback, schema.exposures, schema.findings, schema.shadows, schema.alerts)
ROLLUPS = (
    (schema.hourly, 1),
    (schema.daily, 24),
    (schema.scopes, 24),
    (schema.latencies, 1),
    (schema.latencies_daily, 24),
)
"""Tables of sums, and how many hours one of their periods has; months are summed up from days."""

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


def take_over(ledger: "Ledger", aside: Path) -> int:
    """Brings what can be read of a damaged ledger into a new one.

    Args:
        ledger: The new one, open and empty.
        aside: The damaged file.

    Returns:
        How many calls were saved.
    """
    saved = 0
    for batch in readable(aside, schema.calls):
        saved += ledger.write([row for raw in batch if (row := _row(raw)) is not None])
    for table in (*FACTS, schema.meta):
        for batch in readable(aside, table):
            values = [found for raw in batch if (found := typed(table, raw)) is not None]
            if (
                values and table is schema.meta
            ):  # ours has a salt of its own already; the old one stays
                ledger.replace(table, values, ("value",))
                salts = [each["value"] for each in values if each["name"] == "salt"]
                ledger.salt = next((bytes.fromhex(salt) for salt in salts), ledger.salt)
            elif values:
                with ledger.transaction() as connection:
                    statement = ledger.insert(table).on_conflict_do_nothing()
                    connection.execute(statement, values)
    _old_rollups(ledger, aside)
    return saved


def _old_rollups(ledger: "Ledger", aside: Path) -> None:
    """Takes the roll-ups of days that have no calls any more, or not all of them.

    Calls are pruned while their sums stay; of such days the old sums are all there is.
    """
    limit = int(ledger.note(PRUNED_NOTE) or 0)
    at = schema.calls.c.at
    with ledger.engine.connect() as connection:
        whole = set(connection.scalars(select(at // DAY_US).distinct()))
    whole = {int(day) for day in whole} - set(range(limit // DAY_US + 1))
    for table, days in ROLLUPS:
        period = table.primary_key.columns[0].name
        for batch in readable(aside, table):
            found = [each for raw in batch if (each := typed(table, raw)) is not None]
            old = [each for each in found if each[period] * days // 24 not in whole]
            if old:
                keys = [column.name for column in table.primary_key.columns]
                ledger.replace(table, old, [c.name for c in table.columns if c.name not in keys])
    _sum_months(ledger)


def _sum_months(ledger: "Ledger") -> None:
    table = schema.scopes
    measures = ("calls", "tokens", "cost", "saved_cost")
    with ledger.engine.connect() as connection:
        days = {
            (row.day, row.scope, row.name): {name: getattr(row, name) for name in measures}
            for row in connection.execute(select(table))
        }
    months = [
        {"month": month, "scope": scope, "name": name, **sums}
        for (month, scope, name), sums in by_month(days).items()
    ]
    if months:
        ledger.replace(schema.scopes_monthly, months, measures)


def readable(path: Path, table: Table, *, batch: int = 500) -> Iterator[list[dict[str, Any]]]:
    """The rows of a damaged table that can still be read, from both ends.

    Args:
        path: The file that was moved aside.
        table: Which table.
        batch: Rows per list.
    """
    keys = [column.name for column in table.primary_key.columns]
    seen: set[tuple[Any, ...]] = set()
    # Roll-ups lie in the order of their key, the others in that of their row; an index may be the
    # part that is broken.
    rollup = any(table is each for each, _ in ROLLUPS)
    order = keys if rollup else ["rowid"]
    for end in ("", " DESC"):
        rows: list[dict[str, Any]] = []
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                connection.row_factory = sqlite3.Row
                by = ", ".join(name + end for name in order)
                unindexed = "" if rollup else " NOT INDEXED"
                query = f"SELECT * FROM {table.name}{unindexed} ORDER BY {by}"  # noqa: S608 - names of our own schema
                for raw in connection.execute(query):
                    row = dict(raw)
                    key = tuple(row[name] for name in keys)
                    if key not in seen:
                        seen.add(key)
                        rows.append(row)
                    if len(rows) >= batch:
                        yield rows
                        rows = []
        except sqlite3.DatabaseError:
            pass  # what follows can't be read from this end
        if rows:
            yield rows


def typed(table: Table, raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row's values as the ledger writes them; None where damage shows in one of them.

    Args:
        table: Its table.
        raw: What SQLite gave.
    """
    found: dict[str, Any] = {}
    for column in table.columns:
        value = raw.get(column.name)
        if value is None:
            if not column.nullable:
                return None
        elif isinstance(column.type, Text):
            if not isinstance(value, str):
                return None
        elif isinstance(column.type, schema.Money):
            value = Decimal(value).scaleb(-12) if isinstance(value, int) else None
        elif not isinstance(value, (int, float)):
            return None
        found[column.name] = value
    return found


def _row(raw: dict[str, Any]) -> CallRow | None:
    try:
        values = {name: raw[name] for name in COLUMNS if name in raw}
        for name in _MONEY & values.keys():
            if values[name] is not None:
                values[name] = str(Decimal(int(values[name])).scaleb(-12))
        return CallRow.from_json(values)
    except (ValueError, TypeError, ArithmeticError):
        return None
