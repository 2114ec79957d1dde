"""Reading the ledger: roll-ups agree with the rows, whatever is asked."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from allotrope.exceptions import InputError
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.queries.sums import Window
from allotrope.usage.recorder.rows import CallRow, bucket_milliseconds, latency_bucket, microseconds

START = datetime(2026, 11, 1, tzinfo=UTC)


def sample(count: int, *, days: int = 20, seed: int = 7) -> list[CallRow]:
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        cached = chance.choice(["", "", "", "exact", "semantic"])
        status = "ok" if cached else chance.choice(["ok"] * 8 + ["error", "aborted"])
        rows.append(
            CallRow(
                id=f"{seed}-{number}",
                at=microseconds(START + timedelta(seconds=chance.randrange(days * 86_400))),
                provider=chance.choice(["openai", "openai", "ollama"]),
                model=chance.choice(["o3", "o4-mini"]),
                agent=chance.choice(["assistant", "analyst"]),
                tenant=chance.choice(["acme", "globex"]),
                user_name=chance.choice(["ann", "bob", ""]),
                thread=f"t{chance.randrange(9)}",
                run=f"r{number}",
                variant=chance.choice(["a", "b"]),
                cached=cached,
                status=status,
                degraded="" if chance.random() < 0.9 else "circuit_open",
                input_tokens=0 if cached else chance.randrange(4000),
                output_tokens=0 if cached else chance.randrange(400),
                saved_input_tokens=chance.randrange(400) if cached else 0,
                cost=Decimal(0) if cached else Decimal(chance.randrange(10**6)).scaleb(-9),
                saved_cost=Decimal(chance.randrange(10**6)).scaleb(-9) if cached else Decimal(0),
                latency_ms=chance.lognormvariate(6, 1),
            )
        )
    return rows


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, list[CallRow]]]:
    rows = sample(3000)
    path: Path = tmp_path_factory.mktemp("ledger")
    with Ledger(f"sqlite:///{path}/usage.db") as ledger:
        for start in range(0, len(rows), 250):
            ledger.write(rows[start : start + 250])
        yield ledger, rows


@pytest.mark.parametrize(
    "window",
    [
        Window(START, START + timedelta(days=30)),
        Window(START + timedelta(days=3), START + timedelta(days=4)),
        Window(START + timedelta(hours=5), START + timedelta(days=2, hours=7)),
    ],
    ids=["month", "day", "hours"],
)
def test_totals_are_the_sums_of_the_rows(
    filled: tuple[Ledger, list[CallRow]], window: Window
) -> None:
    ledger, rows = filled
    inside = [r for r in rows if microseconds(window.start) <= r.at < microseconds(window.end)]
    got = queries.totals(ledger, window)
    assert got.calls == len(inside)
    assert got.input_tokens == sum(r.input_tokens for r in inside)
    assert got.cost == sum((r.cost or 0 for r in inside), Decimal(0))
    assert got.saved_cost == sum((r.saved_cost or 0 for r in inside), Decimal(0))
    assert got.hits == sum(1 for r in inside if r.cached)
    assert got.semantic_hits == sum(1 for r in inside if r.cached == "semantic")
    assert got.errors == sum(1 for r in inside if r.status == "error")
    assert got.degraded == sum(1 for r in inside if r.degraded)
    for by in ("model", "agent", "tenant", "cached", "variant"):
        parts = queries.breakdown(ledger, window, by)
        assert sum((totals.cost for _, totals in parts), Decimal(0)) == got.cost
        assert [p.cost for _, p in parts] == sorted((p.cost for _, p in parts), reverse=True)
    for bucket in ("hour", "day"):
        if bucket == "hour" or window.start.hour == 0:
            points = queries.series(ledger, window, bucket=bucket, by="model")
            assert sum(p.totals.calls for p in points) == len(inside)
    where = {"agent": "analyst", "model": ["o3"]}
    chosen = [r for r in inside if r.agent == "analyst" and r.model == "o3"]
    assert queries.totals(ledger, window, where).calls == len(chosen)


def test_scopes_tops_and_rows(filled: tuple[Ledger, list[CallRow]]) -> None:
    ledger, rows = filled
    window = Window(START, START + timedelta(days=30))
    top = queries.top(ledger, "thread", window, limit=3)
    by_thread: dict[str, Decimal] = {}
    for row in rows:
        by_thread[row.thread] = by_thread.get(row.thread, Decimal(0)) + (row.cost or 0)
    assert [(t.name, t.cost) for t in top] == sorted(by_thread.items(), key=lambda pair: -pair[1])[
        :3
    ]
    everything = queries.scope_sum(ledger, "all", "", window)
    assert everything.calls == len(rows)
    november = Window(START, datetime(2026, 12, 1, tzinfo=UTC))
    assert queries.top(ledger, "thread", november, limit=3) == top
    few = Window(START, START + timedelta(days=2))
    inside = [r for r in rows if r.at < microseconds(few.end)]
    assert queries.scope_sum(ledger, "all", "", few).calls == len(inside)
    page = queries.rows(ledger, window, {"thread": "t1"}, limit=10)
    last = page[-1]
    rest = queries.rows(
        ledger, window, {"thread": "t1"}, limit=5000, before=(microseconds(last["at"]), last["id"])
    )
    assert len(page) + len(rest) == sum(1 for r in rows if r.thread == "t1")
    assert page[0]["at"] >= rest[0]["at"]
    assert isinstance(page[0]["cost"], Decimal)
    assert queries.choices(ledger, window, "agent") == ["analyst", "assistant"]


def test_percentiles_are_within_five_percent(filled: tuple[Ledger, list[CallRow]]) -> None:
    ledger, rows = filled
    window = Window(START, START + timedelta(days=30))
    values = sorted(r.latency_ms for r in rows if r.status == "ok" and not r.cached)
    got = queries.percentiles(ledger, window)
    for point in (0.5, 0.95, 0.99):
        true = values[int(point * len(values))]
        assert abs(got[point] / true - 1) < 0.06
    assert queries.percentiles(ledger, window, kind="ttft") == {}
    for value in (1.0, 17.0, 950.0, 60_000.0):
        assert abs(bucket_milliseconds(latency_bucket(value)) / value - 1) < 0.05


def test_what_nobody_can_answer_is_refused(filled: tuple[Ledger, list[CallRow]]) -> None:
    ledger, _ = filled
    window = queries.last_days(7, START)
    with pytest.raises(InputError, match="grouped by"):
        queries.breakdown(ledger, window, "thread; DROP TABLE calls")
    with pytest.raises(InputError, match="filtered by"):
        queries.totals(ledger, window, {"nonsense": "x"})
    with pytest.raises(InputError, match="no bucket"):
        queries.series(ledger, window, bucket="minute")
    with pytest.raises(InputError, match="no scope"):
        queries.top(ledger, "planet", window)
    with pytest.raises(InputError, match="no stretch"):
        Window(START, START)
    with pytest.raises(InputError, match="number of days"):
        queries.last_days(0)


def test_feedback_knows_the_variant_of_its_run(filled: tuple[Ledger, list[CallRow]]) -> None:
    ledger, rows = filled
    run = next(r for r in rows if r.variant == "b")
    ledger.record_feedback(run.run, 0.75)
    (got,) = queries.feedback_scores(ledger, variant="b")
    assert (got["run"], got["score"], got["agent"]) == (run.run, 0.75, run.agent)
    assert queries.feedback_scores(ledger, variant="a") == []
    ledger.record_exposure("e", "ann", "a")
    assert [e["unit"] for e in queries.exposures(ledger, "e")] == ["ann"]
