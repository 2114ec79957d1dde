"""One run on this machine: the launcher is started, watched, and ended with all below it."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from allotrope.exceptions import StoreError
from allotrope.graphs.work.sandbox.backends.watching import Output, end, lines, watch
from allotrope.graphs.work.sandbox.outcome import Isolation, Limits, RunOutcome, Wall
from allotrope.graphs.work.sandbox.packages import interpreter, readable
from allotrope.graphs.work.sandbox.verdict import judged, signed
from allotrope.graphs.work.sandbox.walls import launcher
from allotrope.graphs.work.sandbox.walls.memory_group import MemoryGroup, memory_group

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
"""All that code sees of an environment."""
_HINT = (
    "Run code in a container (ALLOTROPE_AGENTS__CODE_BACKEND=docker), or, on a machine with "
    "nothing to lose, set ALLOTROPE_AGENTS__CODE_WITHOUT_WALLS="
    "i-accept-that-code-can-read-my-files."
)


@dataclass(frozen=True)
class Task:
    """What is to be run.

    Args:
        files: Relative name to text.
        program: Our program that runs them.
        name: What the program is told.
        limits: What the run may use.
        packages: Distributions that it may import.
        readable: Files and folders that it may read besides.
        handles: Open files that it is given.
        tests: Whether it reports tests.
    """

    files: Mapping[str, str]
    program: str
    name: str = ""
    limits: Limits = field(default_factory=Limits)
    packages: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    handles: tuple[int, ...] = ()
    tests: bool = False


def run_task(
    task: Task, *, walls: Sequence[Wall], cancel: threading.Event | None = None
) -> RunOutcome:
    """Runs a task within the first of some walls that can be built.

    A wall that breaks while it is built is followed by the next of them, never by one that wasn't
    named.

    Args:
        task: What to run.
        walls: What may stand around it.
        cancel: When set, the run ends.

    Raises:
        StoreError: None can be built, or the launcher can't be started.
    """
    left = list(walls)
    while True:
        try:
            return _once(task, left, cancel)
        except _BrokenWallError as exc:
            left = left[left.index(exc.wall) + 1 :] if exc.wall in left else []
            if not left:
                raise StoreError(f"The sandbox can't be started: {exc}.", hint=_HINT) from None


class _BrokenWallError(Exception):
    def __init__(self, reason: str, wall: Any) -> None:
        super().__init__(reason)
        self.wall = wall


def _once(task: Task, walls: Sequence[Wall], cancel: threading.Event | None) -> RunOutcome:
    limits, key = task.limits, secrets.token_bytes(32)
    folder = tempfile.mkdtemp(prefix="allotrope-run-")
    reader, writer = os.pipe()
    key_reader, key_writer = os.pipe()
    os.write(key_writer, key)
    os.close(key_writer)
    mine = [reader, writer, key_reader]
    group: MemoryGroup | None = None
    try:
        shown, named = readable(task.packages)
        argv = [interpreter(), "-I", "-B", "-c", task.program]
        job = {
            "files": dict(task.files),
            "argv": [*argv, str(writer), str(key_reader), task.name],
            "env": ENVIRONMENT,
            "limits": {**asdict(limits), "cpu_s": limits.cpu_s or int(limits.wall_s) + 2},
            "walls": list(walls),
            "readable": [*shown, *task.readable],
            "named": named,
            "root": folder,
            "report": writer,
            "keep": [key_reader, *task.handles],
            "apart_output": False,
        }
        started = time.monotonic()
        # Our own interpreter on our own launcher; the model's text is only data of the job.
        process = subprocess.Popen(  # noqa: S603
            [interpreter(), "-I", "-S", launcher.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={},
            pass_fds=(writer, key_reader, *task.handles),
            start_new_session=True,
        )
        for handle in (writer, key_reader):
            os.close(handle)
            mine.remove(handle)
        output = Output(limits.output_bytes)
        try:
            group = memory_group(process.pid, megabytes=limits.memory_mb + limits.disk_mb)
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
        if ended is None and "refused" in first:
            raise StoreError(
                "Code isn't run here: this machine can't cut it off from your files; "
                f"{first['refused']}.",
                hint=_HINT,
            )
        if "network" not in first and ended is None:
            reason = first.get("broken", output.text().strip()[-300:] or "no reason given")
            broken = first.get("wall", walls[-1] if walls else None)
            raise _BrokenWallError(reason, broken)
        isolation = Isolation(
            bool(first.get("network")),
            bool(first.get("files")),
            bool(first.get("processes")),
            str(first.get("walls", "none")),
        )
        code = process.returncode
        if group is not None and group.exceeded():
            ended = "memory"
        elif ended is None and isolation.by != "namespaces" and code in (122, 124):
            ended = "timeout" if code == 124 else "disk"
        return believed(
            task,
            key,
            report=report,
            output=output,
            code=code,
            ended=ended,
            isolation=isolation,
            duration_s=time.monotonic() - started,
        )
    finally:
        for handle in mine:
            os.close(handle)
        if group is not None:
            group.close()
        shutil.rmtree(folder, ignore_errors=True)


def believed(
    task: Task,
    key: bytes,
    *,
    report: bytes,
    output: Output,
    code: int,
    ended: Any,
    isolation: Isolation,
    duration_s: float,
    killed: Any = None,
) -> RunOutcome:
    """The outcome of a run, here or elsewhere.

    Args:
        task: What ran.
        key: The run's key.
        report: What came as report.
        output: What the code printed.
        code: The exit code.
        ended: Why we stopped it, or None.
        isolation: Which walls stood.
        duration_s: Seconds.
        killed: Why others killed it, going by the exit code, or None.
    """
    counts: dict[str, int] = {}
    status: Any = ended or killed
    facts = signed(report, key)
    if task.tests:
        verdict, counts = judged(code, facts, task.files)
        status = status or verdict
    return RunOutcome(
        status=status or ("ok" if code == 0 else "failed"),
        exit_code=None if ended else code,
        output=output.text(),
        truncated=output.dropped > 0,
        duration_s=duration_s,
        isolation=isolation,
        facts=facts,
        **counts,
    )
