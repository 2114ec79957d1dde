"""From a run's results to a verdict: estimates, tests, guard-rails and warnings. No I/O."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from allotrope.experiments.decision import Comparison, Estimate, decide
from allotrope.experiments.definition import Experiment, GuardRail, Metric
from allotrope.experiments.offline.evaluator import JUDGE
from allotrope.experiments.offline.judge import Judgement, agreement
from allotrope.experiments.offline.outcome import OF_ANSWERS
from allotrope.experiments.offline.results import Result, Run
from allotrope.experiments.stats.sequential import Betting, Interval, log_wealth, normal_mixture
from allotrope.experiments.stats.statistics import holm, mean_interval, paired_test


@dataclass(frozen=True)
class Analysis:
    """What an experiment shows so far.

    Args:
        estimates: Metric to variant to estimate.
        comparisons: Each variant against the control, per metric.
        complete: Whether every planned answer of the running variants is there.
        pairs: Items that all variants have answered.
        winner: The variant to promote, if one is shown to be better.
        verdict: A sentence for people.
        warnings: What makes the result less certain.
        stopped: Variants stopped by a guard-rail, with the reason.
        judge: Metric to the share of verdicts that survived the swap, and Cohen's kappa.
    """

    estimates: Mapping[str, Mapping[str, Estimate]]
    comparisons: Sequence[Comparison]
    complete: bool
    pairs: int
    winner: str | None
    verdict: str
    warnings: Sequence[str] = ()
    stopped: Mapping[str, str] = field(default_factory=dict)
    judge: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)


def item_scores(run: Run, metric: str, variant: str, *, repeats: int) -> dict[str, float]:
    """Each item's mean over its repeats, for items whose repeats are all there.

    Args:
        run: The results.
        metric: The metric.
        variant: The variant.
        repeats: Answers per item.
    """
    gathered: dict[str, list[float]] = {}
    for (item, name, _), result in run.results.items():
        if name == variant and metric in result.scores and not _switched(result):
            gathered.setdefault(item, []).append(result.scores[metric])
    return {item: float(np.mean(v)) for item, v in gathered.items() if len(v) >= repeats}


def _switched(result: Result) -> bool:
    """Whether another profile than the variant's answered; such an answer isn't the variant's."""
    return bool(result.outcome.provenance.get("switched"))


def answered_items(run: Run, variants: Sequence[str], *, repeats: int) -> list[str]:
    """The items whose answers are all there, in planned order, up to the first that lacks one.

    Taking items as they finish would favour quick ones; the planned order doesn't.

    Args:
        run: The results.
        variants: Which variants must have answered.
        repeats: Answers per item.
    """
    found = []
    for item in run.header.get("items", []):
        if not all((item, v, n) in run.results for v in variants for n in range(repeats)):
            break
        found.append(item)
    return found


