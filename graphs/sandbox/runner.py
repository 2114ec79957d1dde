"""Runs code that a model wrote in a bounded process of its own, and says honestly what happened."""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from allotrope.exceptions import InputError, StoreError
from allotrope.graphs.sandbox import bootstrap, launcher
from allotrope.graphs.sandbox.watching import Output, end, lines, watch

MAX_FILES = 50
MAX_CHARS = 1_000_000


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
    """

    wall_s: float = 30.0
    memory_mb: int = 512
    disk_mb: int = 64
    processes: int = 32
    output_bytes: int = 20_000
    open_files: int = 128


@dataclass(frozen=True)
class Isolation:
    """Which walls stood.

    Args:
        network: No connection could be opened.
        files: Only Python and the system's libraries could be read, nothing of the user's.
        processes: Every process was certain to end with the run.
    """

    network: bool = False
    files: bool = False
    processes: bool = False

    @property
    def complete(self) -> bool:
        """Whether all walls stood."""
        return self.network and self.files and self.processes

    def describe(self) -> str:
        """A sentence for people."""
        open_walls = [name for name, stands in asdict(self).items() if not stands]
        if not open_walls:
            return "The code ran cut off from network, your files and other processes."
        return f"This machine can't cut code off from: {', '.join(open_walls)}."


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Args:
        status: `ok` only if the code ended with 0 and, for tests, at least one ran and all that
            ran passed. `failed`: another exit code or failing tests; `timeout`, `memory`: stopped
            by us; `no_tests`: none were found or none passed; `unfinished`: the process ended
            before the tests did; `cancelled`.
        exit_code: The process's exit code, 128 + signal if one ended it, None if we did.
        output: Standard output and error together.
        truncated: Whether the middle of the output was dropped.
        duration_s: Seconds.
        isolation: Which walls stood.
        passed: Tests that passed.
        failed: Tests that failed.
        skipped: Tests that were skipped.
    """

    status: Literal["ok", "failed", "timeout", "memory", "no_tests", "unfinished", "cancelled"]
    exit_code: int | None
    output: str
    truncated: bool
    duration_s: float
    isolation: Isolation
    passed: int = 0
    failed: int = 0
    skipped: int = 0


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


