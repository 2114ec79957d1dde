"""What an archive asks of its database; SQLite (FTS5) and PostgreSQL each have their own."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from allotrope.exceptions import StoreError

T = TypeVar("T")

Row = tuple[Any, ...]


class ArchiveDatabase(Protocol):
    """A connection that several threads may use, one transaction at a time."""

    def open(self) -> None:
        """Connects and makes the tables."""

    def close(self) -> None:
        """Ends the connection."""

    def write(self, work: Callable[[], T]) -> T:
        """Calls work in a transaction: all its statements succeed or none.

        Work is called again, once, where the file was damaged or the connection was lost.
        """

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Runs a statement written with `?` and gives its rows."""

    def index(self, row: int, tokens: Sequence[str]) -> None:
        """Makes a message findable by its tokens, in place of earlier ones."""

    def unindex(self, thread_key: int) -> None:
        """Takes a thread's messages out of the full-text index."""

    def newest(self, token: str, limit: int, *, begins: bool = False) -> list[int]:
        """Rows that have a token, or one that begins so, newest first."""

    def matching(self, tokens: Sequence[str], limit: int) -> list[int]:
        """Rows that have any of the tokens, best first by the database's own ranking."""


TABLES = """
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
CREATE TABLE IF NOT EXISTS archive_forks (
  thread_key BIGINT NOT NULL, seq BIGINT NOT NULL, follows BIGINT NOT NULL,
  PRIMARY KEY (thread_key, seq));
CREATE TABLE IF NOT EXISTS archive_version (version BIGINT NOT NULL);
"""
VERSION = 1


def scoped(thread_key: int, word: str) -> str:
    """A word as the index holds it: no thread's words are found from another thread."""
    return f"t{thread_key}x{word.replace('.', 'p')}"


def check_version(database: ArchiveDatabase, where: str) -> None:
    """Marks new tables with our version.

    Raises:
        StoreError: A newer version wrote them.
    """
    rows = database.run("SELECT version FROM archive_version")
    if not rows:
        database.run("INSERT INTO archive_version (version) VALUES (?)", (VERSION,))
    elif int(rows[0][0]) > VERSION:
        raise StoreError(
            f"The archive {where} was written by a newer Allotrope (version {rows[0][0]}).",
            hint="Upgrade: pip install -U allotrope",
        )
