"""The promises of the statistics, checked by simulation with fixed seeds."""

import math

import numpy as np
import pytest

from allotrope.exceptions import InputError
from allotrope.experiments.stats import power, sequential, statistics

ALPHA = 0.05


def three_sigma(share: float, runs: int) -> float:
    return 3 * math.sqrt(share * (1 - share) / runs)


def test_no_difference_wins_at_most_alpha_though_looked_at_after_each_observation() -> None:
    """10,000 runs of pairs that differ by -1, 0 or 1, looked at 200 times each."""
    rng = np.random.default_rng(7)
    values = power.three_points(effect=0.0, deviation=0.7, size=(10_000, 200), rng=rng)
    false = (quick_evidence(values) >= 2 / ALPHA).mean()
    z, _ = sequential.running_z(values)
    peeked = (np.abs(z[:, 9:]) > 1.96).any(axis=1).mean()
    assert false <= ALPHA
    assert peeked > 0.3  # what a t-test does to whoever looks each time
    # the shortcut is the code: the same p-values on the same runs
    p = sequential.sequential_p(values[:200], low=-1, high=1)[:, -1]
    assert p == pytest.approx(np.minimum(1, 2 / quick_evidence(values[:200])), rel=1e-3)


def quick_evidence(values: np.ndarray) -> np.ndarray:
    """The largest wealth of either bet at any look, for values of -1, 0 and 1 only.

    Then wealth depends on how many of each came, and no logarithm has to be taken per observation.
    """
    up = np.cumsum(values == 1, axis=1, dtype=np.float32)
    down = np.cumsum(values == -1, axis=1, dtype=np.float32)
    above, below = np.zeros_like(up), np.zeros_like(up)
    for fraction in sequential.FRACTIONS.astype(np.float32):
        win, lose = np.log1p(fraction), np.log1p(-fraction)
        above += np.exp(up * win + down * lose)
        below += np.exp(down * win + up * lose)
    best = np.maximum(above, below).max(axis=1) / len(sequential.FRACTIONS)
    return np.maximum(best, 1.0).astype(np.float64)


@pytest.mark.parametrize("deviation", [0.2, 1.0])
def test_other_spreads_keep_the_rate_too(deviation: float) -> None:
    rng = np.random.default_rng(7)
    values = power.three_points(effect=0.0, deviation=deviation, size=(4_000, 150), rng=rng)
    assert (quick_evidence(values) >= 2 / ALPHA).mean() <= ALPHA


def test_no_difference_between_two_groups_of_skewed_outcomes() -> None:
    rng = np.random.default_rng(11)
    false = 0
    for _ in range(300):
        values = rng.beta(0.4, 2.0, 300)
        stream, bound = sequential.difference_stream(
            values.tolist(), (rng.random(300) < 0.3).tolist(), share=0.3, low=0, high=1
        )
        false += sequential.sequential_p(stream, low=-bound, high=bound)[-1] <= ALPHA
    assert false / 300 <= ALPHA


def test_the_normal_mixture_keeps_its_rate_on_skewed_costs() -> None:
    rng = np.random.default_rng(5)
    runs = 400
    false = 0
    for _ in range(runs):
        costs = rng.lognormal(0, 0.8, (2, 400))
        false += sequential.normal_mixture(costs[0] - costs[1]).p_value <= ALPHA
    assert false / runs <= ALPHA + three_sigma(ALPHA, runs)


