"""The query process: loads Parquet files, locks DuckDB down, and runs one read-only statement.

Its text is sent into the sandbox and runs there alone. DuckDB can interrupt a query only between
expressions (`repeat('x', 10000000000)` isn't interrupted, nor held by its memory limit), so the
time and memory of a query are bounded by the process that runs it.
"""

import datetime
import decimal
import json
import sys
from typing import Any

CELL_CHARS = 300


def plain(value: Any) -> Any:
    """A value of a result as JSON has it; decimals stay exact as text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    text = str(value)
    return text if len(text) <= CELL_CHARS else f"{text[:CELL_CHARS]}…"


def open_locked(tables: dict[str, str], *, memory_mb: int, threads: int) -> Any:
    """A DuckDB in memory with the tables in it that can reach nothing else any more."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
            "temp_directory": "",
            "memory_limit": f"{memory_mb}MB",
            "threads": str(threads),
        },
    )
    for name, path in tables.items():
        quoted = name.replace('"', '""')
        load = f'CREATE TABLE "{quoted}" AS SELECT * FROM read_parquet(?)'  # noqa: S608 # quoted name
        connection.execute(load, [path])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _in_utc(sql: str, description: list[Any]) -> str | None:
    """The query with its times of a zone as text in UTC, which needs no pytz; None without any."""
    zoned = [column[0] for column in description if "WITH TIME ZONE" in str(column[1])]
    if not zoned:
        return None
    quoted = ['"' + name.replace('"', '""') + '"' for name in zoned]
    casts = [f"strftime({one} AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S') AS {one}" for one in quoted]
    return f"SELECT * REPLACE ({', '.join(casts)}) FROM ({sql})"  # noqa: S608 # one SELECT, checked


def query(connection: Any, sql: str, *, rows: int) -> dict[str, Any]:
    """Runs one SELECT in a read-only transaction that is rolled back.

    The transaction matters: DuckDB calls `WITH x AS (DELETE … RETURNING *) SELECT …` a SELECT.
    """
    import duckdb

    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as exc:
        return {"error": str(exc)}
    if len(statements) != 1:
        return {"error": f"Write exactly one statement; there are {len(statements)}."}
    if statements[0].type != duckdb.StatementType.SELECT:
        return {"error": "Only SELECT (and WITH … SELECT) is allowed; data is read-only."}
    connection.execute("BEGIN TRANSACTION READ ONLY")
    try:
        cursor = connection.execute(sql)
        if (plain_times := _in_utc(sql, cursor.description)) is not None:
            cursor = connection.execute(plain_times)
        found = cursor.fetchmany(rows + 1)
        columns = [column[0] for column in cursor.description]
        return {
            "columns": columns,
            "rows": [[plain(cell) for cell in row] for row in found[:rows]],
            "more": len(found) > rows,
        }
    except duckdb.Error as exc:
        return {"error": str(exc)}
    finally:
        connection.execute("ROLLBACK")


def profile(connection: Any, tables: list[str]) -> dict[str, Any]:
    """Rows, columns with type, range, distinct values and gaps, and samples of each table."""
    found = {}
    for name in tables:
        quoted = '"' + name.replace('"', '""') + '"'
        count = connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0]  # noqa: S608 # quoted name
        cursor = connection.execute(f"SUMMARIZE {quoted}")
        names = [column[0] for column in cursor.description]
        facts = [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]
        sample = query(connection, f"SELECT * FROM {quoted}", rows=3)  # noqa: S608 # quoted name
        found[name] = {"rows": count, "columns": facts, "sample": sample["rows"]}
    return {"tables": found}


def main() -> None:
    """Reads `job.json`, prints one JSON object after a mark."""
    with open("job.json", encoding="utf-8") as file:
        job = json.load(file)
    try:
        connection = open_locked(job["tables"], memory_mb=job["memory_mb"], threads=job["threads"])
        if job["sql"] is None:
            answer = profile(connection, list(job["tables"]))
        else:
            answer = query(connection, job["sql"], rows=job["rows"])
    except MemoryError:
        answer = {"error": "The query needs more memory than it may use."}
    sys.stdout.write("\n" + job["mark"] + json.dumps(answer))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
