"""A mixed load through the chain, and what the provider simulator says it cost.

Run as a program it is the client process that `benchmarks/usage.py` and the tests kill; imported it
is the other side: the truth about every case, kept by the simulator.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allotrope.testing import Fault, ProviderSimulator, Reply, SimRequest

KINDS = {"plain": 45, "cached": 15, "stream": 20, "abort": 8, "retried": 7, "failover": 5}
"""Kind of case to its share in percent."""

_CASE = re.compile(r"case (\d+) (\w+)")


def kind_of(case: int, seed: int) -> str:
    """The kind of a case; the same in every process."""
    chance = random.Random(f"{seed}/{case}")
    return chance.choices(list(KINDS), weights=list(KINDS.values()))[0]


def reply_to(case: int, kind: str) -> Reply:
    """What the simulator answers to a case; every case has numbers of its own."""
    chance = random.Random(case)
    return Reply(
        "one two three four five six seven eight nine ten",
        input_tokens=chance.randrange(100, 5_000),
        output_tokens=chance.randrange(1, 900),
        cached_tokens=chance.randrange(0, 100),
        reasoning_tokens=chance.randrange(0, 700),
        token_delay_s=0.02 if kind == "abort" else 0.0,
    )


@dataclass
class Truth:
    """The simulator's own books.

    Attributes:
        simulator: Answers the cases.
    """

    simulator: ProviderSimulator
    _failed_once: set[int] = field(default_factory=set)

    def install(self) -> None:
        """Tells the simulator what to answer and when to fail."""
        self.simulator.answer_with(self._answer)
        plan = self.simulator.faults
        plan.add(Fault(kind="503", provider="openai", when=lambda r: "failover" in r.text))
        plan.add(Fault(kind="503", provider="openai", when=self._first_of_retried))

    def sums(self, cases: Iterable[int] | None = None) -> dict[int, tuple[int, int]]:
        """Case to (input, output) tokens of the answers that were sent whole."""
        wanted = None if cases is None else set(cases)
        found: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for request in self.simulator.chats():
            match = _CASE.search(request.text)
            if not match or not request.finished or request.status != 200:
                continue
            case, kind = int(match[1]), match[2]
            if kind == "abort" or (wanted is not None and case not in wanted):
                continue
            reply = reply_to(case, kind)
            hidden = reply.reasoning_tokens or 0  # both providers bill them as output
            before = found[case]
            found[case] = (
                before[0] + (reply.input_tokens or 0),
                before[1] + (reply.output_tokens or 0) + hidden,
            )
        return dict(found)

    @staticmethod
    def _answer(request: SimRequest) -> Reply:
        match = _CASE.search(request.text)
        return reply_to(int(match[1]), match[2]) if match else Reply("?")

    def _first_of_retried(self, request: SimRequest) -> bool:
        match = _CASE.search(request.text)
        if not match or match[2] != "retried" or int(match[1]) in self._failed_once:
            return False
        self._failed_once.add(int(match[1]))
        return True


async def run(options: argparse.Namespace) -> None:
    """Makes the calls of the cases `first` … `last` - 1."""
    from langchain_core.caches import InMemoryCache

    from allotrope.models.chain import build_chain
    from allotrope.settings import load_settings
    from allotrope.usage.assembly import from_settings

    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=options.data,
        openai={"api_key": "sk-simulator", "base_url": options.openai},
        ollama={"host": options.ollama},
        embedded={"enabled": False},
        redis={"embedded": False},
        # An open circuit would end most cases before they reach the provider.
        resilience={"breaker": False, "first_wait_s": 0.01, "longest_wait_s": 0.05},
    )
    handlers = from_settings(settings)
    cached = build_chain(settings, cache=InMemoryCache(), callbacks=handlers)
    plain = build_chain(settings, callbacks=handlers)
    ended = os.open(options.data / "ended.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    gate = asyncio.Semaphore(options.concurrency)

    async def one(case: int) -> None:
        kind = kind_of(case, options.seed)
        text = f"case {case} {kind}"
        config: Any = {
            "metadata": {"allotrope_run_id": str(case), "allotrope_agent": kind, "thread_id": kind}
        }
        async with gate:
            with contextlib.suppress(Exception):  # every end is accounted for, the bad ones too
                if kind == "cached":
                    await cached.ainvoke(text, config)
                    await cached.ainvoke(text, config)
                elif kind in ("stream", "abort"):
                    stream = plain.astream(text, config)
                    async for chunk in stream:
                        if kind == "abort" and "two" in str(chunk.content):
                            break
                    await stream.aclose()  # type: ignore[attr-defined]  # an async generator
                else:
                    await plain.ainvoke(text, config)
            os.write(ended, f"{case} {time.monotonic()}\n".encode())

    pause = options.pause_after if options.pause_file else 0
    await asyncio.gather(*(one(case) for case in range(options.first, options.first + pause)))
    while pause and not options.pause_file.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.02)
    await asyncio.gather(*(one(c) for c in range(options.first + pause, options.last)))


def ended_at(data: Path) -> dict[int, float]:
    """Case to the moment of `time.monotonic()` at which the client saw its end."""
    lines = (line.split() for line in (data / "ended.log").read_text().splitlines())
    return {int(case): float(at) for case, at in lines}


def command(
    data: Path,
    simulator: ProviderSimulator,
    cases: range,
    *,
    concurrency: int,
    seed: int,
    pause: tuple[int, Path] | None = None,
) -> list[str]:
    """The command that runs the client process.

    Args:
        data: Folder of the ledger.
        simulator: Who is asked.
        cases: Which cases are made.
        concurrency: How many at once.
        seed: Seed of the kinds.
        pause: After so many cases, wait until a file is there.
    """
    words: dict[str, object] = {
        "--data": data,
        "--openai": simulator.openai_url,
        "--ollama": simulator.ollama_url,
        "--first": cases.start,
        "--last": cases.stop,
        "--concurrency": concurrency,
        "--seed": seed,
    }
    if pause is not None:
        words |= {"--pause-after": pause[0], "--pause-file": pause[1]}
    return [sys.executable, __file__, *(str(word) for pair in words.items() for word in pair)]


def main() -> None:
    """The client process."""
    parser = argparse.ArgumentParser(description="Makes a mixed load of calls.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--openai", required=True)
    parser.add_argument("--ollama", required=True)
    for name in ("first", "last", "concurrency", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--pause-after", type=int, default=0)
    parser.add_argument("--pause-file", type=Path, default=None)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