def ordered_pairs(
    order: Sequence[str], variant: Mapping[str, float], control: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    """Scores of the items that both have; a failed answer has no cost, and its item no pair.

    Args:
        order: From `answered_items`.
        variant: Item to score.
        control: Item to score.
    """
    both = [item for item in order if item in variant and item in control]
    return [variant[item] for item in both], [control[item] for item in both]


def breached(
    rail: GuardRail,
    metric: Metric,
    variant: Sequence[float],
    control: Sequence[float],
    alpha: float,
) -> str | None:
    """Why a variant must stop, or None: always-valid evidence that a guard-rail is broken.

    Args:
        rail: The limit.
        metric: Its metric, for the range.
        variant: The variant's values in planned order.
        control: The control's, of the same items.
        alpha: Chance of stopping a variant that keeps the limit.
    """
    x, y = np.asarray(variant, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if x.size == 0:
        return None
    low, high = metric.range
    ratio = 1.0 if rail.max_ratio is None else rail.max_ratio
    if rail.max is not None:
        excess, bounds = x - rail.max, _bounds(low, high, 0.0, rail.max)
        said = f"at most {rail.max:g}"
    else:
        allowed = rail.max_increase or 0.0
        excess, bounds = x - ratio * y - allowed, _bounds(low, high, ratio, allowed)
        said = f"at most {ratio:g} times the control's {y.mean():.4g}"
        if rail.max_increase is not None:
            said = f"at most {allowed:g} above the control's {y.mean():.4g}"
    if bounds is not None and bounds[0] < 0 < bounds[1]:
        above, _ = log_wealth(excess, mean=0.0, low=bounds[0], high=bounds[1])
        broken = bool(above.max() >= math.log(1 / alpha))
    else:
        # One-sided at alpha is two-sided at twice that.
        broken = normal_mixture(excess.tolist(), alpha=min(2 * alpha, 0.5), target=200).low > 0
    if not broken:
        return None
    return f"{rail.metric} is {x.mean():.4g} after {x.size} items; {said} is allowed"


def _bounds(
    low: float | None, high: float | None, ratio: float, allowed: float
) -> tuple[float, float] | None:
    if low is None or high is None:
        return None
    return low - ratio * high - allowed, high - ratio * low - allowed


def analyse(experiment: Experiment, run: Run) -> Analysis:
    """Everything a report needs.

    Args:
        experiment: The definition.
        run: Its results.
    """
    dataset = experiment.dataset
    repeats = dataset.repeats if dataset else 1
    order: list[str] = run.header.get("items", [])
    names = [variant.name for variant in experiment.variants]
    stopped = run.stopped_variants
    others = [name for name in names if name != experiment.control_name]
    wanted = {metric.name: metric for metric in experiment.metrics}
    for name in ("error_rate", "latency_ms", "total_tokens", "cost_usd", "cache_share"):
        wanted.setdefault(name, Metric(name=name))

    estimates: dict[str, dict[str, Estimate]] = {}
    comparisons: list[Comparison] = []
    judged: dict[str, tuple[float, float | None]] = {}
    warnings: list[str] = []
    for name, metric in wanted.items():
        if _judges(metric):
            scores = _judged(run, name, others, experiment.control_name)
            judged[name] = agreement(_judgements(run, name))
        else:
            scores = {v: item_scores(run, name, v, repeats=repeats) for v in names}
        estimates[name] = {
            v: _estimate(list(s.values()), experiment, metric) for v, s in scores.items()
        }
        comparisons += _compare(experiment, metric, scores, run, others)
        missing = sum(_lacks(r, name) for r in run.results.values())
        if missing and name not in judged and name in {m.name for m in experiment.metrics}:
            warnings.append(f"{name} is missing for {missing} of {len(run.results)} answers.")

    running = [name for name in names if name not in stopped]
    planned = [(i, v, r) for i in order for v in running for r in range(repeats)]
    complete = bool(planned) and all(key in run.results for key in planned)
    switched = sum(map(_switched, run.results.values()))
    if switched:
        complete = False
        warnings.append(
            f"{switched} answers came with another profile than their variant's (a budget switched "
            "it) and don't count."
        )
    if primary_judge := [m for m in experiment.metrics if m is experiment.primary and _judges(m)]:
        verdicts = {(c["item"], c["variant"], c["repeat"]) for c in run.comparisons
                    if c["metric"] == primary_judge[0].name}  # fmt: skip
        unjudged = sum(k not in verdicts for k in planned if k[1] != experiment.control_name)
        if unjudged:
            warnings.append(f"{unjudged} pairs of answers are not judged.")
            complete = False
    used = {str(c["prompt"]) for c in run.comparisons if c.get("prompt")}
    if len(used) > 1:
        warnings.append(f"The judge used several prompt versions: {', '.join(sorted(used))}.")
    pairs = sum(all((i, v, 0) in run.results for v in running) for i in order)
    warnings += _warnings(run, complete, planned, stopped)
    # A run that may end early was looked at on the way, whether it did or not.
    final = complete and not experiment.stop.early
    winner, verdict = decide(
        experiment, comparisons, estimates,
        final=final, units=pairs, called="items", stopped=stopped,
    )  # fmt: skip
    return Analysis(
        estimates, comparisons, complete, pairs, winner, verdict, warnings, stopped, judged
    )  # fmt: skip


def _lacks(result: Result, metric: str) -> bool:
    """Whether a metric is missing that should be there; a failed answer has no price or time."""
    failed = result.outcome.error is not None and metric in OF_ANSWERS
    return metric not in result.scores and not failed


def _judges(metric: Metric) -> bool:
    return metric.scorer is not None and metric.scorer["kind"] == JUDGE


def _estimate(values: list[float], experiment: Experiment, metric: Metric) -> Estimate:
    confidence, share = 1 - experiment.stop.alpha, metric.range == (0.0, 1.0)
    mean, low, high = mean_interval(values, confidence=confidence, share=share)
    return Estimate(mean, low, high, len(values))


def _compare(
    experiment: Experiment,
    metric: Metric,
    scores: Mapping[str, Mapping[str, float]],
    run: Run,
    others: Sequence[str],
) -> list[Comparison]:
    alpha = experiment.stop.alpha
    control = scores[experiment.control_name]
    repeats = experiment.dataset.repeats if experiment.dataset else 1
    order = run.header.get("items", [])
    rows = []
    for name in others:
        judged_only = {i: control.get(i, 0.5) for i in scores[name]} if metric.scorer else control
        base = judged_only if metric.scorer and metric.scorer["kind"] == JUDGE else control
        both = [item for item in order if item in scores[name] and item in base]
        fixed = paired_test(
            [scores[name][i] for i in both], [base[i] for i in both], confidence=1 - alpha
        )
        pair = (name, experiment.control_name)
        a, b = ordered_pairs(answered_items(run, pair, repeats=repeats), scores[name], base)
        rows.append((name, fixed, always_valid(metric, a, b, alpha=alpha)))
    p_fixed = holm([fixed.p_value for _, fixed, _ in rows])
    p_always = holm([always.p_value for _, _, always in rows])
    return [
        Comparison(metric.name, name, fixed, always, pf, pa)
        for (name, fixed, always), pf, pa in zip(rows, p_fixed, p_always, strict=True)
    ]


def always_valid(
    metric: Metric, variant: Sequence[float], control: Sequence[float], *, alpha: float
) -> Interval:
    """The always-valid interval of the mean difference of pairs.

    Args:
        metric: For its range: exact with one, asymptotic without.
        variant: Values in planned order.
        control: Values of the same items.
        alpha: Chance that any look misses.
    """
    difference = [a - b for a, b in zip(variant, control, strict=True)]
    low, high = metric.range
    if low is None or high is None:
        return normal_mixture(difference, alpha=alpha)
    return Betting(low - high, high - low, alpha).interval(difference)


def _judgements(run: Run, metric: str) -> list[Judgement]:
    rows = [c for c in run.comparisons if c["metric"] == metric]
    return [Judgement(row["score"], row["first"], row["second"]) for row in rows]


def _judged(
    run: Run, metric: str, others: Sequence[str], control: str
) -> dict[str, dict[str, float]]:
    gathered: dict[str, dict[str, list[float]]] = {name: {} for name in others}
    for row in run.comparisons:
        if row["metric"] == metric and row["variant"] in gathered:
            gathered[row["variant"]].setdefault(row["item"], []).append(row["score"])
    scores = {
        name: {item: float(np.mean(values)) for item, values in items.items()}
        for name, items in gathered.items()
    }
    scores[control] = {item: 0.5 for items in scores.values() for item in items}
    return scores


def _warnings(
    run: Run,
    complete: bool,
    planned: Sequence[tuple[str, str, int]],
    stopped: Mapping[str, str],
) -> list[str]:
    warnings = [f"{name} was stopped: {reason}." for name, reason in stopped.items()]
    if not complete:
        done = sum(key in run.results for key in planned)
        warnings.append(
            f"{done} of {len(planned)} planned answers are there: only the always-valid "
            "columns may be used."
        )
    unknown = sum(result.outcome.cost_usd is None for result in run.results.values())
    if unknown:
        warnings.append(f"{unknown} answers have no known price; the cost leaves them out.")
    failed = Counter(r.variant for r in run.results.values() if r.outcome.error is not None)
    warnings += [
        f"{n} answers of {name} failed; cost, latency and tokens leave them out."
        for name, n in failed.items()
    ]
    models = {
        f"{r.outcome.provenance.get('provider', '?')}/{r.outcome.provenance.get('model', '?')}"
        for r in run.results.values()
        if r.outcome.provenance
    }
    if len(models) > 1:
        warnings.append(f"More than one model answered: {', '.join(sorted(models))}.")
    prompts: dict[str, set[Any]] = {}
    for r in run.results.values():
        if r.outcome.provenance.get("prompt") is not None:
            prompts.setdefault(r.variant, set()).add(r.outcome.provenance["prompt"])
    for name, versions in prompts.items():
        if len(versions) > 1:
            listed = ", ".join(str(version) for version in sorted(versions))
            warnings.append(f"{name} was answered with several prompt versions: {listed}.")
    cached = sum(bool(r.outcome.provenance.get("cached")) for r in run.results.values())
    if cached:
        warnings.append(f"{cached} answers came from the cache; their latency is no model's.")
    return warnings
