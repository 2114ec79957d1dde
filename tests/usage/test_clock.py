"""A clock that goes backwards: nothing negative, nothing lost, no threshold told twice."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel

from allotrope.settings.usage import BudgetSettings, UsageSettings
from allotrope.usage.budgets.guard import Budgets
from allotrope.usage.budgets.periods import units
from allotrope.usage.budgets.reservations import LocalReservations
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.queries import sums as queries
from allotrope.usage.recorder.recorder import UsageRecorder
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.reports.alerts import AlertCenter, Watch
from allotrope.usage.reports.notifiers import Alert

NOON = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
HOUR_NS = 3_600_000_000_000


def test_calls_stay_whole_when_the_clock_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [int(NOON.timestamp()) * 1_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: moment[0])
    recorder = UsageRecorder(f"sqlite:///{tmp_path}/usage.db")

    class GoingBack(FakeListChatModel):
        def _call(self, *args: object, **kwargs: object) -> str:
            moment[0] -= HOUR_NS  # while the provider works
            return super()._call(*args, **kwargs)  # type: ignore[arg-type]  # passed through

    model = GoingBack(responses=["Hello"])
    for _ in range(3):
        model.invoke("Hi", {"callbacks": [recorder]})
    recorder.close()
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        day = queries.Window(NOON - timedelta(hours=12), NOON + timedelta(hours=12))
        rows = queries.rows(ledger, day)
        hours = queries.series(ledger, day, bucket="hour")
    assert [row["at"].hour for row in rows] == [12, 11, 10]
    assert all(0 <= row["latency_ms"] < 10_000 for row in rows)
    assert [(point.at.hour, point.totals.calls) for point in hours] == [(10, 1), (11, 1), (12, 1)]


def test_a_threshold_is_told_once_when_the_clock_goes_back(tmp_path: Path) -> None:
    sent: list[Alert] = []
    moment = [NOON]
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        center = AlertCenter(lambda: ledger, sent.append)
        budgets = Budgets(
            [BudgetSettings(name="team", usd=Decimal(10), period="day")],
            reservations=LocalReservations(),
            prices=PriceBook(),
            spent=lambda *_: 0,
            on_level=center.level_passed,
            now=lambda: moment[0],
        )
        budgets.states()  # asks the ledger what was spent so far
        budgets.settle(CallRow(id="a", at=microseconds(moment[0]), cost=Decimal(6)))
        (before,) = budgets.states()
        moment[0] = NOON - timedelta(days=1)  # yesterday, which is a period of its own
        budgets.states()
        budgets.settle(CallRow(id="b", at=microseconds(moment[0]), cost=Decimal(1)))
        moment[0] = NOON
        budgets.settle(CallRow(id="c", at=microseconds(moment[0]), cost=Decimal(1)))
        (after,) = budgets.states()
        Watch(
            lambda: ledger, center, UsageSettings(), budgets=budgets, now=lambda: moment[0]
        ).look()
    assert after.balance.spent - before.balance.spent == units(Decimal(1))
    assert [alert.key for alert in sent if alert.kind == "budget"] == ["budget/team//2026-11-22/50"]
