"""The archive in PostgreSQL: full text in a `tsvector` with a GIN index."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from allotrope.memory.archive.dialects import TABLES, Row, check_version
from allotrope.stores.postgres.connections import Connections, one_at_a_time

T = TypeVar("T")

_LOCK = 7205759401
"""The advisory lock of these tables."""


class PostgresDatabase:
    """PostgreSQL; a lost connection is made again, for a restarted server is waited.

    Args:
        url: `postgresql://…`; needs the extra `allotrope[postgres]`.
    """

    def __init__(self, url: str) -> None:
        self._connections = Connections(url, what="The archive")
        self._lock = threading.Lock()
        self._ready = False
        self._own = threading.local()

    def open(self) -> None:
        """Connects and makes the tables.

        Raises:
            StoreError: No driver, the server refuses, or a newer version wrote the tables.
        """
        with self._lock:
            if self._ready:
                return
            self._connections.surely(self._make_tables)
            self._ready = True
        try:
            check_version(self, "in PostgreSQL")
        except BaseException:
            self._ready = False
            raise

    def _make_tables(self) -> None:
        with self._connections.connection() as connection, one_at_a_time(connection, _LOCK):
            for statement in TABLES.format(serial="BIGSERIAL PRIMARY KEY").split(";"):
                if statement.strip():
                    connection.execute(statement.encode())
            connection.execute(
                "ALTER TABLE archive_messages ADD COLUMN IF NOT EXISTS tokens tsvector"
            )
            connection.execute(
                "CREATE INDEX IF NOT EXISTS archive_messages_tokens"
                " ON archive_messages USING gin (tokens)"
            )

    def close(self) -> None:
        """Ends the connections."""
        self._connections.close()

    def write(self, work: Callable[[], T]) -> T:
        """Calls work in a transaction; again where the connection was lost."""

        def transaction() -> T:
            with self._connections.connection() as connection, connection.transaction():
                self._own.within = connection
                try:
                    return work()
                finally:
                    self._own.within = None

        self.open()
        return self._connections.surely(transaction)

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Runs a statement and gives its rows; again where the connection was lost."""

        def rows(connection: Any) -> list[Row]:
            cursor = connection.execute(sql.replace("?", "%s"), values)
            return list(cursor.fetchall()) if cursor.description else []

        def alone() -> list[Row]:
            with self._connections.connection() as connection:
                return rows(connection)

        within = getattr(self._own, "within", None)
        if within is not None:
            return rows(within)
        if not self._ready:
            self.open()
        return self._connections.surely(alone)

    def index(self, row: int, tokens: Sequence[str]) -> None:
        """Makes a message findable by its tokens."""
        self.run(
            "UPDATE archive_messages SET tokens = array_to_tsvector(?::text[]) WHERE row = ?",
            (sorted(set(tokens)), row),
        )

    def unindex(self, thread_key: int) -> None:
        """The index entry goes with the message's row."""

    def newest(self, token: str, limit: int, *, begins: bool = False) -> list[int]:
        """Rows that have a token, or one that begins so, newest first."""
        sql = (
            "SELECT row FROM archive_messages WHERE tokens @@ ?::tsquery ORDER BY row DESC LIMIT ?"
        )
        lexeme = _lexeme(token) + ":*" * begins
        return [int(row) for (row,) in self.run(sql, (lexeme, limit))]

    def matching(self, tokens: Sequence[str], limit: int) -> list[int]:
        """Rows that have any of the tokens, best `ts_rank` first."""
        query = " | ".join(_lexeme(token) for token in tokens)
        sql = (
            "SELECT row FROM archive_messages WHERE tokens @@ ?::tsquery"
            " ORDER BY (SELECT count(*) FROM unnest(?::text[]) AS t"
            " WHERE tokens @@ t::tsquery) DESC, row DESC LIMIT ?"
        )
        values = (query, [_lexeme(token) for token in tokens], limit)
        return [int(row) for (row,) in self.run(sql, values)]


def _lexeme(token: str) -> str:
    quoted = token.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}'"
