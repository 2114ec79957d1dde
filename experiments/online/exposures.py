"""From the ledger's rows to a run: who saw what, in the order in which it came."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.results import Result, Run

if TYPE_CHECKING:
    from allotrope.experiments.store import State
    from allotrope.usage.ledger.ledger import Ledger

FEEDBACK = ("score", "feedback")
"""Names under which the ledger's feedback is an experiment's `feedback`; others are of something
else."""


def rows_to_run(
    experiment: Experiment,
    ledger: "Ledger",
    state: "State",
    *,
    profiles: Mapping[str, str] | None = None,
) -> Run:
    """The exposures of an experiment in order of arrival, with what their first runs gave.

    Args:
        experiment: The experiment.
        ledger: Open.
        state: Which of its rounds counts, and which variants were stopped when.
        profiles: The profile with which each variant answers; runs in which another one answered
            (a budget switched it) are marked, and don't count.
    """
    from sqlalchemy import func, select

    from allotrope.usage.ledger.schema import calls, exposures, feedback
    from allotrope.usage.recorder.rows import moment

    key = state.key(experiment.name)
    with ledger.engine.connect() as connection:
        seen = connection.execute(
            select(exposures.c.unit, exposures.c.variant, exposures.c.run, exposures.c.at)
            .where(exposures.c.experiment == key)
            .order_by(exposures.c.at, exposures.c.unit)
        ).all()
        wanted = select(exposures.c.run).where(exposures.c.experiment == key)
        given = {
            row.run: row
            for row in connection.execute(
                select(feedback.c.run, feedback.c.score, feedback.c.at)
                .where(feedback.c.run.in_(wanted), feedback.c.metric.in_(FEEDBACK))
                .order_by(feedback.c.at)
            )
        }
        scores = {run: row for run, row in given.items() if 0 <= row.score <= 1}
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
                    func.max(calls.c.at + calls.c.latency_ms * 1000).label("ended"),
                )
                .where(calls.c.run.in_(wanted))
                .group_by(calls.c.run)
            )
        }
        ends = _ends(connection, wanted)
        answers = {}
        if profiles is not None:
            answers = _profiles(connection, experiment.name, wanted)
    run = Run(header={"type": "header", "items": [row.unit for row in seen]})
    run.header["outside"] = len(given) - len(scores)
    for variant, reason in state.stopped_variants.items():
        run.events.append({"event": "guard-rail", "variant": variant, "reason": reason})
    if state.stopped_at:
        first = min(map(datetime.fromisoformat, state.stopped_at.values()))
        before = Counter(row.variant for row in seen if moment(row.at) < first)
        run.header["units_before_stop"] = dict(before)
    came: dict[str, dict[tuple[str, str, int], int]] = {"feedback": {}, "*": {}}
    for row in seen:
        score = scores.get(row.run)
        result = _result(row, sums.get(row.run), score and score.score, ends.get(row.run))
        used = answers.get(row.run, set())
        if profiles is not None and used - {profiles.get(row.variant, "")}:
            outcome = replace(result.outcome, provenance={"switched": sorted(used)})
            result = replace(result, outcome=outcome, scores={})
        run.results[result.key] = result
        if score is not None:
            came["feedback"][result.key] = score.at
        if row.run in sums:
            came["*"][result.key] = int(sums[row.run].ended)
    run.came = came
    return run


def _ends(connection: Any, runs: Any) -> dict[str, str]:
    """How each run ended: the status of its last call; `nothing` where every call was refused.

    A call that fails and is made up for by another model is followed by that model's. Summaries
    don't count: they are made beside the answer.
    """
    from sqlalchemy import select

    from allotrope.usage.ledger.schema import calls

    rows = connection.execute(
        select(calls.c.run, calls.c.status)
        .where(calls.c.run.in_(runs), calls.c.agent != "summariser")
        .order_by(calls.c.at, calls.c.id)
    )
    last: dict[str, str] = {}
    asked = set()
    for row in rows:
        last[row.run] = row.status
        if row.status != "refused":
            asked.add(row.run)
    return {run: status if run in asked else "nothing" for run, status in last.items()}


def _profiles(connection: Any, experiment: str, runs: Any) -> dict[str, set[str]]:
    """The profiles that answered, by run; only calls that carry the variant count."""
    from sqlalchemy import select

    from allotrope.usage.ledger.schema import calls

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


def _result(exposure: Any, sums: Any, score: float | None, end: str | None) -> Result:
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
    error = "failed" if end in ("error", "refused") else None
    outcome = Outcome("", usage=usage, cost_usd=cost, latency_ms=latency, error=error)
    if sums is not None and end not in (None, "nothing"):
        metrics = outcome.built_in()
    if score is not None:
        metrics["feedback"] = score
    return Result(exposure.unit, exposure.variant, 0, outcome, metrics)


def last_round(ledger: "Ledger", name: str) -> int:
    """The latest round of an experiment that has exposures; 1 where there are none.

    Args:
        ledger: Open.
        name: The experiment.
    """
    from sqlalchemy import or_, select

    from allotrope.usage.ledger.schema import exposures

    key = exposures.c.experiment
    own = or_(key == name, key.startswith(f"{name}#", autoescape=True))
    wanted = select(key).where(own).distinct()
    with ledger.engine.connect() as connection:
        rounds = [str(found).rpartition("#")[2] for found in connection.scalars(wanted)]
    return max((int(each) for each in rounds if each.isdecimal()), default=1)
