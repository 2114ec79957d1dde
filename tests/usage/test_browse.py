"""Pages of calls and what only single calls can tell, against the same in plain Python."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from allotrope.exceptions import InputError
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import browse
from allotrope.usage.queries.browse import Pick
from allotrope.usage.queries.conditions import Window
from allotrope.usage.queries.latencies import percentile_series
from allotrope.usage.queries.sums import percentiles
from allotrope.usage.recorder.rows import CallRow, microseconds

START = datetime(2026, 10, 1, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))


def sample() -> list[CallRow]:
    chance = random.Random(3)
    return [
        CallRow(
            id=f"id-{number}",
            at=microseconds(START) + number // 2 * 600_000_000,  # two calls share each moment
            provider="openai",
            model="o3",
            agent=chance.choice(["assistant", "coder"]),
            thread=chance.choice(["", "t1", "t2", "t3"]),
            cached=chance.choice(["", "", "exact"]),
            failovers=int(chance.random() < 0.1),
            input_tokens=chance.randrange(1000),
            output_tokens=chance.randrange(100),
            cost=Decimal(chance.randrange(100)) / 1000,
            saved_cost=Decimal("0.002"),
            latency_ms=chance.lognormvariate(6, 1),
            context_full_tokens=20_000,
            context_tokens=chance.choice([None, 0, 799, 800, 7_999, 8_000, 9_000]),
            context_window=chance.choice([8_000, 8_000, 0, None]),
        )
        for number in range(1_500)
    ]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, list[CallRow]]]:
    rows = sample()
    path: Path = tmp_path_factory.mktemp("ledger")
    with Ledger(f"sqlite:///{path}/usage.db") as ledger:
        ledger.write(rows)
        yield ledger, rows


def inside(rows: list[CallRow]) -> list[CallRow]:
    return [row for row in rows if row.at < microseconds(WEEK.end)]


def test_pages_follow_each_other_and_lead_back(filled: tuple[Ledger, list[CallRow]]) -> None:
    ledger, rows = filled
    pick = Pick(WEEK, {"agent": "coder"})
    expected = sorted((r for r in inside(rows) if r.agent == "coder"), key=lambda r: (-r.at, r.id))
    seen, before, pages = [], "", []
    while True:
        page = browse.page(ledger, pick, limit=37, before=before)
        pages.append([row["id"] for row in page.rows])
        seen += pages[-1]
        if page.older is None:
            break
        before = page.older
    assert sorted(seen) == sorted(row.id for row in expected)
    assert len(seen) == len(set(seen))
    back = browse.page(ledger, pick, limit=37, after=page.newer or "")
    assert [row["id"] for row in back.rows] == pages[-2]
    assert browse.page(ledger, pick, limit=37).newer is None
    first = browse.page(ledger, pick, limit=37, after=f"{microseconds(WEEK.end)}.x")
    assert (first.rows, first.newer) == ([], None)


@pytest.mark.parametrize(
    ("pick", "meant"),
    [
        (Pick(WEEK, {}), lambda r: True),
        (Pick(WEEK, {"agent": "coder"}), lambda r: r.agent == "coder"),
        (Pick(WEEK, {}, "failovers"), lambda r: r.failovers > 0),
        (Pick(WEEK, {"thread": "t1"}), lambda r: r.thread == "t1"),
        (Pick(WEEK, {"cached": "exact"}, "hits"), lambda r: r.cached == "exact"),
    ],
)
def test_sums_are_those_of_the_rows(
    filled: tuple[Ledger, list[CallRow]], pick: Pick, meant
) -> None:
    ledger, rows = filled
    some = [row for row in inside(rows) if meant(row)]
    found = browse.summary(ledger, pick)
    assert (found.calls, found.partial) == (len(some), False)
    assert found.input_tokens == sum(row.input_tokens for row in some)
    assert found.cost == sum(row.cost or 0 for row in some)
    assert [len(b) for b in browse.batches(ledger, pick)] == [len(some)]


def test_sums_of_single_calls_look_at_the_latest_only(
    filled: tuple[Ledger, list[CallRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, rows = filled
    monkeypatch.setattr(browse, "LOOKED_AT", 100)
    latest = sorted(inside(rows), key=lambda r: -r.at)[:100]
    found = browse.summary(ledger, Pick(WEEK, {}, "failovers"))
    assert found.partial
    assert found.calls == sum(row.failovers > 0 for row in latest)
    assert not browse.summary(ledger, Pick(WEEK, {"agent": "coder"})).partial


def tenth(row: CallRow) -> int | None:
    if row.context_tokens is None or not row.context_window:
        return None
    return min(9, row.context_tokens * 10 // row.context_window)


def test_context_fill_counts_tenths_of_the_window(filled: tuple[Ledger, list[CallRow]]) -> None:
    ledger, rows = filled
    expected = Counter(tenth(row) for row in inside(rows))
    found = browse.context_fill(ledger, Pick(WEEK, {}))
    assert found == [expected[n] for n in range(10)]
    assert browse.summary(ledger, Pick(WEEK, {}, fill=9)).calls == expected[9]
    assert browse.context_fill(ledger, Pick(WEEK, {"agent": "nobody"})) == []


def test_top_threads_are_the_costliest(filled: tuple[Ledger, list[CallRow]]) -> None:
    ledger, rows = filled
    costs: Counter[str] = Counter()
    for row in inside(rows):
        if row.thread and row.agent == "coder":
            costs[row.thread] += row.cost  # type: ignore[assignment]  # money, not counts
    found = browse.top_threads(ledger, Pick(WEEK, {"agent": "coder"}), limit=2)
    assert [(one.name, one.cost) for one in found] == costs.most_common(2)


@pytest.mark.parametrize(
    "pick", [Pick(WEEK, {}, "good"), Pick(WEEK, {}, fill=10), Pick(WEEK, {"at": "now"})]
)
def test_what_nobody_can_pick_is_refused(filled: tuple[Ledger, list[CallRow]], pick: Pick) -> None:
    with pytest.raises(InputError):
        browse.page(filled[0], pick)


@pytest.mark.parametrize(
    "cursor", ["", "x", "12", "12.", ".id", "²³.id", "-1.id", "9" * 30 + ".id"]
)
def test_a_cursor_that_is_none_is_refused(
    filled: tuple[Ledger, list[CallRow]], cursor: str
) -> None:
    if not cursor:
        assert browse.page(filled[0], Pick(WEEK, {}), before=cursor).rows
        return
    with pytest.raises(InputError, match="no place"):
        browse.page(filled[0], Pick(WEEK, {}), before=cursor)


def test_percentiles_over_time_are_those_of_each_day(
    filled: tuple[Ledger, list[CallRow]],
) -> None:
    ledger, _ = filled
    series = percentile_series(ledger, WEEK, where={"agent": "coder"})
    assert [at for at, _ in series] == [START + timedelta(days=n) for n in range(6)]
    for at, found in series:
        day = Window(at, at + timedelta(days=1))
        assert found == percentiles(ledger, day, where={"agent": "coder"})
    hours = percentile_series(ledger, Window(START, START + timedelta(hours=5)), bucket="hour")
    assert len(hours) == 5


@pytest.mark.postgres
def test_postgresql_says_the_same(filled: tuple[Ledger, list[CallRow]], postgres_url: str) -> None:
    ledger, rows = filled
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("CREATE DATABASE browse")
    url = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    with Ledger(url.removesuffix("/postgres") + "/browse") as other:
        other.write(rows)
        picks = (
            Pick(WEEK, {"agent": "coder"}),
            Pick(WEEK, {}, "failovers"),
            Pick(WEEK, {}, fill=9),
        )
        for pick in picks:
            assert browse.page(other, pick) == browse.page(ledger, pick)
            assert browse.summary(other, pick) == browse.summary(ledger, pick)
            assert browse.context_fill(other, pick) == browse.context_fill(ledger, pick)
            assert browse.top_threads(other, pick) == browse.top_threads(ledger, pick)
            assert [*browse.batches(other, pick)] == [*browse.batches(ledger, pick)]
        assert percentile_series(other, WEEK) == percentile_series(ledger, WEEK)
