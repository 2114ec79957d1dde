"""Several variants: p-values are Holm's, and each estimate is the effect whatever the shares."""

import numpy as np
import pytest

from allotrope.experiments.analysis import analyse
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.results import Result, Run
from allotrope.experiments.online.traffic import analyse_traffic
from allotrope.experiments.stats.statistics import holm

VARIANTS = [
    {"name": "plain", "share": 0.6},
    {"name": "warm", "share": 0.2},
    {"name": "hot", "share": 0.2},
]
CHANCES = {"plain": 0.3, "warm": 0.45, "hot": 0.7}


def test_of_traffic() -> None:
    document = {
        "name": "tone", "kind": "online", "variants": VARIANTS, "metrics": [{"name": "feedback"}],
    }  # fmt: skip
    rng = np.random.default_rng(9)
    run = Run(header={"items": []})
    for n, name in enumerate(rng.choice(list(CHANCES), 900, p=[0.6, 0.2, 0.2])):
        score = float(rng.random() < CHANCES[name])
        result = Result(f"u{n}", str(name), 0, Outcome(""), {"feedback": score})
        run.results[result.key] = result
    found = analyse_traffic(Experiment.model_validate(document), run)
    rows = [c for c in found.comparisons if c.metric == "feedback"]
    assert [c.p_always for c in rows] == holm([c.always.p_value for c in rows])
    assert [c.p_fixed for c in rows] == holm([c.fixed.p_value for c in rows])
    assert rows[1].p_always == pytest.approx(2 * rows[1].always.p_value)
    for row in rows:
        effect = CHANCES[row.variant] - CHANCES["plain"]
        assert row.always.estimate == pytest.approx(effect, abs=0.12)


def test_of_a_dataset() -> None:
    document = {
        "name": "sums", "variants": VARIANTS, "dataset": {"path": "d"},
        "metrics": [{"name": "right", "scorer": {"kind": "exact"}}],
    }  # fmt: skip
    rng = np.random.default_rng(9)
    run = Run(header={"items": [f"i{n}" for n in range(120)]})
    for n in range(120):
        for name, chance in CHANCES.items():
            score = float(rng.random() < chance)
            result = Result(f"i{n}", name, 0, Outcome("x"), {"right": score})
            run.results[result.key] = result
    found = analyse(Experiment.model_validate(document), run)
    rows = [c for c in found.comparisons if c.metric == "right"]
    assert [c.p_always for c in rows] == holm([c.always.p_value for c in rows])
    assert [c.p_fixed for c in rows] == holm([c.fixed.p_value for c in rows])
    assert rows[1].p_fixed == pytest.approx(2 * rows[1].fixed.p_value)