@pytest.mark.parametrize(("effect", "deviation"), [(0.15, 0.5), (0.3, 0.7)])
def test_known_effects_are_found_at_the_promised_power(effect: float, deviation: float) -> None:
    plan = power.paired_plan(effect=effect, deviation=deviation)
    assert plan.n_sequential is not None
    rng = np.random.default_rng(99)
    runs = 1_000
    values = power.three_points(
        effect=effect, deviation=deviation, size=(runs, plan.n_sequential), rng=rng
    )
    found = np.isfinite(power.stopping_times(values, alpha=ALPHA)).mean()
    assert found >= 0.8 - three_sigma(0.8, runs)
    fixed = values[:, : plan.n_fixed]
    t = fixed.mean(axis=1) / (fixed.std(axis=1, ddof=1) / math.sqrt(plan.n_fixed))
    assert (t > 1.96).mean() >= 0.8 - three_sigma(0.8, runs)
    assert plan.n_fixed < plan.n_sequential < 3 * plan.n_fixed


def test_the_interval_covers_the_effect_at_all_looks_and_narrows() -> None:
    """An interval misses the effect where the effect's own p-value is below alpha."""
    rng = np.random.default_rng(3)
    values = power.three_points(effect=0.2, deviation=0.6, size=(600, 200), rng=rng)
    p = sequential.sequential_p(values, low=-1, high=1, mean=0.2)[:, -1]
    assert (p <= ALPHA).mean() <= ALPHA
    betting = sequential.Betting(-1, 1)
    missed = [int(index) for index in np.argsort(p)[:2]]
    for index in (*missed, 5, 6):
        widths, covered = [], True
        for n in (20, 120, 200):
            interval = betting.interval(values[index][:n])
            covered &= interval.low <= 0.2 <= interval.high
            widths.append(interval.high - interval.low)
        assert widths == sorted(widths, reverse=True)
        if not covered:  # never where the p-value says otherwise
            assert p[index] <= ALPHA + 1e-6
        if n == 200 and p[index] <= ALPHA:
            assert not interval.low <= 0.2 <= interval.high


def test_interval_and_p_value_agree() -> None:
    rng = np.random.default_rng(2)
    for effect in (0.0, 0.1, 0.3, 0.5):
        values = power.three_points(effect=effect, deviation=0.6, size=(1, 150), rng=rng)[0]
        interval = sequential.Betting(-1, 1).interval(values)
        assert interval.decided == (interval.p_value <= ALPHA)


def test_the_difference_stream_is_unbiased_whatever_the_shares() -> None:
    rng = np.random.default_rng(4)
    treated = rng.random(40_000) < 0.2
    values = rng.random(40_000) * 0.5 + 0.25 * treated
    stream, bound = sequential.difference_stream(
        values.tolist(), treated.tolist(), share=0.2, low=0, high=1
    )
    assert abs(stream.mean() - 0.25) < 0.01
    assert np.abs(stream).max() <= bound
    naive = values[treated].mean() - values[~treated].mean()
    assert abs(stream.mean() - naive) < 0.002


def test_values_outside_the_range_are_refused() -> None:
    with pytest.raises(ValueError, match="leave the range"):
        sequential.Betting(0, 1).interval([0.5, 1.5])


def test_few_values_decide_nothing() -> None:
    assert sequential.Betting(-1, 1).interval([]).n == 0
    assert not sequential.Betting(-1, 1).interval([1.0, 1.0]).decided
    early = sequential.normal_mixture([1.0] * (sequential.BURN_IN - 1))
    assert (early.low, early.high, early.p_value) == (-math.inf, math.inf, 1.0)


def test_a_sample_ratio_mismatch_is_seen_and_seldom_imagined() -> None:
    assert sequential.mismatch_p([5_000, 5_600], [0.5, 0.5]) < 0.001
    assert sequential.mismatch_p([0, 0], [0.5, 0.5]) == 1.0
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        arm = rng.random(600) < 0.3
        alarms += any(
            sequential.mismatch_p([int(arm[:n].sum()), int(n - arm[:n].sum())], [0.3, 0.7]) <= 0.05
            for n in range(10, 601, 5)
        )
    assert alarms / 200 <= ALPHA + three_sigma(ALPHA, 200)


