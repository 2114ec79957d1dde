"""A budget that a run brings along, and under which name budgets count a user."""

from decimal import Decimal

import pytest

from allotrope.usage.budgets.periods import allowance
from allotrope.usage.recorder.rows import user_account


@pytest.mark.parametrize(
    ("tenant", "user", "name"),
    [
        ("default", "kim", "kim"),
        ("", "kim", "kim"),
        ("acme", "kim", "acme/kim"),
        ("acme", "kim::whoever", "acme/kim"),
        ("default", "kim::a::b", "kim"),
        ("acme", "", ""),
        ("acme", "::x", ""),
    ],
)
def test_a_user_is_counted_by_tenant_and_by_credential(tenant: str, user: str, name: str) -> None:
    assert user_account(tenant, user) == name


def test_an_allowance_is_a_budget_of_the_user() -> None:
    found = allowance("usd 2.50 week")
    assert found is not None
    assert (found.usd, found.tokens, found.period) == (Decimal("2.50"), None, "week")
    assert (found.scope, found.match) == ("user", None)
    tokens = allowance("tokens 3000 day")
    assert tokens is not None
    assert tokens.tokens == 3000
    assert tokens.name != found.name  # USD and tokens are never added up


@pytest.mark.parametrize(
    "text",
    ["", "usd", "usd 5", "usd 0 day", "usd -1 day", "eur 5 day", "usd 5 year", "tokens x day"],
)
def test_what_is_no_allowance_is_none(text: str) -> None:
    assert allowance(text) is None
