"""How often the coder's words are right: "the tests pass", what a person answered, which files.

The set is `datasets/coder_truth.jsonl`: what a model writes as code, tests and repairs, of which
some only look as if they passed; answers to "Run this code?" in free words; replies with several
files; and files of the user's that a task names. Cases with `part: held` weren't looked at while
the checks were written.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _truth_sets import PARTS, lines, row
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from allotrope.agents import registry
from allotrope.graphs.parts import Parts
from allotrope.models.chain import FailoverChain
from allotrope.settings import load_settings
from allotrope.testing import ScriptedChatModel

QUICK = 5
"""Only every fifth case of a quick run."""


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


def misunderstood(case: dict[str, Any]) -> bool:
    """Whether an answer is taken for a yes or a no that wasn't meant."""
    from allotrope.graphs.work.sandbox.approval import reading_of

    reading = reading_of(case["text"])
    return reading != case["means"] and reading in ("yes", "always", "no")


CHECKS: tuple[tuple[str, str, Callable[[dict[str, Any]], bool], Any, str], ...] = (
    ("verdict", 'wrong or unproven code said to "pass"', says_pass, False, "0"),
    ("verdict", 'right code said to "pass"', says_pass, True, "≥ 90 %"),
    ("named", "tasks on the user's files that end as they should", named_right, None, "≥ 90 %"),
    ("reading", "replies whose files are found", read_right, None, "≥ 90 %"),
    ("approval", "answers of a person taken as meant", meant_right, None, "≥ 90 %"),
    ("asked", "answers in ten languages taken for a yes or no not meant", misunderstood, None, "0"),
)


def run(quick: bool) -> list[dict[str, Any]]:
    """The rows of the table for the coder.

    Args:
        quick: Only every fifth case.
    """
    rows = []
    known = lines("coder")
    for kind, what, check, right, goal in CHECKS:
        for part, held in PARTS:
            chosen = [
                case
                for case in known
                if case["kind"] == kind
                and (case["part"] == "held") is held
                and (right is None or case["right"] is right)
            ][:: QUICK if quick else 1]
            started = time.monotonic()
            hits = [case for case in chosen if check(case)]
            each_ms = 1000 * (time.monotonic() - started) / max(1, len(chosen))
            bad = right is False or check is misunderstood
            wrong = hits if bad else [case for case in chosen if case not in hits]
            rows.append(
                row("coder", what, part, of=len(chosen), count=len(hits), goal=goal,
                    cost=f"{each_ms:.0f} ms a turn" if kind in ("verdict", "named") else "",
                    failures=[_shown(case) for case in wrong])
            )  # fmt: skip
    return rows


def _shown(case: dict[str, Any]) -> str:
    what = case.get("manner", case.get("means", ""))
    return f"{case['id']} {what}: {case.get('text', case.get('task', ''))[:60]}"
