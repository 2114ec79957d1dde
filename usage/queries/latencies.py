"""Latencies over time, from the histograms of the roll-ups."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select

from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries.conditions import Where, Window, filters
from allotrope.usage.recorder.rows import DAY_US, HOUR_US, bucket_milliseconds, microseconds, moment

KNOWN = ("provider", "model", "agent")
"""What the histograms can be filtered by."""


def percentile_series(
    ledger: Ledger,
    window: Window,
    *,
    bucket: str = "day",
    kind: str = "total",
    points: Sequence[float] = (0.5, 0.95, 0.99),
    where: Where | None = None,
) -> list[tuple[datetime, dict[float, float]]]:
    """Percentiles in ms, to ±5 %, per hour or day that has calls.

    Args:
        window: Rounded outwards to whole hours or days.
        bucket: `hour` or `day`.
        kind: `total`, or `ttft` for the time to the first token.
        points: Between 0 and 1.
        where: Knows `KNOWN`.
    """
    table, width = (
        (schema.latencies, HOUR_US) if bucket == "hour" else (schema.latencies_daily, DAY_US)
    )
    query = (
        select(table.c.period, table.c.bucket, func.sum(table.c.calls))
        .where(table.c.period >= microseconds(window.start) // width)
        .where(table.c.period < -(-microseconds(window.end) // width))
        .where(table.c.kind == kind, *filters(table, where))
        .group_by(table.c.period, table.c.bucket)
        .order_by(table.c.period, table.c.bucket)
    )
    periods: dict[int, dict[int, int]] = {}
    with ledger.engine.connect() as connection:
        for period, number, calls in connection.execute(query):
            periods.setdefault(int(period), {})[int(number)] = int(calls)
    return [(moment(at * width), _percentiles(counts, points)) for at, counts in periods.items()]


def _percentiles(counts: Mapping[int, int], points: Sequence[float]) -> dict[float, float]:
    whole = sum(counts.values())
    found: dict[float, float] = {}
    for point in points:
        seen = 0
        for number, calls in sorted(counts.items()):
            seen += calls
            if seen >= point * whole:
                found[point] = bucket_milliseconds(number)
                break
    return found
