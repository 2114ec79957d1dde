"""Code in a container, by `docker` or `podman`: for machines without walls of their own."""

import os
import secrets
import shutil
import subprocess
import threading
import time
from typing import Any

from allotrope.exceptions import StoreError
from allotrope.graphs.work.sandbox.backends.elsewhere import job_for, killed_by, prelude
from allotrope.graphs.work.sandbox.backends.local import Task, believed
from allotrope.graphs.work.sandbox.backends.watching import Output, end, watch
from allotrope.graphs.work.sandbox.outcome import Isolation, Limits, RunOutcome

START_S = 30.0
"""Seconds that a container may take to start, besides the run's own."""


class ContainerBackend:
    """Runs code in a container with no network, no capabilities and a read-only image.

    The image needs Python 3 and pytest (without pytest, unittest runs the tests); it must be there,
    since nothing is pulled while a person waits.

    Args:
        engine: `docker` or `podman`, looked for on PATH.
        image: The image.
    """

    def __init__(self, engine: str, *, image: str) -> None:
        self._engine = engine
        self._image = image

    def isolation(self) -> Isolation:
        """The engine's own walls.

        Raises:
            StoreError: The engine isn't installed.
        """
        self._path()
        return Isolation(network=True, files=True, processes=True, by=self._engine)

    def _path(self) -> str:
        path = shutil.which(self._engine)
        if path is None:
            raise StoreError(
                f"{self._engine} isn't installed, so no code can run in it.",
                hint="Install it, or set ALLOTROPE_AGENTS__CODE_BACKEND=local.",
            )
        return path

    def command(self, limits: Limits, *, name: str) -> list[str]:
        """The command line of a run.

        Args:
            limits: What the run may use.
            name: The container's name, by which it is removed.
        """
        disk = f"rw,nosuid,nodev,size={limits.disk_mb}m,mode=1777"
        return [
            *(self._path(), "run", "--rm", "--interactive", "--pull", "never", "--name", name),
            *("--network", "none", "--read-only", "--cap-drop", "ALL", "--ipc", "none"),
            *("--security-opt", "no-new-privileges", "--user", "65534:65534"),
            *("--pids-limit", str(limits.processes), "--cpus", "1"),
            *("--memory", f"{limits.memory_mb}m", "--memory-swap", f"{limits.memory_mb}m"),
            *("--ulimit", f"nofile={limits.open_files}", "--ulimit", "core=0"),
            *("--tmpfs", f"/tmp:{disk}", "--workdir", "/tmp"),  # noqa: S108 # the container's own
            *(self._image, "python3", "-I", "-B", "-c", prelude()),
        ]

    def run(self, task: Task, *, cancel: threading.Event | None = None) -> RunOutcome:
        """Runs a task; see `CodeBackend`.

        Raises:
            StoreError: The engine is missing or doesn't start the container.
        """
        limits, key = task.limits, secrets.token_bytes(32)
        name = f"allotrope-{secrets.token_hex(8)}"
        started = time.monotonic()
        # An engine from PATH that the settings name; the model's text is only data on its stdin.
        process = subprocess.Popen(  # noqa: S603
            self.command(limits, name=name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None
        assert process.stdout is not None
        output = Output(limits.output_bytes)
        # The report is the container's stdout; what the code prints goes to its stderr.
        report_fd = os.dup(process.stdout.fileno())
        process.stdout.close()
        process.stdout = process.stderr
        wall_s = limits.wall_s + START_S
        ended: Any = None
        try:
            ended, report = watch(
                process,
                report_fd,
                job_for(task, key, apart=True),
                output,
                cancel,
                wall_s=wall_s,
                memory_mb=limits.memory_mb + 1024,
            )
        finally:
            if ended is not None or process.poll() is None:
                self._remove(name)
            end(process)
            os.close(report_fd)
        code = process.returncode
        if code == 125 and ended is None:
            raise StoreError(
                f"{self._engine} didn't start a container: {output.text().strip()[-300:]}",
                hint=f"Is it running, and is the image there? {self._engine} pull {self._image}",
            )
        return believed(
            task,
            key,
            report=report,
            output=output,
            code=code,
            ended=ended,
            isolation=self.isolation(),
            duration_s=time.monotonic() - started,
            killed=killed_by(code),
        )

    def _remove(self, name: str) -> None:
        """The container outlives its client; it is removed by name."""
        try:
            subprocess.run(  # noqa: S603 # as above
                [self._path(), "rm", "--force", name], capture_output=True, check=False, timeout=20
            )
        except subprocess.TimeoutExpired:
            return
