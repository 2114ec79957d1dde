"""Runs code that a model wrote in a bounded process of its own, and says honestly what happened."""

import asyncio
import contextlib
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from allotrope.exceptions import InputError, StoreError
from allotrope.graphs.sandbox import bootstrap, launcher

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


def _readable() -> list[str]:
    """What code may read: the interpreter, installed packages, the system's libraries."""
    paths = sysconfig.get_paths()
    own = {sys.base_prefix, sys.prefix, paths["purelib"], paths["platlib"], paths["stdlib"]}
    own = {str(Path(path).absolute()) for path in own} - {"/"}
    system = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
    chosen: list[str] = []
    for path in sorted([*own, *system], key=len):
        if not any(path == other or path.startswith(f"{other}/") for other in chosen):
            chosen.append(path)
    return chosen


@dataclass
class _Output:
    """Keeps the head and the tail of a stream."""

    limit: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def add(self, data: bytes) -> None:
        room = self.limit // 2 - len(self.head)
        self.head += data[: max(room, 0)]
        self.tail += data[max(room, 0) :]
        extra = len(self.tail) - self.limit // 2
        if extra > 0:
            del self.tail[:extra]
            self.dropped += extra

    def text(self) -> str:
        middle = f"\n[... {self.dropped} bytes dropped ...]\n" if self.dropped else ""
        whole = self.head.decode(errors="replace") + middle + self.tail.decode(errors="replace")
        return whole.replace("\x00", "")


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
            "argv": [sys.executable, "-I", "-B", "-c", program, str(writer), secret, name],
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
            [sys.executable, "-I", "-S", launcher.__file__],
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
        output = _Output(limits.output_bytes)
        try:
            ended, report = _watch(process, reader, json.dumps(job), output, limits, cancel)
        finally:
            _end(process)
        lines = _lines(report)
        first = lines[0] if lines else {}
        if "network" not in first:
            reason = first.get("broken", output.text().strip()[-300:] or "no reason given")
            if isolate and ended is None:
                return _run(
                    files, program, name, limits, isolate=False, cancel=cancel, readable=readable
                )
            raise StoreError(f"The sandbox can't be started: {reason}.")
        found = next((line for line in lines[1:] if line.get("secret") == secret), None)
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


def _watch(
    process: "subprocess.Popen[bytes]",
    reader: int,
    job: str,
    output: _Output,
    limits: Limits,
    cancel: threading.Event | None,
) -> tuple[str | None, bytes]:
    """Feeds the job, reads until the end, and says why it was stopped, if it was."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(job.encode())
        process.stdin.close()
    report = bytearray()
    # Without namespaces the launcher keeps the time itself; it gets a moment more.
    deadline = time.monotonic() + limits.wall_s + 0.5
    weigh = 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(timeout=0.05):
                data = os.read(key.fd, 65_536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fd == reader:
                    report += data[: 100_000 - len(report)]
                else:
                    output.add(data)
            now = time.monotonic()
            if process.poll() is not None and now > weigh + 0.2:
                break
            if cancel is not None and cancel.is_set():
                return "cancelled", bytes(report)
            if now > deadline:
                return "timeout", bytes(report)
            if now > weigh + 0.1:
                weigh = now
                if _memory(process.pid) > limits.memory_mb << 20:
                    return "memory", bytes(report)
    try:
        process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "timeout", bytes(report)
    return None, bytes(report)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _memory(pid: int) -> int:
    """Bytes that a process and all below it hold (Linux; elsewhere 0)."""
    total, todo = 0, [pid]
    page = os.sysconf("SC_PAGE_SIZE")
    while todo:
        one = todo.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * page
            todo += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except (OSError, ValueError, IndexError):
            continue
    return total


def _lines(report: bytes) -> list[dict[str, Any]]:
    found = []
    for line in report.split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
