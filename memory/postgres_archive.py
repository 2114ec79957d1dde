"""The archive in PostgreSQL."""

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, TypeVar

from allotrope.exceptions import StoreError
from allotrope.memory.dialects import TABLES, Row, check_version

T = TypeVar("T")


class PostgresDatabase:
    """PostgreSQL full text (a `tsvector` with a GIN index).

    Args:
        url: `postgresql://…`; needs the extra `allotrope[postgres]`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._lock = RLock()
        self._depth = 0

    def open(self) -> None:
        """Connects and makes the tables.

        Raises:
            StoreError: No driver, or the server refuses.
        """
        with self._lock:
            if self._connection is not None and not self._connection.closed:
                return
            try:
                import psycopg
            except ModuleNotFoundError as exc:
                raise StoreError(
                    "PostgreSQL needs its driver.", hint="pip install 'allotrope[postgres]'"
                ) from exc
            try:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
                with self._connection.transaction():
                    # two processes that start together would both create the tables
                    self._connection.execute("SELECT pg_advisory_xact_lock(7205759401)")
                    for statement in TABLES.format(serial="BIGSERIAL PRIMARY KEY").split(";"):
                        if statement.strip():
                            self._connection.execute(statement)
                    self._connection.execute(
                        "ALTER TABLE archive_messages ADD COLUMN IF NOT EXISTS tokens tsvector"
                    )
                    self._connection.execute(
                        "CREATE INDEX IF NOT EXISTS archive_messages_tokens"
                        " ON archive_messages USING gin (tokens)"
                    )
            except psycopg.Error as exc:
                raise StoreError(
                    f"The archive in PostgreSQL can't be opened: {type(exc).__name__}.",
                    hint="Check the address, the user's rights and that the server runs.",
                ) from exc
            check_version(self, "in PostgreSQL")

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def write(self, work: Callable[[], T]) -> T:
        """Calls work in a transaction."""
        with self._lock:
            self.open()
            self._depth += 1
            try:
                with self._connection.transaction():
                    return work()
            finally:
                self._depth -= 1

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Runs a statement and gives its rows; a lost connection is made again once."""
        import psycopg

        with self._lock:
            self.open()
            statement = sql.replace("?", "%s")
            try:
                cursor = self._connection.execute(statement, values)
            except psycopg.OperationalError as exc:
                if self._depth or not self._connection.closed:
                    raise StoreError(
                        f"The archive in PostgreSQL can't be used: {type(exc).__name__}.",
                        hint="Check that the server runs; nothing was lost.",
                    ) from exc
                self.open()
                cursor = self._connection.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []

    def index(self, row: int, tokens: Sequence[str]) -> None:
        """Makes a message findable by its tokens."""
        self.run(
            "UPDATE archive_messages SET tokens = array_to_tsvector(?::text[]) WHERE row = ?",
            (sorted(set(tokens)), row),
        )

    def unindex(self, thread_key: int) -> None:
        """The index entry goes with the message's row."""

    def newest(self, token: str, limit: int) -> list[int]:
        """Rows that have a token, newest first."""
        sql = (
            "SELECT row FROM archive_messages WHERE tokens @@ ?::tsquery ORDER BY row DESC LIMIT ?"
        )
        return [int(row) for (row,) in self.run(sql, (_lexeme(token), limit))]

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
