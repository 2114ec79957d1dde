"""Whether "the tests pass" may be said: what green tests were put through, and what they failed."""

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from allotrope.graphs.work.sandbox.backends.local import Task
from allotrope.graphs.work.sandbox.outcome import Limits, RunOutcome
from allotrope.graphs.work.sandbox.proof import another_day, breaking, frozen, inside, targets

WARM = ("hypothesis", "numpy", "pandas", "pydantic")
"""Packages that are imported once for all runs, where code uses them."""
SEEDS, FEW_SEEDS = 5, 1
"""Runs with another hash seed: of code that uses sets or hashes, and of other code."""
REPEATS, FEW_REPEATS = 50, 10
"""Runs in all: of code that uses chance, clocks, threads or the like, and of other code."""


class Runs(Protocol):
    """What runs a task: a `CodeBackend`."""

    def run(self, task: Task, *, cancel: threading.Event | None = None) -> RunOutcome:
        """Runs a task to its end."""


@dataclass(frozen=True)
class GreenTests:
    """What is to be proven.

    Args:
        files: Name to text, as they ran green.
        before: The files as they were before the turn.
        first_tests: The tests as they were first written, by file.
        yours: Names of files that the user brought.
        skipped: Ids of tests that were skipped or were expected to fail.
    """

    files: Mapping[str, str]
    before: Mapping[str, str]
    first_tests: Mapping[str, str]
    yours: frozenset[str] = frozenset()
    skipped: Sequence[str] = ()


@dataclass(frozen=True)
class Proof:
    """What came out.

    Args:
        changed: What was taken from the tests, a sentence each: for a person to judge.
        problems: Why green tests prove too little, a sentence each: for the model to mend.
        remarks: What else a reader should know, a sentence each.
        runs: How often the tests ran.
        broken: Functions that were broken on purpose, and noticed.
    """

    changed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    runs: int = 1
    broken: int = 0

    @property
    def holds(self) -> bool:
        """Whether "the tests pass" may be said."""
        return not self.changed and not self.problems


def prove(
    subject: GreenTests, backend: Runs, *, limits: Limits, cancel: threading.Event | None = None
) -> Proof:
    """Puts green tests to the proof; blocks.

    Args:
        subject: Code and tests that ran green once.
        backend: Where they run.
        limits: Of all runs together.
        cancel: When set, the runs end.
    """
    files = subject.files
    changed = frozen.taken_away(subject.first_tests, files)
    problems = list(_read_from_text(subject))
    remarks: list[str] = []
    skipped = [one for one in subject.skipped if one.partition("::")[0] not in subject.yours]
    if skipped:
        problems.append(f"Tests were skipped or expected to fail: {_names(skipped)}.")
    elif subject.skipped:
        remarks.append(f"Of your tests, some were skipped: {_names(subject.skipped)}.")
    aims = targets.targets(files, subject.before)
    mine = not subject.yours
    if not aims:
        problems.append("There is no code apart from the tests that could be broken on purpose.")
    job = {
        "seconds": max(1.0, limits.wall_s - 1.5),
        "targets": {one.key: (one.file, one.name, one.line, one.gives) for one in aims},
        "tests": [name for name in files if targets.is_test(name)],
        "seeds": SEEDS if targets.depends_on_hashes(files) else FEW_SEEDS,
        "repeats": REPEATS if targets.may_differ(files) else FEW_REPEATS,
        "shuffle": mine,
        "dates": targets.asks_for_the_date(files),
        "warm": sorted({*WARM} & targets.imported(files)),
    }
    task = Task(files, _program(), json.dumps(job), limits=replace(limits, cpu_s=None))
    outcome = backend.run(task, cancel=cancel)
    if outcome.facts is None:
        problems.append(_unfinished(outcome))
        return Proof(tuple(changed), tuple(problems), tuple(remarks))
    found = outcome.facts
    problems += [_red(one) for one in found["red"]]
    if not found["red"]:
        more, said = _unnoticed(found, aims)
        problems += more
        remarks += said
    broken = sum(state == "noticed" for state in found["targets"].values())
    return Proof(tuple(changed), tuple(problems), tuple(remarks), 1 + int(found["runs"]), broken)


def _program() -> str:
    paths = (str(one.__file__) for one in (another_day, breaking, inside))
    texts = [Path(path).read_text(encoding="utf-8") for path in paths]
    return "\n".join(texts)


def _read_from_text(subject: GreenTests) -> Iterable[str]:
    new = {n: t for n, t in subject.files.items() if subject.before.get(n) != t}
    for name in targets.knows_of_tests(new):
        yield f"`{name}` looks whether it is being tested, so it may do something else otherwise."
    tests = frozen.tests_in(subject.files)
    for name in targets.answers_written_in({**new, **tests}):
        yield f"{_function(name)} computes nothing: the tests' own answers are written into it."


def _unfinished(outcome: RunOutcome) -> str:
    why = {
        "timeout": "it took too long",
        "memory": "it needed too much memory",
        "disk": "it wrote too much",
        "cancelled": "it was cancelled",
    }.get(outcome.status, "it broke off")
    return f"Running the tests again, and on code broken on purpose, didn't end: {why}."


def _red(one: Mapping[str, Any]) -> str:
    how = {
        "again": "Run again, without any change, tests fail",
        "order": "Run in another order, tests fail",
        "date": f"Run on a date {another_day.DAYS} days from now, tests fail",
        "seed": "Run with another hash seed (another order of sets), tests fail",
    }[one["how"]]
    failures: Mapping[str, str] = one["failures"]
    text = next(iter(failures.values()), "").strip().split("\n")
    last = next((line.strip() for line in text if line.startswith("E ")), "")
    reason = f" ({last[2:].strip()[:200]})" if last else ""
    return f"{how}: {_names(list(failures)) or 'the run broke off'}{reason}."


def _unnoticed(
    found: Mapping[str, Any], aims: Sequence[targets.Target]
) -> tuple[list[str], list[str]]:
    """Problems and remarks from what tests did when functions were broken."""
    by_state: dict[str, list[targets.Target]] = {}
    for one in aims:
        by_state.setdefault(found["targets"].get(one.key, "untried"), []).append(one)

    def of(state: str, *, excused: bool) -> list[str]:
        return [_function(t.key) for t in by_state.get(state, ()) if t.excused is excused]

    problems, remarks = [], []
    if found["equal"]:
        problems.append(
            f"A value of type `{found['equal'][0]}` says that it equals everything, so comparing "
            "it proves nothing."
        )
    if found["swallowed"]:
        problems.append(
            f"An assertion fails, but its test hides that: {_list(found['swallowed'])}."
        )
    sentences = {
        "unreached": "No test calls {}.",
        "unnoticed": "No test notices when {} gives something else or does nothing.",
        "weak": "No test checks what {} gives: other values pass too.",
        "untried": "There was no time to break {} on purpose.",
    }
    for state, sentence in sentences.items():
        if bad := of(state, excused=False):
            problems.append(sentence.format(_list(bad)))
        if fine := of(state, excused=True):
            remarks.append(sentence.format(_list(fine)))
    if aims and not by_state.get("noticed") and not problems:
        return [*problems, *remarks], []
    return problems, remarks


def _function(key: str) -> str:
    file, _, name = key.partition("::")
    return f"`{name}` in `{file}`" if name else f"`{file}`"


def _list(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _names(ids: Sequence[str]) -> str:
    return _list([f"`{one.rpartition('::')[2] or one}`" for one in ids])
