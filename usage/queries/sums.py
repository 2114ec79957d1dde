"""Reading the ledger: sums from the roll-ups; single rows come from `records`.

Everything here only reads. `where` filters by the names in `rows.DIMENSIONS`; a value may be a text
or a list of texts. Windows that begin at midnight (UTC) read the daily roll-up, others the hourly
one, so a window is rounded outwards to whole hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import ColumnElement, Table, func, select

from allotrope.exceptions import InputError
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries.conditions import (
    Where,
    Window,
    edges,
    filters,
    known_dimension,
    last_days,
    stretches,
)
from allotrope.usage.queries.records import alerts, exposures, feedback_scores, rows, successions
from allotrope.usage.queries.totals import Totals, added, sums_of, totals_from
from allotrope.usage.recorder.rows import (
    DAY_US,
    HOUR_US,
    bucket_milliseconds,
    microseconds,
    moment,
    month_number,
)

__all__ = [
    "Point",
    "ScopeSum",
    "Totals",
    "Where",
    "Window",
    "alerts",
    "breakdown",
    "breakdowns",
    "choices",
    "exposures",
    "feedback_scores",
    "hourly_costs",
    "last_days",
    "percentiles",
    "rows",
    "scope_sum",
    "series",
    "successions",
    "top",
    "totals",
]


@dataclass(frozen=True, slots=True)
class Point:
    """Sums of one bucket of a series, of one name where it was grouped."""

    at: datetime
    name: str
    totals: Totals


def totals(ledger: Ledger, window: Window, where: Where | None = None) -> Totals:
    """Sums over a window."""
    found = Totals()
    with ledger.engine.connect() as connection:
        for table, bounds in _sources(window):
            query = select(*sums_of(table)).where(*bounds, *filters(table, where))
            found = added(found, totals_from(connection.execute(query).one()))
    return found


def breakdown(
    ledger: Ledger, window: Window, by: str, where: Where | None = None
) -> list[tuple[str, Totals]]:
    """Sums per name of a dimension, the costliest first.

    Raises:
        InputError: `by` is no dimension.
    """
    return breakdowns(ledger, window, (by,), where)[by]


def breakdowns(
    ledger: Ledger, window: Window, by: Sequence[str], where: Where | None = None
) -> dict[str, list[tuple[str, Totals]]]:
    """As `breakdown`, of several dimensions in one pass over the roll-up.

    Raises:
        InputError: One of `by` is no dimension.
    """
    found: dict[str, dict[str, Totals]] = {name: {} for name in by}
    with ledger.engine.connect() as connection:
        for table, bounds in _sources(window):
            keys = [table.c[known_dimension(name)] for name in by]
            query = select(*keys, *sums_of(table)).where(*bounds, *filters(table, where))
            for row in connection.execute(query.group_by(*keys)):
                sums = totals_from(row[len(by) :])
                for name, value in zip(by, row, strict=False):
                    before = found[name].get(value)
                    found[name][value] = sums if before is None else added(before, sums)
    return {name: _costliest_first(parts) for name, parts in found.items()}


def _costliest_first(found: Mapping[str, Totals]) -> list[tuple[str, Totals]]:
    return sorted(found.items(), key=lambda pair: (-pair[1].cost, -pair[1].calls, pair[0]))


def series(
    ledger: Ledger,
    window: Window,
    *,
    bucket: str = "day",
    by: str | None = None,
    where: Where | None = None,
) -> list[Point]:
    """Sums per hour or day, and per name of a dimension where `by` is given; in order of time.

    Buckets without calls are left out.

    Args:
        bucket: `hour` or `day`.

    Raises:
        InputError: An unknown bucket or dimension.
    """
    if bucket not in ("hour", "day"):
        raise InputError(f"{bucket!r} is no bucket.", hint="Use hour or day.")
    table, width = (schema.hourly, HOUR_US) if bucket == "hour" else (schema.daily, DAY_US)
    keys: list[ColumnElement[Any]] = [table.c.bucket]
    if by is not None:
        keys.append(table.c[known_dimension(by)])
    query = (
        select(*keys, *sums_of(table))
        .where(*_bounds(table, width, window), *filters(table, where))
        .group_by(*keys)
        .order_by(*keys)
    )
    with ledger.engine.connect() as connection:
        return [
            Point(
                moment(row[0] * width),
                row[1] if by is not None else "",
                totals_from(row[len(keys) :]),
            )
            for row in connection.execute(query)
        ]


def percentiles(
    ledger: Ledger,
    window: Window,
    *,
    kind: str = "total",
    points: Sequence[float] = (0.5, 0.95, 0.99),
    where: Where | None = None,
) -> dict[float, float]:
    """Latencies (`total`) or times to first token (`ttft`) in ms, to ±5 %; empty without calls.

    Only answers that were not cached count. `where` knows provider, model and agent here.
    """
    sums: dict[int, int] = {}
    with ledger.engine.connect() as connection:
        for source, first, last in stretches(window):
            table = schema.latencies_daily if source is schema.daily else schema.latencies
            query = (
                select(table.c.bucket, func.sum(table.c.calls))
                .where(table.c.period >= first, table.c.period < last, table.c.kind == kind)
                .where(*filters(table, where))
                .group_by(table.c.bucket)
            )
            for bucket, count in connection.execute(query):
                sums[int(bucket)] = sums.get(int(bucket), 0) + int(count)
    counts = sorted(sums.items())
    whole = sum(count for _, count in counts)
    found: dict[float, float] = {}
    for point in points if whole else ():
        seen = 0
        for bucket, count in counts:
            seen += count
            if seen >= point * whole:
                found[point] = bucket_milliseconds(bucket)
                break
    return found


@dataclass(frozen=True, slots=True)
class ScopeSum:
    """Sums of one agent, tenant, user or thread."""

    name: str
    calls: int
    tokens: int
    cost: Decimal
    saved_cost: Decimal


def scope_sum(ledger: Ledger, scope: str, name: str, window: Window) -> ScopeSum:
    """Sums of one name of a scope (`all` has the empty name) over whole days."""
    found = top(ledger, scope, window, limit=1, name=name)
    return found[0] if found else ScopeSum(name, 0, 0, Decimal(0), Decimal(0))


def top(
    ledger: Ledger,
    scope: str,
    window: Window,
    *,
    limit: int = 10,
    name: str | None = None,
    by: Literal["cost", "tokens"] = "cost",
) -> list[ScopeSum]:
    """The names of a scope that used most, over whole days.

    Args:
        ledger: What is read.
        scope: all, agent, tenant, user or thread.
        window: Its days count whole.
        limit: Most names.
        name: Only this one.
        by: What counts first.

    Raises:
        InputError: No such scope.
    """
    if scope not in ("all", "agent", "tenant", "user", "thread"):
        raise InputError(f"{scope!r} is no scope.", hint="Use all, agent, tenant, user or thread.")
    table, bounds = _scope_source(window)
    cost, tokens = func.sum(table.c.cost), func.sum(table.c.tokens)
    order = [cost.desc(), tokens.desc()]
    query = (
        select(
            table.c.name,
            func.sum(table.c.calls),
            tokens,
            cost,
            func.sum(table.c.saved_cost),
        )
        .where(*bounds, table.c.scope == scope)
        .group_by(table.c.name)
        .order_by(*(order if by == "cost" else reversed(order)), table.c.name)
        .limit(limit)
    )
    if name is not None:
        query = query.where(table.c.name == name)
    with ledger.engine.connect() as connection:
        return [
            ScopeSum(row[0], int(row[1]), int(row[2]), row[3] or Decimal(0), row[4] or Decimal(0))
            for row in connection.execute(query)
        ]


def choices(ledger: Ledger, window: Window, dimension: str) -> list[str]:
    """The names a dimension has in a window, for filters; sorted, without the empty one."""
    names: set[str] = set()
    with ledger.engine.connect() as connection:
        for table, bounds in _sources(window):
            column = table.c[known_dimension(dimension)]
            names.update(connection.execute(select(column).where(*bounds).distinct()).scalars())
    return sorted(name for name in names if name)


def hourly_costs(ledger: Ledger, window: Window) -> list[Decimal]:
    """Cost of every whole hour of a window, hours without calls as 0."""
    first, last = edges(HOUR_US, window)
    found = {
        microseconds(point.at) // HOUR_US: point.totals.cost
        for point in series(ledger, window, bucket="hour")
    }
    return [found.get(hour, Decimal(0)) for hour in range(first, last)]


def _sources(window: Window) -> list[tuple[Table, list[ColumnElement[bool]]]]:
    return [
        (table, [table.c.bucket >= first, table.c.bucket < last])
        for table, first, last in stretches(window)
    ]


def _scope_source(window: Window) -> tuple[Table, list[ColumnElement[bool]]]:
    start, end = window.start.astimezone(UTC), window.end.astimezone(UTC)
    last = end - timedelta(microseconds=1)
    following = (last.replace(day=1) + timedelta(days=32)).replace(day=1)
    to_its_end = microseconds(end) >= microseconds(following) // DAY_US * DAY_US
    if microseconds(start) % DAY_US == 0 and start.day == 1 and to_its_end:
        month = schema.scopes_monthly.c.month
        return schema.scopes_monthly, [month >= month_number(start), month <= month_number(last)]
    day = schema.scopes.c.day
    first_day, end_day = edges(DAY_US, window)
    return schema.scopes, [day >= first_day, day < end_day]


def _bounds(table: Table, width: int, window: Window) -> list[ColumnElement[bool]]:
    first, last = edges(width, window)
    return [table.c.bucket >= first, table.c.bucket < last]
