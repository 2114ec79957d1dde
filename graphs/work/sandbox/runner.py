"""Runs code that a model wrote in a bounded process of its own, and says honestly what happened."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

from allotrope.exceptions import InputError, StoreError
from allotrope.graphs.work.sandbox import bootstrap
from allotrope.graphs.work.sandbox.backends.local import Task, run_task
from allotrope.graphs.work.sandbox.outcome import (
    WALLS,
    Isolation,
    Limits,
    RunOutcome,
    Wall,
    check_files,
)
from allotrope.support.pools import SOURCES

__all__ = [
    "CODE_PACKAGES",
    "WALLS",
    "CodeBackend",
    "Isolation",
    "Limits",
    "LocalBackend",
    "RunOutcome",
    "Wall",
    "arun_tests",
    "check_files",
    "run_program",
    "run_script",
    "run_tests",
    "walls",
]

CODE_PACKAGES = ("pytest", "hypothesis", "numpy", "pandas", "pydantic")
"""Packages that a model's code may import where they are installed."""


class CodeBackend(Protocol):
    """Where a model's code runs: this machine, a container, a sandbox elsewhere."""

    def isolation(self) -> Isolation:
        """Which walls stand there; found out without running foreign code."""

    def run(self, task: Task, *, cancel: threading.Event | None = None) -> RunOutcome:
        """Runs a task to its end.

        Raises:
            StoreError: The sandbox can't be started.
        """


class LocalBackend:
    """Runs code on this machine.

    Args:
        walls: What may stand around it, in the order in which it is tried.
        packages: Distributions that it may import, with what they require.
    """

    def __init__(
        self, *, walls: Sequence[Wall] = WALLS, packages: Sequence[str] = CODE_PACKAGES
    ) -> None:
        self._walls = tuple(walls)
        self._packages = tuple(packages)

    def isolation(self) -> Isolation:
        """Which walls stand; found out once by running nothing in a sandbox."""
        return walls(self._walls)

    def run(self, task: Task, *, cancel: threading.Event | None = None) -> RunOutcome:
        """Runs a task; see `CodeBackend`."""
        own = replace(task, packages=task.packages or self._packages)
        return run_task(own, walls=self._walls, cancel=cancel)


def run_tests(
    files: Mapping[str, str],
    *,
    limits: Limits | None = None,
    walls: Sequence[Wall] = WALLS,
    cancel: threading.Event | None = None,
    backend: CodeBackend | None = None,
) -> RunOutcome:
    """Runs the tests among some files, with pytest where it is installed, else with unittest.

    Args:
        files: Relative name to text; tests are in `test_*.py`.
        limits: What the run may use.
        walls: What may stand around the code, in the order in which it is tried; code runs without
            any only where `none` is among them.
        cancel: When set, the run ends.
        backend: Where it runs; default: here, within `walls`.

    Returns:
        What happened.

    Raises:
        InputError: A file name leads out of the folder, or there are no files.
        StoreError: None of the walls can be built, or the sandbox can't be started.
    """
    check_files(files)
    task = Task(files, bootstrap.TESTS, limits=limits or Limits(), tests=True)
    return (backend or LocalBackend(walls=walls)).run(task, cancel=cancel)


def run_script(
    files: Mapping[str, str],
    name: str,
    *,
    limits: Limits | None = None,
    walls: Sequence[Wall] = WALLS,
    packages: Sequence[str] = CODE_PACKAGES,
    cancel: threading.Event | None = None,
) -> RunOutcome:
    """Runs one of some files as a program; arguments as `run_tests`.

    Args:
        files: Relative name to text.
        name: The file to run.
        limits: What the run may use.
        walls: What may stand around it.
        packages: Distributions that it may import.
        cancel: When set, the run ends.
    """
    if name not in files:
        raise InputError(f"There is no file {name[:120]!r} to run.")
    check_files(files)
    task = Task(files, bootstrap.SCRIPT, name, limits=limits or Limits(), packages=tuple(packages))
    return run_task(task, walls=walls, cancel=cancel)


def run_program(
    program: str,
    files: Mapping[str, str],
    *,
    limits: Limits,
    readable: Sequence[Path] = (),
    packages: Sequence[str] = (),
    handles: Sequence[int] = (),
    walls: Sequence[Wall] = (*WALLS, "none"),
    cancel: threading.Event | None = None,
) -> RunOutcome:
    """Runs a program of our own on foreign input, in the same walls.

    Where a machine has no walls it runs with limits and the list of system calls alone: that is
    still better than in the server itself.

    Args:
        program: Python text; the files are in its working folder.
        files: Relative name to text.
        limits: What the run may use.
        readable: Files and folders that it may read, at the same paths.
        packages: Distributions that it imports.
        handles: Open files that it is given, under the same numbers.
        walls: What may stand around it.
        cancel: When set, the run ends.
    """
    check_files(files)
    task = Task(
        files,
        program,
        limits=limits,
        packages=tuple(packages),
        readable=tuple(map(str, readable)),
        handles=tuple(handles),
    )
    return run_task(task, walls=walls, cancel=cancel)


async def arun_tests(files: Mapping[str, str], *, limits: Limits | None = None) -> RunOutcome:
    """`run_tests` without blocking the event loop; cancelling the task ends the run."""
    cancel = threading.Event()
    try:
        return await SOURCES.run(run_tests, files, limits=limits, cancel=cancel)
    except asyncio.CancelledError:
        cancel.set()
        raise


@cache
def walls(kinds: tuple[Wall, ...] = WALLS) -> Isolation:
    """Which walls this machine can build; found out once by running nothing in a sandbox.

    Args:
        kinds: What may be tried.
    """
    nothing = Task({"nothing.py": ""}, bootstrap.SCRIPT, "nothing.py", limits=Limits(wall_s=10))
    try:
        return run_task(nothing, walls=kinds).isolation
    except StoreError:
        return Isolation()
