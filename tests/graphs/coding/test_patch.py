"""The diff is one that git takes."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allotrope.graphs.work.coding.patch import diff

git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
TEXT = st.text(st.sampled_from("ab \n\r\x0c\u2028é"), max_size=12)
FILES = st.dictionaries(st.sampled_from(["a.py", "b/c.py", "d e.txt"]), TEXT, max_size=3)


def applied(folder: Path, before: dict[str, str], patch: str) -> dict[str, str]:
    for name, text in before.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    if patch:
        (folder / "p.diff").write_bytes(f"{patch}\n".encode())
        subprocess.run(["git", "apply", "p.diff"], cwd=folder, check=True, capture_output=True)
        (folder / "p.diff").unlink()
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in files}


@git
@settings(max_examples=15, deadline=None)
@given(FILES, FILES)
def test_git_applies_it(tmp_path_factory: pytest.TempPathFactory, before, after) -> None:
    folder = tmp_path_factory.mktemp("patch")
    before = {name: text for name, text in before.items() if text}
    after = {**before, **{name: text for name, text in after.items() if text}}
    assert applied(folder, before, diff(before, after)) == after


@git
def test_within_a_repository_in_a_folder_of_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    folder = tmp_path / "shop"
    folder.mkdir()
    before, after = {"a.py": "x = 1"}, {"a.py": "x = 2", "new.py": "y\n"}
    assert applied(folder, before, diff(before, after)) == after
