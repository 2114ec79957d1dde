"""An experiment that finds a cheaper model equal becomes a recommendation."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from allotrope.experiments.analysis import analyse
from allotrope.experiments.definition import Experiment
from allotrope.experiments.findings import findings, record
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.results import Result, Run
from allotrope.usage.advice.rules import RULES, RuleData
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries.sums import Window
from allotrope.usage.recorder.rows import CallRow, microseconds

ITEMS = 120
EXPERIMENT = Experiment.model_validate(
    {
        "name": "mini",
        "variants": [{"name": "o3", "share": 0.5}, {"name": "mini", "share": 0.5}],
        "dataset": {"path": "d.jsonl"},
        "metrics": [{"name": "right", "scorer": {"kind": "exact"}}],
    }
)
MODELS = {"o3": "o3-2025-04-16", "mini": "o4-mini-2025-04-16"}


def run(right: Callable[[str, int], bool], *, items: int = ITEMS, **models: str) -> Run:
    results = {}
    for number in range(items):
        for variant, model in (MODELS | models).items():
            outcome = Outcome("x", provenance={"provider": "openai", "model": model})
            scores = {"right": float(right(variant, number))}
            one = Result(f"i{number}", variant, 0, outcome, scores)
            results[one.key] = one
    header = {"items": [f"i{n}" for n in range(items)]}
    return Run(header=header, results=results, events=[{"event": "end", "reason": "done"}])


def same(variant: str, number: int) -> bool:
    # Each is wrong on other items, equally often.
    return number % 20 != (3 if variant == "o3" else 7) or number > 40


def worse(variant: str, number: int) -> bool:
    return variant == "o3" or number % 4 != 0


@pytest.mark.parametrize(("right", "equal"), [(same, True), (worse, False)])
def test_equal_means_surely_not_worse(right: Any, equal: bool) -> None:
    found = run(right)
    (one,) = findings(EXPERIMENT, found, analyse(EXPERIMENT, found))
    assert (one.model, one.baseline_model, one.equal) == (MODELS["mini"], MODELS["o3"], equal)
    assert one.samples == ITEMS


def test_small_or_unfinished_experiments_find_nothing() -> None:
    small = run(same, items=20)
    assert findings(EXPERIMENT, small, analyse(EXPERIMENT, small)) == []
    cut = run(same)
    del cut.results["i7", "mini", 0]
    assert findings(EXPERIMENT, cut, analyse(EXPERIMENT, cut)) == []
    alike = run(same, mini=MODELS["o3"])  # the variants differ in something else
    assert findings(EXPERIMENT, alike, analyse(EXPERIMENT, alike)) == []


def test_it_becomes_a_recommendation(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    found = run(same)
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        assert record(EXPERIMENT, found, analyse(EXPERIMENT, found), ledger) == 1
        ledger.write(
            [
                CallRow(
                    id=str(n), at=microseconds(now - timedelta(minutes=n)), provider="openai",
                    model=MODELS["o3"], agent="assistant", input_tokens=1_000, output_tokens=100,
                    cost=Decimal("0.0028"),
                )
                for n in range(100)
            ]
        )  # fmt: skip
        window = Window(now - timedelta(days=1), now + timedelta(minutes=1))
        (advice,) = RULES["cheaper_model"](RuleData(ledger, window))
    assert advice.title == "Use o4-mini-2025-04-16 for agent 'assistant'"
    assert "right differs by" in advice.evidence
