"""The log that lets readers and a writer of one SQLite file go on side by side."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from allotrope.stores.sqlite import write_ahead


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A new file that somebody writes to, and what ends the write."""
    writer = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    with closing(writer):
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("CREATE TABLE rows (id)")
        yield lambda: writer.execute("COMMIT").close()


def test_a_file_that_is_locked_at_once_is_tried_again(
    tmp_path: Path, held: Callable[[], None]
) -> None:
    with closing(sqlite3.connect(tmp_path / "new.db", timeout=0)) as connection:
        timer = threading.Timer(0.1, held)
        timer.start()
        write_ahead(connection, timeout_s=30)
        timer.join()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_stays_locked_is_said(tmp_path: Path, held: Callable[[], None]) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "new.db", timeout=0)) as connection,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        write_ahead(connection, timeout_s=0)


def test_other_errors_are_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"this is no database" * 100)
    with (
        closing(sqlite3.connect(tmp_path / "other.db")) as connection,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        write_ahead(connection, timeout_s=30)
