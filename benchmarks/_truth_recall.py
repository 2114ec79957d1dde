"""Rows of `truth.py` about memory: corrections, summaries, and what recall finds again.

Each row is a dict: part, case, ours, what peers reach where there are any, goal, of, and held_out
for the half of a set on which nothing was designed.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _truth_outputs import outputs
from _truth_structures import structures
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.sqlite import SqliteDatabase
from allotrope.memory.memory import ConversationMemory
from allotrope.memory.opening import open_memory
from allotrope.memory.summary.summary import Summary, SummaryLine, parse, render, verified
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.settings import load_settings

Row = dict[str, Any]
COUNTER = TokenCounter()
SETS = Path(__file__).parent / "datasets"
RECALL_BUDGET = 1_000
"""Tokens of a prompt in which a planted fact must stand."""
AT = datetime(2026, 5, 8, 12, tzinfo=UTC)


def read(name: str) -> list[dict[str, Any]]:
    """A set, one JSON object a line."""
    return [json.loads(line) for line in (SETS / name).read_text("utf-8").splitlines()]


def memory(**settings: Any) -> ConversationMemory:
    """A memory of its own, as the settings make it."""
    return open_memory(
        load_settings(environ={}, env_file=None, memory=settings),
        archive=Archive(SqliteDatabase(":memory:")),
        counter=COUNTER,
        clock=lambda: AT,
    )


def marked(texts: Sequence[str]) -> dict[int, int]:
    """Which messages of a conversation were marked as corrected, and by which."""
    made = memory(summary="off")
    try:
        for number, text in enumerate(texts):
            made.settle([HumanMessage(text, id=f"m{number}")], thread="t")
        facts = made.archive.thread("default", "t")
        assert facts is not None
        rows = made.archive.at_positions(facts, range(len(texts)))
        place = {row.row: row.seq for row in rows}
        return {row.seq: place[row.superseded_by] for row in rows if row.superseded_by is not None}
    finally:
        made.close()


def corrections() -> list[Row]:
    """Right marks by language, and marks where nothing was corrected."""
    rows: list[Row] = []
    cases = read("truth_corrections.jsonl")
    for held in (False, True):
        part = [case for case in cases if case["held_out"] == held]
        right: dict[str, list[bool]] = {}
        wrong = others = 0
        for case in part:
            if case["kind"] == "quiet":
                found = len(marked(case["texts"]))
                where = f"wrong marks, 200 turns, {case['language']}"
                rows.append(_row("corrections", where, found, 0, 200, held))
                continue
            marks = marked([*case["earlier"], case["later"]])
            if case["kind"] == "correction":
                hit = marks == {case["corrected"]: len(case["earlier"])}
                right.setdefault(case["language"], []).append(hit)
            else:
                others += 1
                wrong += bool(marks)
        for language, hits in right.items():
            case_name = f"right marks, {language}"
            rows.append(_row("corrections", case_name, sum(hits), len(hits), len(hits), held))
        rows.append(_row("corrections", "other thing or attribute, marked", wrong, 0, others, held))
    return rows


def summaries() -> list[Row]:
    """Lies of a summariser that reach the prompt, and truths beside them that stay."""
    rows: list[Row] = []
    for held in (False, True):
        cases = [case for case in read("truth_lies.jsonl") if case["held_out"] == held]
        lies = sum(reaches(case) for case in cases)
        truths = [case for case in cases if case["value"]]
        stay = sum(case["value"] in summarised(case, case["truth"]) for case in truths)
        rows.append(_row("summaries", "lies in the prompt", lies, 1, len(cases), held))
        rows.append(_row("summaries", "truths that stay", stay, len(truths), len(truths), held))
    return rows


def summarised(case: dict[str, Any], said: str) -> str:
    """The summary as it stands in a prompt when the summariser answers so."""
    lines = [
        SummaryLine(
            message["speaker"],
            message["text"],
            {"user": "human", "assistant": "ai"}.get(message["speaker"], message["speaker"]),
        )
        for message in case["messages"]
    ]
    answer = parse(f"{case['heading']}:\n- {said}\n") or Summary()
    checked = verified(answer, previous=Summary(), messages=lines)
    return render(checked, tokens=2_000, counter=COUNTER)


def reaches(case: dict[str, Any]) -> bool:
    """Whether a lie stands in the summary; a source's own sentence is none, an injected one is."""
    lie = case["lie"].rstrip(".。।")
    own = " ".join(message["text"] for message in case["messages"])
    lines = [line.removeprefix("- ").strip() for line in summarised(case, case["lie"]).splitlines()]
    return any(lie in line and (case["kind"] == "injected" or line not in own) for line in lines)


