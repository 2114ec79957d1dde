"""Outages side by side: ours, bare `.with_fallbacks`, LangChain's fallback and retry middleware.

Twenty users talk for 60 seconds of simulated time in each scenario; the clock and every duration
(timeouts, breaks, backoff, Retry-After) run several times as fast, the same for all systems. All
three stream through LangGraph with an in-memory checkpointer, and have the same timeouts.
"""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _form

from allotrope.drill.outages import SCENARIOS, Scenario
from allotrope.drill.result import Drill
from allotrope.drill.run import drill
from allotrope.drill.stage import Crowd, Stage, play
from allotrope.drill.system import DrillRedis, drill_settings, warm
from allotrope.settings import load_settings
from allotrope.testing import ProviderSimulator

TIMEOUT_S = 5.0
QUICK = ("burst-503", "hang", "cut")


def settings() -> Any:
    """Ours as set by default, with the timeouts that all systems have here."""
    return load_settings(
        environ={},
        env_file=None,
        openai={
            "timeout_s": 4 * TIMEOUT_S,
            "first_token_timeout_s": TIMEOUT_S,
            "idle_timeout_s": TIMEOUT_S,
            "connect_timeout_s": 2.0,
        },
        ollama={"timeout_s": 30.0},
        embedded={"enabled": False},
    )


class Peer:
    """A LangGraph graph of LangChain's own parts."""

    def __init__(self, name: str, graph: Any) -> None:
        self.name = name
        self.graph = graph

    async def turn(self, thread: str, text: str) -> AsyncIterator[tuple[str, str]]:
        """One turn, as its stream comes: LangChain sends no sign that an answer starts anew."""
        config = {"configurable": {"thread_id": thread}}
        given = {"messages": [{"role": "user", "content": text}]}
        answer = ""
        async for mode, part in self.graph.astream(
            given, config, stream_mode=["messages", "values"]
        ):
            if mode == "values":
                last = part["messages"][-1]
                answer = last.text if last.type == "ai" else ""
            elif part[0].type in ("ai", "AIMessageChunk"):
                yield "token", part[0].text
        yield "answer", answer

    async def threads(self, names: list[str]) -> dict[str, list[tuple[str, str]]]:
        """What the threads hold."""
        held = {}
        for name in names:
            state = await self.graph.aget_state({"configurable": {"thread_id": name}})
            held[name] = [(m.type, m.text) for m in state.values.get("messages", [])]
        return held


def peer_models(stage: Stage, *, retries: int) -> tuple[Any, Any]:
    """ChatOpenAI and ChatOllama with the timeouts all systems have."""
    from langchain_ollama import ChatOllama
    from langchain_openai import ChatOpenAI

    primary = ChatOpenAI(
        model="o3",
        base_url=stage.simulator.openai_url,
        api_key="sk-peer",
        timeout=TIMEOUT_S / stage.speed,
        max_retries=retries,
    )
    local = ChatOllama(
        model="llama3.1",
        base_url=stage.simulator.ollama_url,
        client_kwargs={"timeout": 30.0 / stage.speed},
    )
    return primary, local


def bare(stage: Stage) -> Peer:
    """`.with_fallbacks` in a one-node graph; the client retries twice, as by default."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    primary, local = peer_models(stage, retries=2)
    chain = primary.with_fallbacks([local])

    async def respond(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chain.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("respond", respond).add_edge(START, "respond")
    return Peer("with_fallbacks", graph.compile(checkpointer=InMemorySaver()))


def middleware(stage: Stage) -> Peer:
    """`create_agent` with both middlewares; the retry's default would hide the failure (below)."""
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware
    from langgraph.checkpoint.memory import InMemorySaver

    primary, local = peer_models(stage, retries=0)
    retry = ModelRetryMiddleware(
        max_retries=2,
        initial_delay=1.0 / stage.speed,
        max_delay=60.0 / stage.speed,
        on_failure="error",  # the default "continue" makes the error text the answer
    )
    graph = create_agent(
        primary,
        middleware=[ModelFallbackMiddleware(local), retry],
        checkpointer=InMemorySaver(),
    )
    return Peer("middleware", graph)


async def theirs(build: Any, scenario: Scenario, stage: Stage, crowd: Crowd) -> Drill:
    """One run of a peer."""
    system = build(stage)
    stage.simulator.reset()
    await warm(system)
    zero = stage.set_up(scenario)
    return await play(scenario, system, stage, crowd=crowd, zero=zero)


