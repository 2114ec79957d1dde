"""A mutation run over `experiments/` and `usage/`: is it noticed when one thing is changed?

    make mutation               # ten minutes
    make mutation MINUTES=60
    make mutation ONLY=experiments/decision.py

cosmic-ray lists every single change it can make (a comparison turned, a number raised, `and` for
`or` …). A sample of them, the same for the same seed, is made one after the other in a copy of the
files, and the tests of what was changed run until one fails. What no test notices survived.
The time bounds the run, so the score is that of as many changes as it had time for.
"""

import argparse
import difflib
import importlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("experiments", "usage")
LEFT_OUT = ("drill", "__init__")
"""Modules that aren't changed: the drill plays outages for minutes, and has a test of its own."""

TYPES = "ReplaceBinaryOperator_BitOr"
"""A change of `A | B`, which is a type nearly everywhere here: no test could notice it."""

QUICK = {
    "experiments": ("test_peeking", "test_decisions", "test_rounds"),
    "usage": ("test_budgets", "test_ledger", "test_queries"),
}
"""Tests that every change of a folder must pass, besides those that import the changed module."""

SLOW = ("test_drill", "test_postgres", "test_accounting", "test_docs")

HEAVY = (
    "hypothesis", "langchain_core.messages", "langgraph.graph", "numpy", "openai", "pydantic",
    "redis", "scipy.stats", "sqlalchemy", "typer.testing",
)  # fmt: skip
"""Imported once; each run is a fork of this process, and imports no more than our own modules."""


def mutations(copy: Path, *, only: str) -> list[Any]:
    """Every change that can be made in the copy, to paths that begin with `only`."""
    from cosmic_ray.commands.init import _all_work_items

    modules = [
        path.relative_to(copy)
        for folder in FOLDERS
        for path in sorted((copy / folder).rglob("*.py"))
        if not path.stem.startswith(LEFT_OUT) and str(path.relative_to(copy)).startswith(only)
    ]
    items = [item.mutations[0] for item in _all_work_items(modules, {})]
    return [each for each in items if TYPES not in each.operator_name]


def tests_of(module: Path) -> list[str]:
    """The tests that import a module, then those of its folder that are quick."""
    folder = module.parts[0]
    name = ".".join(("allotrope", *module.with_suffix("").parts))
    found = [
        path
        for path in sorted(Path("tests", folder).glob("test_*.py"))
        if name in path.read_text(encoding="utf-8") and path.stem not in SLOW
    ]
    quick = [Path("tests", folder, f"{stem}.py") for stem in QUICK[folder]]
    return [str(path) for path in dict.fromkeys([*found, *quick])]


def noticed(tests: list[str], *, cpu_s: int) -> bool:
    """Whether one of the tests fails, or doesn't end, in a fork of this process.

    Args:
        tests: Their files.
        cpu_s: Seconds of the processor; a busy machine gives fewer a minute, and notices nothing.
    """
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        import pytest

        code = 1
        try:
            code = int(
                pytest.main(["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", *tests])
            )
        finally:
            os._exit(code)
    end = time.monotonic() + 10 * cpu_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def copied(folder: Path) -> Path:
    """A copy of the files that git knows, links as links; the tests there import the copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    os.chdir(folder)
    sys.path.insert(0, str(folder / "src"))
    sys.dont_write_bytecode = True
    for name in HEAVY:
        importlib.import_module(name)
    assert "allotrope" not in sys.modules
    return folder


def main() -> None:
    """Makes changes until the time is up, and prints those that survived, and the score."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--only", default="", help="paths that begin so")
    args = parser.parse_args()
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator

    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = copied(Path(temporary).resolve())
        for name in FOLDERS:
            if not f"{name}/".startswith(args.only[: len(name) + 1]):
                continue
            assert not noticed(tests_of(Path(name, "x.py")), cpu_s=900), f"{name}: tests fail"
        everything = mutations(folder, only=args.only)
        random.Random(args.seed).shuffle(everything)
        killed = survived = 0
        end = time.monotonic() + args.minutes * 60
        for mutation in everything:
            if time.monotonic() >= end:
                break
            operator = get_operator(mutation.operator_name)(**mutation.operator_args)
            module = Path(mutation.module_path)
            with use_mutation(module, operator, mutation.occurrence) as (before, after):
                if after is None:
                    continue
                if noticed(tests_of(module), cpu_s=300):
                    killed += 1
                    continue
            survived += 1
            print(f"survived in {module} ({mutation.operator_name}):", *changed(before, after))
        os.chdir(ROOT)
    print(
        f"{killed} of {killed + survived} changes were noticed "
        f"({killed / max(1, killed + survived):.0%}); a sample of {len(everything):,} in "
        f"{args.only or ' and '.join(FOLDERS)}, seed {args.seed}, {args.minutes:g} minutes"
    )


def changed(before: str, after: str) -> list[str]:
    """The lines that differ."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [f"\n    {line}" for line in list(lines)[3:]]


if __name__ == "__main__":
    main()
