"""What a container and a remote sandbox share: the job that is sent."""

import json

from allotrope.graphs.work.sandbox import bootstrap
from allotrope.graphs.work.sandbox.backends.local import ENVIRONMENT, Task


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


def killed_by(code: int) -> str | None:
    """Why a run elsewhere was killed: 128 + 9 is taken for the memory's end."""
    return "memory" if code == 137 else None
