"""The coder: fit → write → approve → run ⇄ repair → report.

Generated code runs only in the sandbox, and only after a person agreed (`interrupt`), unless the
settings or an earlier answer in the thread allow it. What a person answers is read in free words:
a wish is worked in, a question is answered, and then it asks again. "The tests pass" is said only
when tests ran, passed, and were put to the proof (`graphs/work/sandbox/proof/`).
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import AllotropeError
from allotrope.graphs.building import step_graph
from allotrope.graphs.nodes import REPORT
from allotrope.graphs.parts import LazyParts, Parts
from allotrope.graphs.steps.steps import (
    UNASKED,
    Ask,
    Step,
    Work,
    final,
    output_folder,
    question_of,
    tell,
    too_late,
)
from allotrope.graphs.work.answers import origin
from allotrope.graphs.work.coding.approving import after_approve, approve, explain, revise
from allotrope.graphs.work.coding.patch import diff
from allotrope.graphs.work.coding.prompting import asked, packages_for, shown, usable
from allotrope.graphs.work.coding.replies import files_of
from allotrope.graphs.work.coding.report import (
    DECLINED,
    fence,
    for_the_model,
    packages_missing,
    status_of,
)
from allotrope.graphs.work.coding.state import CoderOutput, CoderState
from allotrope.graphs.work.coding.trying import tested, written_to
from allotrope.graphs.work.coding.yours import yours_in
from allotrope.graphs.work.sandbox.choosing import backend_for
from allotrope.graphs.work.sandbox.proof.frozen import tests_in
from allotrope.graphs.work.sandbox.runner import Limits, check_files
from allotrope.settings import Settings
from allotrope.settings.agents import AgentsSettings
from allotrope.support.fencing import Untrusted, Value

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore
    from langgraph.types import Checkpointer

__all__ = ["CoderOutput", "CoderState", "build_graph", "diff", "files_of", "graph", "model_calls"]


def write(state: CoderState, settings: Settings) -> Step:
    """Reads the files that the task names, and writes code and tests for it."""
    tell("step", name="write")
    fresh: dict[str, Any] = {
        "outcome": {},
        "declined": False,
        "reading": "",
        "said": "",
        "note": "",
        "allowed": "always" if state.get("allowed") == "always" else "no",
        "repairs": 0,
        "trouble": "",
        "notes": [],
        "origin": {},
        "saved": [],
    }
    before = dict(state.get("files") or {})
    yours = dict(state.get("yours") or {})
    try:
        found = yield Work(lambda: yours_in(question_of(state), settings))
    except (AllotropeError, OSError) as exc:
        unread = {**fresh, "files": before, "before": before, "first_tests": {}}
        return {**unread, "trouble": str(exc), "declined": True, "origin": UNASKED}
    if found.files:
        before = yours = dict(found.files)
        fresh.update(root=found.root, yours=yours, notes=list(found.notes))
    reply = yield Ask("coder.write", asked(question_of(state), before, settings), True)
    written, left = usable(files_of(reply.text, known=before), before)
    files = {**before, **written}
    missing = [name for name in found.missing if name in written]
    notes = [*fresh["notes"], *left, *(f"There was no `{name}`; it is new." for name in missing)]
    return {
        **fresh,
        "files": files,
        "before": before,
        "first_tests": {**tests_in(files), **tests_in(yours)},
        "outcome": {}
        if written
        else {"status": "no_code", "output": "The answer held no code block."},
        "notes": notes,
        "origin": origin(reply),
    }


def run(state: CoderState, settings: Settings) -> Step:
    """Runs the tests in the sandbox, and puts them to the proof when they are green."""
    tell("step", name="run")
    outcome = state["outcome"]
    if state["trouble"]:
        return {}
    if outcome.get("status") == "no_code" or outcome.get("note"):
        return {"repairs": state["repairs"] + 1}
    files, agents = state["files"], settings.agents
    if not any(name.endswith(".py") for name in files):
        return {"outcome": {"status": "no_python", "output": ""}}
    backend = backend_for(agents)
    limits = Limits(
        wall_s=agents.code_timeout_s,
        memory_mb=agents.code_memory_mb,
        disk_mb=agents.code_disk_mb,
        processes=agents.code_processes,
    )
    stop = threading.Event()
    try:
        check_files(files)
        facts = yield Work(lambda: tested(state, backend, limits, stop), stop)
    except AllotropeError as exc:
        return {"trouble": str(exc)}
    hint = packages_missing(facts["output"], files, packages_for(settings))
    notes = [one for one in state["notes"] if "ALLOTROPE_AGENTS__CODE_PACKAGES" not in one]
    good = facts["status"] == "ok"
    return {
        "outcome": facts,
        "repairs": 0 if good else state["repairs"] + 1,
        "notes": [*notes, hint] if hint else notes,
    }


def repair(state: CoderState, settings: Settings) -> Step:
    """Sends failing code back with the output of its tests."""
    tell("step", name="repair")
    files = state["files"]
    tests = tests_in(files)
    values: dict[str, Value] = {
        "task": Untrusted(question_of(state)),
        "solution": Untrusted(shown({n: t for n, t in files.items() if n not in tests})),
        "tests": Untrusted(shown(tests)),
        "output": Untrusted(for_the_model(state["outcome"])),
    }
    packages = [Untrusted(one) for one in packages_for(settings)]
    if packages:
        values["packages"] = packages
    reply = yield Ask("coder.repair", values, conversation=True)
    written, left = usable(files_of(reply.text, known=files), files)
    if not written:
        note = "The last answer held no code block."
        return {"outcome": {**state["outcome"], "note": note}, "origin": origin(reply)}
    first = dict(state["first_tests"])
    if not first:
        first = tests_in(written)
    return {
        "files": {**files, **written},
        "first_tests": first,
        "outcome": {},
        "notes": [*state["notes"], *(one for one in left if one not in state["notes"])],
        "origin": origin(reply),
    }


def report(state: CoderState, settings: Settings) -> Step:
    """What was made, as a diff, with the test output and an honest status."""
    files, before = state.get("files") or {}, state["before"]
    changes = diff(before, files)
    saved: list[str] = []
    new = {name: text for name, text in files.items() if before.get(name) != text}
    keep = new if state.get("root") else files
    task, folder = question_of(state), Path(output_folder(settings))
    if keep and not state["trouble"]:
        try:
            saved = yield Work(lambda: written_to(state, task, folder, keep))
        except OSError as exc:
            tell("notice", message=f"The files couldn't be saved: {exc.strerror}.")
    parts = [_status(state)]
    if changes and not (state["trouble"] and not new):
        parts.append(fence("diff", changes))
    outcome = state["outcome"]
    output = str(outcome.get("output", "")).strip()
    if output:
        parts.append(f"Output of the tests:\n{fence('text', output[-3000:])}")
    if saved:
        parts.append("Saved: " + ", ".join(saved))
    patch = next((one for one in saved if one.endswith("changes.diff")), "")
    if patch:
        parts.append(
            "Your own files are as they were. To take the changes over, in "
            f"{state['root']}: `git apply {patch}`"
        )
    return {**final("\n\n".join(parts), state["origin"]), "saved": saved}


def _status(state: CoderState) -> str:
    if state["trouble"]:
        return state["trouble"]
    notes = state["notes"]
    if state["declined"]:
        return " ".join([DECLINED, *notes])
    others = [
        name
        for name, text in state["files"].items()
        if state["before"].get(name) != text and not name.endswith((".py", ".md", ".txt"))
    ]
    repairs = max(state["repairs"] - 1, 0)
    return " ".join([status_of(state["outcome"], repairs=repairs, others=others), *notes])


def make_after_run(parts: LazyParts) -> Any:
    """The way on after a run: repair or report."""

    def after_run(state: CoderState) -> str:
        most = parts.get().settings.agents.coder_repairs
        outcome = state["outcome"]
        status = outcome.get("status")
        if state["trouble"] or status in ("ok", "no_python"):
            return REPORT
        if status == "unproven" and not outcome["proof"]["problems"]:
            return REPORT  # only tests were changed: that is for a person to judge
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
        {
            "write": write,
            "approve": approve,
            "revise": revise,
            "explain": explain,
            "run": run,
            "repair": repair,
            REPORT: report,
        },
        agent=agent,
        profile=profile,
        parts=lazy,
        state=CoderState,
        output_schema=CoderOutput,
    )
    graph.add_edge("write", "approve")
    ways = ["run", REPORT, "revise", "explain", "approve"]
    graph.add_conditional_edges("approve", after_approve, ways)
    graph.add_edge("revise", "approve")
    graph.add_edge("explain", "approve")
    graph.add_conditional_edges("run", make_after_run(lazy), ["repair", REPORT])
    graph.add_edge("repair", "approve")
    return graph.compile(checkpointer=checkpointer, store=store, name=agent)


graph = build_graph()
"""For Studio and the Agent Server: no checkpointer, and nothing is opened before the first run."""
