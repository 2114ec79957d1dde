"""The search for the planted key finds it, however it was written."""

import sqlite3
from pathlib import Path

from tests.conftest import CANARY, files_with_the_key


def test_the_key_is_found_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"sent with {CANARY}\n")
    (tmp_path / "deep").mkdir()
    database = sqlite3.connect(tmp_path / "deep" / "kept.sqlite")
    database.execute("create table t (x)")
    database.execute("insert into t values (?)", [CANARY])
    database.commit()
    database.close()
    (tmp_path / "clean").write_text("nothing here\n")
    found = files_with_the_key(tmp_path)
    for path in (tmp_path / "log", tmp_path / "deep" / "kept.sqlite"):
        path.unlink()  # or this session would end red
    assert sorted(found) == [str(tmp_path / "deep" / "kept.sqlite"), str(tmp_path / "log")]
