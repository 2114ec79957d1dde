"""The writer: fit → brief → confirm → draft × N → critique × N → choose ⇄ revise → report.

Drafts are written and judged in parallel. What a program can check is checked by one: a draft that
breaks a constraint of the brief never wins over one that doesn't, whatever score the model gave.
"""

from typing import TYPE_CHECKING, Annotated, Any, NotRequired

from langgraph.types import Send, interrupt

from allotrope.graphs.building import pass_on, step_graph
from allotrope.graphs.nodes import REPORT
from allotrope.graphs.parts import LazyParts, Parts
from allotrope.graphs.state import AgentOutput, AgentState
from allotrope.graphs.steps.steps import (
    Ask,
    Step,
    branch,
    final,
    harmless,
    question_of,
    tell,
    too_late,
)
from allotrope.graphs.work import constraints as rules
from allotrope.graphs.work.answers import json_object, origin
from allotrope.settings import Settings
from allotrope.settings.agents import AgentsSettings
from allotrope.support.fencing import Untrusted, Value

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore
    from langgraph.types import Checkpointer

GOOD_SCORE = 8
"""A draft with this score, and no broken constraint, isn't revised."""
ANGLES = (
    "",
    "Begin in the middle of things, with one concrete detail.",
    "Say it through a voice or a comparison nobody expects.",
    "As plain and short as the brief allows; every word earns its place.",
)


def merged(
    old: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None
) -> list[dict[str, Any]]:
    """Joins drafts of parallel branches by their id; None starts a new turn.

    Args:
        old: The drafts there are.
        new: New ones, or more facts about one.
    """
    if new is None:
        return []
    by_id = {draft["id"]: draft for draft in old or []}
    for draft in new:
        by_id[draft["id"]] = {**by_id.get(draft["id"], {}), **draft}
    return [by_id[key] for key in sorted(by_id)]


class CreativeState(AgentState):
    """What the writer works on.

    Attributes:
        brief: What is to be written.
        constraints: What a program can check (`graphs.constraints`).
        dropped: Constraints that contradict each other, a sentence a pair.
        unread: Wishes of the brief that no program checks.
        drafts: `id`, `round`, `text`, `score`, `problems`, `broken`, `origin` of each.
        best: The id of the best draft.
        round: How often the best was revised.
    """

    brief: NotRequired[str]
    constraints: NotRequired[list[dict[str, Any]]]
    dropped: NotRequired[list[str]]
    unread: NotRequired[list[str]]
    drafts: NotRequired[Annotated[list[dict[str, Any]], merged]]
    best: NotRequired[int]
    round: NotRequired[int]


class CreativeOutput(AgentOutput):
    """What a run ends with."""

    drafts: NotRequired[Annotated[list[dict[str, Any]], merged]]


def read_brief(state: CreativeState, settings: Settings) -> dict[str, Any]:
    """Finds the constraints in the brief, and says what was understood before drafting."""
    brief = question_of(state)
    found = rules.understood(brief)
    tell("notice", message=rules.told(found))
    return {"brief": brief, **_kept(found), "drafts": None, "best": 0, "round": 0}


def confirm(state: CreativeState, settings: Settings) -> dict[str, Any]:
    """Asks a person whether the brief was understood, where the settings say so."""
    found = _understood(state)
    ask = settings.agents.creative_confirm
    if ask == "never" or (ask == "doubt" and not (found.dropped or found.unread)):
        return {}
    answer = interrupt(
        {
            "type": "understanding",
            "question": f"{rules.told(found)}\n\nIs that what you want?",
            "answers": ["yes", "`drop 2`", "what is different (`at most 60 words`)"],
        }
    )
    said = str(answer.get("answer", answer) if isinstance(answer, dict) else answer)
    after = rules.corrected(found, said)
    if after is found:
        return {}
    tell("notice", message=rules.told(after))
    return {"brief": f"{state['brief']}\n\nCorrection: {said}", **_kept(after)}


def _kept(found: rules.Understood) -> dict[str, Any]:
    return {"constraints": found.constraints, "dropped": found.dropped, "unread": found.unread}


def _understood(state: CreativeState) -> rules.Understood:
    return rules.Understood(
        state["constraints"], state.get("dropped") or [], state.get("unread") or []
    )


def draft(state: dict[str, Any], settings: Settings) -> Step:
    """Writes one draft."""
    tell("step", name="draft")
    values: dict[str, Value] = {
        "brief": Untrusted(state["brief"]),
        "constraints": [Untrusted(rules.sentence(one)) for one in state["constraints"]],
    }
    if state["angle"]:
        values["angle"] = Untrusted(state["angle"])
    reply = yield Ask("creative.draft", values, conversation=True)
    made = {"id": state["id"], "round": 0, "text": _text(reply.text), "origin": origin(reply)}
    return {"drafts": [made]}


def critique(state: dict[str, Any], settings: Settings) -> Step:
    """Judges one draft: constraints by program, the rest by the model."""
    tell("step", name="critique")
    one = state["draft"]
    wrong = rules.broken(one["text"], state["constraints"])
    if not one["text"]:
        return {"drafts": [{"id": one["id"], "broken": wrong, "score": 0, "problems": []}]}
    reply = yield Ask(
        "creative.critique",
        {
            "brief": Untrusted(state["brief"]),
            "constraints": [Untrusted(rules.sentence(rule)) for rule in state["constraints"]],
            "draft": Untrusted(one["text"]),
            "checks": list(map(Untrusted, wrong)),
        },
        conversation=True,
    )
    judged = json_object(reply.text) or {}
    score = judged.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float):
        score = 0
    problems = judged.get("problems")
    named = problems if isinstance(problems, list) else []
    facts = {
        "id": one["id"],
        "broken": wrong,
        "score": min(10, max(0, round(score))),
        "problems": [" ".join(str(p).split())[:300] for p in named if str(p).strip()][:5],
    }
    return {"drafts": [facts]}


