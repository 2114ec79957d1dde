"""A model ends while 20 conversations are under way: who answers, and what is wasted.

Two processes of ours hold the conversations, over all five agents, plain and streamed in turn,
against the provider simulator. After some turns o3 is retired. Peers ask the same provider in one
process. Then: every chat model of the installed tables and three that nobody knows, through every
profile; and what a conversation of 20 turns writes to and reads from the provider's prompt cache.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _form
from _succession_caching import caching
from _succession_matrix import matrix, played

from allotrope.drill.system import DrillRedis
from allotrope.testing import ProviderSimulator

SUCCESSOR = "gpt-6.1-sol"


def refused(simulator: ProviderSimulator) -> list[float]:
    """When o3 was asked in vain, in seconds of the simulator's clock."""
    return [r.at for r in simulator.chats("openai") if r.model == "o3" and r.status == 404]


def ours(
    *, conversations: int, turns: int, latency_s: float, pause_s: float, ends: bool = True
) -> dict[str, Any]:
    """Two processes of ours; o3 ends when a third of the turns are done, or stays to compare."""
    worker = [sys.executable, str(Path(__file__).parent / "_succession_worker.py")]
    with (
        ProviderSimulator(latency_s=latency_s, reasoning_tokens=0) as simulator,
        DrillRedis() as redis,
        tempfile.TemporaryDirectory() as folder,
    ):
        simulator.answer_with(played)
        environment = {**simulator.environment, "REDIS_URL": redis.url}
        running = []
        for number in range(2):
            task = {
                "environment": {**environment, "ALLOTROPE_OPENAI__TODAY": "2026-11-30"},
                "folder": f"{folder}/{number}",
                "conversations": conversations // 2,
                "turns": turns,
                "pause_s": pause_s,
            }
            running.append(
                subprocess.Popen(
                    [*worker, json.dumps(task)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        rows, ended = asyncio.run(
            _watched(running, simulator, conversations * turns // 3, ends=ends)
        )
        wasted = refused(simulator)
    name = "ours, two processes" if ends else "ours, and o3 stays"
    return {"system": name, **_figures(rows, ended), **_waste(wasted, latency_s)}


async def _watched(
    running: list[Any], simulator: ProviderSimulator, after: int, *, ends: bool
) -> tuple[list[dict[str, Any]], float]:
    """All lines of the workers; o3 ends after so many turns."""
    rows: list[dict[str, Any]] = []
    ended = [0.0]

    def read(process: Any) -> None:
        for line in process.stdout:
            row = json.loads(line)
            if "ready" in row:
                return
            rows.append(row)
            if not ended[0] and sum("turn" in r for r in rows) >= after:
                ended[0] = time.time()
                if ends:
                    simulator.retire("o3")

    await asyncio.gather(*(asyncio.to_thread(read, process) for process in running))
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    await asyncio.gather(*(asyncio.to_thread(read, process) for process in running))
    for process in running:
        process.stdin.close()
        process.wait(30)
    return rows, ended[0]


def _figures(rows: list[dict[str, Any]], ended: float) -> dict[str, Any]:
    turns = [row for row in rows if "turn" in row]
    threads = [row for row in rows if "once" in row]
    before = [row["ms"] for row in turns if row["at"] < ended]
    after = [row["ms"] for row in turns if row["at"] - row["ms"] / 1000 > ended + 1.0]
    later = [row for row in turns if row["at"] - row["ms"] / 1000 >= ended]
    told = Counter(
        "ollama" if row.get("provider") != "openai" else row.get("model", "?") for row in later
    )
    return {
        "turns": len(turns),
        "answered": sum(row["answered"] for row in turns),
        "by_successor": sum(bool(row.get("succession")) for row in later),
        "local": told["ollama"],
        "after": len(later),
        "not_once": sum(not row["once"] for row in threads),
        "p50_before": median(before) if before else 0.0,
        "p50_after": median(after) if after else 0.0,
        "errors": sorted({row["error"] for row in turns if "error" in row})[:3],
    }


def _waste(wasted: list[float], latency_s: float) -> dict[str, Any]:
    """Requests in vain, and those of them that left after the first refusal had come back."""
    known = wasted[0] + latency_s + 0.001 if wasted else 0.0
    late = sum(at > known for at in wasted)
    return {"wasted": len(wasted), "after_the_first": late}


async def peer(name: str, graph: Any, simulator: ProviderSimulator, *, users: int, turns: int):
    """A system of LangChain's own parts, in one process; o3 ends after a third of the turns."""
    done, rows, ended = 0, [], 0.0

    async def user(number: int) -> None:
        nonlocal done, ended
        config = {"configurable": {"thread_id": f"{name}-{number}"}}
        for turn in range(turns):
            given = {"messages": [{"role": "user", "content": f"Say hello (turn {turn})"}]}
            started = time.perf_counter()
            row: dict[str, Any] = {"turn": turn, "answered": False}
            try:
                last = (await graph.ainvoke(given, config))["messages"][-1]
                told = str(last.response_metadata.get("model_name") or "")
                row |= {"answered": bool(last.text), "model": told}
                local = "llama" in (told or last.response_metadata.get("model", ""))
                row["provider"] = "ollama" if local else "openai"
            except Exception as exc:
                row["error"] = f"{type(exc).__name__}: {exc}"[:160]
            row |= {"ms": (time.perf_counter() - started) * 1000, "at": time.time()}
            rows.append(row)
            done += 1
            if not ended and done >= users * turns // 3:
                ended = time.time()
                simulator.retire("o3")

    await asyncio.gather(*(user(number) for number in range(users)))
    return _figures(rows, ended)


def peers(*, users: int, turns: int, latency_s: float) -> list[dict[str, Any]]:
    """Bare `ChatOpenAI`, `.with_fallbacks`, and the fallback middleware of `create_agent`."""
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelFallbackMiddleware
    from langchain_ollama import ChatOllama
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    found = []
    for name in ("bare ChatOpenAI", ".with_fallbacks", "ModelFallbackMiddleware"):
        with ProviderSimulator(latency_s=latency_s, reasoning_tokens=0) as simulator:
            primary = ChatOpenAI(model="o3", base_url=simulator.openai_url, api_key="sk-peer")
            local = ChatOllama(model="llama3.1", base_url=simulator.ollama_url)
            if name == "ModelFallbackMiddleware":
                middleware = [ModelFallbackMiddleware(local)]
                graph = create_agent(primary, middleware=middleware, checkpointer=InMemorySaver())
            else:
                chain = primary if name.startswith("bare") else primary.with_fallbacks([local])

                async def respond(state: MessagesState, chain: Any = chain) -> dict[str, Any]:
                    return {"messages": [await chain.ainvoke(state["messages"])]}

                built = StateGraph(MessagesState).add_node("respond", respond)
                graph = built.add_edge(START, "respond").compile(checkpointer=InMemorySaver())
            run = peer(name, graph, simulator, users=users, turns=turns)
            figures = asyncio.run(run)
            wasted = refused(simulator)
            found.append({"system": name, **figures, **_waste(wasted, latency_s)})
    return found


def show(rows: list[dict[str, Any]]) -> None:
    """Prints a row a system."""
    _form.show(
        "o3 ends in the middle of 20 conversations",
        ("system", "answered", "by the successor", "by a local model", "wasted", "of them late",
         "p50 before, ms", "after", "not once"),
        [
            (row["system"], f"{row['answered']}/{row['turns']}",
             f"{row['by_successor']}/{row['after']}", row["local"], row["wasted"],
             row["after_the_first"], row["p50_before"], row["p50_after"], row["not_once"])
            for row in rows
        ],
    )  # fmt: skip
    for row in rows:
        for error in row["errors"]:
            print(f"{row['system']}: {error}")


def main() -> None:
    """Runs the benchmark."""
    parser = _form.arguments(__doc__ or "")
    parser.add_argument("--only", choices=("end", "matrix", "caching"), help="one part of it")
    options = parser.parse_args()
    quick = options.quick
    found: dict[str, Any] = {}
    if options.only in (None, "end"):
        turns, latency_s = (3, 0.05) if quick else (12, 0.2)
        # With shorter pauses 20 conversations keep two cores busy, and a turn's time is mostly that
        # of the queue, which grows with the threads: in the run in which o3 stays, too.
        pause_s = 0.5 if quick else 4.0
        rows = [
            ours(conversations=20, turns=turns, latency_s=latency_s, pause_s=pause_s, ends=ends)
            for ends in (True, False)
        ]
        rows += peers(users=20, turns=turns, latency_s=latency_s)
        show(rows)
        found["end"] = rows
    if options.only in (None, "matrix"):
        found["matrix"] = matrix(quick=quick)
    if options.only in (None, "caching"):
        found["caching"] = caching(quick=quick)
    _form.write_json(options.json, "succession", found)


if __name__ == "__main__":
    main()
