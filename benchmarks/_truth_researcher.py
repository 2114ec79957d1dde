"""How often the researcher's check is right: right sentences marked, and wrong ones caught.

The set is `datasets/researcher_truth.jsonl`: sentences as a fluent model writes them with the
passages they cite; groups that are `held_out` weren't looked at while the rules were first written.
"""

from typing import Any

from _truth_sets import PARTS, lines, row

from allotrope.graphs.work.sources import citations

SHORT = 40
"""Sentences of a quick run."""


def problem(case: dict[str, Any]) -> str | None:
    """Why the check marks a sentence; None where it lets it pass."""
    passages = dict(enumerate(case["source"], 1))
    judged = citations.check(case["sentence"], passages)
    return next((one.problem for line in judged for one in line if one.problem), None)


def run(quick: bool) -> list[dict[str, Any]]:
    """The rows of the table for the researcher.

    Args:
        quick: Only some of the sentences.
    """
    rows = []
    for part, held in PARTS:
        chosen = [one for one in lines("researcher") if one["held_out"] is held]
        chosen = chosen[: SHORT if quick else None]
        right = [one for one in chosen if one["right"]]
        wrong = [one for one in chosen if not one["right"]]
        dropped = [one for one in chosen if one["kind"] == "dropped-not"]
        for what, goal, group in (
            ("right sentences marked", "≤ 12 %", right),
            ("wrong sentences caught", "≥ 80 %", wrong),
            ("dropped “not” caught", "all", dropped),
        ):
            said = [(case, problem(case)) for case in group]
            failures = [
                f"{case['id']} {case['kind']}: {case['sentence']} ({why or 'passes'})"
                for case, why in said
                if (why is not None) == case["right"]
            ]
            count = sum(why is not None for _, why in said)
            rows.append(
                row("researcher", what, part, of=len(group), count=count, goal=goal,
                    failures=failures)
            )  # fmt: skip
    return rows