def test_paired_tests_match_known_values() -> None:
    # 8 wins to 1 loss: the two-sided binomial test gives 2 * (1 + 9) / 2**9.
    variant, control = [1.0] * 8 + [0.0] * 3, [0.0] * 8 + [1.0] + [0.0] * 2
    result = statistics.paired_test(variant, control)
    assert result.p_value == pytest.approx(20 / 512)
    assert result.estimate == pytest.approx(7 / 11)
    assert result.low <= 7 / 11 <= result.high
    shifted = statistics.paired_test([0.2, 0.4, 0.6, 0.9, 0.5], [0.1, 0.3, 0.4, 0.5, 0.1])
    assert shifted.p_value == pytest.approx(2 / 2**5)  # all five signs agree, two sides
    assert statistics.paired_test([0.5, 0.5], [0.5, 0.5]).p_value == 1.0
    with pytest.raises(ValueError, match="paired"):
        statistics.paired_test([1.0], [1.0, 0.0])


def test_the_paired_test_keeps_its_rate() -> None:
    rng = np.random.default_rng(8)
    runs = 400
    false = 0
    for _ in range(runs):
        a, b = rng.random((2, 60)) < 0.4
        result = statistics._mcnemar(a.astype(float), b.astype(float))
        false += result <= ALPHA
    assert false / runs <= ALPHA + three_sigma(ALPHA, runs)


def test_intervals_of_means() -> None:
    mean, low, high = statistics.mean_interval([0.0] * 20)
    assert (mean, low) == (0.0, 0.0)
    assert high == pytest.approx(0.161, abs=0.001)  # Wilson's, not a point
    assert statistics.mean_interval([0.0] * 20, share=False) == (0.0, 0.0, 0.0)  # a cost of 0
    assert statistics.mean_interval([0.3, 0.3, 0.3]) == (0.3, 0.3, 0.3)
    assert all(math.isnan(value) for value in statistics.mean_interval([]))
    once = statistics.bootstrap_interval([0.1, 0.7, 0.4, 0.9, 0.2], seed=1)
    assert once == statistics.bootstrap_interval([0.1, 0.7, 0.4, 0.9, 0.2], seed=1)


def test_holm_and_kappa() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []
    from statsmodels.stats.multitest import multipletests

    values = np.random.default_rng(1).random(12) ** 3
    assert statistics.holm(values.tolist()) == pytest.approx(
        multipletests(values, method="holm")[1]
    )
    assert statistics.kappa(list("aabb"), list("aabb")) == 1.0
    assert statistics.kappa(list("aabb"), list("abab")) == pytest.approx(0.0)
    assert statistics.kappa(list("aa"), list("aa")) is None


def test_two_groups() -> None:
    rng = np.random.default_rng(6)
    found = statistics.two_sample_test(
        rng.normal(1, 1, 200).tolist(), rng.normal(0, 1, 200).tolist()
    )
    assert found.p_value < 1e-6
    assert found.low < 1 < found.high
    assert statistics.two_sample_test([1.0], [0.0, 1.0]).p_value == 1.0
    plan = power.two_sample_plan(effect=0.2, deviation=0.5)
    assert plan.n_sequential is not None
    assert plan.n_fixed < plan.n_sequential < 3 * plan.n_fixed


@pytest.mark.parametrize(
    ("effect", "deviation", "alpha", "wanted"),
    [(0, 0.5, 0.05, 0.8), (0.1, 0, 0.05, 0.8), (0.1, 0.5, 0.6, 0.8), (0.1, 0.5, 0.05, 1.0)],
)
def test_impossible_plans_are_refused(
    effect: float, deviation: float, alpha: float, wanted: float
) -> None:
    with pytest.raises(InputError, match="must be"):
        power.paired_plan(effect=effect, deviation=deviation, alpha=alpha, power=wanted)


def test_an_effect_that_would_need_too_many_items_is_refused() -> None:
    with pytest.raises(InputError, match="needs over"):
        power.paired_plan(effect=0.001, deviation=1)
