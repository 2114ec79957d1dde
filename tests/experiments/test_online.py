"""Online experiments: sticky choices, exposures that are never lost, and honest readings."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allotrope.exceptions import InputError, StoreError
from allotrope.experiments.definition import Experiment, load_experiment, parse_experiment
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.results import Result, Run
from allotrope.experiments.offline.subjects import VariantCheck
from allotrope.experiments.online.assignment import assign
from allotrope.experiments.online.online import (
    OnlineExperiments,
    check_layers,
    enforce,
    read_traffic,
)
from allotrope.experiments.online.traffic import analyse_traffic, traffic_breaches
from allotrope.experiments.store import ExperimentStore, open_store
from allotrope.settings import Settings, load_settings
from allotrope.usage.ledger.ledger import Ledger, open_ledger
from allotrope.usage.recorder.rows import CallRow, microseconds

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def tone(**changes: Any) -> Experiment:
    document: dict[str, Any] = {
        "name": "tone",
        "kind": "online",
        "variants": [
            {"name": "plain", "share": 0.5},
            {"name": "warm", "share": 0.5, "profile": "creative"},
        ],
        "metrics": [{"name": "feedback"}],
    }
    return Experiment.model_validate(document | changes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path)


def online(settings: Settings, **options: Any) -> OnlineExperiments:
    store = open_store(settings)
    return OnlineExperiments(store, ledger=lambda: open_ledger(settings), reload_s=0, **options)


def choose(experiments: OnlineExperiments, user: str | None, agent: str = "assistant") -> Any:
    return experiments.choose(agent, tenant="acme", user=user, thread="t")


def test_a_unit_always_gets_its_variant_until_the_experiment_stops(settings: Settings) -> None:
    store = open_store(settings)
    experiments = online(settings)
    assert choose(experiments, "u1").context == {}
    store.start(tone(), by="ann")
    for n in range(50):
        choice = choose(experiments, f"u{n}")
        variant = assign(tone(), f"acme/u{n}")
        assert variant is not None
        assert choice.variant == variant.name
        assert choice.context["variant"] == f"tone/{variant.name}"
        assert choice.context.get("profile") == variant.profile
    assert choose(experiments, None).experiment is None
    assert choose(experiments, "u1", agent="coder").experiment is None
    store.end("tone", by="ann", what="enough", status="stopped")
    assert choose(experiments, "u1").context == {}


def test_a_stopped_variant_gets_the_control_and_no_exposure(settings: Settings) -> None:
    store = open_store(settings)
    store.start(tone(), by="ann")
    store.stop_variant("tone", "warm", reason="error_rate is 0.3")
    experiments = online(settings)
    units = [n for n in range(40) if assign(tone(), f"acme/u{n}") == tone().variant("warm")]
    for n in units:
        choice = choose(experiments, f"u{n}")
        assert choice.experiment is None
        assert "profile" not in choice.context


def test_a_broken_file_leaves_the_last_form_in_force(settings: Settings) -> None:
    store = open_store(settings)
    store.start(tone(), by="ann")
    experiments = online(settings)
    before = choose(experiments, "u1")
    (store.folder / "tone" / "experiment.json").write_text("{")
    assert choose(experiments, "u1") == before


def test_exposures_survive_a_ledger_that_fails(settings: Settings) -> None:
    store = open_store(settings)
    store.start(tone(), by="ann")

    def broken() -> Ledger:
        raise StoreError("The ledger is locked.")

    failing = OnlineExperiments(store, ledger=broken, reload_s=0)
    for n in range(5):
        failing.expose(choose(failing, f"u{n}"), run_id=f"r{n}")
    working = online(settings)
    working.expose(choose(working, "u7"), run_id="r7")
    working.expose(choose(working, "u7"), run_id="later")
    working.close()
    run = read_traffic(tone(), store, settings)
    assert {key[0] for key in run.results} == {f"acme/u{n}" for n in (0, 1, 2, 3, 4, 7)}
    assert len(read_traffic(tone(), store, settings).results) == 6


def test_traffic_joins_calls_and_feedback(settings: Settings) -> None:
    store = open_store(settings)
    store.start(tone(), by="ann")
    experiments = online(settings)
    with open_ledger(settings) as ledger:
        for n in range(60):
            choice = choose(experiments, f"u{n}")
            experiments.expose(choice, run_id=f"r{n}")
            at = microseconds(NOW + timedelta(seconds=n))
            ledger.write(
                [
                    CallRow(id=f"c{n}", at=at, run=f"r{n}", input_tokens=10, output_tokens=5,
                            latency_ms=200.0, cost=Decimal("0.001")),
                    CallRow(id=f"d{n}", at=at + 1, run=f"r{n}", input_tokens=1, output_tokens=1,
                            status="error" if n == 3 else "ok", cost=Decimal("0.001")),
                ]
            )  # fmt: skip
            if n % 2 == 0:
                ledger.record_feedback(f"r{n}", 1.0 if choice.variant == "warm" else 0.0)
        ledger.record_feedback("r0", 0.5, metric="length")  # of something else
        ledger.record_feedback("r1", 5.0)  # on another scale
    experiments.close()
    run = read_traffic(tone(), store, settings)
    assert len(run.results) == 60
    assert any("1 scores are not from 0 to 1" in w for w in analyse_traffic(tone(), run).warnings)
    assert run.spent == Decimal("0.120")
    analysis = analyse_traffic(tone(), run)
    assert analysis.estimates["feedback"]["warm"].mean == 1.0
    assert analysis.estimates["feedback"]["plain"].mean == 0.0
    assert sum(e.n for e in analysis.estimates["feedback"].values()) == 30
    assert analysis.estimates["latency_ms"]["warm"].mean == 200.0
    assert analysis.winner == "warm"


def traffic(
    outcomes: list[tuple[str, dict[str, float]]], *, experiment: Experiment | None = None
) -> Run:
    run = Run(header={"items": [f"u{n}" for n in range(len(outcomes))]})
    for n, (variant, scores) in enumerate(outcomes):
        result = Result(f"u{n}", variant, 0, Outcome(""), scores)
        run.results[result.key] = result
    return run


def test_no_difference_in_traffic_seldom_wins_though_looked_at() -> None:
    rng = np.random.default_rng(21)
    false = 0
    for _ in range(16):
        outcomes = [
            ("warm" if arm else "plain", {"feedback": float(score)})
            for arm, score in zip(rng.random(200) < 0.5, rng.random(200) < 0.3, strict=True)
        ]
        false += any(analyse_traffic(tone(), traffic(outcomes[:n])).winner for n in (60, 200))
    assert false <= 3  # 5 % of 16 is 0.8; more than 3 has a chance below 1 in 140


def test_warnings_of_traffic() -> None:
    nobody = traffic([("warm", {}), ("plain", {})] * 30)
    assert any("Nobody reports feedback" in w for w in analyse_traffic(tone(), nobody).warnings)
    skewed = traffic(
        [("warm", {"feedback": 1.0})] * 300 + [("plain", {"feedback": 0.0})] * 500
    )  # fmt: skip
    analysis = analyse_traffic(tone(), skewed)
    assert analysis.winner is None
    assert any("Sample ratio mismatch" in warning for warning in analysis.warnings)
    assert "nothing is decided" in analysis.verdict
    lenient = analyse_traffic(tone(), skewed, mismatch_alpha=1e-30)
    assert not any("Sample ratio mismatch" in warning for warning in lenient.warnings)


@pytest.mark.parametrize(
    "rail",
    [
        {"metric": "error_rate", "max_increase": 0.05},
        {"metric": "error_rate", "max": 0.1},
        {"metric": "latency_ms", "max_ratio": 1.3},
    ],
)
def test_guard_rails_of_traffic(rail: dict[str, Any]) -> None:
    guarded = tone(guard_rails=[rail])
    rng = np.random.default_rng(3)

    def outcomes(bad: bool) -> list[tuple[str, dict[str, float]]]:
        rows = []
        for arm in rng.random(400) < 0.5:
            worse = bad and arm
            scores = {
                "error_rate": float(rng.random() < (0.5 if worse else 0.02)),
                "latency_ms": float(rng.normal(300 if worse else 100, 10)),
            }
            rows.append(("warm" if arm else "plain", scores))
        return rows

    assert list(traffic_breaches(guarded, traffic(outcomes(bad=True)))) == ["warm"]
    assert traffic_breaches(guarded, traffic(outcomes(bad=False))) == {}


def test_a_look_stops_what_breaks_its_guard_rail(settings: Settings) -> None:
    store = open_store(settings)
    guarded = tone(
        guard_rails=[{"metric": "error_rate", "max": 0.1}],
        stop={"min_units": 2, "max_units": 100},
    )  # fmt: skip
    store.start(guarded, by="ann")
    bad = [("warm", {"error_rate": 1.0}), ("plain", {"error_rate": 0.0})]
    assert enforce(guarded, traffic(bad), store) == []
    assert "warm is stopped" in enforce(guarded, traffic(bad * 60), store)[0]
    assert set(store.state("tone").stopped_variants) == {"warm"}
    good = [("warm", {"error_rate": 0.0}), ("plain", {"error_rate": 0.0})]
    assert enforce(guarded, traffic(good * 100), store) == [
        "tone has ended: every variant has 100 units."
    ]
    assert store.state("tone").status == "ended"


def test_layers(settings: Settings) -> None:
    store = open_store(settings)
    store.start(tone(layer="style", layer_slot=(0, 0.5)), by="ann")
    with pytest.raises(InputError, match="claim the same units"):
        check_layers(tone(name="late", layer="style", layer_slot=(0.4, 1)), store)
    with pytest.raises(InputError, match="runs on assistant already"):
        check_layers(tone(name="late"), store)
    check_layers(tone(name="late", layer="style", layer_slot=(0.5, 1)), store)
    check_layers(tone(name="late", agent="coder"), store)
    with pytest.raises(InputError, match="another form already"):
        store.start(tone(salt="other"), by="ann")
    with pytest.raises(InputError, match="no experiment 'x'"):
        ExperimentStore(store.folder).load("x")


def test_variants_that_cannot_work_are_refused_with_their_line(
    settings: Settings, tmp_path: Path
) -> None:
    text = """\
