"""The arithmetic that a budget's decision hangs on, at the very edges."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from allotrope.exceptions import BudgetExceededError
from allotrope.settings.usage import BudgetSettings, ThresholdSettings
from allotrope.usage.budgets import periods as pure
from allotrope.usage.budgets.guard import Budgets
from allotrope.usage.budgets.periods import Account
from allotrope.usage.budgets.reservations import LocalReservations
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.rows import CallRow
from allotrope.usage.recorder.tokens import Tokens

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def thresholds(*given: tuple[float, str]) -> tuple[ThresholdSettings, ...]:
    return tuple(
        ThresholdSettings(percent=p, action=a, profile="cheap" if a == "switch_profile" else None)  # type: ignore[arg-type]  # one of the actions
        for p, a in given
    )


def budgets(*given: tuple[float, str], **options: Any) -> Budgets:
    budget = BudgetSettings(name="b", tokens=100, thresholds=thresholds(*given))
    return Budgets(
        [budget],
        reservations=LocalReservations(),
        prices=PriceBook(),
        spent=lambda *_: 0,
        **options,
    )


def test_money_is_rounded_up_so_that_spending_is_never_understated() -> None:
    assert pure.units(Decimal("0.0000000001")) == 1
    assert pure.units(Decimal("0.000000001")) == 1
    assert pure.units(Decimal("0.0000000011")) == 2
    assert pure.units(Decimal(0)) == 0


def test_the_lower_of_two_limits_refuses() -> None:
    kept = budgets((50, "local_only"), (100, "refuse"))
    with pytest.raises(BudgetExceededError):
        kept.reserve("a", {}, provider="openai", model="o3", tokens=Tokens(input=51))
    kept.reserve("b", {}, provider="openai", model="o3", tokens=Tokens(input=50))
    # a local model may go on up to the other one
    kept.reserve("c", {}, provider="ollama", model="llama3.1", tokens=Tokens(input=50))
    with pytest.raises(BudgetExceededError):
        kept.reserve("d", {}, provider="ollama", model="llama3.1", tokens=Tokens(input=1))


def test_what_is_reserved_for_an_answer() -> None:
    kept = budgets((100, "refuse"), expected_output_tokens=1000)
    assert kept.estimate("o3", 7, None) == Tokens(input=7, output=1000)
    assert kept.estimate("o3", 7, 200) == Tokens(input=7, output=200)  # it can't be longer
    assert kept.estimate("o3", 7, 5000) == Tokens(input=7, output=1000)
    at = int(NOW.timestamp() * 1e6)
    kept.settle(CallRow(id="a", at=at, model="o3", output_tokens=100))
    assert kept.estimate("o3", 7, None).output == 150  # the usual length and a half
    kept.settle(CallRow(id="b", at=at, model="o3", output_tokens=200))
    assert kept.estimate("o3", 7, None).output == 165  # the usual one moves by a tenth
    kept.settle(CallRow(id="c", at=at, model="tiny", output_tokens=2))
    assert kept.estimate("tiny", 7, None).output == 16


def test_of_two_equal_thresholds_the_later_one_speaks() -> None:
    switches = (
        ThresholdSettings(percent=50, action="switch_profile", profile="cheap"),
        ThresholdSettings(percent=80, action="switch_profile", profile="cheaper"),
    )
    account = Account(BudgetSettings(name="b", tokens=100, thresholds=switches))
    assert pure.directive(account, 1, 60).profile == "cheap"
    assert pure.directive(account, 2, 90).profile == "cheaper"


def test_a_budget_that_is_just_used_up_ends_now() -> None:
    period = pure.span("month", NOW)
    found = pure.forecast(100, 100, period, NOW)
    assert found is not None
    assert found.ends_at == NOW
    later = pure.forecast(99, 100, period, NOW)
    assert later is not None
    assert later.ends_at is not None
    assert later.ends_at > NOW


def test_an_hour_is_unusual_beyond_its_bound_only() -> None:
    history = [Decimal(1)] * 48  # spread 0.1: a tenth of the median
    asked: dict[str, Any] = {"factor": 6, "minimum": Decimal("0.5")}
    assert not pure.outlier(history, Decimal("1.6"), **asked)
    assert pure.outlier(history, Decimal("1.61"), **asked)
    assert not pure.outlier(history[:47], Decimal(99), **asked)
    assert pure.outlier([Decimal(0)] * 48, Decimal("0.5"), factor=6, minimum=Decimal("0.5"))
    assert not pure.outlier([Decimal(0)] * 48, Decimal("0.49"), factor=6, minimum=Decimal("0.5"))
