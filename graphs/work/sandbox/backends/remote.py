"""Code in a sandbox elsewhere that speaks deepagents' `SandboxBackendProtocol`.

Modal, Daytona, Runloop and others have one; a setting names a factory (`module:factory`) that gives
it. Only two of its methods are used, so deepagents needn't be installed here.
"""

import secrets
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from allotrope.exceptions import StoreError
from allotrope.graphs.work.sandbox.backends.elsewhere import job_for, killed_by, prelude
from allotrope.graphs.work.sandbox.backends.local import Task, believed
from allotrope.graphs.work.sandbox.backends.watching import Output
from allotrope.graphs.work.sandbox.outcome import Isolation, RunOutcome


class Executes(Protocol):
    """The part of deepagents' `SandboxBackendProtocol` that is used."""

    def execute(self, command: str, *, timeout: int | None = None) -> Any:
        """Runs a shell command; the answer has `output`, `exit_code` and `truncated`."""

    def upload_files(self, files: list[tuple[str, bytes]]) -> Sequence[Any]:
        """Puts files there; each answer's `error` is None if it went well."""


class RemoteBackend:
    """Runs code by a sandbox of deepagents' protocol.

    Args:
        sandbox: The sandbox; it belongs to us while a task runs.
    """

    def __init__(self, sandbox: Executes) -> None:
        self._sandbox = sandbox

    def isolation(self) -> Isolation:
        """Another machine: nothing of this one is there."""
        return Isolation(network=True, files=True, processes=True, by="remote")

    def run(self, task: Task, *, cancel: threading.Event | None = None) -> RunOutcome:
        """Runs a task; see `CodeBackend`. A run that has begun there ends by its own time limit.

        Raises:
            StoreError: The sandbox can't be reached or takes no files.
        """
        key, started = secrets.token_bytes(32), time.monotonic()
        folder = f"/tmp/allotrope-{secrets.token_hex(8)}"  # noqa: S108 # on the other machine
        job = job_for(task, key, apart=False).encode()
        seconds = max(1, round(task.limits.wall_s))
        run = f"timeout -k 1 {seconds} python3 -I -B {folder}/prelude.py {folder}/job.json"
        command = (
            f"mkdir -p {folder}/work && cd {folder}/work && {run}; "
            f"code=$?; rm -rf {folder}; exit $code"
        )
        try:
            sent = self._sandbox.upload_files(
                [(f"{folder}/prelude.py", prelude().encode()), (f"{folder}/job.json", job)]
            )
            for one in sent:
                if getattr(one, "error", None):
                    raise StoreError(f"The sandbox takes no files: {one.error}.")
            if cancel is not None and cancel.is_set():
                raise StoreError("The run was cancelled before it began.")
            answer = self._sandbox.execute(command, timeout=seconds + 30)
        except StoreError:
            raise
        except Exception as exc:  # each provider's client has its own errors
            raise StoreError(f"The sandbox can't be reached: {type(exc).__name__}: {exc}.") from exc
        whole = str(answer.output).encode()
        shown = b"\n".join(line for line in whole.split(b"\n") if not _is_report(line))
        output = Output(task.limits.output_bytes)
        output.add(shown)
        code = 1 if answer.exit_code is None else int(answer.exit_code)
        return believed(
            task,
            key,
            report=whole,
            output=output,
            code=code,
            ended="timeout" if code == 124 else None,
            isolation=self.isolation(),
            duration_s=time.monotonic() - started,
            killed=killed_by(code),
        )


def _is_report(line: bytes) -> bool:
    signature, _, rest = line.partition(b" ")
    return len(signature) == 64 and rest.startswith(b"{")
