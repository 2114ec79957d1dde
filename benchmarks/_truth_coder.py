"""How often the coder's words are right: "the tests pass", what a person answered, which files.

The set is `datasets/coder_truth.jsonl`: what a model writes as code, tests and repairs, of which
some only look as if they passed; answers to "Run this code?" in free words; replies with several
files; and files of the user's that a task names. Cases with `part: held` weren't looked at while
the checks were written.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from allotrope.agents import registry
from allotrope.graphs.parts import Parts
from allotrope.models.chain import FailoverChain
from allotrope.settings import load_settings
from allotrope.testing import ScriptedChatModel

SET = Path(__file__).parent / "datasets" / "coder_truth.jsonl"
QUICK = 5
"""Only every fifth case of a quick run."""


def cases(kind: str, part: str) -> list[dict[str, Any]]:
    """The cases of a kind and a part.

    Args:
        kind: `verdict`, `named`, `reading` or `approval`.
        part: `open` or `held`.
    """
    rows = [json.loads(line) for line in SET.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if (row["kind"], row["part"]) == (kind, part)]


@contextmanager
def folder_with(files: dict[str, str]) -> Iterator[Path]:
    """A working folder that holds some files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def answer(case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What the coder says at the end of a turn with the case's replies, and its state."""
    with folder_with(case.get("files") or {}) as folder:
        settings = load_settings(
            environ={},
            env_file=None,
            data_dir=folder.parent / f"{folder.name}-data",
            cache={"enabled": False},
            agents={
                "output_dir": folder.parent / f"{folder.name}-out",
                "coder_approval": False,
                "coder_repairs": len(case["replies"]) - 1,
                "code_timeout_s": 10,
            },
        )
        model = ScriptedChatModel(answers=case["replies"])
        parts = Parts(
            settings,
            chain_of=lambda profile: FailoverChain(runnable=model, fallbacks=[]),
            callbacks=[],
        )
        graph = registry.find("coder").build(parts=parts, checkpointer=InMemorySaver())
        state = graph.invoke(
            {"messages": [HumanMessage(case["task"])]},
            {"configurable": {"thread_id": case["id"]}, "recursion_limit": 50},
        )
        return str(state["messages"][-1].text), state


def says_pass(case: dict[str, Any]) -> bool:
    """Whether the coder says that the tests pass."""
    return "the tests pass" in answer(case)[0].lower()


def named_right(case: dict[str, Any]) -> bool:
    """Whether a task on the user's files ends as it should, with the right files changed."""
    said, _ = answer(case)
    passes = "the tests pass" in said.lower()
    if not case["right"]:
        return not passes
    changed = {name for name in case["changed"] if f"+++ b/{name}" in said}
    return passes and changed == set(case["changed"]) and said.count("\n+++ b/") == len(changed)


def read_right(case: dict[str, Any]) -> bool:
    """Whether a reply's files are found."""
    from allotrope.graphs.coder import files_of

    return sorted(files_of(case["reply"])) == sorted(case["files"])


def meant_right(case: dict[str, Any]) -> bool:
    """Whether an answer to "Run this code?" is taken as it was meant."""
    from allotrope.graphs.work.sandbox.approval import reading_of

    return reading_of(case["text"]) == case["means"]


CHECKS: tuple[tuple[str, str, Callable[[dict[str, Any]], bool], Any, str], ...] = (
    ("verdict", 'wrong or unproven code said to "pass"', says_pass, False, "0"),
    ("verdict", 'right code said to "pass"', says_pass, True, "≥ 90 %"),
    ("named", "tasks on the user's files that end as they should", named_right, None, "≥ 90 %"),
    ("reading", "replies whose files are found", read_right, None, "≥ 90 %"),
    ("approval", "answers of a person taken as meant", meant_right, None, "≥ 90 %"),
)


def run(quick: bool, part: str = "", only: str = "", failures: bool = True) -> list[dict[str, Any]]:
    """The rows of the table for the coder.

    Args:
        quick: Only every fifth case.
        part: Only `open` or `held`; default: both, a row each.
        only: Only this kind of cases.
        failures: Whether each row names the cases that went wrong.
    """
    rows = []
    for kind, what, check, right, goal in CHECKS:
        for which in (part,) if part else ("open", "held"):
            chosen = [c for c in cases(kind, which) if right is None or c["right"] is right]
            chosen = chosen[:: QUICK if quick else 1]
            if not chosen or only not in ("", kind):
                continue
            started = time.monotonic()
            hits = [case for case in chosen if check(case)]
            counted_bad = right is False
            wrong = hits if counted_bad else [case for case in chosen if case not in hits]
            each_ms = 1000 * (time.monotonic() - started) / len(chosen)
            label = "held out" if which == "held" else which
            rows.append(
                {
                    "agent": "coder",
                    "what": f"{what}{', held out' if which == 'held' else ''}",
                    "count": len(hits),
                    "of": len(chosen),
                    "share": len(hits) / len(chosen),
                    "goal": goal,
                    "check": what,
                    "kind": kind if right is None else ("right" if right else "wrong"),
                    "part": label,
                    "cases": len(chosen),
                    "good": len(chosen) - len(wrong),
                    "cost": f"{each_ms:.0f} ms a turn" if kind in ("verdict", "named") else "",
                    "failures": [_shown(case) for case in wrong] if failures else [],
                }
            )
    return rows


def _shown(case: dict[str, Any]) -> str:
    what = case.get("manner", case.get("means", ""))
    return f"{case['id']} {what}: {case.get('text', case.get('task', ''))[:60]}"


def main() -> None:
    """Prints the rows, and with `--show` the cases that went wrong."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--part", choices=["open", "held"], default="")
    parser.add_argument("--only", default="", help="verdict, named, reading or approval")
    chosen = parser.parse_args()
    for row in run(chosen.quick, chosen.part, chosen.only):
        line = f"{row['what']}: {row['count']} of {row['of']} ({row['share']:.0%}; {row['goal']})"
        print(line, row["cost"], flush=True)
        if chosen.show:
            print("".join(f"  {one}\n" for one in row["failures"]), end="", flush=True)


if __name__ == "__main__":
    main()
