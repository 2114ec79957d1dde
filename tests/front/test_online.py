"""Online experiments in real turns: sticky variants, exposures with their runs, promotions."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from allotrope import Agent, build_agent
from allotrope.exceptions import InputError, PromptError
from allotrope.experiments import promotion
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Experiment
from allotrope.experiments.online.online import open_online, read_traffic
from allotrope.experiments.store import ExperimentStore, open_store
from allotrope.graphs.context import RunContext
from allotrope.models.profiles.choices import open_choices
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.ledger.schema import calls, exposures
from allotrope.usage.recorder.recorder import UsageRecorder
from allotrope.usage.recorder.rows import CallRow

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
    return asyncio.run(agent._joined(turn, given)).context


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


def test_a_promotion_moves_label_and_profile_and_one_command_takes_it_back(
    settings: Settings, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    """In processes that run already, for everybody who pins nothing, and in Studio's graphs."""
    prompts = settings.prompts.model_copy(
        update={"folder": tmp_path / "own", "reload_s": 0.05, "settle_s": 0.0}
    )
    profiles = settings.profiles.model_copy(update={"reload_s": 0.05})
    settings = settings.model_copy(update={"prompts": prompts, "profiles": profiles})
    (tmp_path / "own").mkdir()
    store = open_store(settings)
    brief = TONE.model_copy(
        update={
            "variants": (
                TONE.variants[0],
                TONE.variants[1].model_copy(update={"prompt": "brief"}),
            )
        }
    )
    store.start(brief, by="ann")

    def answered(agent: Agent, context: Any = None) -> tuple[str, str]:
        before = {row["id"] for row in rows(settings, calls)}
        agent.ask("How are you?", context=context)
        [recorder] = [one for one in agent.parts.callbacks if isinstance(one, UsageRecorder)]
        assert recorder.flush()
        [row] = [row for row in rows(settings, calls) if row["id"] not in before]
        return row["prompt"], row["profile"]

    def soon(agent: Agent, wanted: tuple[str, str]) -> None:
        deadline = time.monotonic() + 20
        while answered(agent) != wanted:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    simulator.answer_with(lambda request: "Fine.")
    with build_agent(settings=settings) as agent:
        store.end("tone", by="ann", what="enough")
        assert answered(agent) == ("assistant@3", "balanced")
        done = promotion.promote(brief, "warm", settings, store, by="ann")
        assert (done.prompts, done.profile) == ({"assistant": (3, 4)}, "creative")
        soon(agent, ("assistant@4", "creative"))
        assert answered(agent, {"profile": "precise"}) == ("assistant@4", "precise")
        promotion.undo(brief, settings, store, by="bob")
        soon(agent, ("assistant@3", "balanced"))
    assert store.promoted() == {}
    assert [entry["what"] for entry in store.state("tone").history][-2:] == [
        "promoted warm",
        "took the promotion of warm back",
    ]
    with pytest.raises(InputError, match="nothing was promoted"):
        promotion.undo(brief, settings, store, by="bob")


def test_a_promotion_that_cannot_hold_changes_nothing(
    settings: Settings, store: ExperimentStore, tmp_path: Path
) -> None:
    both = TONE.model_copy(
        update={"variants": (
            TONE.variants[0], TONE.variants[1].model_copy(update={"prompt": "brief"})
        )}
    )  # fmt: skip
    store.start(both, by="ann")
    with pytest.raises(PromptError, match="no place for own prompts"):
        promotion.promote(both, "warm", settings, store, by="ann")
    sampled = TONE.variants[1].model_copy(update={"parameters": {"temperature": 0.2}})
    with pytest.raises(InputError, match="single parameters"):
        promotion.promote(
            TONE.model_copy(update={"variants": (TONE.variants[0], sampled)}), "warm", settings,
            store, by="ann",
        )  # fmt: skip
    with pytest.raises(InputError, match="names neither a prompt nor a profile"):
        promotion.promote(both, "plain", settings, store, by="ann")
    fixed = settings.profiles.model_copy(update={"agents": {"assistant": "precise"}})
    with pytest.raises(InputError, match="ALLOTROPE_PROFILES__AGENTS gives assistant"):
        promotion.promote(
            TONE, "warm", settings.model_copy(update={"profiles": fixed}), store, by="ann"
        )
    assert open_choices(settings).current() == {}
    assert store.promoted() == {}
    promotion.promote(TONE, "warm", settings, store, by="ann")
    open_choices(settings).choose("assistant", "economical", by="eve")
    with pytest.raises(InputError, match="changed to economical since"):
        promotion.undo(TONE, settings, store, by="bob")