def run_tests(
    files: Mapping[str, str],
    *,
    limits: Limits | None = None,
    isolate: bool = True,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Runs the tests among some files, with pytest where it is installed, else with unittest.

    Args:
        files: Relative name to text; tests are in `test_*.py`.
        limits: What the run may use.
        isolate: False skips namespaces; for machines without them, and for tests.
        cancel: When set, the run ends.

    Returns:
        What happened.

    Raises:
        InputError: A file name leads out of the folder, or there are no files.
        StoreError: The sandbox itself can't be started.
    """
    return _run(files, bootstrap.TESTS, "", limits or Limits(), isolate=isolate, cancel=cancel)


def run_script(
    files: Mapping[str, str],
    name: str,
    *,
    limits: Limits | None = None,
    isolate: bool = True,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Runs one of some files as a program; arguments as `run_tests`.

    Args:
        files: Relative name to text.
        name: The file to run.
        limits: What the run may use.
        isolate: False skips namespaces.
        cancel: When set, the run ends.
    """
    if name not in files:
        raise InputError(f"There is no file {name[:120]!r} to run.")
    return _run(files, bootstrap.SCRIPT, name, limits or Limits(), isolate=isolate, cancel=cancel)


def run_program(
    program: str,
    files: Mapping[str, str],
    *,
    limits: Limits,
    readable: Sequence[Path] = (),
    isolate: bool = True,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Runs a program of our own on foreign input, in the same walls.

    Args:
        program: Python text; the files are in its working folder.
        files: Relative name to text.
        limits: What the run may use.
        readable: Files and folders that it may read, at the same paths.
        isolate: False skips namespaces.
        cancel: When set, the run ends.
    """
    return _run(
        files, program, "", limits, isolate=isolate, cancel=cancel, readable=tuple(readable)
    )


async def arun_tests(files: Mapping[str, str], *, limits: Limits | None = None) -> Outcome:
    """`run_tests` without blocking the event loop; cancelling the task ends the run."""
    cancel = threading.Event()
    try:
        return await asyncio.to_thread(run_tests, files, limits=limits, cancel=cancel)
    except asyncio.CancelledError:
        cancel.set()
        raise


@cache
def walls() -> Isolation:
    """Which walls this machine can build; found out once by running nothing in a sandbox."""
    try:
        return run_script({"nothing.py": ""}, "nothing.py", limits=Limits(wall_s=10)).isolation
    except StoreError:
        return Isolation()


def _python() -> str:
    """Our interpreter, without the `..` that a start as `../.venv/bin/python` leaves in its path:
    the folder it goes through isn't there inside the walls."""
    return os.path.abspath(sys.executable)


def _readable() -> list[str]:
    """What code may read: the interpreter, installed packages, the system's libraries."""
    paths = sysconfig.get_paths()
    own = {sys.base_prefix, sys.prefix, paths["purelib"], paths["platlib"], paths["stdlib"]}
    own = {os.path.abspath(path) for path in own} - {"/"}
    system = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
    chosen: list[str] = []
    for path in sorted([*own, *system], key=len):
        if not any(path == other or path.startswith(f"{other}/") for other in chosen):
            chosen.append(path)
    return chosen


def _run(
    files: Mapping[str, str],
    program: str,
    name: str,
    limits: Limits,
    *,
    isolate: bool,
    cancel: threading.Event | None,
    readable: tuple[Path, ...] = (),
) -> Outcome:
    check_files(files)
    secret = secrets.token_hex(16)
    folder = tempfile.mkdtemp(prefix="allotrope-run-")
    reader, writer = os.pipe()
    try:
        job = {
            "files": dict(files),
            "argv": [_python(), "-I", "-B", "-c", program, str(writer), secret, name],
            "env": {
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "MALLOC_ARENA_MAX": "2",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            },
            "limits": {**asdict(limits), "cpu_s": int(limits.wall_s) + 2},
            "isolate": isolate,
            "readable": [*_readable(), *map(str, readable)],
            "root": folder,
            "report": writer,
        }
        started = time.monotonic()
        # Our own interpreter on our own launcher; the model's text is only data of the job.
        process = subprocess.Popen(  # noqa: S603
            [_python(), "-I", "-S", launcher.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={},
            pass_fds=(writer,),
            start_new_session=True,
        )
        os.close(writer)
        writer = -1
        output = Output(limits.output_bytes)
        try:
            ended, report = watch(
                process,
                reader,
                json.dumps(job),
                output,
                cancel,
                wall_s=limits.wall_s,
                memory_mb=limits.memory_mb,
            )
        finally:
            end(process)
        told = lines(report)
        first = told[0] if told else {}
        if "network" not in first:
            reason = first.get("broken", output.text().strip()[-300:] or "no reason given")
            if isolate and ended is None:
                return _run(
                    files, program, name, limits, isolate=False, cancel=cancel, readable=readable
                )
            raise StoreError(f"The sandbox can't be started: {reason}.")
        found = next((line for line in told[1:] if line.get("secret") == secret), None)
        isolation = Isolation(first["network"], first["files"], first["processes"])
        code = process.returncode
        if ended is None and not isolation.processes and code == 124:
            ended = "timeout"
        status: Any = ended or _judge(code, found, tests=program is bootstrap.TESTS)
        return Outcome(
            status=status,
            exit_code=None if ended else code,
            output=output.text(),
            truncated=output.dropped > 0,
            duration_s=time.monotonic() - started,
            isolation=isolation,
            **{key: int((found or {}).get(key, 0)) for key in ("passed", "failed", "skipped")},
        )
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
        shutil.rmtree(folder, ignore_errors=True)


def _judge(code: int, found: dict[str, Any] | None, *, tests: bool) -> Any:
    if not tests:
        return "ok" if code == 0 else "failed"
    if found is None:
        return "unfinished"
    if found["failed"]:
        return "failed"
    if not found["passed"]:
        return "no_tests" if code in (0, 5) else "failed"
    return "ok" if code == 0 else "failed"