def run(scenarios: list[Scenario], *, speed: float, crowd: Crowd) -> list[Drill]:
    """All systems through all scenarios, one after the other."""
    import openai._base_client as client

    client.INITIAL_RETRY_DELAY /= speed  # the SDK's backoff runs on the same clock
    client.MAX_RETRY_DELAY /= speed
    drills = []
    stage = Stage(speed=speed)
    with stage.simulator:
        for scenario in scenarios:
            for kind in (None, bare, middleware):
                gc.collect()
                work = (
                    drill(settings(), scenario, stage, crowd=crowd)
                    if kind is None
                    else theirs(kind, scenario, stage, crowd)
                )
                drills.append(asyncio.run(work))
                figures = drills[-1].figures()
                print(
                    f"{scenario.name:24}{drills[-1].system:16}"
                    f"{figures.answered}/{figures.turns} answered",
                    file=sys.stderr,
                )
    return drills


async def open_circuit_ms(rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds from a call to the fallback's request, with OpenAI's circuit open, at full time.

    Interleaved with a chain that has Ollama alone: the difference is what the open circuit costs.
    That chain is asked twice each round: the difference of its two is what the machine adds to any
    difference, and the 95th percentile is to be read beside it.

    Args:
        rounds: Calls of each kind.
    """
    from allotrope.models.chain import build_chain

    with ProviderSimulator(reasoning_tokens=0) as simulator, DrillRedis() as redis:
        own = drill_settings(
            settings(),
            openai_url=simulator.openai_url,
            ollama_url=simulator.ollama_url,
            folder=redis.folder,
            redis_url=redis.url,
            speed=1.0,
        )
        alone = own.model_copy(update={"openai": own.openai.model_copy(update={"enabled": False})})
        simulator.faults.add(503, provider="openai")
        kinds = {
            "Ollama alone": build_chain(alone),
            "circuit open": build_chain(own),
            "Ollama alone again": build_chain(alone),
        }
        for _ in range(10):  # opens the circuit and the connections
            for chain in kinds.values():
                await chain.ainvoke("warm up")
        wasted = len(simulator.chats("openai"))
        samples: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, chain in kinds.items():
                started = simulator.elapsed_s
                await chain.ainvoke("hello")
                samples[name].append(1000 * (simulator.chats("ollama")[-1].at - started))
        tried = len(simulator.chats("openai")) - wasted
        first, opened, again = samples.values()
        found = {"circuit open": _form.spread(opened), "Ollama alone": _form.spread(first + again)}
        found["added"] = _form.spread([a - b for a, b in zip(opened, first, strict=True)])
        found["added by nothing"] = _form.spread([a - b for a, b in zip(again, first, strict=True)])
        found["added"]["requests to OpenAI meanwhile"] = tried
        return found


def show(drills: list[Drill]) -> None:
    """Prints one row a run."""
    rows = []
    for one in drills:
        f = one.figures()
        later = f.wasted - f.wasted_before_open
        rows.append(
            (
                one.scenario.name,
                one.system,
                f"{f.answered}/{f.turns}",
                _number(f.first_fallback_s),
                f"{f.wasted_before_open}+{later}" if f.opened else f"{f.wasted}",
                _number(f.waited_p50_s),
                _number(f.waited_p99_s),
                _number(f.recovered_s),
                f"{f.lost}/{f.duplicated}",
                f.glued,
            )
        )
    columns = ("scenario", "system", "answered", "first after s", "wasted", "wait p50 s")
    more = ("wait p99 s", "recovered s", "lost/double", "glued")
    _form.show("Outages; seconds of the scenario", (*columns, *more), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main() -> None:
    """Runs the benchmark."""
    parser = _form.arguments(__doc__ or "")
    parser.add_argument("--scenario", action="append", help="only this one; may be repeated")
    parser.add_argument("--speed", type=float, default=None, help="how much faster the clock runs")
    options = parser.parse_args()
    outages = [s.name for s in SCENARIOS if not s.retires]  # that one is in succession.py
    names = options.scenario or (QUICK if options.quick else outages)
    speed = options.speed or (20.0 if options.quick else 8.0)
    crowd = Crowd(users=8 if options.quick else 20)
    started = time.perf_counter()
    drills = run([s for s in SCENARIOS if s.name in names], speed=speed, crowd=crowd)
    show(drills)
    added = asyncio.run(open_circuit_ms(50 if options.quick else 300))
    _form.show(
        "Before the fallback's request, OpenAI's circuit open, real milliseconds",
        ("", "p50", "p95", "p99"),
        [(name, row["p50"], row["p95"], row["p99"]) for name, row in added.items()],
    )
    print(f"{time.perf_counter() - started:.0f} s at {speed:g} times the speed")
    found = {"drills": [one.as_dict() for one in drills], "open_circuit_ms": added}
    _form.write_json(options.json, "failover", {"speed": speed, "users": crowd.users, **found})


if __name__ == "__main__":
    main()
