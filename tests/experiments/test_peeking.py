"""The decision itself, at the looks at which chance fools whoever trusts a test for one look.

The promises hold for p-values (`test_sequential`); here the whole way from results to a winner is
asked, at moments of runs without any difference.
"""

import math
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from scipy import integrate, stats

from allotrope.experiments.analysis import analyse
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.results import Result, Run
from allotrope.experiments.online.traffic import analyse_traffic, traffic_breaches
from allotrope.experiments.stats import sequential

ALPHA = 0.05
RUNS = 600
LOOKS = np.arange(40, 301, 20)
Numbers = np.ndarray

TRAFFIC = Experiment.model_validate(
    {
        "name": "tone",
        "kind": "online",
        "variants": [{"name": "plain", "share": 0.5}, {"name": "warm", "share": 0.5}],
        "metrics": [{"name": "feedback"}],
        "guard_rails": [{"metric": "feedback", "max_increase": 0.0}],
    }
)
DATASET = Experiment.model_validate(
    {
        "name": "sums",
        "variants": [{"name": "plain", "share": 0.5}, {"name": "warm", "share": 0.5}],
        "dataset": {"path": "d"},
        "metrics": [{"name": "right", "scorer": {"kind": "exact"}}],
    }
)


def fooled(values: Numbers, treated: Numbers) -> list[tuple[int, int]]:
    """Runs and the first look at which a z-test sees a better `warm`; all runs at once."""
    found = []
    sums = [
        np.cumsum(np.where(treated == arm, values, 0.0), axis=1)[:, LOOKS - 1] for arm in (0, 1)
    ]
    counts = [np.cumsum(treated == arm, axis=1)[:, LOOKS - 1] for arm in (0, 1)]
    means = [sums[arm] / counts[arm] for arm in (0, 1)]
    spread = sum(m * (1 - m) / n for m, n in zip(means, counts, strict=True))
    significant = means[1] - means[0] > 2.1 * np.sqrt(spread)
    for run in np.flatnonzero(significant.any(axis=1)):
        found.append((int(run), int(LOOKS[int(significant[run].argmax())])))
    return found


def test_traffic_without_a_difference_has_no_winner_when_it_is_looked_at() -> None:
    rng = np.random.default_rng(17)
    values = (rng.random((RUNS, 300)) < 0.3).astype(float)
    treated = rng.random((RUNS, 300)) < 0.5
    streams = np.stack(
        [
            sequential.difference_stream(v.tolist(), t.tolist(), share=0.5, low=0, high=1)[0]
            for v, t in zip(values, treated, strict=True)
        ]
    )
    p = sequential.sequential_p(streams, low=-2, high=2)
    assert (p[:, -1] <= ALPHA).mean() <= ALPHA  # of all looks of all runs, either way
    misled = fooled(values, treated)
    assert len(misled) > 0.06 * RUNS  # what a test for one look does to whoever looks often
    winners = stopped = 0
    for run, look in misled:
        found = Run(header={"items": [f"u{n}" for n in range(look)]})
        for n in range(look):
            variant = "warm" if treated[run, n] else "plain"
            result = Result(f"u{n}", variant, 0, Outcome(""), {"feedback": values[run, n]})
            found.results[result.key] = result
        analysis = analyse_traffic(TRAFFIC, found)
        [row] = [c for c in analysis.comparisons if c.metric == "feedback"]
        assert row.p_fixed <= ALPHA
        assert row.p_always == pytest.approx(p[run, look - 1], rel=1e-9)
        assert (analysis.winner == "warm") == (row.p_always <= ALPHA)
        winners += analysis.winner is not None
        stopped += bool(traffic_breaches(TRAFFIC, found))  # the rail: no more feedback at all
    assert winners <= ALPHA / 2 * RUNS
    assert stopped <= ALPHA * RUNS


def test_a_dataset_without_a_difference_has_no_winner_before_its_end() -> None:
    rng = np.random.default_rng(18)
    warm, plain = (rng.random((2, RUNS, 320)) < 0.4).astype(float)
    p = sequential.sequential_p(warm - plain, low=-1, high=1)
    assert (p[:, -1] <= ALPHA).mean() <= ALPHA
    misled = []
    for run in range(RUNS):
        for look in (40, 80, 120):
            difference = (warm - plain)[run, :look]
            if difference.mean() > 2.1 * difference.std(ddof=1) / math.sqrt(look):
                misled.append((run, look))
                break
    assert len(misled) > 0.02 * RUNS
    for run, look in misled:
        found = Run(header={"items": [f"i{n}" for n in range(320)]})
        for n in range(look):
            for name, scores in (("warm", warm), ("plain", plain)):
                result = Result(f"i{n}", name, 0, Outcome("x"), {"right": scores[run, n]})
                found.results[result.key] = result
        analysis = analyse(DATASET, found)
        [row] = [c for c in analysis.comparisons if c.metric == "right"]
        assert not analysis.complete
        assert row.fixed.n == row.always.n == look
        assert row.p_always == pytest.approx(p[run, look - 1], rel=1e-9)
        assert (analysis.winner == "warm") == (row.p_always <= ALPHA)


