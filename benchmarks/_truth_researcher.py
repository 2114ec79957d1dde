"""How often the researcher's check is right: right sentences marked, and wrong ones caught.

The set is `datasets/researcher_truth.jsonl`: sentences as a fluent model writes them with the
passages they cite; groups that are `held_out` weren't looked at while the rules were first written.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from allotrope.graphs.work.sources import citations

SET = Path(__file__).parent / "datasets" / "researcher_truth.jsonl"
SHORT = 40
"""Sentences of a quick run."""


def cases(*, held_out: bool | None = None) -> list[dict[str, Any]]:
    """The sentences of the set.

    Args:
        held_out: Only those held out, only the others, or all.
    """
    rows = [json.loads(line) for line in SET.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if held_out is None or row["held_out"] is held_out]


def problem(case: dict[str, Any]) -> str | None:
    """Why the check marks a sentence; None where it lets it pass."""
    passages = dict(enumerate(case["source"], 1))
    lines = citations.check(case["sentence"], passages)
    return next((one.problem for line in lines for one in line if one.problem), None)


def run(quick: bool) -> list[dict[str, Any]]:
    """The rows of the table for the researcher.

    Args:
        quick: Only some of the sentences.
    """
    rows = []
    for held, name in ((False, ""), (True, ", held out")):
        chosen = cases(held_out=held)[: SHORT if quick else None]
        groups = {
            (f"right sentences marked{name}", "≤ 12 %"): [one for one in chosen if one["right"]],
            (f"wrong sentences caught{name}", "≥ 80 %"): [
                one for one in chosen if not one["right"]
            ],
            (f"dropped “not” caught{name}", "all"): [
                one for one in chosen if one["kind"] == "dropped-not"
            ],
        }
        for (what, goal), group in groups.items():
            count = sum(problem(case) is not None for case in group)
            rows.append({"agent": "researcher", "what": what, "count": count, "of": len(group),
                         "share": count / max(1, len(group)), "goal": goal})  # fmt: skip
    return rows


def main() -> None:
    """Prints the rows, or with `--show` the sentences that are judged wrongly."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--show", choices=["own", "held"])
    chosen = parser.parse_args()
    if chosen.show:
        for case in cases(held_out=chosen.show == "held"):
            why = problem(case)
            if (why is not None) == case["right"]:
                print(f"{case['id']} {case['kind']}: {case['sentence']}\n  {why or 'passes'}")
    for row in run(chosen.quick):
        print(f"{row['what']}: {row['count']} of {row['of']} ({row['share']:.0%}; {row['goal']})")


if __name__ == "__main__":
    main()
