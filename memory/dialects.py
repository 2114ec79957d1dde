"""What differs between the databases an archive can live in: SQLite (FTS5) and PostgreSQL."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

from allotrope.exceptions import StoreError

Row = tuple[Any, ...]


class Database(Protocol):
    """A connection that several threads may use, one transaction at a time."""

    def open(self) -> None:
        """Connects and makes the tables."""

    def close(self) -> None:
        """Ends the connection."""

    def transaction(self) -> Any:
        """A context in which all statements succeed or none."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Runs a statement written with `?` and gives its rows."""

    def index(self, row: int, tokens: Sequence[str]) -> None:
        """Makes a message findable by its tokens, in place of earlier ones."""

    def unindex(self, thread_key: int) -> None:
        """Takes a thread's messages out of the full-text index."""

    def newest(self, token: str, limit: int) -> list[int]:
        """Rows that have a token, newest first."""

    def matching(self, tokens: Sequence[str], limit: int) -> list[int]:
        """Rows that have any of the tokens, best first by the database's own ranking."""


_TABLES = """
CREATE TABLE IF NOT EXISTS archive_threads (
  key {serial}, tenant TEXT NOT NULL, thread TEXT NOT NULL, messages BIGINT NOT NULL DEFAULT 0,
  words BIGINT NOT NULL DEFAULT 0, tokens BIGINT NOT NULL DEFAULT 0,
  session BIGINT NOT NULL DEFAULT 0, session_messages BIGINT NOT NULL DEFAULT 0,
  first_at TEXT, last_at TEXT,
  speakers TEXT NOT NULL DEFAULT '[]', UNIQUE (tenant, thread));
CREATE TABLE IF NOT EXISTS archive_messages (
  row {serial}, thread_key BIGINT NOT NULL, seq BIGINT NOT NULL, message_id TEXT NOT NULL,
  session BIGINT NOT NULL, at TEXT NOT NULL, role TEXT NOT NULL, speaker TEXT NOT NULL,
  text TEXT NOT NULL, words TEXT NOT NULL, superseded_by BIGINT, data TEXT NOT NULL,
  UNIQUE (thread_key, message_id), UNIQUE (thread_key, seq));
CREATE INDEX IF NOT EXISTS archive_messages_at ON archive_messages (thread_key, at);
CREATE TABLE IF NOT EXISTS archive_summaries (
  thread_key BIGINT PRIMARY KEY, upto BIGINT NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS archive_version (version BIGINT NOT NULL);
"""
VERSION = 1
_MAPPED_BYTES = 256 * 1024 * 1024


class SqliteDatabase:
    """SQLite with FTS5. A write is durable against a killed process (WAL, synchronous=NORMAL).

    Args:
        path: The file; its folder exists.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._connection: sqlite3.Connection | None = None
        self._lock = RLock()

    def open(self) -> None:
        """Connects and makes the tables.

        Raises:
            StoreError: The file isn't a database, or can't be written.
        """
        with self._lock:
            if self._connection is not None:
                return
            try:
                connection = sqlite3.connect(
                    self._path, check_same_thread=False, isolation_level=None, timeout=10
                )
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                # a recall reads some hundred rows all over the file: no copy of each page
                connection.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}")
                connection.executescript(_TABLES.format(serial="INTEGER PRIMARY KEY"))
                connection.execute(
                    "CREATE VIRTUAL TABLE IF NOT EXISTS archive_index USING fts5"
                    "(tokens, content='', columnsize=1, tokenize=\"unicode61 remove_diacritics 0\")"
                )
            except sqlite3.Error as exc:
                raise StoreError(
                    f"The archive {self._path} can't be opened: {exc}.",
                    hint="Move the file away or set ALLOTROPE_DATA_DIR to another folder.",
                ) from exc
            self._connection = connection
            _check_version(self, self._path)

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A context in which all statements succeed or none."""
        with self._lock:
            self.run("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.run("ROLLBACK")
                raise
            self.run("COMMIT")

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Runs a statement and gives its rows."""
        with self._lock:
            if self._connection is None:
                self.open()
            assert self._connection is not None
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError as exc:
                raise StoreError(
                    f"The archive {self._path} can't be used: {exc}.",
                    hint="Check free disk space and that no other program holds the file.",
                ) from exc

    def index(self, row: int, tokens: Sequence[str]) -> None:
        """Makes a message findable by its tokens."""
        self.run("INSERT INTO archive_index (rowid, tokens) VALUES (?, ?)", (row, " ".join(tokens)))

    def unindex(self, thread_key: int) -> None:
        """Takes a thread's messages out of the index, which needs their words for it."""
        for row, words in self.run(
            "SELECT row, words FROM archive_messages WHERE thread_key = ?", (thread_key,)
        ):
            tokens = " ".join(scoped(thread_key, word) for word in words.split(" ") if word)
            self.run(
                "INSERT INTO archive_index (archive_index, rowid, tokens) VALUES ('delete', ?, ?)",
                (row, tokens),
            )

    def newest(self, token: str, limit: int) -> list[int]:
        """Rows that have a token, newest first."""
        sql = (
            "SELECT rowid FROM archive_index WHERE archive_index MATCH ?"
            " ORDER BY rowid DESC LIMIT ?"
        )
        return [int(row) for (row,) in self.run(sql, (f'"{token}"', limit))]

    def matching(self, tokens: Sequence[str], limit: int) -> list[int]:
        """Rows that have any of the tokens, best BM25 first."""
        query = " OR ".join(f'"{token}"' for token in tokens)
        sql = "SELECT rowid FROM archive_index WHERE archive_index MATCH ? ORDER BY rank LIMIT ?"
        return [int(row) for (row,) in self.run(sql, (query, limit))]


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
                    for statement in _TABLES.format(serial="BIGSERIAL PRIMARY KEY").split(";"):
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
            _check_version(self, "in PostgreSQL")

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A context in which all statements succeed or none."""
        with self._lock:
            self.open()
            self._depth += 1
            try:
                with self._connection.transaction():
                    yield
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


def scoped(thread_key: int, word: str) -> str:
    """A word as the index holds it: no thread's words are found from another thread."""
    return f"t{thread_key}x{word.replace('.', 'p')}"


def _lexeme(token: str) -> str:
    quoted = token.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}'"


def _check_version(database: Database, where: str) -> None:
    rows = database.run("SELECT version FROM archive_version")
    if not rows:
        database.run("INSERT INTO archive_version (version) VALUES (?)", (VERSION,))
    elif int(rows[0][0]) > VERSION:
        raise StoreError(
            f"The archive {where} was written by a newer Allotrope (version {rows[0][0]}).",
            hint="Upgrade: pip install -U allotrope",
        )
