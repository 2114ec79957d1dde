"""The same ledger on PostgreSQL: the session's server, on loopback (`postgres_url`)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from allotrope.exceptions import StoreError
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.reports import reports

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_rows_rollups_and_reports(postgres_url: str) -> None:

    rows = [
        CallRow(
            id=str(number),
            at=microseconds(NOW - timedelta(minutes=number)),
            provider="openai",
            model="o3",
            agent="assistant",
            thread=f"t{number % 3}",
            input_tokens=100,
            output_tokens=10,
            cost=Decimal("0.000000000005"),
            latency_ms=500,
        )
        for number in range(600)
    ]
    with Ledger(postgres_url) as ledger:
        assert ledger.write(rows[:400]) == 400
        assert ledger.write(rows[300:]) == 200
        window = queries.last_days(2, NOW)
        sums = queries.totals(ledger, window)
        assert (sums.calls, sums.input_tokens) == (600, 60_000)
        assert sums.cost == Decimal("0.000000003")
        assert sum(t.calls for _, t in queries.breakdown(ledger, window, "model")) == 600
        assert len(queries.top(ledger, "thread", window)) == 3
        assert queries.rows(ledger, window, {"thread": "t1"}, limit=5)[0]["model"] == "o3"
        assert reports.build(ledger, "weekly", now=NOW).now.calls == 600
        assert queries.percentiles(ledger, window)[0.5] == pytest.approx(500, rel=0.05)
        alert = {"kind": "k", "severity": "s", "title": "t", "message": "m", "at": NOW}
        assert [ledger.raise_alert("once", **alert) for _ in range(2)] == [True, False]
        ledger.record_feedback("run", 1.0)
        ledger.record_feedback("run", 0.5)
        assert [s["score"] for s in queries.feedback_scores(ledger)] == [0.5]
        assert ledger.record_exposure("e", "u", "a") is True
        assert ledger.record_exposure("e", "u", "b") is False
        assert ledger.prune(keep_days=1, now=NOW + timedelta(days=3)) == 600
    with Ledger(postgres_url) as again:
        assert queries.totals(again, window).calls == 600


def test_a_server_that_is_gone_is_one_clear_error_without_the_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="can't be opened") as caught:
        Ledger("postgresql+psycopg://me:hunter2@127.0.0.1:1/x").open()
    assert "hunter2" not in str(caught.value)
