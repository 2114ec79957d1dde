"""An experiment over its life: rounds, stops, people beside rules, and values that come late."""

import multiprocessing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from allotrope.exceptions import InputError, StoreError
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.results import Run
from allotrope.experiments.online.assignment import assign
from allotrope.experiments.online.online import OnlineExperiments, read_traffic
from allotrope.experiments.online.traffic import analyse_traffic, arms
from allotrope.experiments.store import ExperimentStore, State, open_store
from allotrope.settings import Settings, load_settings
from allotrope.usage.ledger.ledger import Ledger, open_ledger
from allotrope.usage.recorder.rows import CallRow, microseconds

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def tone(profile: str = "creative", **changes: Any) -> Experiment:
    document: dict[str, Any] = {
        "name": "tone",
        "kind": "online",
        "variants": [
            {"name": "plain", "share": 0.5},
            {"name": "warm", "share": 0.5, "profile": profile},
        ],
        "metrics": [{"name": "feedback"}],
    }
    return Experiment.model_validate(document | changes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environ={}, env_file=None, data_dir=tmp_path)


@pytest.fixture
def store(settings: Settings) -> ExperimentStore:
    return open_store(settings)


def see(store: ExperimentStore, settings: Settings, prefix: str, *, aside: bool = False) -> None:
    """Fifty users' first runs; `aside`: while the ledger can't be written."""

    def ledger() -> Ledger:
        if aside:
            raise StoreError("The ledger is locked.")
        return open_ledger(settings)

    online = OnlineExperiments(store, ledger=ledger, reload_s=0)
    for n in range(50):
        choice = online.choose("assistant", tenant="acme", user=f"u{n}", thread="t")
        online.expose(choice, run_id=f"{prefix}{n}")
    online.close()


@pytest.mark.parametrize("aside", [False, True])
def test_a_new_form_never_counts_the_old_ones_runs(
    store: ExperimentStore, settings: Settings, aside: bool
) -> None:
    store.start(tone(), by="ann")
    see(store, settings, "old", aside=aside)
    store.stop_variant("tone", "warm", reason="too bad")
    store.end("tone", by="ann", what="enough", status="stopped")
    new = tone("precise", salt="2")
    with pytest.raises(InputError, match="another form already"):
        store.start(new, by="ann")
    store.start(new, by="ann", fresh=True)
    assert store.state("tone").stopped_variants == {}
    assert read_traffic(new, store, settings).results == {}  # none so far
    see(store, settings, "new", aside=aside)
    run = read_traffic(new, store, settings)
    assert len(run.results) == 50
    for unit, variant, _ in run.results:
        assigned = assign(new, unit)
        assert assigned is not None
        assert assigned.name == variant
    # the same form may go on where it was
    store.end("tone", by="ann", what="a pause", status="stopped")
    store.start(new, by="ann")
    see(store, settings, "again")
    assert len(read_traffic(new, store, settings).results) == 50


def test_a_persons_stop_is_never_undone_by_a_rule(store: ExperimentStore) -> None:
    store.start(tone(), by="ann")
    store.end("tone", by="ann", what="stop it", status="stopped")
    assert not store.stop_variant("tone", "warm", reason="a rail")
    assert not store.end("tone", by="rule", what="every variant has 100 units")
    state = store.state("tone")
    assert (state.status, dict(state.stopped_variants)) == ("stopped", {})
    assert [entry["what"] for entry in state.history] == ["started", "stop it"]


def _write(folder: Path, who: int) -> None:
    store = ExperimentStore(folder)
    for n in range(25):
        store.stop_variant("tone", f"v{who}-{n}", reason="a rail")


def test_no_process_undoes_what_another_wrote(tmp_path: Path) -> None:
    store = ExperimentStore(tmp_path)
    store.start(tone(), by="ann")
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, who)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    state = store.state("tone")
    assert len(state.stopped_variants) == 100
    assert len(state.history) == 101


def test_a_state_of_an_earlier_version_is_read(store: ExperimentStore) -> None:
    store.start(tone(), by="ann")
    path = store.folder / "tone" / "state.json"
    path.write_text('{"status": "running", "history": [], "stopped_variants": {"warm": "bad"}}')
    assert store.state("tone") == State("running", (), {"warm": "bad"})
    assert store.state("tone").key("tone") == "tone"