def exact_wealth(values: list[Fraction], mean: Fraction, low: Fraction, high: Fraction) -> float:
    """The larger of both bets' largest wealth, in fractions: the capital process K of
    Waudby-Smith and Ramdas (JRSS-B 2024), a product of 1 + stake x (value - mean), the
    stakes a uniform mixture over `FRACTIONS` of the largest allowed."""
    best = Fraction(0)
    for sign, room in ((1, mean - low), (-1, high - mean)):
        paths = [
            list(accumulate((1 + Fraction(f) * sign * (v - mean) / room for v in values),
                            lambda a, b: a * b))
            for f in sequential.FRACTIONS
        ]  # fmt: skip
        capital = [sum(at) / len(paths) for at in zip(*paths, strict=True)]
        best = max(best, *capital)
    return float(best)


@pytest.mark.parametrize(
    "values",
    [
        [1, 1, 0, 1, 1, 1, 1, -1, 1, 1, 1, 1],
        [-1, -1, 0, -1, -1, 1, -1, -1],
        [0.25, -0.5, 0.75, 0.75, 0.5, -0.125],
    ],
)
def test_betting_is_the_capital_process_of_the_paper(values: list[float]) -> None:
    exact = [Fraction(value) for value in values]
    wealth = exact_wealth(exact, Fraction(0), Fraction(-1), Fraction(1))
    found = sequential.Betting(-1, 1).interval(values)
    assert found.p_value == pytest.approx(min(1.0, 2 / wealth), rel=1e-12)
    for end in (found.low, found.high):
        if abs(end) < 0.999:  # at the interval's ends the wealth is just 2 / alpha
            at_end = exact_wealth(exact, Fraction(end), Fraction(-1), Fraction(1))
            assert at_end == pytest.approx(2 / ALPHA, rel=2e-3)
    assert found.direction == (1 if sum(values) > 0 else -1)


@pytest.mark.parametrize(("n", "target"), [(60, 500), (500, 500), (4_000, 500), (100, 50)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_normal_mixture_ends_where_the_likelihood_ratio_says(
    n: int, target: int, alpha: float
) -> None:
    """Integrating exp(tS - nt²/2) over a normal prior (Robbins, Ann. Math. Stat. 41, 1970) gives
    the mixture's likelihood ratio; at the interval's end it is 1/alpha."""
    width = float(
        sequential.normal_mixture_width(np.array([float(n)]), alpha=alpha, target=target)[0]
    )
    log = -2 * math.log(alpha)
    prior = math.sqrt((log + math.log(log + 1)) / target)  # tightest at the target
    ratio, _ = integrate.quad(
        lambda t: math.exp(t * n * width - n * t * t / 2) * stats.norm.pdf(t, 0, prior),
        -10 * prior, 10 * prior, points=[width], limit=200,
    )  # fmt: skip
    assert ratio == pytest.approx(1 / alpha, rel=1e-6)


def test_the_normal_mixtures_p_value_is_that_of_its_largest_ratio() -> None:
    x = np.random.default_rng(4).normal(0.4, 1.0, 90)
    log = -2 * math.log(ALPHA)
    prior2 = (log + math.log(log + 1)) / 500
    ratios = []
    for n in range(sequential.BURN_IN, x.size + 1):
        z = x[:n].mean() / (x[:n].std(ddof=1) / math.sqrt(n))
        scaled = 1 + n * prior2
        ratios.append(math.exp(z * z * n * prior2 / (2 * scaled)) / math.sqrt(scaled))
    found = sequential.normal_mixture(x.tolist())
    assert found.p_value == pytest.approx(1 / max(ratios), rel=1e-9)
    assert found.direction == 1
    assert sequential.normal_mixture((-x).tolist()).direction == -1


@pytest.mark.parametrize(
    ("counts", "shares"),
    [([50, 50], [0.5, 0.5]), ([480, 620], [0.5, 0.5]), ([90, 110, 310], [0.2, 0.2, 0.6])],
)
def test_the_mismatch_is_a_dirichlet_mixtures_bayes_factor(
    counts: list[int], shares: list[float]
) -> None:
    """Lindon and Malek (NeurIPS 2022), by scipy's own distributions."""
    total = sum(counts)
    mixture = stats.dirichlet_multinomial.logpmf(counts, [100 * s for s in shares], total)
    plain = stats.multinomial.logpmf(counts, total, shares)
    expected = min(1.0, math.exp(plain - mixture))
    assert sequential.mismatch_p(counts, shares) == pytest.approx(expected, rel=1e-9)
