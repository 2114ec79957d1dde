"""Watching without anybody looking: guard-rails, exposures kept aside, switched profiles."""

import multiprocessing
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from allotrope.experiments.definition import Experiment
from allotrope.experiments.online import aside
from allotrope.experiments.online.online import OnlineExperiments, read_traffic
from allotrope.experiments.online.traffic import analyse_traffic
from allotrope.experiments.online.watch import watch_once
from allotrope.experiments.store import ExperimentStore, open_store
from allotrope.settings import Settings, load_settings
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.recorder.rows import CallRow, microseconds

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TONE = Experiment.model_validate(
    {
        "name": "tone",
        "kind": "online",
        "variants": [
            {"name": "plain", "share": 0.5},
            {"name": "warm", "share": 0.5, "profile": "creative"},
        ],
        "metrics": [{"name": "feedback"}],
        "guard_rails": [{"metric": "error_rate", "max": 0.1}],
    }
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environ={}, env_file=None, data_dir=tmp_path)


@pytest.fixture
def store(settings: Settings) -> ExperimentStore:
    found = open_store(settings)
    found.start(TONE, by="ann")
    return found


def traffic(settings: Settings, store: ExperimentStore, *, units: int, **wrong: Any) -> None:
    """Runs with one call each; `errors` fails the warm ones, `switched` changes their profile."""
    online = OnlineExperiments(store, ledger=lambda: open_ledger(settings), reload_s=0)
    found: list[CallRow] = []
    with open_ledger(settings) as ledger:
        for n in range(units):
            choice = online.choose("assistant", tenant="acme", user=f"u{n}", thread="t")
            online.expose(choice, run_id=f"r{n}")
            warm = choice.variant == "warm"
            profile = "creative" if warm else "balanced"
            if warm and n in wrong.get("switched", ()):
                profile = "economical"
            row = CallRow(
                id=f"c{n}", at=microseconds(NOW + timedelta(seconds=n)), run=f"r{n}",
                variant=f"tone/{choice.variant}", profile=profile, cost=Decimal("0.001"),
                status="error" if warm and wrong.get("errors") else "ok",
            )  # fmt: skip
            found.append(row)
            if not wrong.get("errors"):
                ledger.record_feedback(f"r{n}", 1.0 if warm else 0.0)
        ledger.write(found)
    online.close()


def test_a_bad_variant_is_stopped_and_its_units_get_the_control(
    settings: Settings, store: ExperimentStore
) -> None:
    traffic(settings, store, units=120, errors=True)
    [said] = watch_once(settings)
    assert said.startswith("tone: warm is stopped: error_rate is 1 ")
    assert watch_once(settings) == []
    online = OnlineExperiments(store, ledger=lambda: open_ledger(settings), reload_s=0)
    chosen = [
        online.choose("assistant", tenant="acme", user=f"u{n}", thread="t") for n in range(20)
    ]
    assert all("profile" not in choice.context for choice in chosen)
    assert len(read_traffic(TONE, store, settings).results) == 120  # no exposure went away


def test_a_good_variant_goes_on_and_a_broken_file_hides_nobody(
    settings: Settings, store: ExperimentStore
) -> None:
    other = TONE.model_copy(update={"name": "aside", "agent": "coder"})
    store.start(other, by="ann")
    (store.folder / "aside" / "experiment.json").write_text("{")
    traffic(settings, store, units=60)
    assert watch_once(settings) == []
    traffic(settings, store, units=140, errors=True)
    assert len(watch_once(settings)) == 1


def test_without_a_folder_nothing_is_looked_at(settings: Settings) -> None:
    assert watch_once(settings) == []
    assert not open_store(settings).folder.exists()


def _write(folder: Path, who: int) -> None:
    for n in range(60):
        aside.keep(folder, {"unit": f"{who}/{n}", "variant": "warm", "run": "r", "at": None})


def test_no_exposure_is_lost_between_writers_and_the_reader(tmp_path: Path) -> None:
    """Four processes keep exposures while another enters them again and again."""
    seen: list[str] = []
    stop = threading.Event()

    def reader() -> None:
        while not stop.is_set():
            aside.enter(tmp_path, lambda fact: seen.append(fact["unit"]))
            time.sleep(0.002)

    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, who)) for who in range(4)]
    for writer in writers:
        writer.start()
    thread = threading.Thread(target=reader)
    thread.start()
    for writer in writers:
        writer.join(60)
    stop.set()
    thread.join()
    aside.enter(tmp_path, lambda fact: seen.append(fact["unit"]))
    assert sorted(seen) == sorted(f"{who}/{n}" for who in range(4) for n in range(60))


def test_what_the_ledger_refuses_again_stays_kept(tmp_path: Path) -> None:
    aside.keep(tmp_path, {"unit": "a", "variant": "warm", "run": "r", "at": None})
    with (tmp_path / aside.FILE).open("ab") as file:
        file.write(b'{"unit": "ha')  # the machine went down here

    def refuse(fact: Any) -> None:
        raise OSError("locked")

    with pytest.raises(OSError, match="locked"):
        aside.enter(tmp_path, refuse)
    seen: list[str] = []
    assert aside.enter(tmp_path, lambda fact: seen.append(fact["unit"])) == 1
    assert seen == ["a"]
    assert aside.enter(tmp_path, refuse) == 0


def test_runs_that_a_budget_switched_are_marked_and_do_not_count(
    settings: Settings, store: ExperimentStore
) -> None:
    traffic(settings, store, units=60, switched=range(10))
    run = read_traffic(TONE, store, settings)
    marked = [r for r in run.results.values() if r.outcome.provenance.get("switched")]
    assert marked
    assert {r.variant for r in marked} == {"warm"}
    assert marked[0].outcome.provenance["switched"] == ["economical"]
    analysis = analyse_traffic(TONE, run)
    estimate = analysis.estimates["feedback"]
    assert estimate["warm"].n + estimate["plain"].n == 60 - len(marked)
    assert any(f"{len(marked)} of warm were answered with another" in w for w in analysis.warnings)
    assert analysis.winner == "warm"


def test_a_budget_that_switches_one_variant_often_voids_the_result(
    settings: Settings, store: ExperimentStore
) -> None:
    traffic(settings, store, units=240, switched=range(220))
    analysis = analyse_traffic(TONE, read_traffic(TONE, store, settings))
    assert analysis.winner is None
    assert any("switched one variant's profile more often" in w for w in analysis.warnings)
