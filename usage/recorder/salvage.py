"""What can be read of a damaged SQLite ledger, brought into a new one."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, Text, select

from allotrope.stores.damage import readable_rows
from allotrope.usage.ledger import schema
from allotrope.usage.recorder.rows import DAY_US, CallRow, by_month

if TYPE_CHECKING:
    from allotrope.usage.ledger.ledger import Ledger

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


def take_over(ledger: "Ledger", aside: Path) -> int:
    """Brings what can be read of a damaged ledger into a new one.

    Args:
        ledger: The new one, open and empty.
        aside: The damaged file.

    Returns:
        How many calls were saved.
    """
    saved = 0
    if not _has_tables(aside):
        return saved
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


def _has_tables(path: Path) -> bool:
    """Whether the list of tables can be read; without it no row can be found."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as link:
            return bool(link.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    except sqlite3.Error:
        return False


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


def readable(
    path: Path, table: Table, *, batch: int = 500
) -> Iterator[Sequence[Mapping[str, Any]]]:  # fmt: skip
    """The rows of a damaged table that can still be read, in any order.

    Args:
        path: The file that was moved aside.
        table: Which table.
        batch: Rows per list.
    """
    clustered = any(table is each for each, _ in ROLLUPS)
    rows = _by_key(path, table) if clustered else readable_rows(path, table.name)
    while found := [dict(row) for row in islice(rows, batch)]:
        yield found


def _by_key(path: Path, table: Table) -> Iterator[sqlite3.Row]:
    """Rows of a table that lies in the order of its key and has no row ids, from both ends."""
    keys = [column.name for column in table.primary_key.columns]
    seen: set[tuple[Any, ...]] = set()
    for end in ("", " DESC"):
        by = ", ".join(name + end for name in keys)
        address = f"{path.absolute().as_uri()}?mode=ro"
        # An error ends what can be read from this end.
        with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as link:
            link.row_factory = sqlite3.Row
            for row in link.execute(f"SELECT * FROM {table.name} ORDER BY {by}"):  # noqa: S608 - names of our own schema
                key = tuple(row[name] for name in keys)
                if key not in seen:
                    seen.add(key)
                    yield row


def typed(table: Table, raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row's values as the ledger writes them; None where damage shows in one of them.

    Args:
        table: Its table.
        raw: What SQLite gave.
    """
    found: dict[str, Any] = {}
    for column in table.columns:
        if column.name not in raw and column.server_default is not None:
            continue  # the file is older than the column
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


def _row(raw: Mapping[str, Any]) -> CallRow | None:
    values = typed(schema.calls, raw)
    try:
        return None if values is None else CallRow(**values)
    except (ValueError, TypeError):
        return None
