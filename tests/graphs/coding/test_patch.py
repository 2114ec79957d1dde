"""The diff is one that git takes."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allotrope.graphs.work.coding.patch import as_it_lies, byte_diff, diff, rewritten
from allotrope.graphs.work.sources.reading.files import decode

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
    after = {**before, **{n: text for n, text in after.items() if text or n in before}}
    assert applied(folder, before, diff(before, after)) == after


@git
def test_within_a_repository_in_a_folder_of_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    folder = tmp_path / "shop"
    folder.mkdir()
    before, after = {"a.py": "x = 1"}, {"a.py": "x = 2", "new.py": "y\n"}
    assert applied(folder, before, diff(before, after)) == after


@git
@pytest.mark.parametrize(
    ("raw", "new"),
    [
        (b"a = 1\r\nb = 2\r\n", "a = 1\nb = 3\n"),
        (b"a = 1\r\nb = 2\nc = 3\r\n", "a = 1\nb = 2\nc = 4\n"),
        ("# Grüße\nx = 1\n".encode("cp1252"), "# Grüße\nx = 2\n"),
        ("# Grüße\nx = 1\n".encode("cp1252"), "# Grüße\nx = '日'\n"),
        (b"\xef\xbb\xbfx = 1\ny = 1\n", "x = 2\ny = 1\n"),
        (b"x = 1\ry = 1\r", "x = 1\ny = 2\n"),
        (b"x = 1", "x = 2"),
        (b"", "x = 1\n"),
    ],
)
def test_a_patch_fits_a_file_as_it_lies(tmp_path: Path, raw: bytes, new: str) -> None:
    path = tmp_path / "my file é.py"
    path.write_bytes(raw)
    before = as_it_lies(path, decode(raw, name="x"))
    assert before == raw
    after = rewritten(raw, new)
    (tmp_path / "p.diff").write_bytes(byte_diff({path.name: raw}, {path.name: after}) + b"\n")
    subprocess.run(["git", "apply", "p.diff"], cwd=tmp_path, check=True, capture_output=True)
    assert path.read_bytes() == after
    if "日" not in new:
        assert decode(after, name="x") == new


def test_lines_that_stay_keep_their_bytes() -> None:
    assert rewritten(b"a\r\nb\nc\r\n", "a\nb\nd\n") == b"a\r\nb\nd\r\n"


def test_a_file_that_changed_since_is_taken_as_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 2\n")
    assert as_it_lies(tmp_path / "a.py", "x = 1\n") == b"x = 1\n"
    assert as_it_lies(tmp_path / "gone.py", "x = 1\n") == b"x = 1\n"
