"""Always-valid inference: tests and intervals that stay honest however often they are looked at.

A t-test promises 5 % false alarms for *one* look. Whoever looks after every observation and stops
at the first p < 0.05 is wrong far more often (about 30 % within a thousand observations). The
tools here keep their promise at every look at once:

- `Betting` for values in a known range (scores, error flags). It is exact for every sample size
  and distribution: the wealth of a gambler who bets on the mean is a non-negative martingale, so by
  Ville's inequality it passes 1/alpha with probability at most alpha. The bets are a mixture over
  fixed fractions, so the range of stakes adapts to the variance. Source: Waudby-Smith and Ramdas,
  "Estimating means of bounded random variables by betting", JRSS-B 86 (2024).
- `normal_mixture` for values without a range (latency, cost, tokens): the mixture sequential
  probability ratio test with the sample's own variance, i.e. an asymptotic confidence sequence.
  Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and
  asymptotic confidence sequences", Annals of Statistics 52 (2024), eq. 6; Johari, Koomen,
  Pekelis and Walsh, "Always valid inference", Operations Research 70 (2022).
- `mismatch_p` for counts of exposures: Lindon and Malek, "Anytime-valid inference for multinomial
  count data", NeurIPS 2022.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRACTIONS: Floats = np.geomspace(0.002, 0.98, 32)
"""Shares of the largest allowed stake that the mixture bets, evenly spaced on a log scale."""

BURN_IN = 50
"""Observations before the asymptotic method says anything; it leans on the central limit theorem.
`benchmarks/experiments.py` measures what that leaves of its 5 % on skewed data."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    Args:
        estimate: The sample mean.
        low: Lower end.
        high: Upper end.
        p_value: Evidence against a mean of zero; always valid where the interval is.
        n: Observations used.
        method: What computed it, in words.
        direction: 1 where the p-value speaks for a mean above zero, -1 for one below; an
            always-valid p-value may come from an earlier look than today's mean.
    """

    estimate: float
    low: float
    high: float
    p_value: float
    n: int
    method: str
    direction: int = 0

    @property
    def decided(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def log_wealth(values: Floats, *, mean: float, low: float, high: float) -> tuple[Floats, Floats]:
    """The log wealth, after each observation, of betting that the true mean is above / below.

    Args:
        values: Observations in `[low, high]`; time runs along the last axis.
        mean: The mean under the null hypothesis, strictly inside the range.
        low: Smallest possible observation.
        high: Largest possible observation.

    Returns:
        Two arrays of the shape of `values`: bets on a larger mean, bets on a smaller one.
    """
    up = (values - mean) / (mean - low)
    down = (mean - values) / (high - mean)
    return _mixture(up), _mixture(down)


def _mixture(returns: Floats) -> Floats:
    if returns.ndim == 1:  # all bets at once
        wealth = np.cumsum(np.log1p(np.multiply.outer(FRACTIONS, returns)), axis=-1)
        most = wealth.max(axis=0, initial=-np.inf)
        return np.asarray(most + np.log(np.exp(wealth - most).mean(axis=0)))
    total = np.full(returns.shape, -np.inf)
    share = math.log(len(FRACTIONS))
    for fraction in FRACTIONS:
        wealth = np.cumsum(np.log1p(fraction * returns), axis=-1)
        total = np.logaddexp(total, wealth - share)
    return total


def sequential_p(values: Floats, *, low: float, high: float, mean: float = 0.0) -> Floats:
    """Always-valid two-sided p-values after each observation of a bounded stream.

    Args:
        values: Observations in `[low, high]`; time runs along the last axis.
        low: Smallest possible observation.
        high: Largest possible observation.
        mean: The mean under the null hypothesis.

    Returns:
        P-values that never rise; rejecting at the first one ≤ alpha errs at most alpha.
    """
    above, below = log_wealth(values, mean=mean, low=low, high=high)
    best = np.maximum.accumulate(np.maximum(above, below), axis=-1)
    return np.minimum(1.0, 2.0 * np.exp(-np.maximum(best, 0.0)))


@dataclass(frozen=True)
class Betting:
    """The confidence sequence for the mean of a stream with a known range.

    Args:
        low: Smallest possible observation.
        high: Largest possible observation.
        alpha: Chance that the intervals of all looks together ever miss the mean.
    """

    low: float
    high: float
    alpha: float = 0.05

    def interval(self, values: Sequence[float]) -> Interval:
        """The interval after all of `values`, valid at this and every other look.

        Args:
            values: Observations in order of arrival, each within the range.

        Raises:
            ValueError: An observation lies outside the range.
        """
        x = np.asarray(values, dtype=np.float64)
        if x.size == 0:
            return Interval(float("nan"), self.low, self.high, 1.0, 0, "betting")
        if x.min() < self.low - 1e-9 or x.max() > self.high + 1e-9:
            raise ValueError(
                f"Observations from {x.min():g} to {x.max():g} leave the range "
                f"{self.low:g} to {self.high:g}."
            )
        x = np.clip(x, self.low, self.high)
        p, direction = self.evidence(x)
        # The largest wealth so far decides, so an interval never widens: an intersection in time.
        return Interval(
            float(x.mean()), self._end(x, lower=True), self._end(x, lower=False), p, x.size,
            "betting confidence sequence", direction,
        )  # fmt: skip

    def evidence(self, x: Floats) -> tuple[float, int]:
        """The always-valid p-value against a mean of zero, and the direction it speaks for.

        Args:
            x: Observations in order of arrival, within the range.
        """
        if not self.low < 0 < self.high or not x.size:
            return 1.0, 0
        above, below = log_wealth(x, mean=0.0, low=self.low, high=self.high)
        up, down = float(above.max()), float(below.max())
        return min(1.0, 2.0 * math.exp(-max(up, down, 0.0))), _sign(up - down)

    def _end(self, x: Floats, *, lower: bool) -> float:
        """Bisects for the mean at which the wealth reaches 2/alpha; wealth is monotone in it."""
        bar = math.log(2.0 / self.alpha)
        width = self.high - self.low
        inside, outside = (self.high, self.low) if lower else (self.low, self.high)
        for _ in range(40):
            if abs(inside - outside) < 1e-5 * width:
                break
            middle = (inside + outside) / 2
            if lower:
                wealth = _mixture((x - middle) / (middle - self.low))
            else:
                wealth = _mixture((middle - x) / (self.high - middle))
            if wealth.max() >= bar:
                outside = middle
            else:
                inside = middle
        return outside


def normal_mixture_width(n: Floats, *, alpha: float, target: int) -> Floats:
    """Half-widths, in standard deviations, of the asymptotic confidence sequence.

    Args:
        n: Numbers of observations.
        alpha: Chance that any look misses.
        target: The number of observations at which the interval shall be tightest.
    """
    spread = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / target
    scaled = n * spread + 1
    return np.sqrt(2 * scaled / (n**2 * spread) * np.log(np.sqrt(scaled) / alpha))


def normal_mixture(values: Sequence[float], *, alpha: float = 0.05, target: int = 500) -> Interval:
    """The mixture sequential test (mSPRT) for values without a known range.

    Args:
        values: Observations in order of arrival.
        alpha: Chance that any look misses, in the limit of many observations.
        target: The number of observations at which the interval shall be tightest.

    Returns:
        The interval; before `BURN_IN` observations it is unbounded.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.size
    method = "normal mixture (mSPRT)"
    if n < BURN_IN:
        mean = float(x.mean()) if n else float("nan")
        return Interval(mean, -math.inf, math.inf, 1.0, n, f"{method}, needs {BURN_IN}")
    mean, deviation = float(x.mean()), float(x.std(ddof=1))
    count = np.array([float(n)])
    width = deviation * float(normal_mixture_width(count, alpha=alpha, target=target)[0])
    p, direction = _mixture_evidence(x, alpha, target)
    return Interval(mean, mean - width, mean + width, p, n, method, direction)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _mixture_evidence(x: Floats, alpha: float, target: int) -> tuple[float, int]:
    """The smallest alpha at which any look so far would have rejected a mean of zero, and on which
    side of zero the mean of that look was."""
    spread = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / target
    z, n = running_z(x[np.newaxis, :])
    scaled = n * spread + 1
    log_ratio = z[0] ** 2 * n * spread / (2 * scaled) - np.log(scaled) / 2
    log_ratio[: BURN_IN - 1] = -math.inf
    best = int(log_ratio.argmax())
    return min(1.0, math.exp(-float(log_ratio[best]))), _sign(float(z[0, best]))