def feedback_later(
    store: ExperimentStore, settings: Settings, came: list[tuple[int, float]]
) -> Run:
    """Units seen one a minute; feedback of `(unit, score)` in the order given, hours later."""
    with open_ledger(settings) as ledger:
        for order, (unit, score) in enumerate(came):
            variant = "warm" if unit % 2 else "plain"
            at = NOW + timedelta(minutes=unit)
            ledger.record_exposure("tone", f"acme/u{unit:03}", variant, run_id=f"r{unit}", at=at)
            later = NOW + timedelta(hours=10, seconds=order)
            ledger.record_feedback(f"r{unit}", score, at=later)
    return read_traffic(tone(), store, settings)


def test_values_count_in_the_order_in_which_they_came(
    store: ExperimentStore, settings: Settings
) -> None:
    """A look at all of it sees what the looks before have seen, and then the rest."""
    store.start(tone(), by="ann")
    came = [(n * 37 % 100, float(n % 3 == 0)) for n in range(100)]
    early = feedback_later(store, settings, came[:60])
    values, treated = arms(early, "feedback", "warm", "plain")
    assert values == [score for _, score in came[:60]]
    whole = feedback_later(store, settings, came)
    more, arm = arms(whole, "feedback", "warm", "plain")
    assert more[:60] == values
    assert arm[:60] == treated
    before, after = (analyse_traffic(tone(), run).comparisons[0] for run in (early, whole))
    assert after.always.p_value <= before.always.p_value  # evidence never goes away


def test_what_calls_tell_counts_when_they_end(store: ExperimentStore, settings: Settings) -> None:
    store.start(tone(), by="ann")
    with open_ledger(settings) as ledger:
        for n, (began, took_ms) in enumerate([(0, 9_000.0), (1, 100.0), (2, 3_000.0)]):
            ledger.record_exposure("tone", f"acme/u{n}", "warm", run_id=f"r{n}", at=NOW)
            at = microseconds(NOW + timedelta(seconds=began))
            ledger.write([CallRow(id=f"c{n}", at=at, run=f"r{n}", latency_ms=took_ms)])
    run = read_traffic(tone(), store, settings)
    assert [result.item for result in run.as_it_came("latency_ms")] == [
        "acme/u1",
        "acme/u2",
        "acme/u0",
    ]


def _call(run: str, status: str, second: int, **more: Any) -> CallRow:
    at = microseconds(NOW + timedelta(seconds=second))
    cost = Decimal("0.01") if status == "ok" else Decimal(0)
    return CallRow(id=f"{run}-{second}", at=at, run=run, status=status, cost=cost, **more)


def test_how_a_run_ended_decides_whether_it_failed(
    store: ExperimentStore, settings: Settings
) -> None:
    store.start(tone(), by="ann")
    runs = {
        "failed-over": [("error", {}), ("ok", {})],
        "broke-later": [("ok", {}), ("error", {})],
        "cut-by-a-budget": [("ok", {}), ("refused", {})],
        "refused": [("refused", {})],
        "no-summary": [("ok", {}), ("error", {"agent": "summariser"})],
        "dead": [("error", {}), ("error", {})],
    }
    with open_ledger(settings) as ledger:
        for name, calls in runs.items():
            ledger.record_exposure("tone", f"acme/{name}", "warm", run_id=name, at=NOW)
            ledger.write([_call(name, s, n, **more) for n, (s, more) in enumerate(calls)])
    run = read_traffic(tone(), store, settings)
    scores = {result.item.removeprefix("acme/"): result.scores for result in run.results.values()}
    failed = {name for name, found in scores.items() if found.get("error_rate") == 1.0}
    assert failed == {"broke-later", "cut-by-a-budget", "dead"}
    assert all("cost_usd" not in scores[name] for name in failed)
    assert scores["refused"] == {}  # nobody asked a model, so the variant did nothing
    assert scores["failed-over"]["cost_usd"] == scores["no-summary"]["cost_usd"] == 0.01
    assert run.spent == Decimal("0.04")  # what was spent on failures is spent all the same


def test_units_are_counted_as_they_were_before_the_first_stop(
    store: ExperimentStore, settings: Settings
) -> None:
    store.start(tone(), by="ann")
    with open_ledger(settings) as ledger:
        for n in range(30):
            variant = "warm" if n % 3 == 0 else "plain"
            ledger.record_exposure("tone", f"acme/u{n}", variant, run_id=f"r{n}", at=NOW)
        store.stop_variant("tone", "warm", reason="too bad")
        later = datetime.now(UTC) + timedelta(seconds=5)
        ledger.record_exposure("tone", "acme/late", "plain", run_id="late", at=later)
    run = read_traffic(tone(), store, settings)
    assert run.header["units_before_stop"] == {"warm": 10, "plain": 20}
