"""What one user does to the others: p50 and p99 of their turns with and without each worst input.

`allotrope serve` and the provider simulator are processes of their own. A few users ask the
assistant plain questions, with a pause after each answer; in every second window one more user
sends a worst input, over and over. Windows with and without it take turns, since other programs of
the machine come and go; the ratio is of all turns of a kind. Goal: p99 at most 1.5-fold.

The simulated model takes `--latency` seconds for an answer; with 0 a turn is our own work alone.
"""

import asyncio
import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from _form import arguments, provider_process, show, spread, write_json
from _neighbours_attacks import Attack, attacks, slow_page
from _soak_servers import Serve

GOAL = 1.5
"""What the 99th percentile of the others' turns may grow to."""

ANSWER = "Take a coat, good boots, a map and a book for the evenings."
"""What the model says to everybody: an echo of a megabyte would be no answer of a model."""

PAUSE_S = 0.2
"""What a user takes after an answer, seconds."""

PLACES = ("Oslo", "Lima", "Kyoto", "Accra", "Quito", "Hanoi", "Tunis", "Turku")
_numbers = itertools.count()


@contextmanager
def served(folder: Path, latency_s: float) -> Iterator[str]:
    """The server, asking a simulator; its address."""
    files = folder / "files"
    files.mkdir()
    with provider_process("--latency", str(latency_s), "--answer", ANSWER) as provider:
        environment = {
            **provider,
            "ALLOTROPE_EMBEDDED__ENABLED": "false",
            "ALLOTROPE_AGENTS__FILE_ROOTS": f'["{files}"]',
            "ALLOTROPE_AGENTS__OUTPUT_DIR": str(folder / "out"),
            "ALLOTROPE_AGENTS__PRIVATE_HOSTS": '["127.0.0.1"]',
            "ALLOTROPE_SERVE__REQUEST_S": "5",
        }
        with Serve(environment, folder) as server:
            yield server.url


async def turn(client: httpx.AsyncClient) -> float:
    """One plain question that nobody asked before; ms until its answer, inf for an error."""
    number = next(_numbers)
    text = f"What should I pack for {number} days in {PLACES[number % len(PLACES)]}?"
    asks = {"model": "assistant", "messages": [{"role": "user", "content": text}]}
    since = time.perf_counter()
    answer = await client.post("/v1/chat/completions", json=asks)
    took = (time.perf_counter() - since) * 1000
    return took if answer.status_code == 200 else float("inf")


async def window(client: httpx.AsyncClient, *, users: int, turns: int) -> list[float]:
    """ms of the turns of several users at once, each after a pause.

    Args:
        client: For the server.
        users: How many.
        turns: Of each.
    """

    async def one(number: int) -> list[float]:
        await asyncio.sleep(PAUSE_S * number / users)
        took = []
        for _ in range(turns):
            took.append(await turn(client))
            await asyncio.sleep(PAUSE_S)
        return took

    return [ms for took in await asyncio.gather(*map(one, range(users))) for ms in took]


@contextlib.asynccontextmanager
async def attacked(url: str, attack: Attack) -> AsyncIterator[list[str]]:
    """One user sends a worst input over and over; what became of each."""
    ended: list[str] = []

    async def send() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            while True:
                try:
                    answers = await attack(client)
                except httpx.HTTPError as exc:
                    ended.append(type(exc).__name__)
                else:
                    given = answers if isinstance(answers, list) else [answers]
                    ended.extend(str(getattr(one, "status_code", "cut off")) for one in given)

    sending = asyncio.create_task(send())
    await asyncio.sleep(0.2)
    try:
        yield ended
    finally:
        sending.cancel()
        await asyncio.wait([sending])


async def measured(url: str, attack: Attack, options: Any) -> dict[str, Any]:
    """The turns of the others with and without an attack, window by window."""
    took: dict[str, list[float]] = {"without": [], "with": []}
    ended: list[str] = []
    how = {"users": options.users, "turns": options.turns}
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        for _ in range(options.rounds):
            took["without"] += await window(client, **how)
            async with attacked(url, attack) as became:
                took["with"] += await window(client, **how)
                ended += became
            await settled(client)
    counts = {one: ended.count(one) for one in sorted(set(ended))}
    found = {name: spread(times) for name, times in took.items()}
    ratio = found["with"]["p99"] / found["without"]["p99"]
    return {**found, "ratio": ratio, "attacks": counts or {"none ended": 1}}


async def settled(client: httpx.AsyncClient) -> None:
    """Waits until what the attack left behind is done: a plain turn is quick again."""
    best = min([await turn(client) for _ in range(3)])
    for _ in range(8):
        if await turn(client) <= 1.5 * best:
            return
        await asyncio.sleep(0.5)


async def compared(url: str, folder: Path, options: Any) -> dict[str, dict[str, Any]]:
    """All attacks, one after the other."""
    found = {}
    async with slow_page() as slow_url:
        chosen = attacks(folder / "files", slow_url)
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            await window(client, users=options.users, turns=5)
        for name, attack in chosen.items():
            if options.only is None or options.only in name:
                found[name] = await measured(url, attack, options)
                p99 = [f"{found[name][kind]['p99']:.0f}" for kind in ("without", "with")]
                print(f"{name}: p99 {' -> '.join(p99)} ms", flush=True)
    return found


def main() -> None:
    """Measures and prints."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", help="attacks with this text in their name")
    parser.add_argument("--latency", type=float, default=0.5, help="of the model, seconds")
    parser.add_argument("--users", type=int, default=8, help="users who ask plain questions")
    parser.add_argument("--turns", type=int, default=None, help="of each in a window")
    parser.add_argument("--rounds", type=int, default=None, help="windows of each kind")
    options = parser.parse_args()
    options.turns = options.turns or (3 if options.quick else 8)
    options.rounds = options.rounds or (1 if options.quick else 4)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with served(folder, options.latency) as url:
            found = asyncio.run(compared(url, folder, options))
    rows = [
        (
            name,
            *(f"{one[kind][cut]:.0f}" for cut in ("p50", "p99") for kind in ("without", "with")),
            f"{one['ratio']:.2f}",
            ", ".join(f"{count}x {what}" for what, count in one["attacks"].items()),
        )
        for name, one in found.items()
    ]
    columns = ("one user sends", "p50", "p50 with", "p99", "p99 with", "ratio", "what it got")
    show("Turns of the others, ms", columns, rows)
    misses = [name for name, one in found.items() if one["ratio"] > GOAL]
    print(f"Load average {load:.1f} before, {os.getloadavg()[0]:.1f} after.")
    print(f"Over {GOAL}-fold: {', '.join(misses) or 'none'}.")
    write_json(options.json, "neighbours", found)


if __name__ == "__main__":
    main()
