"""What our path adds to a bare `ChatOpenAI.ainvoke`: the chain alone, and a whole turn with SQLite.

Peers and ours ask the provider simulator, a process of its own, on loopback, interleaved in one
run: with 1, 10 and 100 at once. The numbers are milliseconds, and those added against the bare
call; the start-up times are those of whole processes.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from _form import arguments, provider_process, show, spread, write_json
from _overhead_agents import per_agent
from langchain_core.messages import HumanMessage

Ask = Callable[[str], Awaitable[Any]]
BARE = "bare ChatOpenAI"


async def timed(ask: Ask, text: str) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    await ask(text)
    return (time.perf_counter() - started) * 1000


async def together(ask: Ask, label: str, *, total: int, at_once: int) -> list[float]:
    """Milliseconds of `total` calls, `at_once` of them under way."""
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> float:
        async with gate:
            return await timed(ask, f"{label} {number}")

    return await asyncio.gather(*(one(number) for number in range(total)))


async def measure(quick: bool) -> list[dict[str, Any]]:
    """The table's rows."""
    from langgraph.checkpoint.memory import InMemorySaver

    from allotrope import build_agent, load_settings
    from allotrope.graphs.parts import Parts
    from allotrope.models.chain import build_chain

    rounds, calls = (3, 20) if quick else (7, 60)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        provider = stack.enter_context(provider_process())
        environ = {**provider, "ALLOTROPE_DATA_DIR": folder}
        environ |= {"ALLOTROPE_EMBEDDED__ENABLED": "false"}
        settings = load_settings(environ=environ, env_file=None)
        uncached = load_settings(
            environ={**environ, "ALLOTROPE_CACHE__ENABLED": "false"}, env_file=None
        )
        chain = build_chain(settings)
        parts = Parts(uncached)
        sqlite = build_agent(settings=uncached, parts=parts)
        memory = build_agent(settings=uncached, parts=parts, checkpointer=InMemorySaver())
        cached = build_agent(settings=settings)
        for agent in (sqlite, memory, cached):
            stack.push_async_callback(agent.aclose)
        bare, plain = await peers(provider["OPENAI_BASE_URL"], folder, stack)
        asks: dict[str, Ask] = {
            BARE: bare,
            "our chain": lambda text: chain.ainvoke([HumanMessage(text)]),
            "plain LangGraph, SQLite": plain,
            "turn, in memory": memory.aask,
            "turn, SQLite": sqlite.aask,
            "turn, SQLite, named thread": lambda text: sqlite.aask(text, thread_id=uuid4().hex),
            "turn, SQLite, cache hit": lambda _: cached.aask("the same question"),
        }
        for ask in asks.values():
            for _ in range(3):
                await ask("warm up")
        rows = []
        for at_once in (1, 10, 100):
            samples: dict[str, list[float]] = {name: [] for name in asks}
            for round_number in range(rounds):
                for name, ask in asks.items():
                    total = calls if at_once == 1 else max(calls, at_once)
                    label = f"{name} {at_once} {round_number}"
                    samples[name] += await together(ask, label, total=total, at_once=at_once)
            base = spread(samples[BARE])
            for name, values in samples.items():
                found = spread(values)
                rows.append(
                    {
                        "path": name,
                        "at_once": at_once,
                        **found,
                        "added_p50": found["p50"] - base["p50"],
                        "added_p95": found["p95"] - base["p95"],
                        "added_p99": found["p99"] - base["p99"],
                        "times_bare": found["p50"] / base["p50"],
                    }
                )
        return rows


