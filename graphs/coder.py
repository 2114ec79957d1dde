"""The coder: fit → write → approve → run ⇄ repair → report.

Generated code runs only in the sandbox, and only after a person agreed (`interrupt`), unless the
settings or an earlier answer in the thread allow it. "Passes" is said only when tests ran and
passed.
"""

import difflib
import hashlib
import re
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired

from langgraph.types import interrupt

from allotrope.exceptions import AllotropeError
from allotrope.graphs.building import step_graph
from allotrope.graphs.nodes import REPORT
from allotrope.graphs.parts import LazyParts, Parts
from allotrope.graphs.state import AgentOutput, AgentState
from allotrope.graphs.steps.steps import (
    Ask,
    Step,
    Work,
    final,
    output_folder,
    question_of,
    tell,
    too_late,
)
from allotrope.graphs.work.answers import code_blocks, origin
from allotrope.graphs.work.sandbox.choosing import backend_for, without_walls
from allotrope.graphs.work.sandbox.runner import Limits, RunOutcome, check_files, run_tests
from allotrope.settings import Settings
from allotrope.settings.agents import AgentsSettings
from allotrope.support.fencing import Untrusted, Value

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore
    from langgraph.types import Checkpointer

NO_WALLS = (
    "The code was not run, because this machine can't cut it off from your files: it has neither "
    "namespaces nor Landlock. Set ALLOTROPE_AGENTS__CODE_BACKEND=docker, or accept it by "
    "ALLOTROPE_AGENTS__CODE_WITHOUT_WALLS=i-accept-that-code-can-read-my-files. It is untested."
)
SOLUTION, TESTS = "solution.py", "test_solution.py"
_NAMED = re.compile(r"\A\s*#\s*(?:file(?:name)?:\s*)?([\w./-]+\.py)\s*\n")
_YES = {"yes", "y", "ok", "okay", "approve", "approved", "run", "true", "ja", "always"}


class CoderState(AgentState):
    """What the coder works on.

    Attributes:
        files: The code as it is, by name; they stay for the next question of the thread.
        before: The files as they were when the turn began.
        outcome: What the last run came to.
        allowed: Whether running was allowed: `no`, `once` (this turn) or `always` (this thread).
        declined: Whether a person said no.
        repairs: How often code went back.
        trouble: Why it can't go on, as a sentence.
        origin: Where the code came from.
        saved: Files that were written.
    """

    files: NotRequired[dict[str, str]]
    before: NotRequired[dict[str, str]]
    outcome: NotRequired[dict[str, Any]]
    allowed: NotRequired[str]
    declined: NotRequired[bool]
    repairs: NotRequired[int]
    trouble: NotRequired[str]
    origin: NotRequired[dict[str, Any]]
    saved: NotRequired[list[str]]


class CoderOutput(AgentOutput):
    """What a run ends with."""

    files: NotRequired[dict[str, str]]
    outcome: NotRequired[dict[str, Any]]
    saved: NotRequired[list[str]]


def files_of(text: str) -> dict[str, str]:
    """The files of a reply: each code block, named by its first comment, else by its content.

    Args:
        text: A model's reply.

    Returns:
        Name to text; a block with tests and no name is `test_solution.py`.
    """
    files: dict[str, str] = {}
    for language, code in code_blocks(text):
        if language not in ("", "python", "py", "python3") or not code.strip():
            continue
        named = _NAMED.match(code)
        if named:
            name = named[1].removeprefix("./")
        else:
            is_test = re.search(r"^[^\S\n]*+(?:def test_|class Test|import unittest)", code, re.M)
            name = TESTS if is_test else SOLUTION
        files[name] = code.rstrip() + "\n"
    return files


def write(state: CoderState, settings: Settings) -> Step:
    """Writes code and tests for the task."""
    tell("step", name="write")
    before = dict(state.get("files") or {})
    values: dict[str, Value] = {"task": Untrusted(question_of(state))}
    if before:
        shown = "\n\n".join(f"{name}:\n{text}" for name, text in before.items())
        values["files"] = Untrusted(shown)
    reply = yield Ask("coder.write", values, conversation=True)
    found = files_of(reply.text)
    return {
        "files": {**before, **found} if found else before,
        "before": before,
        "outcome": {} if found else _nothing("The answer held no code block."),
        "declined": False,
        "allowed": "always" if state.get("allowed") == "always" else "no",
        "repairs": 0,
        "trouble": "",
        "origin": origin(reply),
        "saved": [],
    }


