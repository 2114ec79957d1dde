"""Takes the pictures of the dashboard: python docs/pictures/dashboard.py

The data are of a real run: some thousand calls and turns go through the chain and the agents to the
provider simulator, with repeated questions, streams, two outages and an experiment, and the
recorder writes them into a ledger. The run takes a minute or two; so that the charts show more
than one bar, its moments are then stretched over the last four weeks. Nothing else is changed.
"""

import argparse
import asyncio
import contextlib
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import select

from allotrope import build_agent, load_settings
from allotrope.experiments.definition import Experiment
from allotrope.experiments.store import open_store
from allotrope.models.cache import open_cache
from allotrope.models.chain import build_chain
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator, Reply, SimRequest
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.recorder import recorder
from allotrope.usage.recorder.rows import COLUMNS, CallRow, microseconds
from allotrope.web.apps import dashboard_app
from allotrope.web.running import address, bind

DAYS = 29
AGENTS = ("assistant", "analyst", "coder", "researcher")
WORDS = ("invoice", "delivery", "refund", "contract", "warranty", "price", "battery", "window")
EXPERIMENT = Experiment.model_validate(
    {
        "name": "short-answers", "kind": "online", "agent": "assistant", "unit": "user",
        "variants": [{"name": "today", "share": 0.5}, {"name": "short", "share": 0.5}],
        "metrics": [{"name": "cost_usd"}],
    }
)  # fmt: skip
RESILIENCE = {"breaks_s": [2], "first_wait_s": 0.05, "longest_wait_s": 0.2}
BUDGETS = (
    {"name": "house", "usd": 8, "period": "day"},
    {"name": "month", "usd": 60, "period": "month"},
    {"name": "tenants", "scope": "tenant", "tokens": 12_000_000, "period": "month"},
)


def answer(request: SimRequest) -> Reply:
    """An answer whose size and pace depend on the question alone."""
    chance = random.Random(request.text)
    text = " ".join(chance.choices(WORDS, k=chance.randrange(30, 160)))
    sent = 300 + int(chance.lognormvariate(7, 0.8))
    return Reply(
        text,
        input_tokens=sent,
        cached_tokens=sent // 3 if chance.random() < 0.4 else 0,
        output_tokens=int(chance.lognormvariate(5.3, 0.7)),
        reasoning_tokens=int(chance.lognormvariate(5, 0.8)),
        token_delay_s=chance.lognormvariate(-7, 0.5),
    )


