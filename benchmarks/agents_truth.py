"""How often the agents' checks are right: right and wrong answers apart.

Each `_truth_AGENT.py` has `run(quick)`, which gives rows of `_truth_sets.row`. The sets are
`datasets/AGENT_truth.jsonl`. No model is asked: answers are played. `--sets` takes another folder
with sets of that form; `datasets/strangers` has some by somebody who knew neither the rules nor the
other sets, and by which no rule may be mended.
"""

import importlib
from pathlib import Path
from typing import Any

import _truth_sets
from _form import arguments, show, write_json

from allotrope.agents import registry


def main() -> None:
    """Runs the checks of every agent, and prints one table."""
    parser = arguments("How often the agents' checks are right, on answers that are played.")
    parser.add_argument("--agent", help="only this one: analyst, assistant, …")
    parser.add_argument("--failures", action="store_true", help="list the cases that went wrong")
    parser.add_argument("--sets", type=Path, default=_truth_sets.SETS, help="a folder with sets")
    chosen = parser.parse_args()
    if not chosen.sets.is_dir():
        parser.error(f"there is no folder {chosen.sets}")
    _truth_sets.SETS = chosen.sets
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        if chosen.agent in (None, name) and (chosen.sets / f"{name}_truth.jsonl").exists():
            found = importlib.import_module(f"_truth_{name}").run(chosen.quick)
            rows += found
    columns = ["agent", "what is counted", "part", "cases", "so many", "share", "goal", "cost"]
    show("agents_truth", columns, [_line(row) for row in rows])
    if chosen.failures:
        for row in rows:
            for failure in row["failures"]:
                print(f"{row['agent']}, {row['what']}: {failure}")
    write_json(chosen.json, "agents_truth", rows)


def _line(row: dict[str, Any]) -> list[object]:
    share = f"{row['share']:.0%}"
    return [
        row["agent"], row["what"], row["part"], row["of"], row["count"], share, row["goal"],
        row["cost"],
    ]  # fmt: skip


if __name__ == "__main__":
    main()
