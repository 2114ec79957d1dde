"""How often the agents' checks are right: right and wrong answers apart.

Each `_truth_AGENT.py` has `run(quick)`, which gives rows with the keys `agent`, `check` (what is
checked), `kind` (of the cases), `part` (`open`, or `held out`: not looked at while building),
`cases`, `good` (cases with the outcome they should have) and, where it is known, `cost`. The sets
are `datasets/AGENT_truth.jsonl`. No model is asked: answers are played.
"""

import importlib
from pathlib import Path

from _form import arguments, show, write_json


def main() -> None:
    """Runs every `_truth_*.py` there is, and prints one table."""
    parser = arguments("How often the agents' checks are right, on answers that are played.")
    parser.add_argument("--agent", help="only this one: analyst, assistant, …")
    parser.add_argument("--failures", action="store_true", help="list the cases that went wrong")
    chosen = parser.parse_args()
    rows: list[dict[str, object]] = []
    for path in sorted(Path(__file__).parent.glob("_truth_*.py")):
        name = path.stem.removeprefix("_truth_")
        if chosen.agent in (None, name):
            rows += importlib.import_module(path.stem).run(chosen.quick)
    show(
        "agents_truth",
        ["agent", "check", "cases are", "part", "cases", "as they should", "share", "cost"],
        [
            [
                *(row.get(key, "") for key in ("agent", "check", "kind", "part", "cases", "good")),
                f"{100 * row['good'] / max(1, row['cases']):.0f} %",  # type: ignore[operator] # counts
                row.get("cost", ""),
            ]
            for row in rows
        ],
    )
    if chosen.failures:
        for row in rows:
            for failure in row.get("failures", ()):  # type: ignore[attr-defined] # a list
                print(f"{row['agent']} {row['kind']}: {failure}")
    write_json(chosen.json, "agents_truth", rows)


if __name__ == "__main__":
    main()