name: bad
agent: assistant
dataset: {path: x}
metrics: [{name: latency_ms}]
variants:
  - {name: a, share: 0.4, profile: nope}
  - name: b
    share: 0.3
    prompt: assistant@99
  - name: c
    share: 0.3
    parameters:
      temperature: 9
"""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_experiment(path, checks=[VariantCheck(settings)])
    said = str(caught.value)
    assert "bad.yaml:6: variants[0].profile: There is no profile 'nope'" in said
    assert "bad.yaml:9: variants[1].prompt: The prompt 'assistant' has no version 99" in said
    assert "bad.yaml:12: variants[2].parameters" in said
    o3 = load_settings(data_dir=tmp_path, openai={"api_key": "sk-x", "model": "o3"})
    refused = text.replace("temperature: 9", "top_p: 0.5").replace("profile: nope", "")
    with pytest.raises(InputError, match=r"variants\[2\]\.parameters\.top_p: o3 takes no top_p"):
        parse_experiment(refused, name="bad.yaml", checks=[VariantCheck(o3)])
    label = text.replace("assistant@99", "stagging")
    with pytest.raises(InputError, match=r"bad\.yaml:9: variants\[1\]\.prompt: There is no label"):
        parse_experiment(label, name="bad.yaml", checks=[VariantCheck(settings)])
    with pytest.raises(InputError, match=r"bad\.yaml:2: agent"):
        parse_experiment(
            text.replace("agent: assistant", "agent: butler"), name="bad.yaml",
            checks=[VariantCheck(settings)],
        )  # fmt: skip


def test_a_profile_that_the_model_refuses_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "hot.yaml").write_text("name: hot\ndescription: Hot.\ntemperature: 1.2\n")
    (tmp_path / "e.yaml").write_text(
        "name: e\ndataset: {path: x}\nmetrics: [{name: latency_ms}]\nvariants:\n"
        "  - {name: a, share: 0.5}\n  - {name: b, share: 0.5, profile: hot}\n"
    )
    o3 = load_settings(
        data_dir=tmp_path, openai={"api_key": "sk-x", "model": "o3"}, profiles={"folder": tmp_path}
    )
    with pytest.raises(InputError) as caught:
        load_experiment(tmp_path / "e.yaml", checks=[VariantCheck(o3)])
    said = str(caught.value)
    assert "e.yaml:6: variants[1].profile: " in said
    assert "temperature" in said
    taken = o3.model_copy(update={"openai": o3.openai.model_copy(update={"model": "gpt-4.1"})})
    assert load_experiment(tmp_path / "e.yaml", checks=[VariantCheck(taken)]).name == "e"
