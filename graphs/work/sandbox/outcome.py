"""What a run of code may use, which walls stood around it, and what it came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from allotrope.exceptions import InputError
from allotrope.graphs.work.sandbox.verdict import Status

MAX_FILES = 200
MAX_CHARS = 1_000_000

Wall = Literal["namespaces", "landlock", "none"]
"""What can stand around code on this machine; `none` is limits and a seccomp list only."""
WALLS: tuple[Wall, ...] = ("namespaces", "landlock")
"""What is tried, in this order."""


@dataclass(frozen=True)
class Limits:
    """What one run may use.

    Args:
        wall_s: Seconds from start to end.
        memory_mb: Megabytes of memory, for each process and for all together.
        disk_mb: Megabytes it may write.
        processes: Processes and threads at a time.
        output_bytes: Bytes of output that are kept; the middle is dropped.
        open_files: Open files of a process.
        cpu_s: Seconds of processor time of a process; None for a little more than `wall_s`.
    """

    wall_s: float = 30.0
    memory_mb: int = 512
    disk_mb: int = 64
    processes: int = 32
    output_bytes: int = 20_000
    open_files: int = 128
    cpu_s: int | None = None


@dataclass(frozen=True)
class Isolation:
    """Which walls stood.

    Args:
        network: No connection could be opened.
        files: Only Python and the system's libraries could be read, nothing of the user's.
        processes: Every process was certain to end with the run, and none outside was reached.
        by: What they are made of: a `Wall`, or the backend's name.
    """

    network: bool = False
    files: bool = False
    processes: bool = False
    by: str = "none"

    @property
    def complete(self) -> bool:
        """Whether all walls stood."""
        return self.network and self.files and self.processes

    def missing(self) -> list[str]:
        """What code isn't cut off from."""
        every = {"network": self.network, "files": self.files, "processes": self.processes}
        return [name for name, stands in every.items() if not stands]

    def describe(self) -> str:
        """A sentence for people."""
        if self.complete:
            return "The code ran cut off from network, your files and other processes."
        return f"This machine can't cut code off from: {', '.join(self.missing())}."


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to.

    Args:
        status: `ok` only if the code ended with 0 and, for tests, at least one ran and all that
            ran passed. `failed`: another exit code or failing tests; `timeout`, `memory`, `disk`:
            stopped by us; `no_tests`: none were found or none passed; `unfinished`: the process
            ended before the tests did; `forged`: its report isn't believed (`verdict.py`);
            `cancelled`.
        exit_code: The process's exit code, 128 + signal if one ended it, None if we did.
        output: Standard output and error together.
        truncated: Whether the middle of the output was dropped.
        duration_s: Seconds.
        isolation: Which walls stood.
        passed: Tests that passed.
        failed: Tests that failed.
        skipped: Tests that were skipped.
        facts: What our program in the sandbox reported, if its signature is right.
    """

    status: Status
    exit_code: int | None
    output: str
    truncated: bool
    duration_s: float
    isolation: Isolation
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    facts: dict[str, Any] | None = None


def check_files(files: Mapping[str, str]) -> None:
    """Refuses files that don't belong into a folder of their own.

    Raises:
        InputError: A name is absolute, hidden, or leads out; too many files or characters.
    """
    if not files:
        raise InputError("There is no code to run.")
    if len(files) > MAX_FILES or sum(map(len, files.values())) > MAX_CHARS:
        raise InputError(f"More than {MAX_FILES} files or {MAX_CHARS} characters of code.")
    for name in files:
        parts = PurePosixPath(name).parts
        good = parts and not name.startswith("/") and "\\" not in name and name.isprintable()
        if not good or len(name) > 120 or any(part.startswith(".") for part in parts):
            raise InputError(f"{name[:120]!r} is no file name for code.")
