"""Time and bytes of a turn in a thread of 10, 100, 1,000 and 10,000 turns, with SQLite checkpoints.

A small LangGraph graph does what the agents' graphs do: settle, fit, answer (a fixed text, so that
no model's time is in it), after_turn; checkpoints are written to a file as in production.
"""

import statistics
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from _form import arguments, show, write_json
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph

from allotrope.memory.checkpoints import open_checkpoints
from allotrope.memory.manager import ConversationMemory
from allotrope.memory.opening import open_memory
from allotrope.settings import load_settings

SYLLABLES = ("ka", "lo", "mi", "ren", "tus", "vo", "shi", "dar", "pel", "nu", "gri", "fo")


def vocabulary(random: Random) -> list[str]:
    """4,000 made-up words; common ones first."""
    return ["".join(random.choices(SYLLABLES, k=random.randint(2, 4))) for _ in range(4000)]


def sentence(random: Random, words: list[str]) -> str:
    """Eighteen words, most of them common (Zipf's law)."""
    picks = (min(len(words) - 1, int(random.paretovariate(0.9))) for _ in range(18))
    return " ".join(words[pick] for pick in picks)


def graph(memory: ConversationMemory, saver: Any) -> Any:
    """Settle and fit, answer, after_turn."""

    def fit(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        thread = config["configurable"]["thread_id"]
        return {"messages": memory.settle(state["messages"], thread=thread)}

    def respond(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        thread = config["configurable"]["thread_id"]
        memory.fit(state["messages"], budget=4_000, thread=thread)
        return {"messages": [AIMessage("Noted: " + str(state["messages"][-1].content)[:80])]}

    def finish(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        memory.after_turn(state["messages"], thread=config["configurable"]["thread_id"])
        return {}

    builder = StateGraph(MessagesState)
    for name, node in (("fit", fit), ("respond", respond), ("finish", finish)):
        builder.add_node(name, node)
    builder.add_edge(START, "fit")
    builder.add_edge("fit", "respond")
    builder.add_edge("respond", "finish")
    builder.add_edge("finish", END)
    return builder.compile(checkpointer=saver)


def main() -> None:
    """Plays the thread and looks at it at each length."""
    options = arguments(__doc__ or "").parse_args()
    lengths = (10, 100, 300) if options.quick else (10, 100, 1_000, 10_000)
    random = Random(7)
    words = vocabulary(random)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(environ={}, env_file=None, data_dir=Path(folder))
        memory = open_memory(settings)
        with open_checkpoints(settings) as saver:
            runner = graph(memory, saver)
            config = {"configurable": {"thread_id": "long"}}
            done = 0
            for length in lengths:
                # turns between the measured ones go straight to the archive, as they would have
                measured = min(40, length - done)
                batch = []
                for turn in range(done, length - measured):
                    batch.append(HumanMessage(sentence(random, words), id=f"u{turn}"))
                    batch.append(AIMessage("Noted.", id=f"a{turn}"))
                    if len(batch) >= 200:
                        memory.after_turn(batch, thread="long")
                        batch = []
                memory.after_turn(batch, thread="long")
                before = size(Path(folder))
                samples = []
                for _ in range(measured):
                    message = HumanMessage(sentence(random, words))
                    since = time.perf_counter()
                    runner.invoke({"messages": [message]}, config, durability="sync")
                    samples.append((time.perf_counter() - since) * 1000)
                done = length
                grown = size(Path(folder)) - before
                results[str(length)] = {
                    "ms_p50": statistics.median(samples),
                    "state_messages": len(runner.get_state(config).values["messages"]),
                    "bytes_per_turn": grown / measured,
                }
        memory.close(timeout_s=2)
    base = results["100"]["ms_p50"]
    show(
        "One turn in a long thread (no model's time)",
        ["turns", "ms (median)", "against 100 turns", "messages in state", "bytes per turn"],
        [
            [n, r["ms_p50"], r["ms_p50"] / base, r["state_messages"], round(r["bytes_per_turn"])]
            for n, r in results.items()
        ],
    )
    write_json(options.json, "growth", results)


def size(folder: Path) -> int:
    """Bytes of all files of the data folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
