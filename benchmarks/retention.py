"""How much of what later questions need is still in the prompt: ours and what others keep.

A conversation is replayed turn by turn; then each question is asked. A question counts when the
whole text of every message it needs stands in the packed prompt. All budgets are real o200k_base
tokens of the whole prompt: the question, the recent window and the summary are inside.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from _form import arguments, shared_data, show, write_json
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, trim_messages

from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.sqlite import SqliteDatabase
from allotrope.memory.memory import ConversationMemory
from allotrope.memory.opening import open_memory
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.settings import load_settings

BUDGETS = (1_000, 2_000, 4_000)
COUNTER = TokenCounter()
Prompt = Callable[[str, int], Sequence[BaseMessage]]


def as_messages(conversation: dict[str, Any]) -> list[BaseMessage]:
    """The conversation as LangChain messages, speakers by name."""
    kinds: dict[str, type[HumanMessage | AIMessage]] = {"user": HumanMessage}
    return [
        kinds.get(m["role"], AIMessage)(m["content"], id=m["id"], name=m["name"])
        for m in conversation["messages"]
    ]


def moment(text: str) -> datetime:
    """`1:56 pm on 8 May, 2023`, as the data writes it."""
    try:
        return datetime.strptime(text, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ours(conversation: dict[str, Any]) -> Prompt:
    """Replayed through the memory that the graphs use: fit before each answer, then after_turn."""
    now = [datetime(2023, 1, 1, tzinfo=UTC)]
    memory: ConversationMemory = open_memory(
        load_settings(environ={}, env_file=None),
        archive=Archive(SqliteDatabase(":memory:")),
        counter=COUNTER,
        clock=lambda: now[0],
    )
    live: list[BaseMessage] = []
    for raw, message in zip(conversation["messages"], as_messages(conversation), strict=True):
        now[0] = moment(raw["date"])
        live.append(message)
        if raw["role"] == "user":
            pack = memory.fit(live, budget=2_000, thread="t")
            gone = {item.id for item in pack.remove}
            live = [kept for kept in live if kept.id not in gone]
        else:
            memory.after_turn(live, thread="t")
    memory.settle(live, thread="t")

    def prompt(question: str, budget: int) -> Sequence[BaseMessage]:
        asked = [*live, HumanMessage(question, id="question")]
        return memory.fit(asked, budget=budget, thread="t", read_only=True).messages

    return prompt


def trimmed(conversation: dict[str, Any]) -> Prompt:
    """`trim_messages` with exact counts: the tail of the conversation."""
    messages = as_messages(conversation)

    def prompt(question: str, budget: int) -> Sequence[BaseMessage]:
        kept: list[BaseMessage] = trim_messages(
            [*messages[-300:], HumanMessage(question)],
            max_tokens=budget,
            token_counter=COUNTER.messages,
            strategy="last",
        )
        return kept

    return prompt


def summarised(conversation: dict[str, Any]) -> Prompt:
    """LangChain's SummarizationMiddleware; its model stands in with a fixed 200-token summary.

    A summary in other words can't hold a message's whole text, so who writes it changes nothing.
    """
    from langchain.agents.middleware import SummarizationMiddleware

    states: dict[int, list[BaseMessage]] = {}
    for budget in BUDGETS:
        middleware = SummarizationMiddleware(
            model=FakeListChatModel(responses=["They talked about their lives. " * 33]),
            trigger=("tokens", budget - 300),
            keep=("tokens", (budget - 300) * 2 // 3),
            token_counter=COUNTER.messages,
        )
        state: list[BaseMessage] = []
        for message in as_messages(conversation):
            state.append(message)
            update = middleware.before_model({"messages": state}, None)  # type: ignore[arg-type,typeddict-item]  # no runtime outside an agent
            if update:
                state = [kept for kept in update["messages"] if kept.type != "remove"]
        states[budget] = state

    def prompt(question: str, budget: int) -> Sequence[BaseMessage]:
        kept: list[BaseMessage] = trim_messages(
            [*states[budget], HumanMessage(question)],
            max_tokens=budget,
            token_counter=COUNTER.messages,
            strategy="last",
        )
        return kept

    return prompt


def plain_bm25(conversation: dict[str, Any]) -> Prompt:
    """BM25 (rank-bm25) over single messages, words unstemmed, best first until it is full."""
    from rank_bm25 import BM25Okapi

    messages = as_messages(conversation)
    index = BM25Okapi([re.findall(r"\w+", str(m.content).lower()) for m in messages])

    def prompt(question: str, budget: int) -> Sequence[BaseMessage]:
        scores = index.get_scores(re.findall(r"\w+", question.lower()))
        left = budget - COUNTER.messages([HumanMessage(question)])
        chosen: list[int] = []
        for at in sorted(range(len(messages)), key=lambda at: -scores[at]):
            cost = COUNTER.message(messages[at])
            if cost > left:
                break
            chosen.append(at)
            left -= cost
        return [*(messages[at] for at in sorted(chosen)), HumanMessage(question)]

    return prompt


METHODS: dict[str, Callable[[dict[str, Any]], Prompt]] = {
    "trim_messages": trimmed,
    "SummarizationMiddleware": summarised,
    "plain BM25": plain_bm25,
    "allotrope": ours,
}


def main() -> None:
    """Replays, asks, counts."""
    parser = arguments(__doc__ or "", data=shared_data("locomo_dev.json"))
    options = parser.parse_args()
    import json

    conversations = json.loads(options.data.read_text("utf-8"))
    if options.quick:
        conversations = conversations[:1]
        conversations[0]["qa"] = conversations[0]["qa"][:40]
    results: dict[str, Any] = {}
    for name, method in METHODS.items():
        kept = dict.fromkeys(BUDGETS, 0)
        over = asked = 0
        each: list[dict[str, float]] = []
        for conversation in conversations:
            prompt = method(conversation)
            text_of = {m["id"]: " ".join(m["content"].split()) for m in conversation["messages"]}
            questions = [qa for qa in conversation["qa"] if qa["evidence"]]
            before = dict(kept)
            for qa in questions:
                for budget in BUDGETS:
                    packed = prompt(qa["question"], budget)
                    over += COUNTER.messages(packed) > budget
                    text = " ".join(" ".join(str(m.content).split()) for m in packed)
                    kept[budget] += all(e in text_of and text_of[e] in text for e in qa["evidence"])
            asked += len(questions)
            each.append({str(b): (kept[b] - before[b]) / len(questions) for b in BUDGETS})
        results[name] = {
            "questions": asked,
            "share": {str(budget): kept[budget] / asked for budget in BUDGETS},
            "by_conversation": each,
            "over_budget": over,
        }
    show(
        f"Questions whose whole evidence is in the prompt ({asked} questions)",
        ["method", *(f"{budget:,} tokens" for budget in BUDGETS), "over budget"],
        [
            [name, *(r["share"][str(b)] for b in BUDGETS), r["over_budget"]]
            for name, r in results.items()
        ],
    )
    write_json(options.json, "retention", results)


if __name__ == "__main__":
    main()
