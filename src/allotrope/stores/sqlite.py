"""A SQLite file of the runtime: opened once, and begun anew where it is found damaged."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Literal

from allotrope.exceptions import StoreError
from allotrope.stores import damage
from allotrope.stores.private import make_private


class SqliteFile:
    """The connection to one file. Making one does no I/O; several threads may use it.

    Args:
        path: The file; its folder exists.
        what: What it holds, for people: "The archive".
        prepare: Makes the tables, on each new connection.
        refill: Puts into the new file what can still be read of the damaged one; returns a sentence
            or two on what was saved and what wasn't.
        isolation_level: As `sqlite3.connect` takes it; None where the user begins transactions.
        timeout_s: Seconds to wait for another process's write.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        what: str,
        prepare: Callable[[sqlite3.Connection], None],
        refill: Callable[[sqlite3.Connection, Path], str],
        isolation_level: Literal["DEFERRED"] | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self.path = Path(path)
        self._name = str(path)
        self._what = what
        self._prepare = prepare
        self._refill = refill
        self._isolation_level = isolation_level
        self._timeout_s = timeout_s
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: damage.Identity | None = None

    def connection(self) -> sqlite3.Connection:
        """The open connection to what has the file's name now.

        Raises:
            StoreError: It can't be opened, or a newer version wrote it.
        """
        with self._lock:
            if self._connection is None:
                self._open()
            elif damage.identity(self._name) != self._opened:
                self.close()  # another process found it damaged, or somebody deleted it
                self._open()
            assert self._connection is not None
            return self._connection

    def mend(self, exc: Exception, used: sqlite3.Connection) -> bool:
        """Puts a new file in a damaged one's place.

        Args:
            exc: What an operation raised.
            used: The connection it was raised on.

        Returns:
            Whether the file was damaged, so that the operation is worth another try on
            `connection()`.
        """
        if not damage.is_damaged(exc):
            return False
        with self._lock:
            if self._connection is used:
                self._replace()
            return True

    def close(self) -> None:
        """Ends the connection; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> None:
        with self._folder():
            opened = damage.identity(self.path)
            try:
                self._connect()
            except sqlite3.Error as exc:
                if not damage.is_damaged(exc):
                    raise
                self._opened = opened
                self._renew()

    def _replace(self) -> None:
        with self._folder():
            self._renew()

    @contextmanager
    def _folder(self) -> Iterator[None]:
        """The folder locked, so that nobody opens a file that is half moved."""
        try:
            with damage.folder_lock(self.path.parent):
                yield
        except (sqlite3.Error, OSError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            raise StoreError(
                f"{self._what} {self.path} can't be opened: {reason}.",
                hint="Check the disk and the rights of the file, or set ALLOTROPE_DATA_DIR to"
                " another folder.",
            ) from exc

    def _renew(self) -> None:
        """With the folder locked: the damaged file goes aside, a new one is made and filled."""
        self.close()
        aside = damage.move_aside(self.path, opened=self._opened)
        self._connect()
        assert self._connection is not None
        if aside is None:
            return
        try:
            saved = self._refill(self._connection, aside)
        except sqlite3.Error as exc:
            saved = f"Nothing of it was taken over: {exc}."
        damage.say(self._what, self.path, aside, instead=saved)

    def _connect(self) -> None:
        make_private(self.path)
        connection = sqlite3.connect(
            self.path,
            check_same_thread=False,
            isolation_level=self._isolation_level,
            timeout=self._timeout_s,
        )
        try:
            write_ahead(connection, timeout_s=self._timeout_s)
            connection.execute("PRAGMA synchronous = NORMAL")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened = connection, damage.identity(self.path)


def write_ahead(connection: sqlite3.Connection, *, timeout_s: float) -> None:
    """Keeps the file's changes in a write-ahead log, so that readers and a writer don't wait.

    Of several that do so to a new file at once, SQLite may tell one that the database is locked
    without waiting at all: two that read can't both wait to be the one that changes the file
    (https://sqlite.org/c3ref/busy_handler.html). That one tries again here.

    Args:
        connection: To the file, in no transaction.
        timeout_s: Seconds to try.

    Raises:
        sqlite3.OperationalError: Somebody holds the file for longer.
    """
    ends_at = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends_at:
                raise
            time.sleep(0.01)


def copy_readable(
    connection: sqlite3.Connection, damaged: Path, tables: Sequence[str]
) -> dict[str, int]:
    """Copies what can be read of a damaged file into tables of the same name, rows as they are.

    Columns that the new tables lack are left out; rows that are there already stay.

    Args:
        connection: To the new file, in a transaction of the caller's.
        damaged: The file that was moved aside.
        tables: Which tables.

    Returns:
        How many rows were new, by table.
    """
    copied: dict[str, int] = {}
    for table in tables:
        known = {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}
        copied[table] = 0
        for row in damage.readable_rows(damaged, table):
            names = [name for name in row.keys() if name in known]  # noqa: SIM118 - a Row has no other way
            marks = ", ".join("?" * len(names))
            columns = ", ".join(f'"{name}"' for name in names)
            done = connection.execute(
                f'INSERT OR IGNORE INTO "{table}" ({columns}) VALUES ({marks})',  # noqa: S608 - names of columns
                [row[name] for name in names],
            )
            copied[table] += done.rowcount
    return copied
