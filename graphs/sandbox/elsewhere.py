"""What a container and a remote sandbox share: the job that is sent, and what is believed of it."""

import json
from typing import Any

from allotrope.graphs.sandbox import bootstrap
from allotrope.graphs.sandbox.local import ENVIRONMENT, Task
from allotrope.graphs.sandbox.outcome import Isolation, Outcome
from allotrope.graphs.sandbox.verdict import judged, signed
from allotrope.graphs.sandbox.watching import Output


def prelude() -> str:
    """The program that takes the job there."""
    return bootstrap.ELSEWHERE


def job_for(task: Task, key: bytes, *, apart: bool) -> str:
    """The job as JSON.

    Args:
        task: What to run.
        key: Signs the report.
        apart: Whether the code's output has a stream of its own beside the report.
    """
    env = {name: value for name, value in ENVIRONMENT.items() if name != "PATH"}
    return json.dumps(
        {
            "files": dict(task.files),
            "program": task.program,
            "name": task.name,
            "key": key.hex(),
            "env": env,
            "apart": apart,
        }
    )


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
) -> Outcome:
    """The outcome of a run elsewhere; arguments as in `Outcome`.

    Args:
        task: What ran.
        key: The run's key.
        report: What came as report.
        output: What the code printed.
        code: The exit code; 137 is taken for the memory's end.
        ended: Why we stopped it, or None.
        isolation: Which walls stood.
        duration_s: Seconds.
    """
    counts: dict[str, int] = {}
    status: Any = ended or ("memory" if code == 137 else None)
    if task.tests:
        verdict, counts = judged(code, signed(report, key), task.files)
        status = status or verdict
    return Outcome(
        status=status or ("ok" if code == 0 else "failed"),
        exit_code=None if ended else code,
        output=output.text(),
        truncated=output.dropped > 0,
        duration_s=duration_s,
        isolation=isolation,
        **counts,
    )
