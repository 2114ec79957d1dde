"""A file made for its owner only, and a database that is there left alone."""

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from allotrope.stores.private import make_private, write_whole

LOCK = """
import sqlite3, sys
link = sqlite3.connect(sys.argv[1], timeout=0.1, isolation_level=None)
try:
    link.execute("BEGIN IMMEDIATE")
    print("locked")
except sqlite3.OperationalError as exc:
    print(exc)
"""


def other_process(path: Path) -> str:
    """What another process gets that wants to write."""
    ran = subprocess.run([sys.executable, "-c", LOCK, str(path)], capture_output=True, text=True)
    return ran.stdout.strip() or ran.stderr


def test_a_new_file_is_its_owners(tmp_path: Path) -> None:
    make_private(tmp_path / "new.sqlite")
    assert stat.S_IMODE((tmp_path / "new.sqlite").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["new.sqlite"]
    make_private(":memory:")
    make_private(tmp_path / "missing" / "new.sqlite")
    assert not Path(":memory:").exists()


def test_a_database_in_use_keeps_its_locks(tmp_path: Path) -> None:
    """Opening and closing it again would take this process's own locks away: it gets corrupted."""
    path = tmp_path / "used.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as link:
        link.execute("CREATE TABLE kept (x)")  # a rollback journal locks the file itself
        link.execute("BEGIN IMMEDIATE")
        assert other_process(path) == "database is locked"
        make_private(path)
        assert other_process(path) == "database is locked"


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \ud800")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["list.json"]
    write_whole(path, b"new", mode=0o644)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o644)


def test_a_private_file_has_its_content_once_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_private(path, b"first")
    make_private(path, b"second")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"first", 0o600)
