"""Figures stand in the benchmarks' JSON; `make results` puts them into pages."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """`_form` and `_results`, which benchmarks import by their bare names."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("_form"), importlib.import_module("_results")
    for name in ("_form", "_results"):
        sys.modules.pop(name)


def a_run(form: Any, path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["growth.py", *words, "--json", str(path)])
    form.show("Turns", ("turns", "clock"), [(10, 1.23456), ("a | b", "2 ms")])
    form.write_json(path, "growth", {"whatever": [1]})
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_run_keeps_what_it_prints_and_what_it_ran_on(
    benchmarks: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, results = benchmarks
    words = ("--quick", "--data", str(tmp_path / "x.jsonl"), "--only", "end")
    run = a_run(form, tmp_path / "growth.json", monkeypatch, *words)
    assert run["tables"] == [
        {
            "title": "Turns",
            "columns": ["turns", "clock"],
            "rows": [["10", "1.23"], ["a | b", "2 ms"]],
        }
    ]
    assert (run["quick"], run["options"]) == (True, ["--quick", "--only", "end"])
    assert {"at", "commit", "cores", "load", "python", "results"} <= set(run)
    page = results.page(results.read(tmp_path))
    assert "python benchmarks/growth.py --quick --only end`" in page
    assert "| turns | clock |\n| --- | ---: |\n| 10 | 1.23 |\n| a \\| b | 2 ms |" in page
    assert str(tmp_path) not in page


def test_a_page_takes_the_tables_of_whole_runs(
    benchmarks: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, results = benchmarks
    text = "Before\n<!-- results: growth 1 -->\n| old |\n<!-- end of results -->\nafter\n"
    quick = a_run(form, tmp_path / "quick.json", monkeypatch, "--quick")
    assert results.filled(text, [quick]) == text
    form.SHOWN.clear()
    whole = a_run(form, tmp_path / "growth.json", monkeypatch)
    new = results.filled(text, [quick, whole])
    assert "| old |" not in new
    assert "| 10 | 1.23 |" in new
    assert new.startswith("Before\n<!-- results: growth 1 -->\n| turns |")
    assert new.endswith("<!-- end of results -->\nafter\n")
    assert results.filled(new, [whole]) == new
    with pytest.raises(SystemExit, match="there is no 2"):
        results.filled(text.replace("growth 1", "growth 2"), [whole])


def test_the_pages_have_what_the_runs_gave(benchmarks: tuple[Any, Any]) -> None:
    """`make results` after a run."""
    _, results = benchmarks
    wrong = [
        str(path.relative_to(ROOT))
        for path, text in results.pages(results.read(results.FOLDER)).items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert not wrong


MACHINE_TALK = re.compile(
    r"\bload (?:average )?\d|quiet (?:machine|cores)|busy (?:machine|cores)|two cores"
    r"|machine overloaded|on a machine (?:of its own|that)"
)


def test_pages_for_readers_have_no_notes_of_the_laboratory() -> None:
    """What ran where and when stands in benchmarks/RESULTS.md."""
    found = [
        f"{path.name}: {note}"
        for path in (ROOT / "docs").glob("*.md")
        for note in MACHINE_TALK.findall(path.read_text(encoding="utf-8"))
    ]
    assert not found, found
