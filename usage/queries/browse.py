"""Single calls for people: pages of rows, what they add up to, and what only rows can tell.

Everything here only reads. What the roll-ups know is in `queries`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from allotrope.exceptions import InputError
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.queries.conditions import Window, filters
from allotrope.usage.queries.sums import ScopeSum
from allotrope.usage.recorder.rows import DIMENSIONS, HOUR_US, microseconds, moment
from allotrope.usage.recorder.tokens import Tokens

_c = schema.calls.c
ONLY: Mapping[str, ColumnElement[bool]] = {
    "hits": _c.cached != "",
    "answered-by-model": (_c.cached == "") & (_c.status == "ok"),
    "failovers": _c.failovers > 0,
    "retried": _c.retries > 0,
    "degraded": _c.degraded != "",
    "successors": _c.stands_for != "",
    "unpriced": _c.cost.is_(None) & (_c.status != "refused") & (_c.cached == ""),
    "estimated": _c.estimated == 1,
    "prompt-cache": _c.cached_tokens > 0,
    "context": _c.context_full_tokens > _c.context_tokens,
    "first-token": _c.ttft_ms.is_not(None),
}
"""Conditions that a link can name, besides equal names."""

CONTEXT_BINS = 10
LOOKED_AT = 100_000
"""Most calls that sums of single calls look at: the latest of the period."""
_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Pick:
    """Which calls are meant.

    Attributes:
        window: When they began.
        where: Equal names, by column.
        only: A name of `ONLY`, or empty.
        fill: A tenth of the context window, 0 to 9 (the last one has all above 90 %), or None.
    """

    window: Window
    where: Mapping[str, str]
    only: str = ""
    fill: int | None = None

    @property
    def in_rollups(self) -> bool:
        """Whether the roll-ups have these calls: whole hours, and filters by their dimensions."""
        hours = all(microseconds(at) % HOUR_US == 0 for at in (self.window.start, self.window.end))
        return (
            hours and not self.only and self.fill is None and self.where.keys() <= set(DIMENSIONS)
        )

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same for SQL.

        Raises:
            InputError: An unknown name.
        """
        if self.only and self.only not in ONLY:
            raise InputError(
                f"{self.only!r} picks no calls.", hint=f"Use one of {', '.join(ONLY)}."
            )
        found = [
            _c.at >= microseconds(self.window.start),
            _c.at < microseconds(self.window.end),
            *filters(schema.calls, self.where),
        ]
        if self.only:
            found.append(ONLY[self.only])
        if self.fill is not None:
            if not 0 <= self.fill < CONTEXT_BINS:
                raise InputError(f"{self.fill} is no tenth of a context window.")
            found.append(_bin() == self.fill)
        return found


@dataclass(frozen=True, slots=True)
class CallPage:
    """A page of calls, the latest first.

    Attributes:
        rows: Dicts of the columns of `calls`; `at` as a datetime.
        newer: Cursor of the page with newer calls, None where there is none.
        older: Cursor of the page with older ones.
    """

    rows: list[dict[str, Any]]
    newer: str | None
    older: str | None


@dataclass(frozen=True, slots=True)
class CallSums:
    """What calls add up to.

    Attributes:
        calls: How many.
        partial: There may be more: only the latest `LOOKED_AT` calls of the period were looked at.
    """

    calls: int
    partial: bool
    input_tokens: int
    output_tokens: int
    cost: Decimal
    saved_cost: Decimal


def page(
    ledger: Ledger, pick: Pick, *, limit: int = 50, before: str = "", after: str = ""
) -> CallPage:
    """One page.

    Args:
        limit: Most rows.
        before: Cursor: only older calls.
        after: Cursor: only newer ones.

    Raises:
        InputError: A cursor that is none.
    """
    query = select(schema.calls).where(*pick.conditions()).limit(limit + 1)
    if after:
        at, id_ = _cursor(after)
        query = query.where((_c.at > at) | ((_c.at == at) & (_c.id > id_)))
        query = query.order_by(_c.at, _c.id)
    else:
        if before:
            at, id_ = _cursor(before)
            query = query.where((_c.at < at) | ((_c.at == at) & (_c.id < id_)))
        query = query.order_by(_c.at.desc(), _c.id.desc())
    with ledger.engine.connect() as connection:
        rows: list[dict[str, Any]] = [dict(r) for r in connection.execute(query).mappings()]
    more, rows = len(rows) > limit, rows[:limit]
    if after:
        rows.reverse()
    newer = bool(before) if not after else more
    older = more if not after else True
    first = f"{rows[0]['at']}.{rows[0]['id']}" if rows else None
    last = f"{rows[-1]['at']}.{rows[-1]['id']}" if rows else None
    shown = [{**row, "at": moment(row["at"])} for row in rows]
    return CallPage(shown, first if newer else None, last if older else None)


