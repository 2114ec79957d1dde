"""Tests for a sample whose size was fixed beforehand: paired tests, intervals, Holm, Cohen's kappa.

They promise their error rate for one look at the end. For looking on the way see `sequential`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allotrope.experiments.stats.sequential import Interval

RESAMPLES = 9_999


def paired_test(
    variant: Sequence[float], control: Sequence[float], *, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Compares two variants on the same items.

    Yes/no scores: McNemar's exact test. Anything else: the sign-flip permutation test of the mean
    difference. The interval is a bootstrap over items.

    Args:
        variant: One score per item.
        control: The control's scores of the same items, in the same order.
        confidence: Of the interval.
        seed: Of resampling; the same data give the same answer.

    Returns:
        The mean difference, variant less control.
    """
    a, b = np.asarray(variant, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"{a.size} scores can't be paired with {b.size}.")
    difference = a - b
    low, high = bootstrap_interval(difference, confidence=confidence, seed=seed)
    if a.size < 2:
        return Interval(_mean(difference), low, high, 1.0, a.size, "needs two items")
    if _binary(a) and _binary(b):
        p, method = _mcnemar(a, b), "McNemar, exact"
    else:
        p, method = _sign_flip(difference, seed), "sign-flip permutation"
    effect = _mean(difference)
    return Interval(effect, low, high, p, a.size, method, int(np.sign(effect)))


def two_sample_test(
    variant: Sequence[float], control: Sequence[float], *, confidence: float = 0.95
) -> Interval:
    """Welch's t-test for two independent groups of units (online), one look at the end.

    Args:
        variant: One outcome per unit.
        control: One outcome per unit of the control.
        confidence: Of the interval.
    """
    from scipy import stats

    a, b = np.asarray(variant, dtype=np.float64), np.asarray(control, dtype=np.float64)
    n = a.size + b.size
    if a.size < 2 or b.size < 2:
        return Interval(float("nan"), -np.inf, np.inf, 1.0, n, "needs two units in each arm")
    effect = _mean(a) - _mean(b)
    # Outcomes that differ by rounding only have no variance that a test could use.
    tiny = 1e-9 * max(float(np.abs(a).max()), float(np.abs(b).max()), 1e-300)
    if np.ptp(a) <= tiny and np.ptp(b) <= tiny:
        same = abs(effect) <= tiny
        direction = 0 if same else int(np.sign(effect))
        return Interval(effect, effect, effect, float(same), n, "no variance", direction)
    result = stats.ttest_ind(a, b, equal_var=False)
    low, high = result.confidence_interval(confidence)
    p = float(result.pvalue)
    return Interval(effect, float(low), float(high), p, n, "Welch's t", int(np.sign(effect)))


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float64],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """A bias-corrected bootstrap interval (BCa) for a mean; values are resampled as given.

    Args:
        values: One per independent unit (average an item's repeats first).
        confidence: Of the interval.
        seed: Of resampling.

    Returns:
        Both ends; unbounded for fewer than two values, a point where all values are equal.
    """
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return -np.inf, np.inf
    if np.ptp(x) == 0:
        return float(x[0]), float(x[0])
    interval = stats.bootstrap(
        (x,), np.mean, confidence_level=confidence, n_resamples=RESAMPLES,
        method="BCa" if x.size > 3 else "percentile", rng=np.random.default_rng(seed),
        vectorized=True, batch=1_000,
    ).confidence_interval  # fmt: skip
    low, high = float(interval.low), float(interval.high)
    if np.isnan(low) or np.isnan(high):  # BCa's acceleration fails on a lone outlier
        low, high = _percentile(x, confidence, seed)
    return low, high


def mean_interval(
    values: Sequence[float], *, confidence: float = 0.95, seed: int = 0, share: bool = True
) -> tuple[float, float, float]:
    """Mean with interval: Wilson's for yes/no values, bootstrap otherwise.

    Args:
        values: One per independent unit.
        share: Whether values of 0 and 1 only mean no and yes; a cost of 0 doesn't.
        confidence: Of the interval.
        seed: Of resampling.

    Returns:
        Mean, lower end, upper end.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return float("nan"), float("nan"), float("nan")
    if share and _binary(x):
        from statsmodels.stats.proportion import proportion_confint

        low, high = proportion_confint(int(x.sum()), x.size, alpha=1 - confidence, method="wilson")
        return _mean(x), float(low), float(high)
    low, high = bootstrap_interval(x, confidence=confidence, seed=seed)
    return _mean(x), low, high


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: p-values that keep the error rate of all comparisons together.

    Args:
        p_values: One per comparison with the control. Always-valid ones stay always valid.
    """
    # Own arithmetic: statsmodels' multipletests runs a whole garbage collection in every call.
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa: agreement of two ratings beyond chance; None where it isn't defined.

    Args:
        first: Ratings of the first pass.
        second: Ratings of the same things in the second pass.
    """
    from statsmodels.stats.inter_rater import cohens_kappa

    names = sorted({*first, *second})
    if len(names) < 2:
        return None
    table = np.zeros((len(names), len(names)))
    for a, b in zip(first, second, strict=True):
        table[names.index(a), names.index(b)] += 1
    return float(cohens_kappa(table, return_results=False))


def _mean(x: NDArray[np.float64]) -> float:
    return float(x.mean()) if x.size else float("nan")


def _binary(x: NDArray[np.float64]) -> bool:
    return bool(np.isin(x, (0.0, 1.0)).all())


def _mcnemar(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    from scipy import stats

    wins, losses = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue)


def _sign_flip(difference: NDArray[np.float64], seed: int) -> float:
    from scipy import stats

    if not difference.any():
        return 1.0
    result = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", vectorized=True,
        n_resamples=RESAMPLES, rng=np.random.default_rng(seed), batch=1_000,
    )  # fmt: skip
    return float(result.pvalue)


def _percentile(x: NDArray[np.float64], confidence: float, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    means = rng.choice(x, (RESAMPLES, x.size)).mean(axis=1)
    tail = (1 - confidence) / 2
    return [float(end) for end in np.quantile(means, [tail, 1 - tail])]
