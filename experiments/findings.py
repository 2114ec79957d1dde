"""What a finished experiment found out about models, for the ledger: is the other one as good?

The recommendation "use the cheaper model" rests on these (`usage.rules.cheaper_model`).
"""

from collections import Counter
from dataclasses import dataclass

from allotrope.experiments.analysis import Analysis
from allotrope.experiments.definition import Experiment, Metric
from allotrope.experiments.offline.results import Run
from allotrope.usage.ledger.ledger import Ledger

MARGIN = 0.05
"""A model counts as equal when it is surely not worse by more than this share of the metric's
range (of the control's mean, where the range is open): non-inferiority, by the interval."""

ENOUGH_PAIRS = 50


@dataclass(frozen=True)
class Finding:
    """One model against the control's.

    Args:
        model: The variant's model.
        baseline_model: The control's model.
        equal: Whether the variant is surely not worse than the margin allows.
        samples: Pairs of answers it rests on.
        detail: The interval, for people.
    """

    model: str
    baseline_model: str
    equal: bool
    samples: int
    detail: str


def findings(experiment: Experiment, run: Run, analysis: Analysis) -> list[Finding]:
    """What a complete experiment says about models; nothing where it is cut short or small.

    Args:
        experiment: Its definition.
        run: Its results.
        analysis: What they show.
    """
    baseline = _model(run, experiment.control_name)
    if not analysis.complete or not baseline:
        return []
    metric = experiment.primary
    margin = _margin(metric, analysis.estimates[metric.name][experiment.control_name].mean)
    found = []
    for row in analysis.comparisons:
        model = _model(run, row.variant)
        stopped = row.variant in analysis.stopped
        if row.metric != metric.name or stopped or model in ("", baseline):
            continue
        worst = row.fixed.low if metric.sign > 0 else -row.fixed.high
        if row.fixed.n < ENOUGH_PAIRS:
            continue
        detail = f"{metric.name} differs by {row.fixed.low:+.3f} to {row.fixed.high:+.3f}"
        found.append(Finding(model, baseline, worst >= -margin, row.fixed.n, detail))
    return found


def record(experiment: Experiment, run: Run, analysis: Analysis, ledger: Ledger) -> int:
    """Keeps the findings in the ledger.

    Returns:
        How many there are.
    """
    found = findings(experiment, run, analysis)
    for one in found:
        ledger.record_finding(
            experiment.name,
            agent=experiment.agent,
            model=one.model,
            baseline_model=one.baseline_model,
            equal=one.equal,
            samples=one.samples,
            detail=one.detail,
        )
    return len(found)


def _margin(metric: Metric, control: float) -> float:
    low, high = metric.range
    return MARGIN * (abs(control) if low is None or high is None else high - low)


def _model(run: Run, variant: str) -> str:
    """The one model that answered a variant; empty where several did."""
    models = Counter(
        str(result.outcome.provenance.get("model") or "")
        for result in run.results.values()
        if result.variant == variant and result.outcome.provenance
    )
    return next(iter(models)) if len(models) == 1 else ""
