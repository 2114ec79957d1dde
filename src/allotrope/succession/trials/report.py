"""The report of a trial: sentences and a table with intervals, as Markdown or plain values."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from allotrope.experiments.analysis import Analysis
from allotrope.experiments.decision import Comparison, Estimate
from allotrope.experiments.offline.report import as_document
from allotrope.experiments.offline.results import Run
from allotrope.experiments.stats.sequential import Interval
from allotrope.settings import Settings
from allotrope.succession.trials.trial import FROM, QUALITY, TO, TrialPlan
from allotrope.succession.trials.tried import TriedModel, settings_for

LABELS = {
    QUALITY: "quality",
    "error_rate": "failed or refused, share",
    "cost_usd": "cost of a turn, USD",
    "latency_ms": "time of a turn, ms",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out, reasoning included",
    "reasoning_tokens": "of these reasoning",
    "tool_calls_right": "tool calls right, share",
    "answer_chars": "length of the answer, characters",
    "truncated": "cut at the longest length, share",
    "other_script": "letters in another script than the question's, share",
    "json_valid": "valid JSON where it was asked for, share",
}
"""Measures in the order in which they are shown."""


def markdown(settings: Settings, plan: TrialPlan, analysis: Analysis, run: Run) -> str:
    """The report for people.

    Args:
        settings: For what the profile means to each model.
        plan: What was tried.
        analysis: From `trial_measures.measured`.
        run: The results.
    """
    before, after = str(plan.before), str(plan.after)
    lines = [f"# Trial: {before} → {after}", "", f"**{quality_sentence(plan, analysis)}**", ""]
    lines += [f"- {fact}" for fact in _facts(plan, analysis, run)]
    lines += ["", f"| per question, mean (95 % interval) | {before} | {after} | difference |"]
    lines += ["|---|---|---|---|"]
    for name in LABELS:
        row = analysis.estimates.get(name)
        if row is None or not any(row[v].n for v in (FROM, TO)) or (name == QUALITY and plan.judge):
            continue
        cells = [_estimate(name, row[variant]) for variant in (FROM, TO)]
        lines.append(f"| {LABELS[name]} | {' | '.join(cells)} | {_difference(name, analysis)} |")
    lines += ["", *_how_to_read(plan, analysis)]
    for title, listed in (
        ("What failed", list(_failures(plan, run))),
        ("What the profile means to each model", list(_translated(settings, plan))),
        ("Caveats", [*_mind(plan), *_warnings(plan, analysis)]),
    ):
        if listed:
            lines += ["", f"## {title}", "", *(f"- {one}" for one in listed)]
    return "\n".join(lines) + "\n"


def document(plan: TrialPlan, analysis: Analysis, run: Run) -> dict[str, Any]:
    """The report as plain values.

    Args:
        plan: What was tried.
        analysis: From `trial_measures.measured`.
        run: The results.
    """
    whole = as_document(plan.experiment, analysis, run)
    for of_experiments in ("experiment", "winner", "verdict"):
        whole.pop(of_experiments, None)
    return {
        "from": str(plan.before),
        "to": str(plan.after),
        "agent": plan.experiment.agent,
        "questions": len(plan.items),
        "source": plan.source,
        "from_archive": plan.private,
        "judged_by": plan.judge,
        "ended": run.events[-1]["reason"] if run.events else "",
        "quality": quality_sentence(plan, analysis),
        "failures": list(_failures(plan, run)),
        **whole,
        "warnings": _warnings(plan, analysis),
    }


def quality_sentence(plan: TrialPlan, analysis: Analysis) -> str:
    """What the trial says of quality, and how sure it is.

    Args:
        plan: What was tried.
        analysis: From `trial_measures.measured`.
    """
    if plan.unjudged:
        return f"{plan.unjudged[:1].upper()}{plan.unjudged[1:]}."
    found = _interval(QUALITY, analysis)
    if found is None or not found.n:
        return "Nothing was answered by both, so quality can't be judged."
    ends = f"{found.estimate:+.2f} (95 % interval {_signed(found.low)} to {_signed(found.high)})"
    many = f"over {found.n} questions, {plan.quality}"
    if found.low > 0:
        return f"{plan.after} answers better than {plan.before}: {ends} {many}."
    if found.high < 0:
        return f"{plan.after} answers worse than {plan.before}: {ends} {many}."
    return (
        f"No difference in quality is shown: {ends} {many}. {plan.after} could be worse by "
        f"{max(0.0, -found.low):.2f} or better by {max(0.0, found.high):.2f} all the same."
    )


def _facts(plan: TrialPlan, analysis: Analysis, run: Run) -> Iterator[str]:
    yield f"{len(plan.items)} questions: {plan.source}; agent {plan.experiment.agent}"
    if plan.private:
        yield (
            "these are your own questions, used because you asked for it; they went to "
            + ("both models and the judge" if plan.judge else "both models and nobody else")
            + ", and nothing of them was kept"
        )
    yield (
        "each model answered alone: no successor and no other provider stood in for it, and "
        "nothing came from the cache"
    )
    answered = Counter(
        (key[1], f"{told.get('provider')}/{told.get('model')}")
        for key, result in run.results.items()
        if result.outcome.error is None and (told := result.outcome.provenance)
    )
    for variant, model in ((FROM, plan.before), (TO, plan.after)):
        names = [f"{name} ({n})" for (of, name), n in answered.items() if of == variant]
        yield f"{model}: answered by {', '.join(names) or 'nobody'}"
    yield f"the trial cost {run.spent:.6f} USD; begun {run.header.get('at', '?')}"
    reason = run.events[-1]["reason"] if run.events else ""
    if reason != "complete":
        yield f"it ended early: {reason}"
    for share, _ in analysis.judge.values():
        if not math.isnan(share):
            yield f"{share:.0%} of the judge's verdicts survived swapping the answers"


def _interval(metric: str, analysis: Analysis) -> Interval | None:
    """The interval that may be read: of a run that ended early only the always-valid one."""
    rows: list[Comparison] = [c for c in analysis.comparisons if c.metric == metric]
    if not rows:
        return None
    return rows[0].fixed if analysis.complete else rows[0].always


def _difference(metric: str, analysis: Analysis) -> str:
    found = _interval(metric, analysis)
    if found is None or not found.n or not math.isfinite(found.estimate):
        return "–"
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return f"{_number(metric, found.estimate, '+')} (no interval yet)"
    text = (
        f"{_number(metric, found.estimate, '+')} ({_number(metric, found.low, '+')} to "
        f"{_number(metric, found.high, '+')})"
    )
    return f"**{text}**" if found.decided else text


def _estimate(metric: str, estimate: Estimate) -> str:
    if not estimate.n:
        return "–"
    mean = _number(metric, estimate.mean)
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"{mean}, n = {estimate.n}"
    ends = f"{_number(metric, estimate.low)} to {_number(metric, estimate.high)}"
    return f"{mean} ({ends}), n = {estimate.n}"


def _number(metric: str, value: float, sign: str = "") -> str:
    if metric == "cost_usd":
        return f"{value:{sign}.6f}"
    if metric in {"latency_ms", "answer_chars"} or metric.endswith("_tokens"):
        return f"{value:{sign},.0f}"
    return f"{value:{sign}.2f}"


def _signed(value: float) -> str:
    return f"{value:+.2f}" if math.isfinite(value) else "unknown"


def _how_to_read(plan: TrialPlan, analysis: Analysis) -> Iterator[str]:
    if plan.quality:
        yield f"Quality is judged {plan.quality}. A failed answer counts as wrong."
    which = (
        "They are paired: each question is compared with itself."
        if analysis.complete
        else "The run ended early, so differences have intervals that are valid at every look."
    )
    yield (
        f"Differences in bold don't have zero in their interval. {which} Each line is looked at by "
        "itself: of twenty lines without any difference one is bold by chance."
    )


def _failures(plan: TrialPlan, run: Run) -> Iterator[str]:
    found = Counter(
        (key[1], result.outcome.error)
        for key, result in run.results.items()
        if result.outcome.error is not None
    )
    models = {FROM: plan.before, TO: plan.after}
    for (variant, error), n in found.most_common():
        yield f"{models[variant]}, {n} of {len(plan.items)}: {error}"


def _translated(settings: Settings, plan: TrialPlan) -> Iterator[str]:
    from allotrope.agents.registry import find
    from allotrope.models.profiles.library import open_profiles
    from allotrope.models.providers.provider import provider_named

    agent = plan.experiment.agent

    def notes(model: TriedModel) -> Iterator[str]:
        own = settings_for(settings, model)
        profiles = open_profiles(own)
        try:
            profile = profiles.get(agent=agent, own=find(agent).profile)
        finally:
            profiles.close()
        for planned in provider_named(model.provider).plans(profile, own).values():
            for note in planned.notes:
                if note.outcome != "sent":
                    why = f": {note.why.rstrip('.')}" if note.why else ""
                    yield f"{model}: {note.parameter} is {note.outcome}{why}"

    yield from notes(plan.before)
    yield from notes(plan.after)


def _warnings(plan: TrialPlan, analysis: Analysis) -> list[str]:
    """The analysis' own, without what a trial says elsewhere: two models are its purpose."""
    kept = [w for w in analysis.warnings if not w.startswith("More than one model answered")]
    for variant, model in ((FROM, plan.before), (TO, plan.after)):
        kept = [warning.replace(f" of {variant} ", f" of {model} ") for warning in kept]
    return kept


def _mind(plan: TrialPlan) -> Iterator[str]:
    if len(plan.items) < 30:
        yield (
            f"{len(plan.items)} questions show large differences only; `allotrope experiment "
            "power` says how many a smaller one needs."
        )
    if plan.judge is not None and plan.judge in (plan.before.name, plan.after.name):
        yield f"The judge is {plan.judge}, one of both: models tend to prefer their own answers."
    yield (
        "Another script is no other language: German and English are both written in Latin letters."
    )
    yield "A refusal in the answer's own words isn't recognised; it counts as an answer."
