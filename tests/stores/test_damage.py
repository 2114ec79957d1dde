"""Files that can't be read: known as such, moved aside once, and read as far as they go."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from allotrope.exceptions import StoreError
from allotrope.stores.damage import (
    identity,
    is_damaged,
    json_object,
    move_aside,
    read_json,
    readable_rows,
)
from allotrope.stores.sqlite import SqliteFile

PAGE = 4096
ROWS = 2_000


def table(path: Path) -> list[tuple[int, int]]:
    """A table of many pages; gives its leaf pages, counted from 0, and how many rows each has."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE facts (key INTEGER PRIMARY KEY, text TEXT)")
    connection.executemany(
        "INSERT INTO facts VALUES (?, ?)", [(i, f"fact {i} " * 10) for i in range(1, ROWS + 1)]
    )
    connection.commit()
    leaves = connection.execute(
        "SELECT pageno, ncell FROM dbstat WHERE name = 'facts' AND pagetype = 'leaf' ORDER BY path"
    ).fetchall()
    connection.close()
    return [(page - 1, rows) for page, rows in leaves]


def overwrite(path: Path, pages: list[int]) -> None:
    data = bytearray(path.read_bytes())
    for page in pages:
        data[page * PAGE : page * PAGE + 200] = b"\xde\xad" * 100
    path.write_bytes(bytes(data))


def keys(path: Path) -> list[int]:
    return sorted(row["key"] for row in readable_rows(path, "facts"))


def test_a_whole_file_is_read_whole(tmp_path: Path) -> None:
    table(tmp_path / "a.db")
    assert keys(tmp_path / "a.db") == list(range(1, ROWS + 1))


@pytest.mark.parametrize("places", [(0,), (-1,), (3, 9, 10, -4), tuple(range(1, 30, 2))])
def test_only_what_stood_on_the_broken_pages_is_missing(
    tmp_path: Path, places: tuple[int, ...]
) -> None:
    leaves = table(tmp_path / "a.db")
    overwrite(tmp_path / "a.db", [leaves[place][0] for place in places])
    found = keys(tmp_path / "a.db")
    assert len(found) == len(set(found))
    assert ROWS - len(found) == sum(leaves[place][1] for place in places)


def test_of_nothing_readable_nothing_is_read(tmp_path: Path) -> None:
    leaves = table(tmp_path / "a.db")
    overwrite(tmp_path / "a.db", [page for page, _ in leaves])
    assert keys(tmp_path / "a.db") == []
    overwrite(tmp_path / "a.db", [0])
    assert keys(tmp_path / "a.db") == []
    assert list(readable_rows(tmp_path / "none.db", "facts")) == []


def test_damage_is_told_from_other_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"A letter to my aunt.\n" * 400)
    with closing(sqlite3.connect(path)) as link, pytest.raises(sqlite3.DatabaseError) as plain:
        link.execute("SELECT * FROM facts")
    assert is_damaged(plain.value)
    engine = sa.create_engine(f"sqlite:///{path}")
    with pytest.raises(sa.exc.DatabaseError) as wrapped, engine.connect() as connection:
        connection.execute(sa.text("SELECT * FROM facts"))
    engine.dispose()
    assert is_damaged(wrapped.value)
    with (
        closing(sqlite3.connect(":memory:")) as link,
        pytest.raises(sqlite3.OperationalError) as missing,
    ):
        link.execute("SELECT * FROM facts")
    assert not is_damaged(missing.value)
    assert not is_damaged(OSError("malformed"))


def test_a_file_that_another_process_has_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    seen = identity(path)
    aside = move_aside(path, opened=seen)
    assert aside is not None
    assert aside.read_text() == "old"
    path.write_text("new")
    assert move_aside(path, opened=seen) is None
    assert path.read_text() == "new"


@pytest.mark.parametrize("text", [b"", b'{"half": ', b"\xff\xfe", b"[1]"])
def test_a_damaged_json_file_is_moved_aside_and_said_once(
    tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"

    def read() -> dict[str, object]:
        return read_json(
            path, json_object, what="The state", instead="It begins anew.", missing=dict
        )

    assert read() == {}
    path.write_text(json.dumps({"a": 1}))
    assert read() == {"a": 1}
    path.write_bytes(text)
    assert read() == {}
    assert read() == {}
    [aside] = tmp_path.glob("state.json.damaged-*")
    assert aside.read_bytes() == text
    [record] = caplog.records
    assert aside.name in record.getMessage()
    assert "It begins anew." in record.getMessage()


def _nothing(connection: sqlite3.Connection, damaged: Path) -> str:
    return ""


def _tables(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS facts (key INTEGER PRIMARY KEY, text TEXT)")


def test_a_file_that_somebody_deleted_is_begun_anew(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "a.db", what="The facts", prepare=_tables, refill=_nothing)
    file.connection().execute("INSERT INTO facts VALUES (1, 'a')")
    for path in tmp_path.glob("a.db*"):
        path.unlink()
    assert file.connection().execute("SELECT * FROM facts").fetchall() == []
    assert (tmp_path / "a.db").exists()
    file.close()


def test_a_folder_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "no" / "a.db", what="The facts", prepare=_tables, refill=_nothing)
    with pytest.raises(StoreError, match=r"The facts .*a\.db can't be opened"):
        file.connection()
