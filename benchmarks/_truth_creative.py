"""How often the writer reads a brief's constraints right, and what it enforces without cause.

The set is `datasets/creative_truth.jsonl`: briefs as people write them with what is to be
understood; those marked `held_out` weren't looked at while the rules were written.
"""

from collections import Counter
from typing import Any

from _truth_sets import PARTS, lines, row

from allotrope.graphs.work import constraints as rules

SHORT = 30
"""Briefs of a quick run."""


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
    for part, held in PARTS:
        count, failures = Counter[str](), []
        briefs = [one for one in lines("creative") if one["held_out"] is held]
        for case in briefs[: SHORT if quick else None]:
            right, missed, misread = judged(case)
            count.update(right=right, of=right + len(missed), misread=len(misread))
            if missed or misread:
                failures.append(f"{case['id']} {case['brief']} missed {missed}, misread {misread}")
        for what, key, goal in (
            ("constraints read right", "right", "≥ 90 %"),
            ("constraints misread and then enforced", "misread", "0"),
        ):
            rows.append(
                row("creative", what, part, of=count["of"], count=count[key], goal=goal,
                    failures=failures if key == "right" else ())
            )  # fmt: skip
    return rows
