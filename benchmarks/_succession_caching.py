"""What a conversation writes to and reads from the provider's prompt cache, and what it costs.

The simulator plays the provider's rules: reads need a prefix that was written up to a breakpoint,
the implicit breakpoint lies near the latest message, and writes cost 1.25 times the input.
"""

import asyncio
import os
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from _form import show
from _overhead_agents import STEPS, TASKS, write_files

from allotrope.testing import ProviderSimulator, SimRequest

MODEL = "gpt-6.1-sol"
WAYS = ("nothing", "key only", "ours")
FILLER = (
    "Keep in mind what we agreed on: amounts are in euros, dates are ISO dates, names stay as they "
    "are written, and every figure says where it comes from. "
)


def caching(*, quick: bool) -> list[dict[str, Any]]:
    """A conversation of 20 turns with each agent, three ways; prints a row each.

    Args:
        quick: Six turns instead.
    """
    turns = 6 if quick else 20
    rows = [asyncio.run(conversation(agent, way, turns=turns)) for agent in TASKS for way in WAYS]
    show(
        f"The provider's prompt cache over {turns} turns, {MODEL}",
        ("agent", "way", "input tokens", "written", "read", "USD", "of nothing"),
        [
            (row["agent"], row["way"], row["input"], row["written"], row["read"],
             f"{row['usd']:.5f}", f"{row['usd'] / _first(rows, row['agent']):.2f}")
            for row in rows
        ],
    )  # fmt: skip
    return [{**row, "usd": str(row["usd"])} for row in rows]


def _first(rows: list[dict[str, Any]], agent: str) -> Decimal:
    return next(row["usd"] for row in rows if row["agent"] == agent)


def played(request: SimRequest) -> str:
    """The answer to each step of an agent."""
    system = request.asked.turns[0].text
    answer = next((text for mark, text in STEPS.items() if system.startswith(mark)), None)
    return answer or f"Noted. {FILLER}"


async def conversation(name: str, way: str, *, turns: int) -> dict[str, Any]:
    """One conversation; what its requests wrote, read and cost.

    Args:
        name: The agent.
        way: What is sent: no key and no breakpoint, the key only, or both.
        turns: How many.
    """
    from allotrope import build_agent, load_settings
    from allotrope.models.providers import openai as ours
    from allotrope.usage.prices.prices import PriceBook
    from allotrope.usage.recorder.tokens import Tokens

    before = Path.cwd()
    key, mark = ours.with_cache_key, ours.with_cache_mark
    if way != "ours":
        ours.with_cache_mark = lambda messages, model: list(messages)
    if way == "nothing":
        ours.with_cache_key = lambda kwargs, model: kwargs
    with (
        ProviderSimulator(prompt_caching=True, reasoning_tokens=0) as simulator,
        tempfile.TemporaryDirectory() as folder,
    ):
        simulator.answer_with(played)
        os.chdir(folder)
        try:
            write_files(Path(folder))
            settings = load_settings(
                environ={**simulator.environment, "ALLOTROPE_DATA_DIR": folder},
                env_file=None,
                callbacks=(),
                openai={"model": MODEL},
                ollama={"enabled": False},
                embedded={"enabled": False},
                redis={"embedded": False},
                cache={"enabled": False},
                agents={
                    "coder_approval": False, "coder_isolation": False, "research_questions": 1,
                    "output_dir": Path(folder) / "out",
                },
            )  # fmt: skip
            async with build_agent(name, settings=settings) as agent:
                for turn in range(turns):
                    text = f"{TASKS[name]} (turn {turn}) {FILLER}"
                    await agent.aask(text, thread_id="one")
            spent = [request.usage for request in simulator.chats("openai") if request.usage]
        finally:
            os.chdir(before)
            ours.with_cache_key, ours.with_cache_mark = key, mark
    prices = PriceBook()
    usd, total = Decimal(0), Tokens()
    for used in spent:
        tokens = Tokens(used["input"], used["output"], used["cached"], used["cache_write"])
        usd += prices.cost("openai", MODEL, tokens) or Decimal(0)
        total = Tokens(
            total.input + tokens.input, total.output + tokens.output,
            total.cached + tokens.cached, total.cache_write + tokens.cache_write,
        )  # fmt: skip
    return {
        "agent": name, "way": way, "input": total.input, "written": total.cache_write,
        "read": total.cached, "usd": usd,
    }  # fmt: skip
