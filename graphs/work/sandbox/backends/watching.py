"""Watching a sandboxed run from outside: its output, its report, its time and its memory."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Output:
    """Keeps the head and the tail of a stream.

    Args:
        limit: Bytes that are kept.
    """

    limit: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def add(self, data: bytes) -> None:
        """Takes more of it."""
        room = self.limit // 2 - len(self.head)
        self.head += data[: max(room, 0)]
        self.tail += data[max(room, 0) :]
        extra = len(self.tail) - self.limit // 2
        if extra > 0:
            del self.tail[:extra]
            self.dropped += extra

    def text(self) -> str:
        """What was kept, and a note of how much wasn't."""
        middle = f"\n[... {self.dropped} bytes dropped ...]\n" if self.dropped else ""
        whole = self.head.decode(errors="replace") + middle + self.tail.decode(errors="replace")
        return whole.replace("\x00", "")


def watch(
    process: "subprocess.Popen[bytes]",
    reader: int,
    job: str,
    output: Output,
    cancel: threading.Event | None,
    *,
    wall_s: float,
    memory_mb: int,
) -> tuple[str | None, bytes]:
    """Feeds the job, reads until the end, and says why it was stopped, if it was.

    Args:
        process: The launcher.
        reader: The pipe on which launcher and bootstrap report.
        job: What the launcher is to do, as JSON.
        output: Takes what the process prints.
        wall_s: Seconds from start to end.
        memory_mb: Megabytes of all processes together.
        cancel: Set to stop the run.

    Returns:
        `timeout`, `memory`, `cancelled` or None, and the report.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(job.encode())
        process.stdin.close()
    report = bytearray()
    # Without namespaces the launcher keeps the time itself; it gets a moment more.
    deadline = time.monotonic() + wall_s + 0.5
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
            if cancel is not None and cancel.is_set():
                return "cancelled", bytes(report)
            if now > deadline:
                return "timeout", bytes(report)
            if now > weigh + 0.1:
                weigh = now
                if _memory(process.pid) > memory_mb << 20:
                    return "memory", bytes(report)
    try:
        process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "timeout", bytes(report)
    return None, bytes(report)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process with all that it started.

    The launcher is asked first: only it can find what left its session where no PID namespace
    ends it, and it dies at once where one does.
    """
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
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


def lines(report: bytes) -> list[dict[str, Any]]:
    """The objects of a report; what is no JSON object is left out."""
    found = []
    for line in report.split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
