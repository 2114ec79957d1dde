"""What our path adds to a bare `ChatOpenAI.ainvoke`: the chain alone, and a whole turn with SQLite.

Peers and ours ask the provider simulator on loopback, interleaved in one run: sequentially and with
1, 10 and 100 at once. The numbers are milliseconds added at the median against the bare call in the
same round; the start-up times are those of whole processes.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from _form import arguments, show, spread, write_json

Ask = Callable[[str], Awaitable[Any]]


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
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.memory import InMemorySaver

    from allotrope import build_agent, load_settings
    from allotrope.graphs.parts import Parts
    from allotrope.models.chat import build_chain
    from allotrope.testing import ProviderSimulator

    rounds, calls = (3, 20) if quick else (7, 60)
    with ProviderSimulator() as simulator, tempfile.TemporaryDirectory() as folder:
        environ = {**simulator.environment, "ALLOTROPE_DATA_DIR": folder}
        environ |= {"ALLOTROPE_EMBEDDED__ENABLED": "false"}
        settings = load_settings(environ=environ, env_file=None)
        uncached = load_settings(
            environ={**environ, "ALLOTROPE_CACHE__ENABLED": "false"}, env_file=None
        )
        bare = ChatOpenAI(
            model="o3", base_url=simulator.openai_url, api_key="sk-test", max_retries=0, timeout=60
        )
        chain = build_chain(settings)
        parts = Parts(uncached)
        sqlite = build_agent(settings=uncached, parts=parts)
        memory = build_agent(settings=uncached, parts=parts, checkpointer=InMemorySaver())
        cached = build_agent(settings=settings)
        asks: dict[str, Ask] = {
            "bare ChatOpenAI": lambda text: bare.ainvoke([HumanMessage(text)]),
            "our chain": lambda text: chain.ainvoke([HumanMessage(text)]),
            "turn, in memory": memory.aask,
            "turn, SQLite": sqlite.aask,
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
                    simulator.reset()
            base = spread(samples["bare ChatOpenAI"])
            for name, values in samples.items():
                found = spread(values)
                rows.append(
                    {
                        "path": name,
                        "at_once": at_once,
                        **found,
                        "added_p50": found["p50"] - base["p50"],
                        "added_p95": found["p95"] - base["p95"],
                        "times_bare": found["p50"] / base["p50"],
                    }
                )
        for agent in (sqlite, memory, cached):
            await agent.aclose()
        return rows


def start_up(quick: bool) -> dict[str, float]:
    """Seconds from the shell to the help, and to the first request of `ask`."""
    from allotrope.testing import ProviderSimulator

    tool = str(Path(sys.executable).parent / "allotrope")
    helps, asks = [], []
    with ProviderSimulator() as simulator, tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, **simulator.environment, "ALLOTROPE_DATA_DIR": folder}
        for _ in range(2 if quick else 5):
            started = time.perf_counter()
            subprocess.run([tool, "--help"], check=True, capture_output=True)
            helps.append(time.perf_counter() - started)
            simulator.reset()
            started = time.perf_counter()
            process = subprocess.Popen(
                [tool, "ask", "assistant", f"hello {started}"],
                env=environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            while not simulator.requests:
                time.sleep(0.005)
            asks.append(time.perf_counter() - started)
            process.wait()
    return {"help_s": spread(helps)["p50"], "ask_to_first_request_s": spread(asks)["p50"]}


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
    starts = start_up(options.quick)
    show(
        "Start-up, median seconds",
        ("command", "s"),
        [
            ("allotrope --help", starts["help_s"]),
            ("allotrope ask: to its first request", starts["ask_to_first_request_s"]),
        ],
    )
    write_json(options.json, "overhead", {"calls": rows, "start_up": starts})


if __name__ == "__main__":
    main()
