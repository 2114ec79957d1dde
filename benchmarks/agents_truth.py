"""How often the agents' checks are right: right and wrong answers apart.

Each `_truth_AGENT.py` has `run(quick)`, which gives rows with the keys `agent`, `check` or `what`
(what is checked), `kind` (of the cases), `part` (`open`, or `held out` while building), `cases` or
`of`, `good` or `count` (cases with that outcome), and where they are known `cost` and `goal`. The
sets are `datasets/AGENT_truth.jsonl`. No model is asked: answers are played.
"""

import importlib
from typing import Any

from _form import arguments, show, write_json

from allotrope.agents import registry


def main() -> None:
    """Runs the checks of every agent, and prints one table."""
    parser = arguments("How often the agents' checks are right, on answers that are played.")
    parser.add_argument("--agent", help="only this one: analyst, assistant, …")
    parser.add_argument("--failures", action="store_true", help="list the cases that went wrong")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        if chosen.agent in (None, name):
            found = importlib.import_module(f"_truth_{name}").run(chosen.quick)
            rows += [{"agent": name, **row} for row in found]
    show(
        "agents_truth",
        [
            "agent",
            "what is checked",
            "cases are",
            "part",
            "cases",
            "so many",
            "share",
            "cost or goal",
        ],
        [_line(row) for row in rows],
    )
    if chosen.failures:
        for row in rows:
            for failure in row.get("failures", ()):
                print(f"{row['agent']} {row.get('kind', '')}: {failure}")
    write_json(chosen.json, "agents_truth", rows)


def _line(row: dict[str, Any]) -> list[object]:
    """A row of the table; what its keys are called differs between the agents."""

    def first(*keys: str) -> Any:
        return next((row[key] for key in keys if key in row), "")

    cases, good = first("cases", "of"), first("good", "count", "ours")
    counted = isinstance(cases, int) and isinstance(good, int | float)
    return [
        row["agent"],
        first("check", "what", "case"),
        first("kind"),
        first("part"),
        cases,
        good,
        f"{100 * good / max(1, cases):.0f} %" if counted else "",
        first("cost", "goal"),
    ]


if __name__ == "__main__":
    main()
