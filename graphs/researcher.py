"""The researcher: fit → ingest → plan → look_up × N → write ⇄ verify → report.

Sub-questions are looked up in parallel; every sentence of the report is checked against the
passages it cites, and what isn't verified is marked for the reader.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

from langgraph.types import Send

from allotrope.exceptions import AllotropeError
from allotrope.graphs.building import again_while_wrong, pass_on, step_graph
from allotrope.graphs.nodes import REPORT, RESPOND
from allotrope.graphs.parts import LazyParts, Parts
from allotrope.graphs.state import AgentInput, AgentOutput, AgentState
from allotrope.graphs.steps.steps import (
    UNASKED,
    Ask,
    Step,
    Work,
    final,
    harmless,
    question_of,
    tell,
)
from allotrope.graphs.work.answers import listed, origin, without_thoughts
from allotrope.graphs.work.sources import citations
from allotrope.graphs.work.sources.gathering import read_sources, sources_in
from allotrope.graphs.work.sources.index import (
    Embed,
    Passage,
    SourceDocument,
    cached_passages,
    search,
)
from allotrope.graphs.work.sources.reporting import notes_text, numbered, report_text
from allotrope.settings import Settings
from allotrope.settings.agents import AgentsSettings
from allotrope.support.fencing import Trusted, Untrusted, Value

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore
    from langgraph.types import Checkpointer


SearchFor = Callable[[str], Sequence[Mapping[str, str]]]
"""A question to what was found for it: `url`, and `text` where the search gives it."""
MOST_HITS = 10
"""Results of a search that are read."""
MOST_CLAIMS = 40
"""Sentences of a report that a model compares with their sources."""
UNSOURCED = (
    "No source is named: the answer is the model's own, and nothing of it is verified. Name files, "
    "folders or addresses."
)


def noted(
    old: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None
) -> list[dict[str, Any]]:
    """Joins the notes of parallel branches in the order of their questions; None starts anew."""
    if new is None:
        return []
    return sorted([*(old or []), *new], key=lambda one: int(one["at"]))


class ResearcherInput(AgentInput):
    """What a run starts with: a question, and sources where the question doesn't name them."""

    sources: NotRequired[list[str]]


class ResearcherState(AgentState):
    """What the researcher works on.

    Attributes:
        sources: Files, folders and addresses; they stay for the next question of the thread.
        read: The files and pages that were read.
        problems: What could not be read, one sentence each.
        trouble: Why it can't go on, as a sentence.
        notes: For each sub-question: `at`, `question`, `passages`, `text`.
        draft: The report that is being checked.
        wrong: Its sentences that aren't verified, and why.
        doubts: Sentences that a model doesn't find in what they cite.
        repairs: How often the report went back.
        origin: Where the draft came from.
    """

    sources: NotRequired[list[str]]
    read: NotRequired[list[str]]
    problems: NotRequired[list[str]]
    trouble: NotRequired[str]
    questions: NotRequired[list[str]]
    notes: NotRequired[Annotated[list[dict[str, Any]], noted]]
    draft: NotRequired[str]
    wrong: NotRequired[list[str]]
    doubts: NotRequired[list[str]]
    hits: NotRequired[list[dict[str, str]]]
    repairs: NotRequired[int]
    origin: NotRequired[dict[str, Any]]


class ResearcherOutput(AgentOutput):
    """What a run ends with."""

    notes: NotRequired[Annotated[list[dict[str, Any]], noted]]
    wrong: NotRequired[list[str]]


