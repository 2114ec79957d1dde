"""The analyst: fit → intake → plan → write_sql ⇄ run_sql → answer ⇄ check → chart → report.

Queries run read-only in a process of their own. Each sentence of the answer is held against their
results; what doesn't hold goes back once, and is then struck: the rest of the answer stays.
"""

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired

from allotrope.exceptions import AllotropeError
from allotrope.graphs.building import again_while_wrong, step_graph
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
    output_folder,
    question_of,
    tell,
    too_late,
)
from allotrope.graphs.work.answers import json_object, listed, origin, sql_of, table
from allotrope.graphs.work.sources.naming import files_named
from allotrope.graphs.work.tables import chart as charts
from allotrope.graphs.work.tables.claims.judging import Judged, QueryFacts, judge, kept
from allotrope.graphs.work.tables.engine import QueryEngine, QueryError
from allotrope.graphs.work.tables.filters import dropped, filters_of
from allotrope.graphs.work.tables.naming import definitions, is_courtesy, whole_name
from allotrope.graphs.work.tables.reading import SUFFIXES, UNREADABLE, describe, read_tables
from allotrope.graphs.work.tables.saving import save
from allotrope.settings import Settings
from allotrope.settings.agents import AgentsSettings
from allotrope.support.fencing import Trusted, Untrusted, Value

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore
    from langgraph.types import Checkpointer

MAX_STEPS = 3
MOST_FILES = 8
"""Files that a thread's questions can be about at a time."""
MOST_REASONS = 10
"""Reasons for what was struck, and sums of what was worked out, that an answer lists."""


class AnalystInput(AgentInput):
    """What a run starts with: a question, and files where the question doesn't name them."""

    files: NotRequired[list[str]]


class AnalystState(AgentState):
    """What the analyst works on.

    Attributes:
        files: Paths of the data; they stay for the next question of the thread.
        tables: The tables made from them: name, parquet, source, notes.
        described: The tables for prompts.
        courtesy: Whether the message asks for nothing: thanks, a greeting.
        trouble: Why the data can't be used, as a sentence.
        steps: The results that are needed.
        results: What queries gave: sql, columns, rows, more.
        sql: The query that is being tried.
        error: Why it failed.
        repairs: How often something went back in this step.
        draft: The answer that is being checked.
        wrong: What of it doesn't hold, a reason each.
        before: What the queries of the question before were limited to.
        kept: The draft without the sentences that don't hold.
        derived: Its numbers that were worked out from the results, with the sum.
        origin: Where the draft came from.
        saved: Files that were written: chart, table, query.
    """

    files: NotRequired[list[str]]
    tables: NotRequired[list[dict[str, Any]]]
    described: NotRequired[str]
    courtesy: NotRequired[bool]
    trouble: NotRequired[str]
    steps: NotRequired[list[str]]
    results: NotRequired[list[dict[str, Any]]]
    sql: NotRequired[str]
    error: NotRequired[str]
    repairs: NotRequired[int]
    draft: NotRequired[str]
    wrong: NotRequired[list[str]]
    before: NotRequired[list[str]]
    kept: NotRequired[str]
    derived: NotRequired[list[str]]
    origin: NotRequired[dict[str, Any]]
    saved: NotRequired[list[str]]


class AnalystOutput(AgentOutput):
    """What a run ends with."""

    results: NotRequired[list[dict[str, Any]]]
    saved: NotRequired[list[str]]


def files_in(text: str) -> list[str]:
    """The data files that a text names, in order; those that can't be read are among them."""
    return list(dict.fromkeys(name for name, _ in files_named(text, (*SUFFIXES, *UNREADABLE))))


def intake(state: AnalystState, settings: Settings) -> Step:
    """Reads the files that the user named, and profiles them; thanks ask for nothing."""
    question = question_of(state)
    known = list(state.get("files") or [])
    limits_before = [one for r in state.get("results") or [] for one in filters_of(r["sql"])]
    fresh: dict[str, Any] = {
        "files": known,
        "courtesy": bool(known) and is_courtesy(question),
        "trouble": "",
        "steps": [],
        "results": [],
        "sql": "",
        "error": "",
        "repairs": 0,
        "draft": "",
        "wrong": [],
        "before": limits_before or list(state.get("before") or []),
        "kept": "",
        "derived": [],
        "origin": {},
        "saved": [],
    }
    named = files_in(question)
    if named:
        fresh["before"] = []  # a question about another file is a new one
    if fresh["courtesy"] or not (named or known):
        return fresh
    limits = settings.agents

    def work() -> dict[str, Any]:
        from allotrope.stores.folders import data_folder

        own = [whole_name(name, question, roots=limits.file_roots) for name in named]
        # what was named before stays, so that a question can set the two against each other
        chosen = list(dict.fromkeys([*own, *known]))[:MOST_FILES]
        tables = read_tables(
            chosen,
            roots=limits.file_roots,
            max_bytes=limits.max_file_mb * 1_000_000,
            folder=data_folder(settings) / "tables",
        )
        engine = QueryEngine({table.name: table.parquet for table in tables}, limits)
        facts = [
            {
                "name": table.name,
                "parquet": str(table.parquet),
                "source": table.source,
                "notes": list(table.notes),
            }
            for table in tables
        ]
        said = definitions(chosen, roots=limits.file_roots)
        described = describe(tables, engine.profile())
        return {"files": chosen, "tables": facts, "described": f"{described}{said}"}

    try:
        found: dict[str, Any] = yield Work(work)
    except AllotropeError as exc:
        return {**fresh, "files": [], "trouble": str(exc), "origin": UNASKED}
    return {**fresh, **found}