def choose(state: CreativeState, settings: Settings) -> dict[str, Any]:
    """Picks the best draft: fewest broken constraints, then the score, then the earliest."""
    drafts = state["drafts"]
    best = min(drafts, key=lambda d: (not d["text"], len(d["broken"]), -d["score"], d["id"]))
    return {"best": best["id"]}


def revise(state: CreativeState, settings: Settings) -> Step:
    """Rewrites the best draft so that its problems are gone."""
    tell("step", name="revise")
    best = _best(state)
    reply = yield Ask(
        "creative.revise",
        {
            "brief": Untrusted(state["brief"]),
            "constraints": [Untrusted(rules.sentence(rule)) for rule in state["constraints"]],
            "draft": Untrusted(best["text"] or "(nothing was written yet)"),
            "problems": [Untrusted(one) for one in (*best["broken"], *best["problems"])],
        },
        conversation=True,
    )
    made = {
        "id": max(one["id"] for one in state["drafts"]) + 1,
        "round": state["round"] + 1,
        "text": _text(reply.text),
        "origin": origin(reply),
    }
    return {"drafts": [made], "round": state["round"] + 1}


def report(state: CreativeState, settings: Settings) -> dict[str, Any]:
    """The best draft, and below it how it was judged."""
    best = _best(state)
    if not best["text"]:
        return final("The model wrote nothing that could be used. Try again.", best["origin"])
    checked = state["constraints"]
    verdict = rules.verdict(checked, best["broken"], rules.unchecked(best["text"], checked))
    verdict = "\n".join([verdict, *rules.rest_told(_understood(state))])
    scores = ", ".join(str(one["score"]) for one in state["drafts"])
    judged = f"Score {best['score']}/10; the drafts had {scores}. {verdict}"
    return final(f"{best['text']}\n\n---\n{judged}", best["origin"])


def _best(state: CreativeState) -> dict[str, Any]:
    return next(one for one in state["drafts"] if one["id"] == state["best"])


def _text(reply: str) -> str:
    """A draft without fences or quotation marks around the whole."""
    text = harmless(reply)
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text.split("\n", 1)[1].rsplit("```", 1)[0].strip()
    if len(text) > 2 and (text[0], text[-1]) in {('"', '"'), ("“", "”"), ("„", "“")}:
        inner = text[1:-1]
        if not any(mark in inner for mark in '"“”„'):
            text = inner.strip()
    return text


def make_spread(parts: LazyParts) -> Any:
    """Sends the brief to as many writers as the settings say."""

    def spread(state: CreativeState) -> list[Send]:
        most = parts.get().settings.agents.creative_drafts
        shared = branch(state, brief=state["brief"], constraints=state["constraints"])
        return [
            Send("draft", {**shared, "id": n, "angle": ANGLES[n % len(ANGLES)]})
            for n in range(most)
        ]

    return spread


def to_critique(state: CreativeState) -> list[Send]:
    """Sends each draft that isn't judged yet to its own critic."""
    shared = branch(state, brief=state["brief"], constraints=state["constraints"])
    return [
        Send("critique", {**shared, "draft": one}) for one in state["drafts"] if "score" not in one
    ]


def make_after_choose(parts: LazyParts) -> Any:
    """The way on after a choice: revise or report."""

    def after_choose(state: CreativeState) -> str:
        best = _best(state)
        done = not best["broken"] and (best["score"] >= GOOD_SCORE or not best["problems"])
        most = parts.get().settings.agents.creative_revisions
        if done or state["round"] >= most or too_late(state, steps=6):
            return REPORT
        return "revise"

    return after_choose


def model_calls(limits: AgentsSettings) -> tuple[int, int]:
    """Model calls of a turn: the usual number, and the most with every repair.

    Args:
        limits: How far the loops may go.
    """
    first = 2 * limits.creative_drafts
    return first, first + 2 * limits.creative_revisions


def build_graph(
    *,
    agent: str = "creative",
    prompt: str = "creative",
    profile: str | None = None,
    parts: Parts | None = None,
    checkpointer: "Checkpointer" = None,
    store: "BaseStore | None" = None,
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """The writer's graph.

    Args:
        agent: The agent's name, for usage and cache.
        prompt: The agent's template; each step has one of its own.
        profile: The parameter profile where a run names none.
        parts: What the nodes work with; default: opened from the settings at the first run.
        checkpointer: Keeps threads; leave it out under LangGraph's Agent Server.
        store: Long-term facts.
    """
    lazy = LazyParts(parts)
    graph = step_graph(
        {
            "brief": read_brief,
            "confirm": confirm,
            "draft": draft,
            "gather": pass_on,
            "critique": critique,
            "choose": choose,
            "revise": revise,
            REPORT: report,
        },
        agent=agent,
        profile=profile,
        parts=lazy,
        state=CreativeState,
        output_schema=CreativeOutput,
    )
    graph.add_edge("brief", "confirm")
    graph.add_conditional_edges("confirm", make_spread(lazy), ["draft"])
    graph.add_edge("draft", "gather")
    graph.add_conditional_edges("gather", to_critique, ["critique"])
    graph.add_edge("critique", "choose")
    graph.add_conditional_edges("choose", make_after_choose(lazy), ["revise", REPORT])
    graph.add_edge("revise", "gather")
    return graph.compile(checkpointer=checkpointer, store=store, name=agent)


graph = build_graph()
"""For Studio and the Agent Server: no checkpointer, and nothing is opened before the first run."""
