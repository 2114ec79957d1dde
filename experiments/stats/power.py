"""How many items or units an experiment needs, and what a given number can show."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allotrope.exceptions import InputError
from allotrope.experiments.stats.sequential import log_wealth

SIMULATED_RUNS = 2_000
LARGEST = 1_000_000
_LARGEST_SIMULATED = 20_000


@dataclass(frozen=True)
class Plan:
    """What a test needs.

    Args:
        effect: Smallest difference of means that shall be found.
        deviation: Standard deviation of a pair's difference (paired) or of one unit (two groups).
        alpha: Share of false wins allowed.
        power: Share of real effects of that size that shall be found.
        n_fixed: Pairs (or units in *each* group) for one look at the end.
        n_sequential: Pairs (or units in each group) by which a test that may be looked at all the
            time has found it with that power; None where it isn't known.
    """

    effect: float
    deviation: float
    alpha: float
    power: float
    n_fixed: int
    n_sequential: int | None


def paired_plan(
    *, effect: float, deviation: float, alpha: float = 0.05, power: float = 0.8, seed: int = 0
) -> Plan:
    """Plans a comparison on the same items, scores between 0 and 1.

    Args:
        effect: Smallest mean difference that shall be found, in score points (0.05 = 5 points).
        deviation: Standard deviation of the differences. For yes/no scores it is about the square
            root of the share of items on which the two disagree.
        alpha: Share of false wins allowed.
        power: Share of real effects that shall be found.
        seed: Of the simulation behind `n_sequential`.

    Raises:
        InputError: A value is outside its range.
    """
    _check(effect, deviation, alpha, power)
    n = _solve("paired", abs(effect) / deviation, alpha, power)
    looked_at = _sequential(effect, deviation, alpha, power, n, seed)
    return Plan(effect, deviation, alpha, power, n, looked_at)


def two_sample_plan(
    *, effect: float, deviation: float, alpha: float = 0.05, power: float = 0.8, seed: int = 0
) -> Plan:
    """Plans an online comparison of two groups with equal shares, outcomes between 0 and 1.

    Args:
        effect: Smallest difference of the groups' means that shall be found.
        deviation: Standard deviation of one unit's outcome (for a rate r: sqrt(r (1 - r))).
        alpha: Share of false wins allowed.
        power: Share of real effects that shall be found.
        seed: Of the simulation behind `n_sequential`.

    Raises:
        InputError: A value is outside its range.
    """
    _check(effect, deviation, alpha, power)
    n = _solve("groups", abs(effect) / deviation, alpha, power)
    # The stream of `difference_stream` has one value per unit, range ±2 and twice the deviation.
    both = _sequential(effect / 2, deviation, alpha, power, 2 * n, seed)
    return Plan(effect, deviation, alpha, power, n, None if both is None else math.ceil(both / 2))


def three_points(
    *, effect: float, deviation: float, size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws differences of -1, 0 and 1 with a given mean and standard deviation.

    Args:
        effect: Their mean.
        deviation: Their standard deviation.
        size: Runs and observations per run.
        rng: Source of randomness.
    """
    moment = deviation**2 + effect**2
    up, down = (moment + effect) / 2, (moment - effect) / 2
    draws = rng.random(size)
    return (draws < up).astype(np.float64) - (draws > 1 - down)


def stopping_times(
    values: NDArray[np.float64], *, alpha: float, low: float = -1.0, high: float = 1.0
) -> NDArray[np.float64]:
    """When each run of differences, looked at after each one, is first decided *upwards*.

    Args:
        values: Runs by observations.
        alpha: Share of false wins allowed, both sides together.
        low: Smallest possible difference.
        high: Largest possible difference.

    Returns:
        The number of observations at the decision, infinity where there was none.
    """
    above, _ = log_wealth(values, mean=0.0, low=low, high=high)
    hit = above >= math.log(2 / alpha)
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf)


def _sequential(
    effect: float, deviation: float, alpha: float, power: float, n_fixed: int, seed: int
) -> int | None:
    effect = abs(effect)
    moment = deviation**2 + effect**2
    if moment > 1 or moment < effect:
        return None  # no distribution on [-1, 1] has these moments
    horizon = 3 * n_fixed + 50
    if horizon > _LARGEST_SIMULATED:
        return None
    runs = max(200, min(SIMULATED_RUNS, 2_000_000 // horizon))
    rng = np.random.default_rng(seed)
    values = three_points(effect=effect, deviation=deviation, size=(runs, horizon), rng=rng)
    times = np.sort(stopping_times(values, alpha=alpha))
    # One standard error of the simulated share on top, so that the promise errs on the safe side.
    wanted = power + math.sqrt(power * (1 - power) / runs)
    found = times[min(runs - 1, math.ceil(wanted * runs) - 1)]
    return int(found) if math.isfinite(found) else None


def _solve(kind: str, standardised: float, alpha: float, power: float) -> int:
    from statsmodels.stats.power import TTestIndPower, TTestPower

    if standardised < 0.003:
        raise InputError(
            f"An effect of {standardised:.4g} standard deviations needs over {LARGEST:,} items.",
            hint="Give a larger --effect, or measure something less noisy.",
        )
    if kind == "paired":
        n = TTestPower().solve_power(effect_size=standardised, alpha=alpha, power=power)
    else:
        n = TTestIndPower().solve_power(effect_size=standardised, alpha=alpha, power=power)
    return max(2, math.ceil(float(np.squeeze(n))))


def _check(effect: float, deviation: float, alpha: float, power: float) -> None:
    for name, value, good, words in (
        ("effect", effect, 0 < abs(effect) <= 1, "not zero and at most 1"),
        ("deviation", deviation, 0 < deviation <= 1, "above 0 and at most 1"),
        ("alpha", alpha, 0 < alpha < 0.5, "between 0 and 0.5"),
        ("power", power, alpha < power < 1, "between alpha and 1"),
    ):
        if not good:
            raise InputError(f"{name} must be {words}, not {value:g}.")
