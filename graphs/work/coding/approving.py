"""Asking a person before code runs; wishes are worked in and questions answered, then again."""

from typing import Any

from langgraph.types import interrupt

from allotrope.exceptions import AllotropeError
from allotrope.graphs.nodes import REPORT
from allotrope.graphs.steps.steps import Ask, Step, Work, harmless, question_of, tell
from allotrope.graphs.work.answers import origin
from allotrope.graphs.work.coding.prompting import asked, shown, usable
from allotrope.graphs.work.coding.replies import files_of
from allotrope.graphs.work.coding.state import CoderState
from allotrope.graphs.work.sandbox.approval import reading_of
from allotrope.graphs.work.sandbox.choosing import backend_for, without_walls
from allotrope.graphs.work.sandbox.proof.frozen import tests_in
from allotrope.settings import Settings
from allotrope.support.fencing import Untrusted

NO_WALLS = (
    "The code was not run, because this machine can't cut it off from your files: it has neither "
    "namespaces nor Landlock. Set ALLOTROPE_AGENTS__CODE_BACKEND=docker, or accept it by "
    "ALLOTROPE_AGENTS__CODE_WITHOUT_WALLS=i-accept-that-code-can-read-my-files. It is untested."
)
WAITS = "It waits. Answer yes, always or no whenever you like, or say what to change."
UNCLEAR = "I can't tell whether that is a yes. Answer yes, always or no, or say what to change."


def approve(state: CoderState, settings: Settings) -> Step:
    """Asks a person before the first run, where that is needed."""
    outcome = state["outcome"]
    if state["trouble"] or outcome.get("status") == "no_code" or state["allowed"] != "no":
        return {"reading": "yes"}
    try:
        isolation = yield Work(lambda: backend_for(settings.agents).isolation())
    except AllotropeError as exc:
        return {"trouble": str(exc), "declined": True, "reading": "no"}
    accepted = without_walls(settings.agents)
    if not isolation.complete and not accepted:
        return {"trouble": NO_WALLS, "declined": True, "reading": "no"}
    if not settings.agents.coder_approval and (isolation.complete or accepted):
        return {"allowed": "once", "reading": "yes"}
    new = {n: t for n, t in state["files"].items() if state["before"].get(n) != t}
    answer = interrupt(
        {
            "type": "approval",
            "question": "Run this code?",
            "note": state.get("note", ""),
            "files": new or state["files"],
            "isolation": isolation.describe()
            if not isolation.complete
            else "It runs cut off from network, your files and other processes.",
            "answers": ["yes", "always", "no"],
        }
    )
    said = answer.get("answer", answer) if isinstance(answer, dict) else answer
    reading = reading_of(said)
    taken: dict[str, Any] = {"reading": reading, "said": "", "note": ""}
    if reading in ("yes", "always"):
        return {**taken, "allowed": "always" if reading == "always" else "once"}
    if reading == "no":
        return {**taken, "declined": True}
    if reading in ("edit", "question"):
        return {**taken, "said": str(said)}
    return {**taken, "note": WAITS if reading == "wait" else UNCLEAR}


def revise(state: CoderState, settings: Settings) -> Step:
    """Works a person's wish in, before anything has run; then it asks again."""
    tell("step", name="revise")
    task = f"{question_of(state)}\n\nThe user has read the code and answers: {state['said']}"
    reply = yield Ask("coder.write", asked(task, state["files"], settings), True)
    written, left = usable(files_of(reply.text, known=state["files"]), state["files"])
    if not written:
        return {"note": "The model wrote nothing that could be taken for that change."}
    files = {**state["files"], **written}
    tests = {**tests_in(files), **tests_in(state.get("yours") or {})}
    return {
        "files": files,
        "first_tests": tests,
        "outcome": {},
        "notes": [*state["notes"], *left],
        "note": "Changed as you said.",
        "origin": origin(reply),
    }


def explain(state: CoderState, settings: Settings) -> Step:
    """Answers a person's question about the code; then it asks again."""
    tell("step", name="explain")
    reply = yield Ask(
        "coder.explain",
        {
            "task": Untrusted(question_of(state)),
            "files": Untrusted(shown(state["files"])),
            "question": Untrusted(state["said"]),
        },
        conversation=True,
    )
    return {"note": harmless(reply.text) or "The model had no answer to that."}


def after_approve(state: CoderState) -> str:
    """The way on after an answer: to the sandbox, the model, the report, or to ask again."""
    if state["declined"]:
        return REPORT
    ways = {"edit": "revise", "question": "explain", "wait": "approve", "unclear": "approve"}
    return ways.get(state.get("reading", ""), "run")
