"""What traffic shows: estimates of independent groups, guard-rails, and the verdict. No I/O."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from allotrope.experiments.analysis import Analysis
from allotrope.experiments.decision import Comparison, Estimate, decide
from allotrope.experiments.definition import Experiment, GuardRail, Metric, Variant
from allotrope.experiments.offline.results import Run
from allotrope.experiments.stats.sequential import (
    Betting,
    Interval,
    difference_stream,
    mismatch_p,
    normal_mixture,
)
from allotrope.experiments.stats.statistics import holm, mean_interval, two_sample_test

MISMATCH = 0.001
"""Evidence of a sample ratio mismatch that invalidates an experiment (as in Fabijan et al., KDD
2019, who advise a threshold far below 0.05 because the check is made on every experiment)."""


def arms(
    run: Run, metric: str, variant: str, control: str
) -> tuple[list[float], list[bool]]:  # fmt: skip
    """The outcomes of two variants in the order in which they came, and which are the variant's.

    Args:
        run: The traffic.
        metric: The metric.
        variant: The variant.
        control: The control.
    """
    values, treated = [], []
    for result in run.as_it_came(metric):
        if result.variant in (variant, control):
            values.append(result.scores[metric])
            treated.append(result.variant == variant)
    return values, treated


def analyse_traffic(
    experiment: Experiment, run: Run, *, mismatch_alpha: float = MISMATCH
) -> Analysis:
    """Everything a report needs, from traffic. Only the always-valid test decides.

    Args:
        experiment: The definition.
        run: From `exposures.rows_to_run`.
        mismatch_alpha: Evidence of a sample ratio mismatch at which nothing is decided.
    """
    names = [variant.name for variant in experiment.variants]
    control = experiment.control_name
    others = [name for name in names if name != control]
    wanted = {metric.name: metric for metric in experiment.metrics}
    for name in ("error_rate", "latency_ms", "total_tokens", "cost_usd"):
        wanted.setdefault(name, Metric(name=name))
    estimates: dict[str, dict[str, Estimate]] = {}
    comparisons: list[Comparison] = []
    warnings: list[str] = []
    for name, metric in wanted.items():
        groups = {v: _values(run, name, v) for v in names}
        estimates[name] = {
            v: Estimate(
                *mean_interval(
                    values,
                    confidence=1 - experiment.stop.alpha,
                    share=metric.range == (0.0, 1.0),
                ),
                len(values),
            )
            for v, values in groups.items()
        }
        rows = []
        for variant in others:
            fixed = two_sample_test(
                groups[variant], groups[control], confidence=1 - experiment.stop.alpha
            )
            rows.append((variant, fixed, _always(experiment, metric, run, variant)))
        p_fixed = holm([fixed.p_value for _, fixed, _ in rows])
        p_always = holm([always.p_value for _, _, always in rows])
        comparisons += [
            Comparison(name, variant, fixed, always, pf, pa)
            for (variant, fixed, always), pf, pa in zip(rows, p_fixed, p_always, strict=True)
        ]
    primary = experiment.primary.name
    reported = sum(e.n for e in estimates[primary].values())
    if run.results and not reported:
        warnings.append(f"Nobody reports {primary}: none of {len(run.results)} units has it.")
    if outside := run.header.get("outside"):
        warnings.append(
            f"{outside} scores are not from 0 to 1 and don't count; "
            "score again with allotrope feedback RUN SCORE."
        )
    stopped = run.stopped_variants
    warnings += [f"{name} was stopped: {reason}." for name, reason in stopped.items()]
    switched = {
        name: sum(
            bool(r.outcome.provenance.get("switched"))
            for r in run.results.values() if r.variant == name
        )
        for name in names
    }  # fmt: skip
    if any(switched.values()):
        told = ", ".join(f"{n} of {name}" for name, n in switched.items() if n)
        warnings.append(
            f"{told} were answered with another profile than their variant's (a budget switched "
            "it); these units don't count."
        )
    broken = _mismatches(experiment, run, switched, mismatch_alpha)
    warnings += broken
    if broken:
        winner, verdict = None, "The traffic doesn't follow the shares, so nothing is decided."
    else:
        winner, verdict = decide(
            experiment, comparisons, estimates,
            final=False, units=reported, called=f"units with {primary}", stopped=stopped,
        )  # fmt: skip
    return Analysis(
        estimates, comparisons, False, len(run.results), winner, verdict, warnings, stopped
    )


def _mismatches(
    experiment: Experiment, run: Run, switched: Mapping[str, int], alpha: float
) -> list[str]:
    """Sentences on variants whose units don't follow their shares (sample ratio mismatch).

    A variant that was stopped gets no more units, so from then on the others are compared with each
    other; all of them are compared as they were before the first stop.
    """
    seen = Counter(result.variant for result in run.results.values())
    lost = "Something loses or adds units; no result may be used until it is found."
    unlike = "The budget switched one variant's profile more often; what is left isn't alike."
    running = [v for v in experiment.variants if v.name not in run.stopped_variants]
    looks: list[tuple[Sequence[Variant], Mapping[str, int], str]] = [
        (running, seen, lost),
        (running, {name: n - switched[name] for name, n in seen.items()}, unlike),
    ]
    if before := run.header.get("units_before_stop"):
        looks.insert(0, (experiment.variants, before, lost))
    for variants, units, why in looks:
        counts = [units.get(variant.name, 0) for variant in variants]
        whole = sum(variant.share for variant in variants)
        mismatch = mismatch_p(counts, [variant.share / whole for variant in variants])
        if mismatch <= alpha:
            listed = ", ".join(f"{v.name} {n}" for v, n in zip(variants, counts, strict=True))
            return [f"Sample ratio mismatch (p = {mismatch:.2g}): {listed}. {why}"]
    return []


def traffic_breaches(experiment: Experiment, run: Run) -> dict[str, str]:
    """Variants that break a guard-rail, with the reason.

    Args:
        experiment: The definition.
        run: From `exposures.rows_to_run`.
    """
    others = [v.name for v in experiment.variants if v.name != experiment.control_name]
    metrics = {metric.name: metric for metric in experiment.metrics}
    alpha = experiment.stop.alpha / max(1, len(others) * len(experiment.guard_rails))
    found: dict[str, str] = {}
    for rail in experiment.guard_rails:
        metric = metrics.get(rail.metric) or Metric(name=rail.metric)
        for name in others:
            if name not in run.stopped_variants and name not in found:
                reason = _breach(experiment, rail, metric, run, name, alpha)
                if reason:
                    found[name] = reason
    return found


def _breach(
    experiment: Experiment, rail: GuardRail, metric: Metric, run: Run, variant: str, alpha: float
) -> str | None:
    values = _values(run, rail.metric, variant)
    base = _values(run, rail.metric, experiment.control_name)
    if not values or (rail.max is None and not base):
        return None
    mean = sum(values) / len(values)
    if rail.max is not None:
        low, high = metric.range
        if low is None or high is None:
            interval = normal_mixture(values, alpha=2 * alpha)
        else:
            interval = Betting(low, high, 2 * alpha).interval(values)
        broken, said = interval.low > rail.max, f"at most {rail.max:g}"
    else:
        ratio, more = rail.max_ratio or 1.0, rail.max_increase or 0.0
        interval = _always(experiment, metric, run, variant, ratio=ratio, alpha=2 * alpha)
        limit = ratio * sum(base) / len(base) + more
        broken, said = interval.low > more, f"at most {limit:.4g}"
    if not broken:
        return None
    return f"{rail.metric} is {mean:.4g} after {len(values)} units; {said} is allowed"


def _always(
    experiment: Experiment,
    metric: Metric,
    run: Run,
    variant: str,
    *,
    ratio: float = 1.0,
    alpha: float | None = None,
) -> Interval:
    """The always-valid interval of variant less `ratio` times control."""
    alpha = experiment.stop.alpha if alpha is None else alpha
    control = experiment.control_name
    values, treated = arms(run, metric.name, variant, control)
    share = experiment.variant(variant).share
    share /= share + experiment.variant(control).share
    if ratio != 1.0:
        values = [v if arm else ratio * v for v, arm in zip(values, treated, strict=True)]
    low, high = metric.range
    bottom, top = -math.inf, math.inf
    if low is not None and high is not None:
        bottom, top = min(low, ratio * low), max(high, ratio * high)
    finite = math.isfinite(top)
    inside = all(bottom <= value <= top for value in values)
    stream, bound = difference_stream(values, treated, share=share, low=bottom, high=top)
    if finite and inside:
        return Betting(-bound, bound, alpha).interval(stream.tolist())
    return normal_mixture(stream.tolist(), alpha=alpha)


def _values(run: Run, metric: str, variant: str) -> list[float]:
    """A variant's values in the order in which they came."""
    return [r.scores[metric] for r in run.as_it_came(metric) if r.variant == variant]
