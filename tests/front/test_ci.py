"""What `.ci/run`, the Makefile and CONTRIBUTING.md promise of each other."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_no_failed_test_is_asked_again() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for again in ("--last-failed", "--lf", "--ff", "--failed-first", "reruns", "flaky"):
        assert again not in CI + makefile + project
    assert re.search(r"^make --no-print-directory test$", CI, re.MULTILINE)


def test_ci_runs_every_benchmark() -> None:
    assert re.search(r"^make .*\bbench$", CI, re.MULTILINE)
    assert "for b in benchmarks/[!_]*.py" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_ci_tests_the_lowest_versions_on_files_that_are_there() -> None:
    lowest = CI.partition("--resolution lowest-direct")[2]
    files = re.findall(r"tests/\S+\.py", lowest)
    assert len(files) >= 5
    assert all((ROOT / file).is_file() for file in files)