def running_z(values: Floats) -> tuple[Floats, Floats]:
    """The z statistic after each observation, along the last axis, and the counts.

    A stream without any variance has z = 0 while its mean is zero and infinity otherwise.
    """
    n = np.arange(1, values.shape[-1] + 1, dtype=np.float64)
    mean = np.cumsum(values, axis=-1) / n
    variance = np.maximum(np.cumsum(values**2, axis=-1) / n - mean**2, 0.0)
    variance *= n / np.maximum(n - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = mean / np.sqrt(variance / n)
    return np.where(mean == 0, 0.0, z), n


def difference_stream(
    values: Sequence[float], treated: Sequence[bool], *, share: float, low: float, high: float
) -> tuple[Floats, float]:
    """Turns the outcomes of two randomly assigned arms into one stream whose mean is the effect.

    Each outcome, less what was expected before it was seen, is weighted by the inverse of its arm's
    share. The expectation uses past outcomes only, so the stream's mean is exactly the effect.
    Source: the augmented inverse-probability estimator, section 3 of the asymptotic paper above.

    Args:
        values: One outcome per unit, in order of arrival, within `[low, high]`.
        treated: Whether the unit got the variant (else the control).
        share: The variant's share of the two arms' traffic, between 0 and 1.
        low: Smallest possible outcome; may be `-inf`.
        high: Largest possible outcome; may be `inf`.

    Returns:
        The stream, and the bound on its absolute values.
    """
    finite = math.isfinite(low) and math.isfinite(high)
    start = (low + high) / 2 if finite else 0.0
    sums, counts = [0.0, 0.0], [0, 0]
    stream = np.empty(len(values))
    for index, (value, arm) in enumerate(zip(values, treated, strict=True)):
        means = [sums[i] / counts[i] if counts[i] else start for i in (0, 1)]
        expected = (1 - share) * means[1] + share * means[0]
        stream[index] = (value - expected) * (1 / share if arm else -1 / (1 - share))
        sums[arm] += value
        counts[arm] += 1
    return stream, (high - low) / min(share, 1 - share)


def mismatch_p(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Always-valid evidence that traffic doesn't follow its shares (sample ratio mismatch).

    Args:
        counts: Exposures seen per variant.
        shares: Promised shares; they sum to 1.

    Returns:
        A p-value of a Dirichlet mixture centred on the shares; small means something is broken.
    """
    weight = 100.0
    prior = [weight * share for share in shares]
    total = sum(counts)
    log_factor = math.lgamma(weight) - math.lgamma(weight + total)
    for count, share, base in zip(counts, shares, prior, strict=True):
        log_factor += math.lgamma(base + count) - math.lgamma(base) - count * math.log(share)
    return min(1.0, math.exp(-log_factor)) if log_factor > -700 else 1.0