def approve(state: CoderState, settings: Settings) -> Step:
    """Asks a person before the first run, where that is needed."""
    outcome = state["outcome"]
    if outcome.get("status") == "no_code" or state["allowed"] != "no":
        return {}
    try:
        isolation = yield Work(lambda: backend_for(settings.agents).isolation())
    except AllotropeError as exc:
        return {"trouble": str(exc), "declined": True}
    accepted = without_walls(settings.agents)
    if not isolation.complete and not accepted:
        return {"trouble": NO_WALLS, "declined": True}
    trusted = isolation.complete or accepted
    if not settings.agents.coder_approval and trusted:
        return {"allowed": "once"}
    answer = interrupt(
        {
            "type": "approval",
            "question": "Run this code?",
            "files": state["files"],
            "isolation": isolation.describe()
            if not isolation.complete
            else "It runs cut off from network, your files and other processes.",
            "answers": ["yes", "always", "no"],
        }
    )
    said = answer.get("answer", answer) if isinstance(answer, dict) else answer
    word = str(said).strip().lower()
    if word not in _YES:
        return {"declined": True}
    return {"allowed": "always" if word == "always" else "once"}


def run(state: CoderState, settings: Settings) -> Step:
    """Runs the tests in the sandbox."""
    tell("step", name="run")
    if state["outcome"].get("status") == "no_code":
        return {"repairs": state["repairs"] + 1}
    files, agents = state["files"], settings.agents
    backend = backend_for(agents)
    limits = Limits(
        wall_s=agents.code_timeout_s,
        memory_mb=agents.code_memory_mb,
        disk_mb=agents.code_disk_mb,
        processes=agents.code_processes,
    )
    try:
        check_files(files)
        stop = threading.Event()
        outcome: RunOutcome = yield Work(
            lambda: run_tests(files, limits=limits, cancel=stop, backend=backend), stop
        )
    except AllotropeError as exc:
        if files and "file name" in str(exc):
            return {"outcome": _nothing(str(exc)), "repairs": state["repairs"] + 1}
        return {"trouble": str(exc)}
    facts = asdict(outcome)
    good = outcome.status == "ok"
    return {"outcome": facts, "repairs": 0 if good else state["repairs"] + 1}


def repair(state: CoderState, settings: Settings) -> Step:
    """Sends failing code back with the output of its tests."""
    tell("step", name="repair")
    files = state["files"]
    reply = yield Ask(
        "coder.repair",
        {
            "task": Untrusted(question_of(state)),
            "solution": Untrusted(_all_but_tests(files) or "(missing)"),
            "tests": Untrusted(files.get(TESTS) or "(missing)"),
            "output": Untrusted(_why(state["outcome"])),
        },
        conversation=True,
    )
    found = files_of(reply.text)
    if not found:
        return {"outcome": _nothing("The answer held no code block."), "origin": origin(reply)}
    good = {name: text for name, text in files.items() if _is_name(name)}
    return {"files": {**good, **found}, "outcome": {}, "origin": origin(reply)}