def test_the_profile_that_settings_name_for_an_agent_holds(
    settings: Settings, simulator: ProviderSimulator
) -> None:
    simulator.script(["Fine."] * 2)
    for chosen, profile in (
        ({"agents": {"assistant": "precise"}}, "precise"),
        ({"default": "creative"}, "creative"),
    ):
        section = settings.profiles.model_copy(update=chosen)
        with build_agent(settings=settings.model_copy(update={"profiles": section})) as agent:
            run = agent.ask("How are you?").run_id
            [recorder] = [one for one in agent.parts.callbacks if isinstance(one, UsageRecorder)]
            assert recorder.flush()
        assert [row["profile"] for row in rows(settings, calls) if row["run"] == run] == [profile]


def test_without_experiments_nothing_of_them_is_loaded(settings: Settings) -> None:
    code = (
        "import sys, pathlib\n"
        "from allotrope.experiments.online.turns import TurnExperiments\n"
        "from allotrope.graphs.context import RunContext\n"
        "from allotrope.settings import load_settings\n"
        "live = TurnExperiments(load_settings(data_dir=pathlib.Path(sys.argv[1])))\n"
        "c = RunContext()\n"
        "same = live.join('assistant', c, pinned=frozenset(), thread='t', run_id='r') is c\n"
        "own = ('allotrope.experiments', 'allotrope.experiments.online', "
        "'allotrope.experiments.online.turns')\n"
        "found = [m for m in sys.modules if m.startswith('allotrope.experiments')]\n"
        "more = set(found) - set(own)\n"
        "print(same, bool(more))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(settings.data_dir)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout == "True False\n"


def test_serve_stops_a_bad_variant_without_anybody_looking(
    settings: Settings, store: ExperimentStore
) -> None:
    from allotrope.web.apps import serve_app

    guarded = Experiment.model_validate(
        {**TONE.model_dump(mode="json"), "guard_rails": [{"metric": "error_rate", "max": 0.1}]}
    )
    store.start(guarded, by="ann")
    online = open_online(settings)
    found: list[CallRow] = []
    with open_ledger(settings) as ledger:
        for n in range(120):
            choice = online.choose("assistant", tenant="default", user=None, thread=f"t{n}")
            online.expose(choice, run_id=f"r{n}")
            bad = choice.variant == "warm"
            found.append(CallRow(id=f"c{n}", at=n, run=f"r{n}", status="error" if bad else "ok"))
        ledger.write(found)
    online.close()
    section = settings.experiments.model_copy(update={"watch_s": 0.05})
    app = serve_app(settings.model_copy(update={"experiments": section}), host="127.0.0.1")

    async def served() -> None:
        async with app.router.lifespan_context(app):
            deadline = time.monotonic() + 30
            while not (await asyncio.to_thread(store.state, "tone")).stopped_variants:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)

    asyncio.run(served())
    assert list(store.state("tone").stopped_variants) == ["warm"]
    assert len(rows(settings, exposures)) == 120


def test_an_offline_answer_with_a_switched_profile_does_not_count(
    settings: Settings, simulator: ProviderSimulator
) -> None:
    from allotrope.experiments.definition import Variant
    from allotrope.experiments.offline.subjects import AgentSubject
    from allotrope.settings.usage import BudgetSettings, ThresholdSettings

    switch = ThresholdSettings(percent=1, action="switch_profile", profile="economical")
    budget = BudgetSettings(name="b", tokens=1000, thresholds=(switch,))
    usage = settings.usage.model_copy(update={"budgets": (budget,)})
    settings = settings.model_copy(update={"usage": usage})
    simulator.script(["Fine."] * 8)
    variant = Variant(name="v", share=1.0, profile="precise")

    async def asked() -> list[Any]:
        async with AgentSubject("assistant", settings, build=build_agent, experiment="e") as ask:
            outcomes = []
            for n in range(4):
                outcomes.append(await ask(Item(f"i{n}", f"How are you, {n}?"), variant, repeat=0))
                await asyncio.sleep(0.3)  # the recorder counts in the background
            return outcomes

    first, *_, last = asyncio.run(asked())
    assert first.provenance["profile"] == "precise"
    assert "switched" not in first.provenance
    assert last.provenance["switched"] == ["economical"]
