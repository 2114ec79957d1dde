"""Online experiments in real turns: sticky variants, exposures with their runs, promotions."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import select

from allotrope import Agent, build_agent
from allotrope.experiments.definition import Experiment
from allotrope.experiments.online import read_traffic
from allotrope.experiments.store import ExperimentStore, open_store
from allotrope.graphs.context import RunContext
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger import open_ledger
from allotrope.usage.recorder import UsageRecorder
from allotrope.usage.schema import calls, exposures

TONE = Experiment.model_validate(
    {
        "name": "tone",
        "kind": "online",
        "unit": "thread",
        "variants": [
            {"name": "plain", "share": 0.5},
            {"name": "warm", "share": 0.5, "profile": "creative"},
        ],
        "metrics": [{"name": "feedback"}],
    }
)


@pytest.fixture
def settings(simulator_settings: Settings) -> Settings:
    return simulator_settings.model_copy(
        update={
            "experiments": simulator_settings.experiments.model_copy(update={"reload_s": 0.0}),
        }
    )


@pytest.fixture
def store(settings: Settings) -> ExperimentStore:
    return open_store(settings)


def rows(settings: Settings, table: Any) -> list[Any]:
    with open_ledger(settings) as ledger, ledger.engine.connect() as connection:
        return list(connection.execute(select(table)).mappings())


def test_turns_get_their_variant_and_are_recorded(
    settings: Settings, store: ExperimentStore, simulator: ProviderSimulator
) -> None:
    simulator.script(["Fine."] * 16)
    store.start(TONE, by="ann")
    runs: dict[str, str] = {}
    with build_agent(settings=settings) as agent:
        for n in range(6):
            runs[agent.ask(f"How are you, {n}?", thread_id=f"t{n}").run_id] = f"t{n}"
        last = [*agent.stream("And now?", thread_id="t0")][-1]
        runs[last["run_id"]] = "t0"
        [recorder] = [one for one in agent.parts.callbacks if isinstance(one, UsageRecorder)]
        assert recorder.flush()
    seen = {row["unit"]: row for row in rows(settings, exposures)}
    assert set(seen) == {f"default/t{n}" for n in range(6)}
    assert {row["variant"] for row in seen.values()} == {"plain", "warm"}
    for unit, row in seen.items():
        assert f"default/{runs[row['run']]}" == unit
    answered = [row for row in rows(settings, calls) if row["run"] in runs]
    assert {row["run"] for row in answered} == set(runs)
    for row in answered:
        variant = seen[f"default/{runs[row['run']]}"]["variant"]
        assert row["variant"] == f"tone/{variant}"
        assert row["profile"] == ("creative" if variant == "warm" else "balanced")
    read = read_traffic(TONE, store, settings)
    assert all(result.scores["total_tokens"] > 0 for result in read.results.values())


async def test_asynchronous_turns_too(
    settings: Settings, store: ExperimentStore, simulator: ProviderSimulator
) -> None:
    simulator.script(["Fine."] * 8)
    await asyncio.to_thread(store.start, TONE, by="ann")
    async with build_agent(settings=settings) as agent:
        first = await agent.aask("How are you?", thread_id="a")
        events = [event async for event in agent.astream("And you?", thread_id="b")]
    found = await asyncio.to_thread(rows, settings, exposures)
    assert {(row["unit"], row["run"]) for row in found} == {
        ("default/a", first.run_id),
        ("default/b", events[-1]["run_id"]),
    }


def joined(agent: Agent, given: Any = None, *, thread: str = "t") -> RunContext:
    turn = agent._begin("hi", thread, given)
    return agent._joined(turn, given).context


def test_who_pins_a_profile_takes_no_part(settings: Settings, store: ExperimentStore) -> None:
    store.start(TONE, by="ann")
    with build_agent(settings=settings) as agent:
        for n in range(8):
            assert joined(agent, {"profile": "precise"}, thread=f"t{n}").variant is None
            assert joined(agent, RunContext(prompt_label="1"), thread=f"t{n}").variant is None
            offline = joined(agent, {"variant": "sums/quick"}, thread=f"t{n}")
            assert offline.variant == "sums/quick"
            assert joined(agent, {"user": "u"}, thread=f"t{n}").variant in {
                "tone/plain",
                "tone/warm",
            }
    assert {row["unit"] for row in rows(settings, exposures)} == {f"default/t{n}" for n in range(8)}


def test_a_promotion_holds_for_everybody_who_pins_nothing(
    settings: Settings, store: ExperimentStore
) -> None:
    with build_agent(settings=settings) as agent:
        assert joined(agent).profile == "balanced"
        store.start(TONE, by="ann")
        store.promote(TONE, "warm", by="ann")
        assert joined(agent).profile == "creative"
        assert joined(agent, {"tenant": "acme"}).profile == "creative"
        assert joined(agent, {"profile": "precise"}).profile == "precise"
        store.promote(TONE, "plain", by="ann")
        assert joined(agent).profile == "balanced"


def test_without_experiments_nothing_of_them_is_loaded(settings: Settings) -> None:
    code = (
        "import sys, pathlib\n"
        "from allotrope.online import TurnExperiments\n"
        "from allotrope.graphs.context import RunContext\n"
        "from allotrope.settings import load_settings\n"
        "live = TurnExperiments(load_settings(data_dir=pathlib.Path(sys.argv[1])))\n"
        "c = RunContext()\n"
        "same = live.join('assistant', c, pinned=frozenset(), thread='t', run_id='r') is c\n"
        "print(same, any(m.startswith('allotrope.experiments') for m in sys.modules))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(settings.data_dir)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout == "True False\n"
