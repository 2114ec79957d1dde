"""Who won: one rule for a run over a dataset and for traffic. Pure; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from allotrope.experiments.definition import Experiment, Metric
from allotrope.experiments.stats.sequential import Interval

ROUNDING = 1e-9
"""What a difference of shares may be off by: 5 % less 4 % is a little more than 1 % in floats."""


@dataclass(frozen=True)
class Estimate:
    """A metric of a variant.

    Args:
        mean: Over items (repeats averaged first).
        low: Lower end of the interval.
        high: Upper end.
        n: Items.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """A variant against the control on one metric.

    Args:
        metric: The metric.
        variant: The variant.
        fixed: The test for one look at a complete run.
        always: The always-valid interval, for looking on the way.
        p_fixed: Holm-corrected over the variants.
        p_always: Holm-corrected over the variants.
    """

    metric: str
    variant: str
    fixed: Interval
    always: Interval
    p_fixed: float
    p_always: float


Estimates = Mapping[str, Mapping[str, Estimate]]
"""Metric to variant to estimate."""


def decide(
    experiment: Experiment,
    comparisons: Sequence[Comparison],
    estimates: Estimates,
    *,
    final: bool,
    units: int,
    called: str,
    stopped: Mapping[str, str],
) -> tuple[str | None, str]:
    """The winner, if one is shown, and a sentence for people.

    A variant wins when its evidence on the primary metric speaks for it, today's mean doesn't deny
    that, and it doesn't fail more often than the file allows.

    Args:
        experiment: The definition.
        comparisons: Of all metrics.
        estimates: For the shares of failed answers.
        final: Whether this is the one look at a complete run; else always-valid p-values count.
        units: Items or units that have the primary metric.
        called: What to call them, such as `items`.
        stopped: Variants that a guard-rail stopped; they can't win.
    """
    metric, control, stop = experiment.primary, experiment.control_name, experiment.stop
    rows = [c for c in comparisons if c.metric == metric.name and c.variant not in stopped]
    if not rows:
        return None, f"Every variant was stopped; {control} stays."
    if units < stop.min_units:
        return None, f"{units} {called} are too few to judge; the file asks for {stop.min_units}."
    better: list[Comparison] = []
    worse: list[Comparison] = []
    why_not: list[str] = []
    for row in rows:
        p, interval = (row.p_fixed, row.fixed) if final else (row.p_always, row.always)
        if p > stop.alpha:
            continue
        if interval.direction * metric.sign < 0:
            worse.append(row)
        elif interval.estimate * metric.sign <= 0:
            why_not.append(
                f"{row.variant} was better than {control} at an earlier look, but today's mean of "
                f"{metric.name} says otherwise: something has changed meanwhile."
            )
        elif fails_more(experiment, failed := _failed(estimates, row.variant, control)):
            why_not.append(
                f"{row.variant} is better than {control} on {metric.name}, but {failed[0]:.1%} of "
                f"its answers failed, {failed[1]:.1%} of {control}'s.".replace("%", " %")
            )
        else:
            better.append(row)
    if better:
        best = max(better, key=lambda row: _effect(row, final) * metric.sign)
        p, kind = (best.p_fixed, "p") if final else (best.p_always, "always-valid p")
        return best.variant, (
            f"{best.variant} is better than {control} on {metric.name}: "
            f"{_effect(best, final):+.4g} ({kind} = {p:.2g}, corrected for {len(rows)} "
            "comparisons)."
        )
    if why_not:
        return None, " ".join([*why_not, f"{control} stays."])
    if len(worse) == len(rows):
        return None, f"{control} stays: every variant is worse on {metric.name}."
    return None, (
        f"No variant is shown to be better than {control} on {metric.name}"
        f"{'' if final else ' so far'}; {control} stays."
    )


def fails_more(experiment: Experiment, failed: tuple[float, float]) -> bool:
    """Whether a variant fails too often to win.

    Only where failures stand in no value of the primary metric: a scorer gives them its worst.

    Args:
        experiment: Its primary metric, and `stop.max_error_increase`.
        failed: Shares of failed answers, the variant's and the control's; NaN where unknown.
    """
    if not leaves_failures_out(experiment.primary):
        return False
    return failed[0] - failed[1] > experiment.stop.max_error_increase + ROUNDING


def leaves_failures_out(metric: Metric) -> bool:
    """Whether failed answers have no value of a metric."""
    return metric.scorer is None and metric.name != "error_rate"


def _failed(estimates: Estimates, variant: str, control: str) -> tuple[float, float]:
    rates = estimates.get("error_rate", {})
    unknown = Estimate(float("nan"), 0.0, 0.0, 0)
    return rates.get(variant, unknown).mean, rates.get(control, unknown).mean


def _effect(row: Comparison, final: bool) -> float:
    return (row.fixed if final else row.always).estimate