def make_ingest(search_for: SearchFor | None) -> Any:
    """The node that reads and indexes the sources.

    Args:
        search_for: Finds sources where the question names none.
    """

    def ingest(state: ResearcherState, settings: Settings) -> Step:
        question = question_of(state)
        named = sources_in(question) or state.get("sources") or []
        hits = list(state.get("hits") or [])
        fresh: dict[str, Any] = {
            "sources": named, "hits": hits, "read": [], "problems": [], "trouble": "",
            "questions": [], "notes": None, "draft": "", "wrong": [], "doubts": [], "repairs": 0,
            "origin": {},
        }  # fmt: skip
        if not named and search_for is not None:
            tell("step", name="search")
            hits = yield Work(lambda: _found(search_for(question)))
            named = [hit["name"] for hit in hits]
            fresh.update(sources=named, hits=hits)
        if not named:
            tell("notice", message=UNSOURCED)
            return fresh
        tell("step", name="ingest")
        try:
            passages, problems = yield Work(lambda: _passages(named, settings, hits))
        except AllotropeError as exc:
            return {**fresh, "sources": [], "trouble": str(exc), "origin": UNASKED}
        if not passages:
            why = " ".join(problems) or "They hold no text."
            why = f"None of the sources can be used. {why}"
            return {**fresh, "sources": [], "trouble": why, "origin": UNASKED}
        read = list(dict.fromkeys(one.source for one in passages))
        return {**fresh, "read": read, "problems": problems}

    return ingest


