"""`allotrope serve` under users for minutes: does every turn end, does memory stay, what piles up.

    python benchmarks/soak.py --store postgres
    python benchmarks/soak.py --only restarts

Fifteen users talk to four agents over HTTP, by all doors, for twelve minutes. The provider is the
simulator; now and then it fails, and every two minutes for eight seconds altogether, so that the
embedded model answers. Before they come it has answered a few questions, so that it is loaded and
its prompt cache is as full as it gets. `--only restarts` restarts PostgreSQL and Redis under 20
conversations.
"""

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _soak_restarts
from _form import arguments, show, spread, write_json
from _postgres import Postgres
from _soak_servers import Footprint, Serve
from _soak_users import Crowd

from allotrope.testing import ProviderSimulator

SETTLED_S = 180.0
"""From then on memory has to be flat, seconds."""

FLAT = 0.05
"""By so much of its middle memory may move then, up and down."""

OUTAGES = (120.0, 8.0)
"""Every so many seconds OpenAI is down for so many."""

WARMING = 8
"""So many questions the embedded model answers before the users come: some 10 MB of its prompt
cache each."""

PATIENCE_S = 600.0
"""A turn that takes longer has no end, seconds."""


def plan_faults(simulator: ProviderSimulator, *, seconds: float) -> None:
    """Small faults all the time, and outages of some seconds."""
    faults = simulator.faults
    every, down = OUTAGES
    for number in range(1, int(seconds // every) + 1):
        at = simulator.elapsed_s + number * every - down
        faults.add("503", provider="openai", after_s=at, until_s=at + down)
    faults.add("503", provider="openai", probability=0.01)
    faults.add("429", provider="openai", probability=0.005, retry_after=1)
    faults.add("cut", provider="openai", probability=0.005)
    faults.add("reset", provider="openai", probability=0.005)


async def soak(store: str, *, users: int, seconds: float, every_s: float) -> dict[str, Any]:
    """One run.

    Args:
        store: `sqlite` or `postgres`.
        users: How many talk.
        seconds: How long turns begin.
        every_s: Seconds between two looks at memory.
    """
    folder = Path(tempfile.mkdtemp(prefix="alt-soak-"))
    postgres = Postgres() if store == "postgres" else None
    simulator = ProviderSimulator(latency_s=0.2, token_delay_s=0.002)
    try:
        with simulator:
            environment = {
                **simulator.environment,
                "ALLOTROPE_OLLAMA__ENABLED": "false",
                "ALLOTROPE_EMBEDDED__MAX_OUTPUT_TOKENS": "48",
                **(postgres.environment() if postgres else {}),
            }
            with Serve(environment, folder) as serve:
                return await _watched(
                    serve, simulator, postgres, users=users, seconds=seconds, every_s=every_s
                )
    finally:
        if postgres is not None:
            postgres.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _watched(
    serve: Serve,
    simulator: ProviderSimulator,
    postgres: Postgres | None,
    *,
    users: int,
    seconds: float,
    every_s: float,
) -> dict[str, Any]:
    await _warmed(serve, simulator, questions=WARMING if seconds > SETTLED_S else 1)
    crowd = Crowd(serve.url, patience_s=PATIENCE_S)
    before = _piles(serve, postgres)
    plan_faults(simulator, seconds=seconds)
    begin = time.monotonic()
    samples: list[tuple[float, int, Footprint]] = []
    talking = asyncio.create_task(
        crowd.talk(users, until=lambda: time.monotonic() - begin > seconds)
    )
    while not talking.done():
        samples.append((time.monotonic() - begin, len(crowd.ended), serve.footprint()))
        await asyncio.wait([talking], timeout=every_s)
    await talking
    await asyncio.sleep(2.0)  # the ledger's last lines
    turns = len(crowd.ended)
    after = _piles(serve, postgres)
    asked = Counter(request.provider for request in simulator.chats())
    return {
        "seconds": round(time.monotonic() - begin),
        "users": users,
        "turns": turns,
        "threads": crowd.threads,
        "without_end": sum(one.error == "no end" for one in crowd.ended) + crowd.under_way,
        "errors": dict(Counter(one.error for one in crowd.ended if one.error)),
        "answered_by": dict(Counter(one.provider for one in crowd.ended if not one.error)),
        "turn_s": spread([one.seconds for one in crowd.ended]),
        "samples": [
            [
                round(at),
                done,
                *(round(x) for x in (a.serve, a.mapped, a.redis, a.helpers)),
                a.descriptors,
            ]
            for at, done, a in samples
        ],
        "flat": _flat([(at, print_.lasting) for at, _, print_ in samples]),
        "per_thousand_turns": {
            "requests to OpenAI": round(1000 * asked["openai"] / turns),
            **{name: round(1000 * (after[name] - before.get(name, 0)) / turns) for name in after},
        },
        "log_levels": _levels(serve.log_lines()),
    }


async def _warmed(serve: Serve, simulator: ProviderSimulator, *, questions: int) -> None:
    """OpenAI is away for as long as so many questions take."""
    simulator.down("openai")
    crowd = Crowd(serve.url, patience_s=PATIENCE_S)
    await crowd.talk(1, until=lambda: len(crowd.ended) >= questions, seed=1)
    simulator.up("openai")


def _piles(serve: Serve, postgres: Postgres | None) -> dict[str, int]:
    """What grows with the turns: bytes, files, lines, descriptors."""
    files = serve.files()
    stored = {name: size for name, size in files.items() if ".sqlite" in name or ".db" in name}
    found = {
        "bytes in SQLite": sum(stored.values()),
        "bytes in other files": sum(files.values()) - sum(stored.values()),
        "files": len(files),
        "log lines": len(serve.log_lines()),
        "descriptors": serve.footprint().descriptors,
    }
    if postgres is not None:
        found["bytes in PostgreSQL"] = postgres.size()
    return found


def _flat(memory: list[tuple[float, float]]) -> dict[str, float] | None:
    """How memory moved after it settled; None where the run ended before."""
    later = [(at, value) for at, value in memory if at >= SETTLED_S]
    if len(later) < 8:
        return None
    values = [value for _, value in later]
    middle = statistics.median(values)
    slope = statistics.linear_regression([at for at, _ in later], values).slope
    return {
        "middle_mb": round(middle, 1),
        "lowest": round(min(values) / middle - 1, 4),
        "highest": round(max(values) / middle - 1, 4),
        "mb_a_minute": round(60 * slope, 2),
    }


def _levels(lines: list[str]) -> dict[str, int]:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "Traceback")
    return {level: found for level in levels if (found := sum(level in line for line in lines))}


def show_soak(store: str, found: dict[str, Any]) -> None:
    """Prints a run."""
    speed = found["turn_s"]
    rows: list[tuple[str, object]] = [
        ("turns", found["turns"]),
        ("conversations", found["threads"]),
        ("turns without an end", found["without_end"]),
        *((f"errors: {name}", number) for name, number in found["errors"].items()),
        *((f"answered by {name or 'nobody'}", n) for name, n in found["answered_by"].items()),
        ("a turn, seconds: median, 95th", f"{speed['p50']:.2f}, {speed['p95']:.2f}"),
        *(
            (f"{name}, per 1,000 turns", f"{n:,}")
            for name, n in found["per_thousand_turns"].items()
        ),
        *((f"log: {name}", number) for name, number in found["log_levels"].items()),
    ]
    if flat := found["flat"]:
        rows.append(("memory after three minutes, MB, middle", flat["middle_mb"]))
        moved = f"{100 * flat['lowest']:+.1f} … {100 * flat['highest']:+.1f} %"
        rows.append(("it moved by", moved))
        rows.append(("its trend, MB a minute", flat["mb_a_minute"]))
    show(f"Soak on {store}: {found['users']} users, {found['seconds']} s", ("what", "value"), rows)
    columns = ("second", "turns", "serve MB", "mapped MB", "Redis MB", "helpers MB", "descriptors")
    every = max(1, len(found["samples"]) // 16)
    show("Memory", columns, found["samples"][::every])


def verdict(found: dict[str, Any]) -> list[str]:
    """What isn't as promised."""
    wrong = []
    if found["without_end"]:
        wrong.append(f"{found['without_end']} turns without an end")
    if not found["answered_by"]:
        wrong.append("nobody was answered")
    flat = found["flat"]
    if flat and max(flat["highest"], -flat["lowest"]) > FLAT:
        wrong.append(f"memory isn't flat (± {100 * FLAT:.0f} %)")
    return wrong


def main() -> int:
    """Runs what was asked for; 1 where it isn't as promised."""
    parser = arguments("`allotrope serve` under users for minutes.")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--users", type=int, default=15)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--only", choices=("soak", "restarts"), default=None)
    options = parser.parse_args()
    parts: dict[str, Callable[[], Any]] = {}
    seconds, users, every_s = 60 * options.minutes, options.users, 15.0
    if options.quick:
        seconds, users, every_s = 6.0, 3, 3.0  # too short for an outage
    parts["soak"] = lambda: soak(options.store, users=users, seconds=seconds, every_s=every_s)
    parts["restarts"] = lambda: _soak_restarts.restarts(conversations=20)
    wanted = [options.only] if options.only else ["soak"]
    results: dict[str, Any] = {}
    wrong: list[str] = []
    for name in wanted:
        results[name] = found = asyncio.run(parts[name]())
        if name == "soak":
            show_soak(options.store, found)
            wrong += verdict(found)
        else:
            _soak_restarts.show_restarts(found)
            wrong += _soak_restarts.verdict(found)
    write_json(options.json, "soak", {"store": options.store, **results})
    for line in wrong:
        print(f"Not as promised: {line}.", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