def report(state: CoderState, settings: Settings) -> Step:
    """What was made, as a diff, with the test output and an honest status."""
    files = {name: text for name, text in (state.get("files") or {}).items() if _is_name(name)}
    saved: list[str] = []
    if files and not state["trouble"]:

        def work() -> list[str]:
            seed = hashlib.sha256(question_of(state).encode()).hexdigest()[:10]
            folder = Path(output_folder(settings)) / f"coder-{seed}"
            written = []
            for name, text in files.items():
                # what a person refused to run isn't run by the next `pytest` in the folder either
                path = folder / (f"{name}.txt" if state["declined"] else name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                written.append(str(path))
            return written

        try:
            saved = yield Work(work)
        except OSError as exc:
            tell("notice", message=f"The files couldn't be saved: {exc.strerror}.")
    return {**final(_report(state, files, saved), state["origin"]), "saved": saved}


def _report(state: CoderState, files: dict[str, str], saved: list[str]) -> str:
    parts = [_status(state)]
    changes = diff(state["before"], files)
    if changes:
        parts.append(f"```diff\n{changes}\n```")
    output = str(state["outcome"].get("output", "")).strip()
    if output:
        parts.append(f"Output of the tests:\n```text\n{output[-3000:].replace('```', '´´´')}\n```")
    if saved:
        parts.append("Saved: " + ", ".join(saved))
    return "\n\n".join(parts)


def _status(state: CoderState) -> str:
    outcome = state["outcome"]
    status = outcome.get("status")
    if state["trouble"]:
        return state["trouble"]
    if state["declined"]:
        return "The code was not run, because running it was declined. It is untested."
    if status in (None, "no_code"):
        return "No code came out that could be run: the model's answers held none."
    ran = f"{outcome['passed']} passed, {outcome['failed']} failed, {outcome['skipped']} skipped"
    walls_stood = {key: outcome["isolation"][key] for key in ("network", "files", "processes")}
    where = (
        "Everything ran in the sandbox, without network and without your files."
        if all(walls_stood.values())
        else "Only some walls of the sandbox stood: "
        + ", ".join(f"{name} {'yes' if stood else 'no'}" for name, stood in walls_stood.items())
        + "."
    )
    if status == "ok":
        return f"The tests pass ({ran}). {where}"
    repairs = max(state["repairs"] - 1, 0)
    tried = f" after {repairs} repair{'s' if repairs != 1 else ''}" if repairs else ""
    return f"The code does not work yet{tried}: {_why_short(outcome)} {where}"


def _why_short(outcome: dict[str, Any]) -> str:
    return {
        "failed": f"tests fail ({outcome['passed']} passed, {outcome['failed']} failed).",
        "timeout": "it didn't end in time and was stopped.",
        "memory": "it needed more memory than it may use and was stopped.",
        "no_tests": "no test was found that passed.",
        "disk": "it wrote more than it may and was stopped.",
        "unfinished": "the process ended before the tests did.",
        "forged": "the report of its tests doesn't agree with the code, so none counts as passed.",
        "cancelled": "the run was cancelled.",
    }.get(str(outcome["status"]), str(outcome["status"]))


def _why(outcome: dict[str, Any]) -> str:
    if outcome.get("status") == "no_code":
        return str(outcome["output"])
    return f"{outcome.get('output', '')}\nResult: {_why_short(outcome)}"


def diff(before: dict[str, str], after: dict[str, str]) -> str:
    """What changed, as a unified diff over all files.

    Args:
        before: Name to text.
        after: Name to text.
    """
    lines: list[str] = []
    for name in sorted({*before, *after}):
        lines += difflib.unified_diff(
            before.get(name, "").splitlines(),
            after.get(name, "").splitlines(),
            f"a/{name}" if name in before else "/dev/null",
            f"b/{name}" if name in after else "/dev/null",
            lineterm="",
        )
    return "\n".join(lines)


def _is_name(name: str) -> bool:
    try:
        check_files({name: ""})
    except AllotropeError:
        return False
    return True


def _all_but_tests(files: dict[str, str]) -> str:
    own = {name: text for name, text in files.items() if name != TESTS}
    if set(own) == {SOLUTION}:
        return own[SOLUTION]
    return "\n\n".join(f"# {name}\n{text}" for name, text in own.items())


def _nothing(why: str) -> dict[str, Any]:
    return {"status": "no_code", "output": why}


def after_approve(state: CoderState) -> str:
    """To the sandbox, or to the report when a person said no."""
    return REPORT if state["declined"] else "run"


def make_after_run(parts: LazyParts) -> Any:
    """The way on after a run: repair or report."""

    def after_run(state: CoderState) -> str:
        most = parts.get().settings.agents.coder_repairs
        if state["trouble"] or state["outcome"].get("status") == "ok":
            return REPORT
        if state["repairs"] > most or too_late(state, steps=6):
            return REPORT
        return "repair"

    return after_run


def model_calls(limits: AgentsSettings) -> tuple[int, int]:
    """Model calls of a turn: the usual number, and the most with every repair.

    Args:
        limits: How far the loops may go.
    """
    return 1, 1 + limits.coder_repairs


def build_graph(
    *,
    agent: str = "coder",
    prompt: str = "coder",
    profile: str | None = None,
    parts: Parts | None = None,
    checkpointer: "Checkpointer" = None,
    store: "BaseStore | None" = None,
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """The coder's graph.

    Args:
        agent: The agent's name, for usage and cache.
        prompt: The agent's template; each step has one of its own.
        profile: The parameter profile where a run names none.
        parts: What the nodes work with; default: opened from the settings at the first run.
        checkpointer: Keeps threads; the approval needs one (LangGraph's Agent Server brings its
            own).
        store: Long-term facts.
    """
    lazy = LazyParts(parts)
    graph = step_graph(
        {"write": write, "approve": approve, "run": run, "repair": repair, REPORT: report},
        agent=agent,
        profile=profile,
        parts=lazy,
        state=CoderState,
        output_schema=CoderOutput,
    )
    graph.add_edge("write", "approve")
    graph.add_conditional_edges("approve", after_approve, ["run", REPORT])
    graph.add_conditional_edges("run", make_after_run(lazy), ["repair", REPORT])
    graph.add_edge("repair", "approve")
    return graph.compile(checkpointer=checkpointer, store=store, name=agent)


graph = build_graph()
"""For Studio and the Agent Server: no checkpointer, and nothing is opened before the first run."""
