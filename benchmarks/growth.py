"""Time and bytes of a turn in a thread of 10, 100, 1,000 and 10,000 turns, with SQLite checkpoints.

The assistant as `build_agent` gives it answers through the provider simulator on loopback, so that
everything but a model's thinking is in the time: graph, memory, prompt, client, ledger, checkpoint.
Forty turns are asked at each length; the turns between go straight to the archive, where they
would be by then (`--all-turns` asks them all). The answer cache is off: no question comes twice.
The time of the processor (ours and the simulator's) says more than the clock on a busy machine.
"""

import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from _form import arguments, show, write_json
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from allotrope import build_agent
from allotrope.graphs.parts import Parts
from allotrope.memory.memory import ConversationMemory
from allotrope.settings import load_settings
from allotrope.testing import ProviderSimulator

MEASURED = 40
"""Turns whose time is taken at each length."""

SYLLABLES = ("ka", "lo", "mi", "ren", "tus", "vo", "shi", "dar", "pel", "nu", "gri", "fo")


def vocabulary(random: Random) -> list[str]:
    """4,000 made-up words; common ones first."""
    return ["".join(random.choices(SYLLABLES, k=random.randint(2, 4))) for _ in range(4000)]


def sentence(random: Random, words: list[str]) -> str:
    """Eighteen words, most of them common (Zipf's law)."""
    picks = (min(len(words) - 1, int(random.paretovariate(0.9))) for _ in range(18))
    return " ".join(words[pick] for pick in picks)


def fill(
    memory: ConversationMemory, random: Random, words: list[str], first: int, last: int
) -> None:
    """Puts turns between the measured ones into the archive, and lets the summary follow."""
    for start in range(first, last, 100):
        batch: list[BaseMessage] = []
        for turn in range(start, min(start + 100, last)):
            batch.append(HumanMessage(sentence(random, words), id=f"u{turn}"))
            batch.append(AIMessage("Noted.", id=f"a{turn}"))
        memory.after_turn(batch, thread="long")
        summariser = memory.summariser
        if summariser is not None:
            # turns at a person's pace leave the summary time; it isn't part of the next turn
            summariser.join("default", "long", timeout_s=60)


def main() -> None:
    """Plays the thread and looks at it at each length."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--all-turns", action="store_true", help="ask every turn, archive none")
    options = parser.parse_args()
    lengths = (10, 100, 300) if options.quick else (10, 100, 1_000, 10_000)
    random = Random(7)
    words = vocabulary(random)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, ProviderSimulator() as simulator:
        environ = {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": simulator.openai_url}
        settings = load_settings(
            environ=environ,
            env_file=None,
            data_dir=Path(folder),
            redis={"embedded": False},
            embedded={"enabled": False},
            cache={"enabled": False},
        )
        with (
            closing(Parts(settings)) as parts,
            build_agent(settings=settings, parts=parts) as agent,
        ):
            agent.ask("A first turn opens everything.", thread_id="warm")
            done = 0
            for length in lengths:
                measured = length - done if options.all_turns else min(MEASURED, length - done)
                fill(parts.memory, random, words, done, length - measured)
                before = size(Path(folder))
                samples, busy = [], []
                for _ in range(measured):
                    text = sentence(random, words)
                    since, worked = time.perf_counter(), time.process_time()
                    agent.ask(text, thread_id="long")
                    busy.append((time.process_time() - worked) * 1000)
                    samples.append((time.perf_counter() - since) * 1000)
                    simulator.reset()
                done = length
                grown = size(Path(folder)) - before
                results[str(length)] = {
                    "ms_p50": statistics.median(samples[-MEASURED:]),
                    "cpu_ms_p50": statistics.median(busy[-MEASURED:]),
                    "asked": measured,
                    "state_messages": len(agent.history("long")),
                    "bytes_per_turn": grown / measured,
                }
    base, base_cpu = results["100"]["ms_p50"], results["100"]["cpu_ms_p50"]
    show(
        "One turn in a long thread (no model's time)",
        ["turns", "ms (median)", "× 100 turns", "CPU ms", "× 100 turns", "state", "bytes a turn"],
        [
            [
                n,
                r["ms_p50"],
                r["ms_p50"] / base,
                r["cpu_ms_p50"],
                r["cpu_ms_p50"] / base_cpu,
                r["state_messages"],
                round(r["bytes_per_turn"]),
            ]
            for n, r in results.items()
        ],
    )
    write_json(options.json, "growth", results)


def size(folder: Path) -> int:
    """Bytes of all files of the data folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