def _found(results: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """What a search gave, as plain values: `name` and, where it gave any, `text`."""
    return [
        {"name": str(one["url"]), "text": str(one.get("text") or "")}
        for one in results[:MOST_HITS]
        if one.get("url")
    ]


def _passages(
    named: list[str], settings: Settings, hits: Sequence[Mapping[str, str]] = ()
) -> tuple[Sequence[Passage], list[str]]:
    from allotrope.stores.folders import data_folder

    given = {hit["name"]: hit["text"] for hit in hits if hit["text"]}
    found, problems = read_sources([name for name in named if name not in given], settings)
    found += [
        SourceDocument(name, given[name].encode(), "page.txt") for name in named if name in given
    ]
    passages, broken = cached_passages(
        found,
        chars=settings.agents.research_chunk_chars,
        folder=data_folder(settings) / "passages",
    )
    return passages, [*problems, *broken]


def plan(state: ResearcherState, settings: Settings) -> Step:
    """Splits the question."""
    tell("step", name="plan")
    most = settings.agents.research_questions
    reply = yield Ask(
        "researcher.plan",
        {
            "question": Untrusted(question_of(state)),
            "max_questions": most,
            "sources": Untrusted("\n".join(state["read"][:50])),
        },
        conversation=True,
    )
    return {"questions": listed(reply.text, most=most) or [question_of(state)]}


def make_look_up(embed: Embed | None) -> Any:
    """The node that finds passages for one sub-question and takes notes.

    Args:
        embed: Also search by meaning.
    """

    def look_up(state: dict[str, Any], settings: Settings) -> Step:
        tell("step", name="look_up")
        question, most = state["question"], settings.agents.research_passages

        def work() -> list[Passage]:
            passages, _ = _passages(state["sources"], settings, state.get("hits") or [])
            found = search(passages, question, most=most, embed=embed)
            # a plan can be nonsense; what the user asked isn't
            return found or search(passages, state["asked"], most=most, embed=embed)

        found: list[Passage] = yield Work(work)
        note: dict[str, Any] = {
            "at": state["at"],
            "question": question,
            "passages": [one.as_dict() for one in found],
            "text": "",
        }
        if found:
            shown = "\n\n".join(
                f"[{number}] ({one.source}, {one.place})\n{one.text}"
                for number, one in enumerate(found, 1)
            )
            reply = yield Ask(
                "researcher.notes", {"question": Untrusted(question), "passages": Untrusted(shown)}
            )
            note["text"] = without_thoughts(reply.text)
            note["origin"] = origin(reply)
        return {"notes": [note]}

    return look_up


def write(state: ResearcherState, settings: Settings) -> Step:
    """Writes the report from the notes."""
    tell("step", name="write")
    values: dict[str, Value] = {
        "question": Untrusted(question_of(state)),
        "notes": Untrusted(notes_text(state)),
    }
    if state["wrong"]:
        values["correction"] = Untrusted(" ".join(state["wrong"])[:2000])
    elif state["repairs"]:
        values["correction"] = Trusted("It was empty.")
    reply = yield Ask("researcher.report", values, conversation=True)
    return {"draft": harmless(reply.text), "origin": origin(reply)}


def verify(state: ResearcherState, settings: Settings) -> Step:
    """Checks every sentence of the report against the passages it cites."""
    passages = {number: one["text"] for number, one in numbered(state).items()}
    lines = citations.check(state["draft"], passages)
    doubts: list[str] = []
    held = [one for line in lines for one in line if one.marks and one.problem is None]
    if held and settings.agents.research_entailment:
        tell("step", name="entailment")
        reply = yield Ask(
            "researcher.entailment",
            {"claims": Untrusted(citations.with_sources(held[:MOST_CLAIMS], passages))},
            profile="economical",
        )
        doubts = [held[n].text for n in citations.denied(reply.text) if n < len(held)]
    wrong = citations.problems(citations.doubted(lines, doubts))
    good = bool(state["draft"]) and not wrong
    return {"wrong": wrong, "doubts": doubts, "repairs": 0 if good else state["repairs"] + 1}


def report(state: ResearcherState, settings: Settings) -> dict[str, Any]:
    """The report, marked where it isn't verified, with its sources."""
    return final(report_text(state), state["origin"])


def after_ingest(state: ResearcherState) -> str:
    """With sources to the plan, without to a plain answer, with trouble to its report."""
    if state["trouble"]:
        return REPORT
    return "plan" if state.get("sources") else RESPOND


def spread(state: ResearcherState) -> list[Send]:
    """Sends each sub-question to its own search."""
    return [
        Send(
            "look_up",
            {
                "at": at,
                "question": question,
                "asked": question_of(state),
                "sources": state["sources"],
                "hits": state.get("hits") or [],
                "read": state["read"],
                "calibration": state.get("calibration"),
            },
        )
        for at, question in enumerate(state["questions"])
    ]


def after_look_up(state: ResearcherState) -> str:
    """With passages to the report's writer, without any to the end."""
    return "write" if any(note["passages"] for note in state["notes"]) else REPORT


def model_calls(limits: AgentsSettings) -> tuple[int, int]:
    """Model calls of a turn: the usual number, and the most with every repair.

    Args:
        limits: How far the loops may go.
    """
    checks = int(limits.research_entailment)
    usual = 2 + limits.research_questions + checks
    return usual, usual + limits.research_repairs * (1 + checks)


def build_graph(
    *,
    agent: str = "researcher",
    prompt: str = "researcher",
    profile: str | None = None,
    embed: Embed | None = None,
    search_for: SearchFor | None = None,
    parts: Parts | None = None,
    checkpointer: "Checkpointer" = None,
    store: "BaseStore | None" = None,
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """The researcher's graph.

    Args:
        agent: The agent's name, for usage and cache.
        prompt: The template for turns without sources.
        profile: The parameter profile where a run names none.
        embed: Texts to vectors (`embeddings.embed_documents`), to search by meaning as well.
        search_for: Finds sources where a question names none: takes the question, gives mappings
            with `url` and, where it has it, `text`; an MCP client's tool or any search service.
        parts: What the nodes work with; default: opened from the settings at the first run.
        checkpointer: Keeps threads; leave it out under LangGraph's Agent Server.
        store: Long-term facts.
    """
    lazy = LazyParts(parts)
    graph = step_graph(
        {
            "ingest": make_ingest(search_for),
            "plan": plan,
            "look_up": make_look_up(embed),
            "gather": pass_on,
            "write": write,
            "verify": verify,
            REPORT: report,
        },
        agent=agent,
        prompt=prompt,
        profile=profile,
        parts=lazy,
        state=ResearcherState,
        input_schema=ResearcherInput,
        output_schema=ResearcherOutput,
    )
    graph.add_conditional_edges("ingest", after_ingest, ["plan", RESPOND, REPORT])
    graph.add_conditional_edges("plan", spread, ["look_up"])
    graph.add_edge("look_up", "gather")
    graph.add_conditional_edges("gather", after_look_up, ["write", REPORT])
    graph.add_edge("write", "verify")
    after_verify = again_while_wrong(
        lazy, lambda limits: limits.research_repairs, again="write", onward=REPORT, steps=5
    )
    graph.add_conditional_edges("verify", after_verify, ["write", REPORT])
    return graph.compile(checkpointer=checkpointer, store=store, name=agent)


graph = build_graph()
"""For Studio and the Agent Server: no checkpointer, and nothing is opened before the first run."""
