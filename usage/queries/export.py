"""The rows of the ledger as CSV, Parquet or JSON lines; written in batches, never all in memory."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from sqlalchemy import select

from allotrope.exceptions import InputError, StoreError
from allotrope.support.extras import needed
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries.conditions import Where, Window, filters
from allotrope.usage.recorder.rows import microseconds, moment

FORMATS = ("csv", "json", "parquet")
_BATCH = 5_000


def export(
    ledger: Ledger,
    target: Path | IO[str],
    *,
    form: str,
    window: Window | None = None,
    where: Where | None = None,
) -> int:
    """Writes the calls, the oldest first.

    Money is exact: text in JSON, decimal(38, 12) in Parquet. Moments are ISO 8601 in UTC.

    Args:
        ledger: What is read.
        target: A path, or an open text file (not for Parquet).
        form: `csv`, `json` (one object a line) or `parquet`.
        window: Only calls in it.
        where: Filters by columns with text.

    Returns:
        How many calls were written.

    Raises:
        InputError: An unknown format, or Parquet without a path or without pyarrow.
        StoreError: The file can't be written.
    """
    if form not in FORMATS:
        raise InputError(f"{form!r} is no format.", hint=f"Use one of {', '.join(FORMATS)}.")
    batches = _batches(ledger, window, where)
    if form == "parquet":
        if not isinstance(target, Path):
            raise InputError("Parquet needs a file to be written to.", hint="Give --out FILE.")
        return _parquet(target, batches)
    write = _csv if form == "csv" else _json
    if not isinstance(target, Path):
        return write(target, batches)
    try:
        with target.open("w", encoding="utf-8", newline="") as file:
            return write(file, batches)
    except OSError as exc:
        raise StoreError(f"{target} can't be written: {exc.strerror}.") from exc


def _batches(
    ledger: Ledger, window: Window | None, where: Where | None
) -> Iterator[list[dict[str, Any]]]:
    table = schema.calls
    query = select(table).where(*filters(table, where)).order_by(table.c.at, table.c.id)
    if window is not None:
        query = query.where(table.c.at >= microseconds(window.start))
        query = query.where(table.c.at < microseconds(window.end))
    with ledger.engine.connect() as connection:
        found = connection.execution_options(yield_per=_BATCH).execute(query).mappings()
        for part in found.partitions(_BATCH):
            yield [{**row, "at": moment(row["at"])} for row in part]


def csv_texts(batches: Iterable[Sequence[dict[str, Any]]]) -> Iterator[str]:
    """Calls as pieces of a CSV file, the first one with the names of the columns."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=[column.name for column in schema.calls.columns])
    writer.writeheader()
    for batch in batches:
        writer.writerows({name: _csv_cell(value) for name, value in row.items()} for row in batch)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _csv(file: IO[str], batches: Iterator[list[dict[str, Any]]]) -> int:
    count = 0

    def counted() -> Iterator[list[dict[str, Any]]]:
        nonlocal count
        for batch in batches:
            count += len(batch)
            yield batch

    file.writelines(csv_texts(counted()))
    return count


def _csv_cell(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value  # a spreadsheet would run it as a formula (OWASP, "CSV Injection")
    return value.isoformat() if hasattr(value, "isoformat") else value


def _json(file: IO[str], batches: Iterator[list[dict[str, Any]]]) -> int:
    count = 0
    for batch in batches:
        for row in batch:
            file.write(json.dumps({k: _plain(v) for k, v in row.items()}) + "\n")
        count += len(batch)
    return count


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if hasattr(value, "isoformat") else value


def _parquet(path: Path, batches: Iterator[list[dict[str, Any]]]) -> int:
    with needed("Parquet (csv and json don't)"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    kinds = {"TEXT": pa.string(), "INTEGER": pa.int64(), "BIGINT": pa.int64()}
    table_schema = pa.schema(
        [
            pa.field(column.name, _arrow(column, kinds, pa), nullable=bool(column.nullable))
            for column in schema.calls.columns
        ]
    )
    count = 0
    try:
        with pq.ParquetWriter(path, table_schema) as writer:
            for batch in batches:
                writer.write_table(pa.Table.from_pylist(batch, schema=table_schema))
                count += len(batch)
    except OSError as exc:
        raise StoreError(f"{path} can't be written: {exc}.") from exc
    return count


def _arrow(column: Any, kinds: dict[str, Any], pa: Any) -> Any:
    if column.name == "at":
        return pa.timestamp("us", tz="UTC")
    if isinstance(column.type, schema.Money):
        return pa.decimal128(38, 12)
    return kinds.get(str(column.type), pa.float64())
