"""What traffic shows: from the ledger's rows to estimates of independent groups."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from allotrope.experiments.analysis import Analysis, Comparison, Estimate
from allotrope.experiments.definition import Experiment, GuardRail, Metric
from allotrope.experiments.outcome import Outcome
from allotrope.experiments.results import Result, Run
from allotrope.experiments.sequential import (
    Betting,
    Interval,
    difference_stream,
    mismatch_p,
    normal_mixture,
)
from allotrope.experiments.statistics import holm, mean_interval, two_sample_test
from allotrope.experiments.store import State

if TYPE_CHECKING:
    from allotrope.usage.ledger import Ledger

MISMATCH = 0.001
"""Evidence of a sample ratio mismatch that invalidates an experiment (as in Fabijan et al., KDD
2019, who advise a threshold far below 0.05 because the check is made on every experiment)."""


FEEDBACK = ("score", "feedback")
"""Names under which the ledger's feedback is an experiment's `feedback`; others are of something
else."""


def rows_to_run(
    experiment: Experiment,
    ledger: "Ledger",
    state: State,
    *,
    profiles: Mapping[str, str] | None = None,
) -> Run:
    """The exposures of an experiment in order of arrival, with what their first runs gave.

    Args:
        experiment: The experiment.
        ledger: Open.
        state: For variants that were stopped.
        profiles: The profile with which each variant answers; runs in which another one answered
            (a budget switched it) are marked, and don't count.
    """
    from sqlalchemy import func, select

    from allotrope.usage.schema import calls, exposures, feedback

    with ledger.engine.connect() as connection:
        seen = connection.execute(
            select(exposures.c.unit, exposures.c.variant, exposures.c.run, exposures.c.at)
            .where(exposures.c.experiment == experiment.name)
            .order_by(exposures.c.at, exposures.c.unit)
        ).all()
        wanted = select(exposures.c.run).where(exposures.c.experiment == experiment.name)
        given: dict[str, float] = {
            row.run: row.score
            for row in connection.execute(
                select(feedback.c.run, feedback.c.score)
                .where(feedback.c.run.in_(wanted), feedback.c.metric.in_(FEEDBACK))
                .order_by(feedback.c.at)
            )
        }
        scores = {run: score for run, score in given.items() if 0 <= score <= 1}
        sums: dict[str, Any] = {
            row.run: row
            for row in connection.execute(
                select(
                    calls.c.run,
                    func.sum(calls.c.input_tokens).label("input"),
                    func.sum(calls.c.output_tokens).label("output"),
                    func.sum(calls.c.cached_tokens).label("cached"),
                    func.sum(calls.c.latency_ms).label("latency"),
                    func.sum(calls.c.cost).label("cost"),
                    func.count(calls.c.cost).label("priced"),
                    func.count().label("calls"),
                    func.max(calls.c.at).label("last"),
                )
                .where(calls.c.run.in_(wanted))
                .group_by(calls.c.run)
            )
        }
        failed = {
            row.run
            for row in connection.execute(
                select(calls.c.run, calls.c.status)
                .where(calls.c.run.in_(wanted))
                .order_by(calls.c.at)
            )
            if row.status == "error"
        }
        answered = {
            row.run
            for row in connection.execute(
                select(calls.c.run).where(calls.c.run.in_(wanted), calls.c.status == "ok")
            )
        }
        answers = {}
        if profiles is not None:
            answers = _profiles(connection, experiment.name, wanted)
    run = Run(header={"type": "header", "items": [row.unit for row in seen]})
    run.header["outside"] = len(given) - len(scores)
    for variant, reason in state.stopped_variants.items():
        run.events.append({"event": "guard-rail", "variant": variant, "reason": reason})
    for row in seen:
        result = _result(row, sums.get(row.run), scores.get(row.run), row.run in failed - answered)
        used = answers.get(row.run, set())
        if profiles is not None and used - {profiles.get(row.variant, "")}:
            outcome = replace(result.outcome, provenance={"switched": sorted(used)})
            result = replace(result, outcome=outcome, scores={})
        run.results[result.key] = result
    return run


def _profiles(connection: Any, experiment: str, runs: Any) -> dict[str, set[str]]:
    """The profiles that answered, by run; only calls that carry the variant count."""
    from sqlalchemy import select

    from allotrope.usage.schema import calls

    found: dict[str, set[str]] = {}
    rows = connection.execute(
        select(calls.c.run, calls.c.profile)
        .where(calls.c.run.in_(runs), calls.c.variant.startswith(f"{experiment}/"))
        .distinct()
    )
    for row in rows:
        if row.profile:
            found.setdefault(row.run, set()).add(row.profile)
    return found


def _result(exposure: Any, sums: Any, score: float | None, failed: bool) -> Result:
    usage: dict[str, int] = {}
    metrics: dict[str, float] = {}
    cost: Decimal | None = Decimal(0)
    latency = 0.0
    if sums is not None:
        usage = {
            "input_tokens": int(sums.input),
            "output_tokens": int(sums.output),
            "cached_input_tokens": int(sums.cached),
        }
        cost = Decimal(sums.cost or 0) if sums.priced == sums.calls else None
        latency = float(sums.latency)
    outcome = Outcome(
        "", usage=usage, cost_usd=cost, latency_ms=latency, error="failed" if failed else None
    )
    if sums is not None:
        metrics = outcome.built_in()
    if score is not None:
        metrics["feedback"] = score
    return Result(exposure.unit, exposure.variant, 0, outcome, metrics)


def arms(
    run: Run, metric: str, variant: str, control: str
) -> tuple[list[float], list[bool]]:  # fmt: skip
    """The outcomes of two variants in order of arrival, and which of them are the variant's.

    Args:
        run: The traffic.
        metric: The metric.
        variant: The variant.
        control: The control.
    """
    values, treated = [], []
    for result in run.results.values():
        if result.variant in (variant, control) and metric in result.scores:
            values.append(result.scores[metric])
            treated.append(result.variant == variant)
    return values, treated


def analyse_traffic(experiment: Experiment, run: Run) -> Analysis:
    """Everything a report needs, from traffic. Only the always-valid test decides.

    Args:
        experiment: The definition.
        run: From `rows_to_run`.
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
    broken = False
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
    counts = [sum(r.variant == name for r in run.results.values()) for name in names]
    kept = [count - switched[name] for name, count in zip(names, counts, strict=True)]
    for numbers, why in (
        (counts, "Something loses or adds units; no result may be used until it is found."),
        (kept, "The budget switched one variant's profile more often; what is left isn't alike."),
    ):
        mismatch = mismatch_p(numbers, [variant.share for variant in experiment.variants])
        if mismatch <= MISMATCH and not stopped and not broken:
            broken = True
            warnings.append(
                f"Sample ratio mismatch (p = {mismatch:.2g}): "
                + ", ".join(f"{n} {c}" for n, c in zip(names, numbers, strict=True))
                + f". {why}"
            )
    winner, verdict = _decide(experiment, comparisons, stopped, reported, broken)
    return Analysis(
        estimates, comparisons, False, len(run.results), winner, verdict, warnings, stopped
    )


