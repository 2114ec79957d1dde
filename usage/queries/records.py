"""Single facts of the ledger: calls, alerts, scores and exposures."""

from typing import Any

from sqlalchemy import func, select

from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries.conditions import Where, Window, filters
from allotrope.usage.recorder.rows import microseconds, moment


def rows(
    ledger: Ledger,
    window: Window,
    where: Where | None = None,
    *,
    limit: int = 100,
    before: tuple[int, str] | None = None,
) -> list[dict[str, Any]]:
    """Single calls, the latest first, as dicts of the columns of `calls`; `at` as a datetime.

    Args:
        where: Filters by any column with text: agent, thread, run, user_name, status …
        limit: Most rows.
        before: `(microseconds, id)` of the last row of the page before.
    """
    table = schema.calls
    query = (
        select(table)
        .where(table.c.at >= microseconds(window.start), table.c.at < microseconds(window.end))
        .where(*filters(table, where))
        .order_by(table.c.at.desc(), table.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        at, id_ = before
        query = query.where((table.c.at < at) | ((table.c.at == at) & (table.c.id < id_)))
    with ledger.engine.connect() as connection:
        return [{**row, "at": moment(row["at"])} for row in connection.execute(query).mappings()]


def successions(ledger: Ledger, window: Window) -> list[tuple[str, str, int]]:
    """Which model answered in whose place in a window, and how often; the most frequent first."""
    table, calls = schema.calls, func.count()
    query = (
        select(table.c.stands_for, table.c.model, calls)
        .where(table.c.at >= microseconds(window.start), table.c.at < microseconds(window.end))
        .where(table.c.stands_for != "")
        .group_by(table.c.stands_for, table.c.model)
        .order_by(calls.desc(), table.c.stands_for, table.c.model)
    )
    with ledger.engine.connect() as connection:
        return [(row[0], row[1], int(row[2])) for row in connection.execute(query)]


def alerts(ledger: Ledger, *, limit: int = 50) -> list[dict[str, Any]]:
    """Alerts that were raised, the latest first; `at` as a datetime."""
    query = select(schema.alerts).order_by(schema.alerts.c.at.desc()).limit(limit)
    with ledger.engine.connect() as connection:
        return [{**row, "at": moment(row["at"])} for row in connection.execute(query).mappings()]


def feedback_scores(
    ledger: Ledger, *, variant: str | None = None, agent: str | None = None, metric: str = "score"
) -> list[dict[str, Any]]:
    """Scores of runs, with the agent, variant and model that the ledger has for the run."""
    table, calls = schema.feedback, schema.calls
    per_run = (
        select(
            calls.c.run,
            func.max(calls.c.agent).label("agent"),
            func.max(calls.c.variant).label("variant"),
            func.max(calls.c.model).label("model"),
        )
        .group_by(calls.c.run)
        .subquery()
    )
    query = (
        select(table.c.run, table.c.score, table.c.at, per_run.c.agent, per_run.c.variant)
        .add_columns(per_run.c.model)
        .join(per_run, per_run.c.run == table.c.run, isouter=True)
        .where(table.c.metric == metric)
    )
    if variant is not None:
        query = query.where(per_run.c.variant == variant)
    if agent is not None:
        query = query.where(per_run.c.agent == agent)
    with ledger.engine.connect() as connection:
        return [{**row, "at": moment(row["at"])} for row in connection.execute(query).mappings()]


def exposures(ledger: Ledger, experiment: str) -> list[dict[str, Any]]:
    """Which unit saw which variant first, in order of time; `at` as a datetime."""
    table = schema.exposures
    query = select(table).where(table.c.experiment == experiment).order_by(table.c.at)
    with ledger.engine.connect() as connection:
        return [{**row, "at": moment(row["at"])} for row in connection.execute(query).mappings()]
