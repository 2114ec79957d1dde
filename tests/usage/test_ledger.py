"""The ledger: rows, roll-ups, migrations, corruption, retention."""

import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select

from allotrope.exceptions import InputError, StoreError
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.recorder.rows import CallRow, microseconds

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def call(number: int, **values: object) -> CallRow:
    fields = {
        "provider": "openai",
        "model": "o3",
        "agent": "assistant",
        "tenant": "acme",
        "user_name": "ann",
        "thread": f"t{number % 3}",
        "input_tokens": 100,
        "output_tokens": 10,
        "cost": Decimal("0.00028"),
        "latency_ms": 800.0,
    } | values
    return CallRow(id=f"call-{number}", at=microseconds(NOON) + number * 1_000_000, **fields)  # type: ignore[arg-type] # test values


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger(f"sqlite:///{tmp_path}/usage.db").open() as ledger:
        yield ledger


def sums(ledger: Ledger, table: str = "daily") -> tuple[int, int, Decimal]:
    t = schema.metadata.tables[table]
    with ledger.engine.connect() as connection:
        row = connection.execute(
            select(func.sum(t.c.calls), func.sum(t.c.input_tokens), func.sum(t.c.cost))
        ).one()
    return row[0] or 0, row[1] or 0, row[2] or Decimal(0)


def count(ledger: Ledger) -> int:
    with ledger.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(schema.calls)) or 0


def test_the_same_call_twice_counts_once_in_rows_and_rollups(ledger: Ledger) -> None:
    rows = [call(n) for n in range(1000)]
    assert ledger.write(rows[:700]) == 700
    assert ledger.write(rows[500:] + rows[:10]) == 300
    assert count(ledger) == 1000
    for table in ("hourly", "daily"):
        assert sums(ledger, table) == (1000, 100_000, Decimal("0.28"))


def test_money_is_exact_to_the_cheapest_token(ledger: Ledger) -> None:
    ledger.write([call(n, cost=Decimal("0.0000000025")) for n in range(1000)])
    assert sums(ledger)[2] == Decimal("0.0000025")


def test_a_call_without_a_price_is_null_never_zero(ledger: Ledger) -> None:
    ledger.write([call(1, cost=None)])
    with ledger.engine.connect() as connection:
        assert connection.scalar(select(schema.calls.c.cost)) is None
        assert connection.scalar(select(schema.daily.c.unpriced)) == 1


def test_the_migrations_make_the_tables_that_the_code_knows(ledger: Ledger) -> None:
    found = inspect(ledger.engine)
    for name, table in schema.metadata.tables.items():
        assert [c["name"] for c in found.get_columns(name)] == list(table.c.keys()), name
        primary = found.get_pk_constraint(name)["constrained_columns"]
        assert primary == [c.name for c in table.primary_key.columns], name
        nullable = {c["name"] for c in found.get_columns(name) if c["nullable"]}
        assert nullable - set(primary) == {
            c.name for c in table.columns if c.nullable and not c.primary_key
        }, name


def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    with Ledger(url) as first:
        first.write([call(1)])
        salt = first.salt
    with Ledger(url) as second:
        assert count(second) == 1
        assert second.salt == salt


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    with Ledger(url) as ledger, ledger.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO schema_version VALUES (99)")
    with pytest.raises(StoreError, match="version 99"):
        Ledger(url).open()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://x/y", "sqlite://", "oracle+nothing://x/y"]
)
def test_a_url_that_is_none_is_one_clear_error(url: str) -> None:
    with pytest.raises(StoreError):
        Ledger(url).open()


def test_a_file_that_is_no_database_is_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "usage.db"
    path.write_bytes(b"this is no database, it is a diary" * 200)
    with Ledger(f"sqlite:///{path}") as ledger:
        assert ledger.write([call(1)]) == 1
    (aside,) = tmp_path.glob("usage.db.damaged-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert "moved to" in caplog.text


def test_what_can_be_read_of_a_damaged_ledger_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    with Ledger(f"sqlite:///{path}") as ledger:
        ledger.write([call(n) for n in range(3000)])
    with sqlite3.connect(path) as raw:
        page = raw.execute("PRAGMA page_size").fetchone()[0]
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    data = bytearray(path.read_bytes())
    middle = len(data) // page // 2 * page
    data[middle : middle + 3 * page] = b"\xff" * (3 * page)
    data[16:24] = data[16:24]
    path.write_bytes(data)
    ledger = Ledger(f"sqlite:///{path}").open()
    try:
        saved = ledger.rebuild()
        assert 1000 < saved < 3000
        assert count(ledger) == saved
        assert sums(ledger)[0] == saved
    finally:
        ledger.close()


def test_pruning_deletes_rows_and_keeps_rollups(ledger: Ledger) -> None:
    old = microseconds(NOON - timedelta(days=500))
    ledger.write([call(n) for n in range(20)])
    ledger.write([CallRow(id=f"old-{n}", at=old, cost=Decimal(1)) for n in range(30)])
    assert ledger.prune(keep_days=400, now=NOON) == 30
    assert count(ledger) == 20
    assert sums(ledger)[0] == 50
    with pytest.raises(InputError, match="at least one day"):
        ledger.prune(keep_days=0)


def test_an_alert_is_raised_once(ledger: Ledger) -> None:
    facts = {"kind": "budget", "severity": "warning", "title": "t", "message": "m", "at": NOON}
    assert ledger.raise_alert("team/2026-11/80", **facts) is True
    assert ledger.raise_alert("team/2026-11/80", **facts) is False


def test_feedback_is_replaced_and_exposures_are_not(ledger: Ledger) -> None:
    ledger.record_feedback("run-1", 0.2, note="meh")
    ledger.record_feedback("run-1", 0.9)
    assert ledger.record_exposure("exp", "ann", "a") is True
    assert ledger.record_exposure("exp", "ann", "b") is False
    with ledger.engine.connect() as connection:
        assert connection.execute(select(schema.feedback.c.score)).scalars().all() == [0.9]
        assert connection.execute(select(schema.exposures.c.variant)).scalars().all() == ["a"]
    with pytest.raises(InputError, match="finite"):
        ledger.record_feedback("run-1", float("nan"))


def test_a_row_survives_json(ledger: Ledger) -> None:
    row = call(1, cost=Decimal("0.000000000001"), saved_cost=Decimal(0), ttft_ms=3.5)
    assert CallRow.from_json(row.to_json()) == row
    with pytest.raises(ValueError, match="id"):
        CallRow.from_json({"at": 1})
