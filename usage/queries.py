"""Reading the ledger: sums from the roll-ups, and the rows behind them.

Everything here only reads. `where` filters by the names in `rows.DIMENSIONS`; a value may be a
text or a list of texts. Windows that begin at midnight (UTC) read the daily roll-up, others the
hourly one, so a window is rounded outwards to whole hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Table, case, func, select

from allotrope.exceptions import InputError
from allotrope.usage import schema
from allotrope.usage.ledger import Ledger
from allotrope.usage.rows import (
    DAY_US,
    DIMENSIONS,
    HOUR_US,
    bucket_milliseconds,
    microseconds,
    moment,
    month_number,
)

Where = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, `start` ≤ t < `end`, aware."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuses windows that are none."""
        if self.start.tzinfo is None or self.end.tzinfo is None or self.start >= self.end:
            raise InputError(f"{self.start} to {self.end} is no stretch of time.")


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over calls. Money in USD; `unpriced` calls have no known cost and count as 0 here.

    Attributes:
        calls: All calls, hits and failures included.
        hits: Answers from our cache.
        errors: Calls that failed without an answer.
        aborted: Streams that ended early.
        refused: Calls that a budget refused.
        degraded: Answers marked degraded.
        cached_tokens: Input that the provider read from its prompt cache.
        saved_cost: What our cache saved.
        prompt_cache_saving: What the provider's prompt cache saved.
        context_saving: What memory saved by not sending the whole history.
    """

    calls: int = 0
    hits: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    errors: int = 0
    aborted: int = 0
    refused: int = 0
    degraded: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    retries: int = 0
    failovers: int = 0
    estimated: int = 0
    unpriced: int = 0
    context_full_tokens: int = 0
    context_tokens: int = 0
    latency_ms: float = 0.0
    cost: Decimal = Decimal(0)
    saved_cost: Decimal = Decimal(0)
    exact_saved_cost: Decimal = Decimal(0)
    semantic_saved_cost: Decimal = Decimal(0)
    prompt_cache_saving: Decimal = Decimal(0)
    context_saving: Decimal = Decimal(0)

    @property
    def answered(self) -> int:
        """Calls that gave an answer."""
        return self.calls - self.errors - self.refused - self.aborted

    @property
    def hit_rate(self) -> float:
        """Share of the answers that came from our cache, 0 to 1."""
        return self.hits / self.answered if self.answered else 0.0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def saved(self) -> Decimal:
        """Everything saved, USD."""
        return self.saved_cost + self.prompt_cache_saving + self.context_saving


_NAMES = tuple(field.name for field in fields(Totals))


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
            query = select(*_sums(table)).where(*bounds, *filters(table, where))
            found = _added(found, _totals(connection.execute(query).one()))
    return found


def breakdown(
    ledger: Ledger, window: Window, by: str, where: Where | None = None
) -> list[tuple[str, Totals]]:
    """Sums per name of a dimension, the costliest first.

    Raises:
        InputError: `by` is no dimension.
    """
    found: dict[str, Totals] = {}
    with ledger.engine.connect() as connection:
        for table, bounds in _sources(window):
            column = table.c[_dimension(by)]
            query = select(column, *_sums(table)).where(*bounds, *filters(table, where))
            for row in connection.execute(query.group_by(column)):
                found[row[0]] = _added(found.get(row[0], Totals()), _totals(row[1:]))
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
        keys.append(table.c[_dimension(by)])
    query = (
        select(*keys, *_sums(table))
        .where(*_bounds(table, width, window), *filters(table, where))
        .group_by(*keys)
        .order_by(*keys)
    )
    with ledger.engine.connect() as connection:
        return [
            Point(
                moment(row[0] * width),
                row[1] if by is not None else "",
                _totals(row[len(keys) :]),
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
        for source, first, last in _stretches(window):
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
    ledger: Ledger, scope: str, window: Window, *, limit: int = 10, name: str | None = None
) -> list[ScopeSum]:
    """The costliest names of a scope over whole days.

    Raises:
        InputError: No such scope.
    """
    if scope not in ("all", "agent", "tenant", "user", "thread"):
        raise InputError(f"{scope!r} is no scope.", hint="Use all, agent, tenant, user or thread.")
    table, bounds = _scope_source(window)
    cost = func.sum(table.c.cost)
    query = (
        select(
            table.c.name,
            func.sum(table.c.calls),
            func.sum(table.c.tokens),
            cost,
            func.sum(table.c.saved_cost),
        )
        .where(*bounds, table.c.scope == scope)
        .group_by(table.c.name)
        .order_by(cost.desc(), func.sum(table.c.tokens).desc())
        .limit(limit)
    )
    if name is not None:
        query = query.where(table.c.name == name)
    with ledger.engine.connect() as connection:
        return [
            ScopeSum(row[0], int(row[1]), int(row[2]), row[3] or Decimal(0), row[4] or Decimal(0))
            for row in connection.execute(query)
        ]


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


def choices(ledger: Ledger, window: Window, dimension: str) -> list[str]:
    """The names a dimension has in a window, for filters; sorted, without the empty one."""
    names: set[str] = set()
    with ledger.engine.connect() as connection:
        for table, bounds in _sources(window):
            column = table.c[_dimension(dimension)]
            names.update(connection.execute(select(column).where(*bounds).distinct()).scalars())
    return sorted(name for name in names if name)


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


def hourly_costs(ledger: Ledger, window: Window) -> list[Decimal]:
    """Cost of every whole hour of a window, hours without calls as 0."""
    first, last = _edges(HOUR_US, window)
    found = {
        microseconds(point.at) // HOUR_US: point.totals.cost
        for point in series(ledger, window, bucket="hour")
    }
    return [found.get(hour, Decimal(0)) for hour in range(first, last)]


def last_days(days: int, now: datetime | None = None) -> Window:
    """The window of the last days, up to and with today."""
    if days < 1:
        raise InputError(f"{days} is no number of days.")
    today = (now or datetime.now(UTC)).astimezone(UTC)
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(midnight - timedelta(days=days - 1), midnight + timedelta(days=1))


def _stretches(window: Window) -> list[tuple[Table, int, int]]:
    """Whole days from the daily roll-up, the hours before and after them from the hourly one."""
    start, end = microseconds(window.start), microseconds(window.end)
    if window.end >= datetime.now(UTC):
        end = -(-end // DAY_US) * DAY_US  # there is nothing after now that a whole day could add
    first_day, last_day = -(-start // DAY_US), end // DAY_US
    first_hour, last_hour = start // HOUR_US, -(-end // HOUR_US)
    if first_day >= last_day:
        return [(schema.hourly, first_hour, last_hour)]
    edges = ((first_hour, first_day * 24), (last_day * 24, last_hour))
    return [
        (schema.daily, first_day, last_day),
        *((schema.hourly, first, last) for first, last in edges if first < last),
    ]


def _sources(window: Window) -> list[tuple[Table, list[ColumnElement[bool]]]]:
    return [
        (table, [table.c.bucket >= first, table.c.bucket < last])
        for table, first, last in _stretches(window)
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
    first_day, end_day = _edges(DAY_US, window)
    return schema.scopes, [day >= first_day, day < end_day]


def _added(one: Totals, other: Totals) -> Totals:
    return Totals(**{name: getattr(one, name) + getattr(other, name) for name in _NAMES})


def _edges(width: int, window: Window) -> tuple[int, int]:
    return microseconds(window.start) // width, -(-microseconds(window.end) // width)


def _bounds(table: Table, width: int, window: Window) -> list[ColumnElement[bool]]:
    first, last = _edges(width, window)
    return [table.c.bucket >= first, table.c.bucket < last]


def _dimension(name: str) -> str:
    if name not in DIMENSIONS:
        raise InputError(
            f"{name!r} is nothing that can be grouped by.",
            hint=f"Use one of {', '.join(DIMENSIONS)}.",
        )
    return name


def filters(table: Table, where: Where | None) -> list[ColumnElement[bool]]:
    """Conditions on a table's columns, for `where`.

    Raises:
        InputError: There is no such column with text.
    """
    found: list[ColumnElement[bool]] = []
    for name, value in (where or {}).items():
        if name not in table.c or name in ("bucket", "calls", "at"):
            raise InputError(f"{name!r} is nothing that can be filtered by here.")
        column = table.c[name]
        found.append(column == value if isinstance(value, str) else column.in_(list(value)))
    return found


def _sums(table: Table) -> list[ColumnElement[Any]]:
    c = table.c
    conditional = {
        "hits": (c.cached != "", c.calls),
        "exact_hits": (c.cached == "exact", c.calls),
        "semantic_hits": (c.cached == "semantic", c.calls),
        "errors": (c.status == "error", c.calls),
        "aborted": (c.status == "aborted", c.calls),
        "refused": (c.status == "refused", c.calls),
        "degraded": (c.degraded != "", c.calls),
        "exact_saved_cost": (c.cached == "exact", c.saved_cost),
        "semantic_saved_cost": (c.cached == "semantic", c.saved_cost),
    }
    sums: list[ColumnElement[Any]] = []
    for name in _NAMES:
        if name in conditional:
            condition, column = conditional[name]
            sums.append(func.sum(case((condition, column))).label(name))
        else:
            sums.append(func.sum(c[name]).label(name))
    return sums


_MONEY = frozenset(f.name for f in fields(Totals) if f.type is Decimal or "Decimal" in str(f.type))


def _totals(row: Sequence[Any]) -> Totals:
    values: dict[str, Any] = {}
    for name, value in zip(_NAMES, row, strict=True):
        if name in _MONEY:
            values[name] = value if value is not None else Decimal(0)
        elif name == "latency_ms":
            values[name] = float(value or 0.0)
        else:
            values[name] = int(value or 0)
    return Totals(**values)