def summary(ledger: Ledger, pick: Pick) -> CallSums:
    """What the calls add up to: from the roll-ups where they know it, else of the latest calls."""
    if pick.in_rollups:
        whole = queries.totals(ledger, pick.window, pick.where)
        return CallSums(
            whole.calls, False, whole.input_tokens, whole.output_tokens, whole.cost,
            whole.saved_cost,
        )  # fmt: skip
    sums = [func.sum(_c[name]) for name in ("input_tokens", "output_tokens", "cost", "saved_cost")]
    with ledger.engine.connect() as connection:
        latest = _latest(connection, pick, LOOKED_AT)
        query = select(func.count(), *sums).where(*pick.conditions(), *latest)
        calls, input_tokens, output_tokens, cost, saved = connection.execute(query).one()
    return CallSums(
        calls=int(calls),
        partial=bool(latest),
        input_tokens=int(input_tokens or 0),
        output_tokens=int(output_tokens or 0),
        cost=cost or Decimal(0),
        saved_cost=saved or Decimal(0),
    )


def batches(ledger: Ledger, pick: Pick) -> Iterator[list[dict[str, Any]]]:
    """All of them, the latest first, never all in memory."""
    query = select(schema.calls).where(*pick.conditions()).order_by(_c.at.desc(), _c.id.desc())
    with ledger.engine.connect() as connection:
        found = connection.execution_options(yield_per=_BATCH).execute(query).mappings()
        for part in found.partitions(_BATCH):
            yield [{**row, "at": moment(row["at"])} for row in part]


def context_fill(ledger: Ledger, pick: Pick, *, latest: int = 20_000) -> list[int]:
    """Calls per tenth of the context window that their prompt filled, among the latest calls."""
    found = [0] * CONTEXT_BINS
    with ledger.engine.connect() as connection:
        conditions = [*pick.conditions(), *_latest(connection, pick, latest)]
        some = select(_bin().label("tenth")).where(*conditions).subquery()
        query = select(some.c.tenth, func.count()).where(some.c.tenth >= 0).group_by(some.c.tenth)
        for tenth, calls in connection.execute(query):
            found[int(tenth)] += int(calls)
    return found if any(found) else []


def top_threads(
    ledger: Ledger, pick: Pick, *, limit: int = 10, latest: int = 50_000
) -> list[ScopeSum]:
    """The costliest threads among the latest calls; for filters that the roll-up doesn't have."""
    cost, tokens = func.sum(_c.cost), func.sum(_c.input_tokens + _c.output_tokens)
    with ledger.engine.connect() as connection:
        query = (
            select(_c.thread, func.count(), tokens, cost, func.sum(_c.saved_cost))
            .where(*pick.conditions(), *_latest(connection, pick, latest), _c.thread != "")
            .group_by(_c.thread)
            .order_by(func.coalesce(cost, 0).desc(), tokens.desc())
            .limit(limit)
        )
        return [
            ScopeSum(row[0], int(row[1]), int(row[2]), row[3] or Decimal(0), row[4] or Decimal(0))
            for row in connection.execute(query)
        ]


@dataclass(frozen=True, slots=True)
class TurnTokens:
    """What a turn takes.

    Attributes:
        turns: How many turns were looked at.
        mean: Tokens of one of them, all its calls to the model together.
    """

    turns: int
    mean: Tokens


def turn_tokens(ledger: Ledger, models: Sequence[str], window: Window) -> TurnTokens:
    """The mean turn of some models, among the latest calls of a window.

    Answers from the cache and failed calls don't count.

    Args:
        models: Names as providers report them: a model and its snapshots.
        window: Which days.
    """
    pick = Pick(window, {})
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
    sums = [func.sum(_c[name]) for name in (*names, "reasoning_tokens")]
    with ledger.engine.connect() as connection:
        query = select(func.count(_c.run.distinct()), *sums).where(
            *pick.conditions(),
            *_latest(connection, pick, LOOKED_AT),
            _c.model.in_(models),
            _c.cached == "",
            _c.status == "ok",
        )
        turns, *found = connection.execute(query).one()
    if not turns:
        return TurnTokens(0, Tokens())
    return TurnTokens(int(turns), Tokens(*(round(int(each or 0) / turns) for each in found)))


def _latest(connection: Connection, pick: Pick, calls: int) -> list[ColumnElement[bool]]:
    """A condition for the latest so many calls of the period; none where there aren't more.

    The index on `at` finds it, so that a question costs the same however long the period is.
    """
    if pick.where.keys() & {"thread", "run"}:
        return []  # indexes of their own lead to them
    start, end = microseconds(pick.window.start), microseconds(pick.window.end)
    query = (
        select(_c.at)
        .where(_c.at >= start, _c.at < end)
        .order_by(_c.at.desc())
        .offset(calls)
        .limit(1)
    )
    at = connection.scalar(query)
    return [] if at is None else [_c.at > at]


def _bin() -> ColumnElement[int]:
    """The tenth of the window that was packed; whole-number division on both databases."""
    known = (_c.context_window > 0) & _c.context_tokens.is_not(None)
    tenth = (_c.context_tokens * CONTEXT_BINS).op("/")(_c.context_window)
    return case((known & (tenth < CONTEXT_BINS), tenth), (known, CONTEXT_BINS - 1), else_=-1)


def _cursor(text: str) -> tuple[int, str]:
    at, _, id_ = text.partition(".")
    if not at.isdecimal() or len(at) > 18 or not id_:
        raise InputError(f"{text!r} is no place in the list of calls.")
    return int(at), id_
