"""The sets of the agents' checks, and the one form of their rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SETS = Path(__file__).parent / "datasets"
PARTS = (("open", False), ("held out", True))
"""The parts of a set: cases that were looked at while the rules were written, and others."""


def lines(agent: str) -> list[dict[str, Any]]:
    """The cases of an agent's set.

    Args:
        agent: Its name.
    """
    text = (SETS / f"{agent}_truth.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def row(
    agent: str,
    what: str,
    part: str,
    *,
    of: int,
    count: int,
    goal: str,
    cost: str = "",
    failures: Sequence[str] = (),
) -> dict[str, Any]:
    """A row of `agents_truth.py`.

    Args:
        agent: Whose check it is.
        what: What is counted: "right answers rejected".
        part: Of the set, one of `PARTS`.
        of: Cases.
        count: Of these, so many came out that way.
        goal: The share that is wanted.
        cost: What the check costs a turn.
        failures: The cases that went wrong, a line each.
    """
    return {
        "agent": agent, "what": what, "part": part, "of": of, "count": count,
        "share": count / max(1, of), "goal": goal, "cost": cost, "failures": [*failures],
    }  # fmt: skip