async def peers(url: str, folder: str, stack: AsyncExitStack) -> tuple[Ask, Ask]:
    """A bare `ChatOpenAI`, and a graph of three nodes around it with LangGraph's own SQLite saver.

    The graph's other two nodes do nothing: it has no prompt, tools, memory, breaker or ledger.
    """
    import uuid

    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, MessagesState, StateGraph
    from pydantic import SecretStr

    key = SecretStr("sk-test")
    model = ChatOpenAI(model="o3", base_url=url, api_key=key, max_retries=0, timeout=60)

    async def nothing(state: MessagesState) -> dict[str, Any]:
        return {}

    async def respond(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("fit", nothing)
    graph.add_node("respond", respond)
    graph.add_node("finish", nothing)
    graph.add_edge(START, "fit")
    graph.add_edge("fit", "respond")
    graph.add_edge("respond", "finish")
    graph.add_edge("finish", END)
    saver = await stack.enter_async_context(
        AsyncSqliteSaver.from_conn_string(str(Path(folder) / "peer.sqlite"))
    )
    await saver.conn.execute("PRAGMA synchronous=NORMAL")
    compiled = graph.compile(checkpointer=saver)

    def turn(text: str) -> Awaitable[Any]:
        config: Any = {"configurable": {"thread_id": uuid.uuid4().hex}}
        return compiled.ainvoke({"messages": [HumanMessage(text)]}, config)

    return lambda text: model.ainvoke([HumanMessage(text)]), turn


PEER_START = """
from langchain_openai import ChatOpenAI
from langgraph.graph import StateGraph
ChatOpenAI(model="o3", max_retries=0).invoke("hello")
"""
"""The least a program on LangChain and LangGraph must do before its first request."""


def start_up(quick: bool) -> dict[str, float]:
    """Seconds from the shell to the help, and to the first request of a plain program and ours."""
    from allotrope.testing import ProviderSimulator

    tool = str(Path(sys.executable).parent / "allotrope")
    helps: list[float] = []
    firsts: dict[str, list[float]] = {"plain": [], "ask": []}
    with ProviderSimulator() as simulator, tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, **simulator.environment, "ALLOTROPE_DATA_DIR": folder}
        # as on a user's machine, where the second start finds compiled modules
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        subprocess.run([tool, "ask", "assistant", "hi"], env=environ, capture_output=True)
        for number in range(3 if quick else 7):
            started = time.perf_counter()
            subprocess.run([tool, "--help"], check=True, capture_output=True, env=environ)
            helps.append(time.perf_counter() - started)
            for name, command in (
                ("plain", [sys.executable, "-c", PEER_START]),
                ("ask", [tool, "ask", "assistant", f"hello {number}"]),
            ):
                simulator.reset()
                started = time.perf_counter()
                process = subprocess.Popen(
                    command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                while not simulator.requests and process.poll() is None:
                    time.sleep(0.005)
                firsts[name].append(time.perf_counter() - started)
                process.wait()
    return {
        "help_s": spread(helps)["p50"],
        "plain_to_first_request_s": spread(firsts["plain"])["p50"],
        "ask_to_first_request_s": spread(firsts["ask"])["p50"],
    }


def main() -> None:
    """Runs the benchmark."""
    options = arguments(__doc__.splitlines()[0]).parse_args()
    rows = asyncio.run(measure(options.quick))
    show(
        "Milliseconds a call (bare = ChatOpenAI.ainvoke on the same simulator, same run)",
        ("path", "at once", "p50", "p95", "p99", "iqr", "added p50", "added p95", "× bare"),
        [
            (
                *(row["path"], row["at_once"], row["p50"], row["p95"], row["p99"], row["iqr"]),
                *(row["added_p50"], row["added_p95"], row["times_bare"]),
            )
            for row in rows
        ],
    )
    agents = asyncio.run(per_agent(options.quick))
    show(
        "Milliseconds of a turn outside the model (goal for the assistant: 20)",
        ("agent", "turn p50", "in the model", "in the sandbox", "outside p50", "outside p95"),
        [
            (
                *(row["agent"], row["turn"]["p50"], row["model_p50"], row["sandbox_p50"]),
                *(row["outside"]["p50"], row["outside"]["p95"]),
            )
            for row in agents
        ],
    )
    starts = start_up(options.quick)
    show(
        "Start-up, median seconds",
        ("command", "s"),
        [
            ("allotrope --help", starts["help_s"]),
            ("ChatOpenAI and LangGraph: to the first request", starts["plain_to_first_request_s"]),
            ("allotrope ask: to its first request", starts["ask_to_first_request_s"]),
        ],
    )
    write_json(options.json, "overhead", {"calls": rows, "agents": agents, "start_up": starts})


if __name__ == "__main__":
    main()