def traffic_breaches(experiment: Experiment, run: Run) -> dict[str, str]:
    """Variants that break a guard-rail, with the reason.

    Args:
        experiment: The definition.
        run: From `rows_to_run`.
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
    return [
        result.scores[metric]
        for result in run.results.values()
        if result.variant == variant and metric in result.scores
    ]


def _decide(
    experiment: Experiment,
    comparisons: Sequence[Comparison],
    stopped: Mapping[str, str],
    reported: int,
    broken: bool,
) -> tuple[str | None, str]:
    metric, control = experiment.primary, experiment.control_name
    if broken:
        return None, "The traffic doesn't follow the shares, so nothing is decided."
    if reported < experiment.stop.min_units:
        return None, (
            f"{reported} units with {metric.name} are too few to judge; "
            f"the file asks for {experiment.stop.min_units}."
        )
    rows = [c for c in comparisons if c.metric == metric.name and c.variant not in stopped]
    better = [
        row
        for row in rows
        if row.p_always <= experiment.stop.alpha and row.always.estimate * metric.sign > 0
    ]
    if not better:
        return None, (
            f"No variant is shown to be better than {control} on {metric.name} so far; it stays."
        )
    best = max(better, key=lambda row: row.always.estimate * metric.sign)
    return best.variant, (
        f"{best.variant} is better than {control} on {metric.name}: {best.always.estimate:+.4g} "
        f"(always-valid p = {best.p_always:.2g}, corrected for {len(rows)} comparisons)."
    )