def plan(state: AnalystState, settings: Settings) -> Step:
    """Says which results are needed."""
    tell("step", name="plan")
    reply = yield Ask(
        "analyst.plan",
        {
            "question": Untrusted(question_of(state)),
            "tables": Untrusted(state["described"]),
            "max_steps": MAX_STEPS,
        },
        conversation=True,
    )
    return {"steps": listed(reply.text, most=MAX_STEPS) or [question_of(state)]}


def write_sql(state: AnalystState, settings: Settings) -> Step:
    """Writes the query of the next step, or repairs the one that failed."""
    tell("step", name="write_sql")
    values: dict[str, Value] = {
        "question": Untrusted(question_of(state)),
        "tables": Untrusted(state["described"]),
        "step": Untrusted(state["steps"][len(state["results"])]),
    }
    if state["error"]:
        values |= {"previous_sql": Untrusted(state["sql"]), "error": Untrusted(state["error"])}
    reply = yield Ask("analyst.sql", values, conversation=True)
    return {"sql": sql_of(reply.text), "origin": origin(reply)}


def run_sql(state: AnalystState, settings: Settings) -> Step:
    """Runs the query; its error goes back to be repaired."""
    tell("step", name="run_sql")
    engine = _engine(state, settings)
    try:
        if not state["sql"]:
            raise QueryError("There was no SQL code block in the answer.")
        stop = threading.Event()
        result = yield Work(lambda: engine.query(state["sql"], cancel=stop), stop)
    except QueryError as exc:
        return {"error": str(exc)[:1500], "repairs": state["repairs"] + 1}
    except AllotropeError as exc:
        return {"trouble": str(exc)}
    return {"results": [*state["results"], result.as_dict()], "error": "", "repairs": 0}


def answer(state: AnalystState, settings: Settings) -> Step:
    """Writes the answer from the results."""
    tell("step", name="answer")
    values: dict[str, Value] = {
        "question": Untrusted(question_of(state)),
        "results": Untrusted(_shown(state["results"])),
    }
    if state["wrong"]:
        values["correction"] = Untrusted(
            f"These don't hold: {'; '.join(state['wrong'])}. "
            "Say of each row and column what the results say, with their own numbers."
        )
    elif state["repairs"]:
        values["correction"] = Trusted("It was empty.")
    reply = yield Ask("analyst.answer", values, conversation=True)
    return {"draft": harmless(reply.text), "origin": origin(reply)}


def check(state: AnalystState, settings: Settings) -> Step:
    """Holds each sentence of the answer against the results."""
    results = [QueryFacts(one["columns"], one["rows"], one["sql"]) for one in state["results"]]
    judged: list[Judged] = yield Work(
        lambda: judge(state["draft"], results, question=question_of(state))
    )
    wrong = [one.problem for one in judged if one.problem]
    good = bool(state["draft"]) and not wrong
    return {
        "wrong": wrong[:MOST_REASONS],
        "kept": kept(state["draft"], judged),
        "derived": [note for one in judged for note in one.derived][:MOST_REASONS],
        "repairs": 0 if good else state["repairs"] + 1,
    }


def draw(state: AnalystState, settings: Settings) -> Step:
    """Chooses a chart, and saves chart, table and query."""
    tell("step", name="chart")
    result = state["results"][-1]
    columns, rows = result["columns"], result["rows"]
    chosen = None
    if charts.choose({}, columns, rows) is not None:
        reply = yield Ask(
            "analyst.chart",
            {
                "question": Untrusted(question_of(state)),
                "columns": [Untrusted(column) for column in columns],
                "results": Untrusted(table(columns, rows, most=5)),
            },
        )
        chosen = charts.choose(json_object(reply.text), columns, rows)

    def work() -> list[str]:
        seed = f"{question_of(state)}\n{result['sql']}".encode()
        name = f"analyst-{hashlib.sha256(seed).hexdigest()[:10]}"
        return save(Path(output_folder(settings)) / name, state["results"], chart=chosen)

    try:
        return {"saved": (yield Work(work))}
    except OSError as exc:
        tell("notice", message=f"Chart and table couldn't be saved: {exc.strerror}.")
        return {"saved": []}


def report(state: AnalystState, settings: Settings) -> dict[str, Any]:
    """The answer: the words, the query, the table, and where the chart lies."""
    return final(_report(state), state["origin"])


