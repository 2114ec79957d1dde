"""How often the writer reads a brief's constraints right, and what it enforces without cause.

The set is `datasets/creative_truth.jsonl`: briefs as people write them with what is to be
understood; those marked `held_out` weren't looked at while the rules were written.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from allotrope.graphs.work import constraints as rules

SET = Path(__file__).parent / "datasets" / "creative_truth.jsonl"
SHORT = 30
"""Briefs of a quick run."""


def cases(*, held_out: bool | None = None) -> list[dict[str, Any]]:
    """The briefs of the set.

    Args:
        held_out: Only those held out, only the others, or all.
    """
    rows = [json.loads(line) for line in SET.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if held_out is None or row["held_out"] is held_out]


def joined(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Constraints without doubles, the bounds of one length joined."""
    lengths: dict[Any, dict[str, Any]] = {}
    others: list[dict[str, Any]] = []
    for one in found:
        facts = {key: value for key, value in one.items() if value is not None}
        if one["kind"] == "length":
            key = (one["unit"], one.get("per"))
            has = lengths.setdefault(key, {"kind": "length", "unit": key[0], "per": key[1]})
            has.update({name: facts[name] for name in ("low", "high") if name in facts})
        elif facts not in others:
            others.append(facts)
    return [*lengths.values(), *others]


def same(wanted: dict[str, Any], has: dict[str, Any]) -> bool:
    """Whether two constraints say the same; a bound may be rounded by one."""
    for name in {*wanted, *has} - {"words"}:
        one, other = wanted.get(name), has.get(name)
        if name in ("low", "high") and one is not None and other is not None:
            if abs(one - other) > (one >= 50):
                return False
        elif isinstance(one, str) and isinstance(other, str):
            if one.lower() != other.lower():
                return False
        elif one != other:
            return False
    return True


def judged(case: dict[str, Any]) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
    """How many constraints of a brief are read right, which are missed and which misread."""
    wanted, found = joined(case["constraints"]), joined(rules.read(case["brief"]))
    missed = [one for one in wanted if not any(same(one, other) for other in found)]
    misread = [other for other in found if not any(same(one, other) for one in wanted)]
    return len(wanted) - len(missed), missed, misread


def run(quick: bool) -> list[dict[str, Any]]:
    """The rows of the table for the writer.

    Args:
        quick: Only some of the briefs.
    """
    rows = []
    for held, name in ((False, "constraints"), (True, "constraints, held out")):
        chosen = cases(held_out=held)[: SHORT if quick else None]
        count = Counter[str]()
        for case in chosen:
            right, missed, misread = judged(case)
            count.update(right=right, of=right + len(missed), misread=len(misread))
        for what, key, goal in (
            (f"{name} read right", "right", "≥ 90 %"),
            (f"{name} misread and then enforced", "misread", "0"),
        ):
            rows.append({"agent": "creative", "what": what, "count": count[key], "of": count["of"],
                         "share": count[key] / count["of"], "goal": goal})  # fmt: skip
    return rows


def main() -> None:
    """Prints the rows, or with `--show` what is read otherwise than the set says."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--show", choices=["own", "held"])
    chosen = parser.parse_args()
    if chosen.show:
        for case in cases(held_out=chosen.show == "held"):
            _, missed, misread = judged(case)
            if missed or misread:
                print(f"{case['id']} {case['brief']}\n  missed {missed}\n  misread {misread}")
    for row in run(chosen.quick):
        print(f"{row['what']}: {row['count']} of {row['of']} ({row['share']:.0%}; {row['goal']})")


if __name__ == "__main__":
    main()
