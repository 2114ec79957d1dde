"""What `.ci/run`, the Makefile and CONTRIBUTING.md promise of each other."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_a_failed_test_is_asked_once_more_at_most() -> None:
    assert len(re.findall("make .*--last-failed ", CI)) == 1
    assert "--lf" not in CI


def test_ci_runs_every_benchmark() -> None:
    assert re.search(r"^make .*\bbench$", CI, re.MULTILINE)
    assert "for b in benchmarks/[!_]*.py" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_ci_tests_the_lowest_versions_on_files_that_are_there() -> None:
    lowest = CI.partition("--resolution lowest-direct")[2]
    files = re.findall(r"tests/\S+\.py", lowest)
    assert len(files) >= 5
    assert all((ROOT / file).is_file() for file in files)
