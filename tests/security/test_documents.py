"""What SECURITY.md and docs/security.md name is there, and each point of the lists has a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("SECURITY.md", "docs/security.md")


def missing(text: str) -> list[str]:
    """What a page names and the repository doesn't have.

    A bare `test_x.py` lies in the folder of the test named before it in its row, or in
    `tests/security`.
    """
    lost = []
    for line in text.splitlines():
        folders = [ROOT / "tests" / "security"]
        for name in re.findall(r"`((?:[\w.]+/)*[\w.]+(?:\.py|/)?|\.ci/\w+)`", line):
            if not name.startswith(("tests/", "benchmarks/", ".ci/", "test_")):
                continue
            places = [ROOT / name, *(folder / name for folder in folders)]
            found = next((place for place in places if place.exists()), None)
            if found is None:
                lost.append(name)
            else:
                folders.insert(0, found if found.is_dir() else found.parent)
    return lost


@pytest.mark.parametrize("page", PAGES)
def test_each_named_test_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "`tests/security" in text
    assert missing(text) == []


def test_a_test_that_was_renamed_is_noticed() -> None:
    assert missing("by `tests/security/test_gone.py`, `test_keys.py`, `tests/web`") == [
        "tests/security/test_gone.py"
    ]


def rows(title: str) -> list[list[str]]:
    """The rows of a table of SECURITY.md whose first column begins so."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    cells = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in cells if row[0].strip().startswith(title)]


def test_each_chapter_of_asvs_names_a_test() -> None:
    chapters = rows("V")
    assert len(chapters) >= 15
    assert [row[0] for row in chapters if "test" not in row[-1]] == []


def test_each_point_of_the_llm_top_ten_names_a_test() -> None:
    points = rows("LLM")
    assert [row[0].split()[0] for row in points] == [f"LLM{n:02}" for n in range(1, 11)]
    assert [row[0] for row in points if "test" not in row[-1]] == []
