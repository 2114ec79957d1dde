"""Read-only SQL over files: each query runs in a sandboxed process of its own."""

import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allotrope.exceptions import InputError
from allotrope.graphs.work.sandbox.runner import WALLS, Limits, Wall, run_program
from allotrope.graphs.work.tables import worker
from allotrope.settings.agents import AgentsSettings

MAX_SQL_CHARS = 20_000
_ROOM_MB = 1500
"""Address space that Python and DuckDB take besides the data."""


class QueryError(InputError):
    """A query can't be run; the message is DuckDB's, for the model to repair."""


@dataclass(frozen=True)
class QueryResult:
    """What a query gave.

    Args:
        sql: The query.
        columns: Names of the columns.
        rows: Plain values; decimals as exact text, dates as ISO text.
        more: Whether there were more rows than are kept.
    """

    sql: str
    columns: list[str]
    rows: list[list[Any]]
    more: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a graph's state."""
        return {"sql": self.sql, "columns": self.columns, "rows": self.rows, "more": self.more}


@dataclass(frozen=True)
class QueryEngine:
    """Runs queries over tables.

    Args:
        tables: Table name to Parquet file.
        settings: Limits.
        walls: What may stand around a query.
    """

    tables: Mapping[str, Path]
    settings: AgentsSettings = field(default_factory=AgentsSettings)
    walls: Sequence[Wall] = (*WALLS, "none")

    def query(self, sql: str, *, cancel: threading.Event | None = None) -> QueryResult:
        """Runs one SELECT.

        Args:
            sql: The statement.
            cancel: When set, the query ends.

        Raises:
            QueryError: It isn't a single SELECT, is wrong, or takes too long or too much memory.
        """
        if not sql.strip() or len(sql) > MAX_SQL_CHARS:
            raise QueryError("There is no query, or it is too long.")
        answer = self._run(sql, cancel)
        return QueryResult(sql, answer["columns"], answer["rows"], answer["more"])

    def profile(self) -> dict[str, Any]:
        """Rows, columns and samples of each table.

        Raises:
            QueryError: The tables are too large for the limits.
        """
        tables: dict[str, Any] = self._run(None)["tables"]
        return tables

    def _run(self, sql: str | None, cancel: threading.Event | None = None) -> dict[str, Any]:
        limits, mark = self.settings, secrets.token_hex(16)
        job = {
            "tables": {name: str(path) for name, path in self.tables.items()},
            "sql": sql,
            "rows": limits.sql_rows,
            "memory_mb": limits.sql_memory_mb,
            "threads": limits.sql_threads,
            "mark": mark,
        }
        outcome = run_program(
            Path(worker.__file__).read_text(encoding="utf-8"),
            {"job.json": json.dumps(job)},
            limits=Limits(
                wall_s=limits.sql_timeout_s,
                memory_mb=limits.sql_memory_mb + _ROOM_MB,
                disk_mb=1,
                processes=64,
                output_bytes=64_000_000,
            ),
            readable=sorted(set(self.tables.values())),
            packages=("duckdb", "pytz", "numpy"),
            walls=self.walls,
            cancel=cancel,
        )
        if outcome.status == "timeout":
            raise QueryError(f"The query took longer than {limits.sql_timeout_s:g} seconds.")
        _, found, text = outcome.output.partition(mark)
        if not found:
            raise QueryError("The query needs more memory than it may use.")
        answer: dict[str, Any] = json.loads(text)
        if "error" in answer:
            raise QueryError(answer["error"])
        return answer
