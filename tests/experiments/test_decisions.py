"""Who wins: failures never make a variant cheap, and a win's direction is that of its evidence."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import BaseMessage

from allotrope.experiments.analysis import Analysis, analyse
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Experiment, Metric, Variant
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.results import Result, Run
from allotrope.experiments.offline.runner import OfflineRunner
from allotrope.experiments.online.traffic import analyse_traffic

ITEMS = [Item(f"i{n}", "question", "yes") for n in range(60)]


def offline(metric: dict[str, Any], **changes: Any) -> Experiment:
    document = {
        "name": "cheap",
        "variants": [{"name": "good", "share": 0.5}, {"name": "other", "share": 0.5}],
        "dataset": {"path": "d"},
        "metrics": [metric],
    }
    return Experiment.model_validate(document | changes)


def online(metric: str = "feedback", **changes: Any) -> Experiment:
    document = {
        "name": "tone",
        "kind": "online",
        "variants": [{"name": "plain", "share": 0.5}, {"name": "warm", "share": 0.5}],
        "metrics": [{"name": metric}],
    }
    return Experiment.model_validate(document | changes)


def answered(cost: str = "0.01", latency_ms: float = 800.0, text: str = "yes") -> Outcome:
    usage = {"input_tokens": 10, "output_tokens": 5}
    return Outcome(text, usage=usage, cost_usd=Decimal(cost), latency_ms=latency_ms)


async def run(
    experiment: Experiment, path: Path, other: Callable[[int], Outcome], **options: Any
) -> tuple[Run, Analysis]:
    """A whole run in which `good` always answers; `other` answers as told, or raises."""

    async def subject(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        number = int(item.id[1:])
        jitter = number % 5
        if variant.name == "good":
            return answered(cost=f"0.01{jitter}", latency_ms=800.0 + jitter)
        return other(number)

    runner = OfflineRunner(experiment, ITEMS, subject, path, concurrency=1, **options)
    found = await runner.run()
    return found, analyse(experiment, found)


def cheap(number: int) -> Outcome:
    return answered(cost=f"0.00{1 + number % 3}", latency_ms=100.0 + number % 3)


def failing(share: int) -> Callable[[int], Outcome]:
    """Cheap answers of which one in `share` fails (a failure in the model's code, not in ours)."""

    def subject(number: int) -> Outcome:
        if number % share == 0:
            raise RuntimeError("500")
        return cheap(number)

    return subject


@pytest.mark.parametrize("metric", ["cost_usd", "latency_ms", "total_tokens"])
async def test_a_broken_variant_never_wins(tmp_path: Path, metric: str) -> None:
    found, analysis = await run(offline({"name": metric}), tmp_path / "r", failing(1))
    assert found.results
    assert analysis.winner is None
    assert analysis.estimates[metric]["other"].n == 0
    assert analysis.estimates["error_rate"]["other"].mean == 1.0


async def test_a_variant_that_fails_more_does_not_win_on_cost_and_that_is_said(
    tmp_path: Path,
) -> None:
    _, analysis = await run(offline({"name": "cost_usd"}), tmp_path / "r", failing(20))
    assert analysis.winner is None
    assert "5.0 % of its answers failed, 0.0 % of good's" in analysis.verdict
    # what failed costs nothing and took no time, so it stands in neither
    assert analysis.estimates["cost_usd"]["other"].n == 57
    assert analysis.estimates["error_rate"]["other"].n == 60
    row = next(c for c in analysis.comparisons if c.metric == "cost_usd")
    assert (row.fixed.n, row.always.n) == (57, 57)  # a failure doesn't end the stream of pairs
    _, fine = await run(offline({"name": "cost_usd"}), tmp_path / "s", cheap)
    assert fine.winner == "other"
    tolerant = offline({"name": "cost_usd"}, stop={"max_error_increase": 0.1})
    _, allowed = await run(tolerant, tmp_path / "t", failing(20))
    assert allowed.winner == "other"


async def test_failures_stand_in_a_score_and_so_forbid_no_win(tmp_path: Path) -> None:
    right = offline({"name": "right", "scorer": {"kind": "exact"}})

    async def subject(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        if variant.name == "other" and item.id == "i0":
            raise RuntimeError("500")
        return answered(text="yes" if variant.name == "other" else "no")

    path = tmp_path / "r"
    found = await OfflineRunner(right, ITEMS, subject, path, concurrency=1).run()
    analysis = analyse(right, found)
    assert analysis.estimates["right"]["other"].mean == pytest.approx(59 / 60)
    assert analysis.winner == "other"


async def test_a_failed_answer_loses_before_the_judge_without_asking_it(tmp_path: Path) -> None:
    asked: list[Sequence[BaseMessage]] = []

    async def judge(prompt: Sequence[BaseMessage]) -> str:
        asked.append(prompt)
        first = str(prompt[-1].content).split("Answer A:")[1].split("Answer B:")[0]
        return "[[A]]" if "better" in first else "[[B]]"

    async def subject(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        if (variant.name, item.id) in {("other", "i0"), ("good", "i1"), ("other", "i2")}:
            raise RuntimeError("500")
        if item.id == "i2":
            raise RuntimeError("500")
        return answered(text="better" if variant.name == "other" else "worse")

    judged = offline({"name": "liked", "scorer": {"kind": "judge"}})
    runner = OfflineRunner(judged, ITEMS[:5], subject, tmp_path / "r", concurrency=1, judge=judge)
    scores = {c["item"]: c["score"] for c in (await runner.run()).comparisons}
    assert scores == {"i0": 0.0, "i1": 1.0, "i2": 0.5, "i3": 1.0, "i4": 1.0}
    assert len(asked) == 4  # two items, both ways round


async def test_a_run_that_may_end_early_is_judged_by_the_always_valid_test(tmp_path: Path) -> None:
    """20 of 60 pairs speak for `other`, 7 against: p = 0.02 for one look, more for many."""

    def other(number: int) -> Outcome:
        return answered(text="yes" if number % 3 == 0 else "no")

    async def subject(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        number = int(item.id[1:])
        if variant.name == "other":
            return other(number)
        return answered(text="yes" if number % 3 == 1 and number < 22 else "no")

    for early in (False, True):
        asked = offline(
            {"name": "right", "scorer": {"kind": "exact"}}, stop={"early": early, "min_units": 20}
        )
        path = tmp_path / str(early)
        found = await OfflineRunner(asked, ITEMS, subject, path, concurrency=1).run()
        analysis = analyse(asked, found)
        [row] = [c for c in analysis.comparisons if c.metric == "right"]
        assert row.p_fixed <= 0.05 < row.p_always
        assert analysis.complete
        assert analysis.winner == (None if early else "other")


def traffic(outcomes: list[tuple[str, dict[str, float]]], **header: Any) -> Run:
    found = Run(header={"items": [f"u{n}" for n in range(len(outcomes))], **header})
    for n, (variant, scores) in enumerate(outcomes):
        result = Result(f"u{n}", variant, 0, Outcome(""), scores)
        found.results[result.key] = result
    return found


def test_the_direction_of_a_win_is_that_of_its_evidence() -> None:
    """`warm` was shown to be worse; then the world turned, and today's mean speaks for it."""
    first = [("warm", {"feedback": 0.0}), ("plain", {"feedback": 1.0})] * 40
    later = [("warm", {"feedback": 1.0}), ("plain", {"feedback": 0.0})] * 60
    assert analyse_traffic(online(), traffic(first)).winner is None
    turned = analyse_traffic(online(), traffic(first + later))
    [row] = [c for c in turned.comparisons if c.metric == "feedback"]
    assert row.p_always <= 0.05
    assert row.always.estimate > 0
    assert turned.winner is None
    # and the other way round: what was shown once is not promoted while today's mean denies it
    back = analyse_traffic(online(), traffic(later + first + first))
    assert back.winner is None
    assert "today's mean" in back.verdict


def test_direction_without_a_range_too() -> None:
    rng = np.random.default_rng(3)

    def outcomes(n: int, warm: float) -> list[tuple[str, dict[str, float]]]:
        return [
            ("warm" if arm else "plain", {"cost_usd": float(noise + (warm if arm else 1.0))})
            for arm, noise in zip(rng.random(n) < 0.5, rng.normal(0, 0.05, n), strict=True)
        ]

    dear, cheap_now = outcomes(200, 2.0), outcomes(500, 0.2)
    assert analyse_traffic(online("cost_usd"), traffic(cheap_now)).winner == "warm"
    turned = analyse_traffic(online("cost_usd"), traffic(dear + cheap_now))
    [row] = [c for c in turned.comparisons if c.metric == "cost_usd"]
    assert row.p_always <= 0.05
    assert row.always.estimate < 0
    assert turned.winner is None


def test_a_variant_of_traffic_that_fails_more_does_not_win_on_cost() -> None:
    rng = np.random.default_rng(5)

    def outcomes(failed: float) -> list[tuple[str, dict[str, float]]]:
        rows = []
        for arm in rng.random(600) < 0.5:
            if arm and rng.random() < failed:
                rows.append(("warm", {"error_rate": 1.0}))
                continue
            cost = float(rng.normal(0.5 if arm else 1.0, 0.05))
            rows.append(("warm" if arm else "plain", {"error_rate": 0.0, "cost_usd": cost}))
        return rows

    assert analyse_traffic(online("cost_usd"), traffic(outcomes(0.0))).winner == "warm"
    analysis = analyse_traffic(online("cost_usd"), traffic(outcomes(0.1)))
    assert analysis.winner is None
    assert "of its answers failed" in analysis.verdict


def test_the_sample_ratio_is_checked_although_a_variant_was_stopped() -> None:
    three = online(
        variants=[
            {"name": "plain", "share": 0.4},
            {"name": "warm", "share": 0.4},
            {"name": "cold", "share": 0.2},
        ]
    )
    good = [("plain", {"feedback": 0.2}), ("warm", {"feedback": 1.0})] * 300
    cold = [("cold", {"feedback": 0.0})] * 40  # stopped early: fewer than its share, rightly
    lost = [("plain", {"feedback": 0.2}), ("warm", {"feedback": 1.0})] * 100
    lost += [("plain", {"feedback": 0.2})] * 300

    def found(outcomes: list[tuple[str, dict[str, float]]], **header: Any) -> Analysis:
        run = traffic(outcomes, **header)
        run.events.append({"event": "guard-rail", "variant": "cold", "reason": "too bad"})
        return analyse_traffic(three, run)

    before = {"plain": 80, "warm": 80, "cold": 40}
    assert found(cold + good, units_before_stop=before).winner == "warm"
    skewed = found(cold + lost, units_before_stop=before)
    assert skewed.winner is None
    assert any("Sample ratio mismatch" in warning for warning in skewed.warnings)
    # what was wrong before the stop voids it too
    before = {"plain": 300, "warm": 300, "cold": 40}
    assert found(cold + good, units_before_stop=before).winner is None


def test_of_two_winners_the_better_one_is_named_and_as_few_units_as_asked_are_enough() -> None:
    three = online(
        variants=[
            {"name": "plain", "share": 0.4},
            {"name": "warm", "share": 0.3},
            {"name": "hot", "share": 0.3},
        ],
        stop={"min_units": 400},
    )
    rows = [("plain", {"feedback": float(n % 10 < 2)}) for n in range(160)]
    rows += [("warm", {"feedback": float(n % 10 < 8)}) for n in range(120)]
    rows += [("hot", {"feedback": float(n % 20 > 0)}) for n in range(120)]
    order = np.random.default_rng(6).permutation(400)
    mixed = [rows[n] for n in order]
    assert analyse_traffic(three, traffic(mixed)).winner == "hot"
    assert "399 units" in analyse_traffic(three, traffic(mixed[:-1])).verdict
    lower = three.model_copy(update={"metrics": (Metric(name="feedback", goal="decrease"),)})
    worse = analyse_traffic(lower, traffic(mixed))
    assert worse.winner is None
    assert "every variant is worse" in worse.verdict
