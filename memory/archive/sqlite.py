"""The archive in SQLite, its index in FTS5."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from typing import TypeVar

from allotrope.exceptions import StoreError
from allotrope.memory.archive.dialects import TABLES, Row, check_version, scoped
from allotrope.stores.damage import is_damaged
from allotrope.stores.sqlite import SqliteFile, copy_readable

T = TypeVar("T")

_MAPPED_BYTES = 256 * 1024 * 1024
_KEY_GAP = 1_000


class SqliteDatabase:
    """SQLite with FTS5. A write is durable against a killed process (WAL, synchronous=NORMAL).

    A damaged file is moved aside; what can be read of it is taken over.

    Args:
        path: The file; its folder exists.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._file = SqliteFile(path, what="The archive", prepare=_prepare, refill=_refill)
        self._lock = RLock()
        self._within: sqlite3.Connection | None = None
        self._checked: sqlite3.Connection | None = None

    def open(self) -> None:
        """Connects and makes the tables.

        Raises:
            StoreError: The file can't be opened, or a newer version wrote it.
        """
        with self._lock:
            self._connection()

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            self._file.close()

    def write(self, work: Callable[[], T]) -> T:
        """Calls work in a transaction; once more where the file was damaged."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            self._within = connection
            try:
                result = work()
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._within = None
            return result

        with self._lock:
            return self._again_once(transaction)

    def run(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Runs a statement and gives its rows."""

        def rows(connection: sqlite3.Connection) -> list[Row]:
            return connection.execute(sql, values).fetchall()

        with self._lock:
            return rows(self._within) if self._within is not None else self._again_once(rows)

    def _connection(self) -> sqlite3.Connection:
        connection = self._file.connection()
        if connection is not self._checked:
            self._checked = connection  # first: the check asks this database
            try:
                check_version(self, self._path)
            except StoreError:
                self._file.close()
                raise
            return self._connection()  # the check may have found the file damaged
        return connection

    def _again_once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection()
        try:
            return work(connection)
        except sqlite3.DatabaseError as exc:
            if not self._file.mend(exc, connection):
                raise self._refused(exc) from exc
        try:
            return work(self._connection())
        except sqlite3.DatabaseError as exc:
            raise self._refused(exc) from exc

    def _refused(self, exc: sqlite3.DatabaseError) -> Exception:
        if not isinstance(exc, sqlite3.OperationalError) and not is_damaged(exc):
            return exc  # a mistake of ours
        return StoreError(
            f"The archive {self._path} can't be used: {exc}.",
            hint="Check free disk space and that no other program holds the file.",
        )

    def index(self, row: int, tokens: Sequence[str]) -> None:
        """Makes a message findable by its tokens."""
        self.run(_INDEX, (row, " ".join(tokens)))

    def unindex(self, thread_key: int) -> None:
        """Takes a thread's messages out of the index, which needs their words for it."""
        for row, words in self.run(
            "SELECT row, words FROM archive_messages WHERE thread_key = ?", (thread_key,)
        ):
            self.run(
                "INSERT INTO archive_index (archive_index, rowid, tokens) VALUES ('delete', ?, ?)",
                (row, _tokens(thread_key, words)),
            )

    def newest(self, token: str, limit: int, *, begins: bool = False) -> list[int]:
        """Rows that have a token, or one that begins so, newest first."""
        sql = (
            "SELECT rowid FROM archive_index WHERE archive_index MATCH ?"
            " ORDER BY rowid DESC LIMIT ?"
        )
        return [int(row) for (row,) in self.run(sql, (f'"{token}"{"*" * begins}', limit))]

    def matching(self, tokens: Sequence[str], limit: int) -> list[int]:
        """Rows that have any of the tokens, best BM25 first."""
        query = " OR ".join(f'"{token}"' for token in tokens)
        sql = "SELECT rowid FROM archive_index WHERE archive_index MATCH ? ORDER BY rank LIMIT ?"
        return [int(row) for (row,) in self.run(sql, (query, limit))]


_INDEX = "INSERT INTO archive_index (rowid, tokens) VALUES (?, ?)"


def _tokens(thread_key: int, words: str) -> str:
    return " ".join(scoped(thread_key, word) for word in words.split(" ") if word)


def _prepare(connection: sqlite3.Connection) -> None:
    # a recall reads some hundred rows all over the file: no copy of each page
    connection.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}")
    connection.executescript(TABLES.format(serial="INTEGER PRIMARY KEY"))
    connection.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS archive_index USING fts5"
        "(tokens, content='', columnsize=1, tokenize=\"unicode61 remove_diacritics 0\")"
    )


def _refill(connection: sqlite3.Connection, damaged: Path) -> str:
    """Takes over threads, messages and summaries, and indexes them anew."""
    connection.execute("BEGIN IMMEDIATE")
    tables = ("archive_threads", "archive_messages", "archive_summaries", "archive_forks")
    copied = copy_readable(connection, damaged, tables)
    # whose they were stood in a part that can't be read; no new thread gets their number
    [(highest,)] = connection.execute(
        "SELECT max(coalesce((SELECT max(thread_key) FROM archive_messages), 0),"
        " coalesce((SELECT max(key) FROM archive_threads), 0))"
    ).fetchall()
    orphans = "thread_key NOT IN (SELECT key FROM archive_threads)"
    lost = connection.execute(f"DELETE FROM archive_messages WHERE {orphans}").rowcount  # noqa: S608 - a constant
    connection.execute(f"DELETE FROM archive_summaries WHERE {orphans}")  # noqa: S608 - a constant
    connection.execute(f"DELETE FROM archive_forks WHERE {orphans}")  # noqa: S608 - a constant
    connection.execute(
        "INSERT INTO archive_threads (key, tenant, thread) VALUES (?, '', '')",
        (int(highest) + _KEY_GAP,),
    )
    connection.execute(
        "UPDATE archive_threads SET messages = max(messages, coalesce("
        "(SELECT max(seq) + 1 FROM archive_messages WHERE thread_key = key), 0))"
    )
    for row, key, words in connection.execute(
        "SELECT row, thread_key, words FROM archive_messages ORDER BY row"
    ).fetchall():
        connection.execute(_INDEX, (row, _tokens(key, words)))
    connection.execute("COMMIT")
    kept = copied["archive_messages"] - lost
    return (
        f"{kept:,} messages of {copied['archive_threads']:,} threads could be read and were taken"
        " over. What a thread still shows is archived again at its next turn; older messages that"
        " couldn't be read are only in the moved file."
    )