async def calls(settings: Settings, simulator: ProviderSimulator, many: int) -> None:
    """Calls of a LangChain app of one's own: the chain, with metadata that say who asks."""
    handlers = recorder.from_settings(settings)
    cache = open_cache(settings)
    chains = {
        name: build_chain(
            settings.model_copy(
                update={"openai": settings.openai.model_copy(update={"model": name})}
            ),
            cache=cache,
            callbacks=handlers,
        )
        for name in ("o3", "o4-mini")
    }
    chance = random.Random(4)
    gate = asyncio.Semaphore(24)
    outages: dict[int, Any] = {}

    async def one(number: int) -> None:
        user = int(chance.paretovariate(1.1)) % 80
        agent = chance.choices(AGENTS, weights=(5, 3, 2, 1))[0]
        variant = ("today", "short")[user % 2]
        config: Any = {
            "metadata": {
                "allotrope_agent": agent,
                "allotrope_tenant": chance.choices(("acme", "globex"), weights=(3, 1))[0],
                "allotrope_user": f"user-{user}",
                "allotrope_run_id": f"run-{number}",
                "thread_id": f"{agent}-{user}",
                **({"allotrope_variant": f"short-answers/{variant}"} if agent == AGENTS[0] else {}),
            }
        }
        case = int(chance.paretovariate(0.6)) % 3000
        question = f"{agent}: what about the {chance.choice(WORDS)}, case {case}?"
        chain = chains[chance.choices(("o3", "o4-mini"), weights=(2, 1))[0]]
        async with gate:
            if number in (many * 2 // 5, many * 4 // 5):
                outages[number] = simulator.faults.add("503", provider="openai")
            if number in (many * 2 // 5 + many // 30, many * 4 // 5 + many // 50):
                simulator.faults.clear()
            with contextlib.suppress(Exception):  # failed calls are data too
                if chance.random() < 0.5:
                    async for _ in chain.astream(question, config):
                        pass
                else:
                    await chain.ainvoke(question, config)

    await asyncio.gather(*(one(number) for number in range(many)))


async def turns(settings: Settings, many: int) -> None:
    """Turns on a local model, in threads that grow until memory has to pack them."""
    settings = settings.model_copy(
        update={"openai": settings.openai.model_copy(update={"enabled": False})}
    )
    async with build_agent("assistant", settings=settings) as agent:
        chance = random.Random(many)

        async def talk(thread: int) -> None:
            for number in range(chance.randrange(4, many // 4)):
                words = " ".join(random.Random(f"{thread}/{number}").choices(WORDS, k=400))
                with contextlib.suppress(Exception):
                    await agent.aask(
                        f"Note {number}: {words}. And now?",
                        thread_id=f"long-talk-{thread}",
                    )

        await asyncio.gather(*(talk(thread) for thread in range(8)))


def stretch(source: Settings, target: Settings) -> int:
    """Copies the ledger, its moments stretched over the last `DAYS` days, fewer at night."""
    chance = random.Random(1)
    with open_ledger(source) as old, open_ledger(target) as new:
        with old.engine.connect() as connection:
            query = select(schema.calls).order_by(schema.calls.c.at)
            found = connection.execute(query).mappings()
            rows = [CallRow(**{name: row[name] for name in COLUMNS}) for row in found]
        now = microseconds(datetime.now(UTC))
        first, last = rows[0].at, rows[-1].at
        moved = []
        for row in rows:
            share = (row.at - first) / (last - first)
            back = (1 - share) * DAYS * 86_400e6
            day, hour = divmod(back, 86_400e6)
            at = now - int(day * 86_400e6 + hour * chance.uniform(0.6, 1))
            moved.append(replace(row, at=at))
        for start in range(0, len(moved), 1000):
            new.write(moved[start : start + 1000])
        for user, variant in sorted({(row.user_name, row.variant) for row in rows if row.variant}):
            new.record_exposure(EXPERIMENT.name, user, variant.partition("/")[2])
    open_store(target).start(EXPERIMENT, by="the picture's script")
    return len(rows)


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[str]:
    """`allotrope dashboard` of the settings, in a thread; its address."""
    listening = bind("127.0.0.1", 0)
    app = dashboard_app(settings, host="127.0.0.1")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield address(listening)
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


async def outage(settings: Settings, simulator: ProviderSimulator) -> None:
    """OpenAI fails until its circuit opens; nothing of it is recorded."""
    fault = simulator.faults.add("503", provider="openai")
    chain = build_chain(settings)
    for number in range(12):
        with contextlib.suppress(Exception):
            await chain.ainvoke(f"Anybody there? {number}")
    simulator.faults.remove(fault)


async def take(base: str, chromium: str, names: str) -> None:
    """The pictures of these names, beside this file."""
    from playwright.async_api import async_playwright

    wide = {"viewport": {"width": 1200, "height": 1500}}
    low = {"viewport": {"width": 1200, "height": 640}}
    phone = {
        "viewport": {"width": 390, "height": 1500}, "is_mobile": True, "device_scale_factor": 1.5,
    }  # fmt: skip
    pictures: list[tuple[str, str, dict[str, Any], str]] = [
        ("light", "/dashboard?period=30d", wide, ""),
        ("dark", "/dashboard?period=30d&by=model", {**wide, "color_scheme": "dark"}, ""),
        ("below", "/dashboard?period=30d", wide, "#latency"),
        ("phone", "/dashboard?period=30d", phone, ""),
        ("phone-dark", "/dashboard?period=30d", {**phone, "color_scheme": "dark"}, "#savings"),
        ("rows", "/dashboard/rows?period=30d&only=failovers", low, ""),
        ("advice", "/dashboard/advice", {"viewport": {"width": 1200, "height": 1180}}, ""),
        ("outage", "/status", {**low, "color_scheme": "dark"}, ""),
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, path, options, scroll in pictures:
            if name not in names.split():
                continue
            page = await browser.new_page(**options)
            await page.goto(base + path)
            if path.startswith("/dashboard?"):
                await page.wait_for_selector("#cost .barlayer .point", state="attached")
                await page.wait_for_selector("#recommendations")
            if scroll:
                await page.evaluate("id => document.querySelector(id).scrollIntoView()", scroll)
            await page.wait_for_timeout(300)
            await page.screenshot(path=Path(__file__).parent / f"dashboard-{name}.png")
            await page.close()
        await browser.close()


def main() -> None:
    """Runs, stretches, looks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=240)
    parser.add_argument("--folder", type=Path, help="Keeps the ledgers here; taken if there.")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="allotrope-pictures-"))
    with ProviderSimulator(models=["o4-mini"], latency_s=0.02) as simulator:
        simulator.answer_with(answer)

        def settings(name: str, **more: Any) -> Settings:
            return load_settings(
                environ={}, env_file=None, data_dir=folder / name, embedded={"enabled": False},
                openai={"api_key": "sk-simulator", "base_url": simulator.openai_url},
                ollama={"host": simulator.ollama_url}, log={"level": "ERROR"},
                **more,
            )  # fmt: skip

        shown = settings("shown", usage={"budgets": BUDGETS}, resilience={"breaks_s": [120]})
        if not (folder / "shown").exists():
            run = settings("run", resilience=RESILIENCE)
            begin = time.monotonic()

            async def both() -> None:
                await asyncio.gather(
                    calls(run, simulator, options.calls), turns(run, options.turns)
                )

            asyncio.run(both())
            for handler in recorder.from_settings(run):
                handler.close()  # type: ignore[attr-defined]  # the recorder: flushes
            print(f"{stretch(run, shown)} rows in {time.monotonic() - begin:.0f} s")
        with served(shown) as base:
            names = "light dark below phone phone-dark rows advice"
            asyncio.run(take(base, options.chromium, names))
            asyncio.run(outage(shown, simulator))
            asyncio.run(take(base, options.chromium, "outage"))


if __name__ == "__main__":
    main()