def _row(part: str, case: str, ours: Any, goal: Any, of: int, held: bool, **peers: Any) -> Row:
    return {
        "part": part,
        "case": case,
        "ours": ours,
        "goal": goal,
        "of": of,
        "held_out": held,
        **peers,
    }


def recall() -> list[Row]:
    """Planted facts that come back in the prompt of a later question, ours and plain BM25."""
    rows: list[Row] = []
    sets = [*read("truth_recall.jsonl"), *tools()]
    for case in sets:
        prompt, peer = asked(case)
        hits = peers = 0
        for fact in case["facts"]:
            hits += fact["answer"] in prompt(fact["question"])
            peers += fact["answer"] in peer(fact["question"])
        of = len(case["facts"])
        where = f"planted facts, {case['kind']}"
        rows.append(_row("recall", where, hits, of, of, case["held_out"], bm25=peers))
    return rows


def tools() -> list[dict[str, Any]]:
    """Outputs of tools that no prompt can hold, with a question about one item of each."""
    filler = next(case["filler"] for case in read("truth_recall.jsonl") if case["kind"] == "code")
    return [
        {"kind": kind, "held_out": held, "facts": facts, "filler": filler}
        for held in (False, True)
        for kind, facts in {"tool outputs": outputs(held), **structures(held)}.items()
    ]


def asked(case: dict[str, Any]) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """Replays two hundred turns with the facts among them; gives what answers questions."""
    made = memory(summary="extract")
    turns: list[list[BaseMessage]] = []
    facts = list(case["facts"])
    for number in range(200):
        if number % 12 == 5 and facts:
            turns.append(_told(facts.pop(0), number))
        else:
            text = f"{case['filler'][number % len(case['filler'])]} ({number})"
            turns.append([HumanMessage(text, id=f"u{number}")])
        turns[-1].append(AIMessage(f"OK, {number}.", id=f"a{number}"))
    live: list[BaseMessage] = []
    for turn in turns:
        live += turn
        gone = {item.id for item in made.settle(live, thread="t")}
        live = [message for message in live if message.id not in gone]

    def prompt(question: str) -> str:
        messages = [*live, HumanMessage(question, id="question")]
        pack = made.fit(messages, budget=RECALL_BUDGET, thread="t", read_only=True)
        return "\n".join(str(message.content) for message in pack.messages)

    return prompt, bm25([message for turn in turns for message in turn])


def bm25(messages: Sequence[BaseMessage]) -> Callable[[str], str]:
    """Plain BM25 over the lines of all messages, within the same budget."""
    from rank_bm25 import BM25Okapi

    lines = [line for m in messages for line in str(m.content).splitlines() if line.strip()]
    index = BM25Okapi([re.findall(r"\w+", line.lower()) for line in lines])

    def prompt(question: str) -> str:
        scores = index.get_scores(re.findall(r"\w+", question.lower()))
        left, chosen = RECALL_BUDGET - COUNTER.text(question), []
        for at in sorted(range(len(lines)), key=lambda at: -scores[at]):
            cost = COUNTER.text(lines[at]) + 1
            if cost > left:
                break
            chosen.append(lines[at])
            left -= cost
        return "\n".join(chosen)

    return prompt


def _told(fact: dict[str, Any], number: int) -> list[BaseMessage]:
    if not fact.get("tool"):
        return [HumanMessage(fact["text"], id=f"u{number}")]
    call = {"name": "query", "args": {"n": number}, "id": f"c{number}", "type": "tool_call"}
    return [
        HumanMessage(f"Please run query {number}.", id=f"u{number}"),
        AIMessage("", tool_calls=[call], id=f"q{number}"),
        ToolMessage(fact["text"], tool_call_id=f"c{number}", id=f"t{number}"),
    ]


def run(quick: bool) -> list[Row]:
    """All rows.

    Args:
        quick: Leaves out what takes minutes.
    """
    parts: list[Callable[[], list[Row]]] = [summaries, recall, corrections]
    return [row for part in parts for row in part()]


if __name__ == "__main__":
    import sys

    for row in run("--quick" in sys.argv):
        print(json.dumps(row, ensure_ascii=False))