def _report(state: AnalystState) -> str:
    if state["trouble"]:
        return state["trouble"]
    results = state["results"]
    if not results:
        tried = f"\n\nThe last query was:\n```sql\n{state['sql']}\n```" if state["sql"] else ""
        return f"I could not get a result from the data: {state['error'] or 'no step ran'}.{tried}"
    parts = [state["kept"] or "This is the result of the query."]
    if state["wrong"]:
        parts.append(f"Left out, because it doesn't hold: {'; '.join(state['wrong'])}.")
    if state["derived"]:
        parts.append(f"Worked out from the results: {'; '.join(state['derived'])}.")
    for one in results:
        parts += [f"```sql\n{one['sql']}\n```", table(one["columns"], one["rows"])]
        if one["more"]:
            parts.append(f"The query has more rows; the first {len(one['rows'])} were kept.")
    if len(results) < len(state["steps"]):
        parts.append(f"A part is missing; its query failed: {state['error']}")
    now = [condition for one in results for condition in filters_of(one["sql"])]
    parts += [
        f"Note: the question before was limited to `{condition}`; this answer isn't."
        for condition in dropped(state.get("before") or [], now)[:MOST_REASONS]
    ]
    notes = [note for one in state["tables"] for note in one["notes"]]
    parts += [f"Note: {note}" for note in notes]
    if state["saved"]:
        parts.append("Saved: " + ", ".join(state["saved"]))
    return "\n\n".join(parts)


def _engine(state: AnalystState, settings: Settings) -> QueryEngine:
    return QueryEngine(
        {one["name"]: Path(one["parquet"]) for one in state["tables"]}, settings.agents
    )


def _shown(results: list[dict[str, Any]]) -> str:
    blocks = [
        f"QueryFacts {number} of:\n{one['sql']}\n{table(one['columns'], one['rows'], most=40)}"
        for number, one in enumerate(results, 1)
    ]
    return "\n\n".join(blocks)


def after_intake(state: AnalystState) -> str:
    """With data to the plan, without to a plain answer, with trouble to its report."""
    if state["trouble"]:
        return REPORT
    return "plan" if state.get("files") and not state.get("courtesy") else RESPOND


def make_after_run(settings_of: LazyParts) -> Any:
    """The way on after a query: repair, next step, or answer."""

    def after_run(state: AnalystState) -> str:
        most = settings_of.get().settings.agents.analyst_repairs
        if state["trouble"]:
            return REPORT
        if state["error"]:
            if state["repairs"] <= most and not too_late(state, steps=8):
                return "write_sql"
            return "answer" if state["results"] else REPORT
        if len(state["results"]) < len(state["steps"]) and not too_late(state, steps=10):
            return "write_sql"
        return "answer"

    return after_run


def model_calls(limits: AgentsSettings) -> tuple[int, int]:
    """Model calls of a turn: the usual number, and the most with every repair.

    Args:
        limits: How far the loops may go.
    """
    again = 1 + limits.analyst_repairs
    return 4, 2 + MAX_STEPS * again + again


def build_graph(
    *,
    agent: str = "analyst",
    prompt: str = "analyst",
    profile: str | None = None,
    parts: Parts | None = None,
    checkpointer: "Checkpointer" = None,
    store: "BaseStore | None" = None,
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """The analyst's graph.

    Args:
        agent: The agent's name, for usage and cache.
        prompt: The template for turns without data.
        profile: The parameter profile where a run names none.
        parts: What the nodes work with; default: opened from the settings at the first run.
        checkpointer: Keeps threads; leave it out under LangGraph's Agent Server.
        store: Long-term facts.
    """
    lazy = LazyParts(parts)
    graph = step_graph(
        {
            "intake": intake,
            "plan": plan,
            "write_sql": write_sql,
            "run_sql": run_sql,
            "answer": answer,
            "check": check,
            "chart": draw,
            REPORT: report,
        },
        agent=agent,
        prompt=prompt,
        profile=profile,
        parts=lazy,
        state=AnalystState,
        input_schema=AnalystInput,
        output_schema=AnalystOutput,
    )
    graph.add_conditional_edges("intake", after_intake, ["plan", RESPOND, REPORT])
    graph.add_edge("plan", "write_sql")
    graph.add_edge("write_sql", "run_sql")
    graph.add_conditional_edges("run_sql", make_after_run(lazy), ["write_sql", "answer", REPORT])
    graph.add_edge("answer", "check")
    after_check = again_while_wrong(
        lazy, lambda limits: min(1, limits.analyst_repairs), again="answer", onward="chart", steps=5
    )
    graph.add_conditional_edges("check", after_check, ["answer", "chart"])
    graph.add_edge("chart", REPORT)
    return graph.compile(checkpointer=checkpointer, store=store, name=agent)


graph = build_graph()
"""For Studio and the Agent Server: no checkpointer, and nothing is opened before the first run."""
