"""What the dashboard shows, as plain facts; everything here only reads."""

from dataclasses import dataclass
from datetime import UTC, datetime

from allotrope.settings import Settings


@dataclass(frozen=True)
class BudgetLine:
    """A budget as the ledger has it.

    Args:
        budget: Its name.
        scope: What it is about: all, agent, tenant, user or thread.
        name: The one that is meant; empty for all.
        period: day, week or month.
        used: What is used, for people.
        limit: The limit, for people.
        ratio: Used share; 1 is all of it.
        ends: When it ends at this rate, if in this period.
    """

    budget: str
    scope: str
    name: str
    period: str
    used: str
    limit: str
    ratio: float
    ends: datetime | None


def budget_states(settings: Settings, *, now: datetime | None = None) -> list[BudgetLine]:
    """Every budget of the settings, the five most used names where it is for each name."""
    from allotrope.usage.budgets.periods import Account, forecast, span, units
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.queries import sums as queries

    if not settings.usage.budgets:
        return []
    at = now or datetime.now(UTC)
    found = []
    with open_ledger(settings) as ledger:
        for budget in settings.usage.budgets:
            period = span(budget.period, at)
            window = queries.Window(period.start, period.end)
            name = "" if budget.scope == "all" else budget.match
            for one in queries.top(ledger, budget.scope, window, limit=5, name=name) or [
                queries.scope_sum(ledger, budget.scope, name or "", window)
            ]:
                account = Account(budget, one.name)
                used = one.tokens if budget.usd is None else units(one.cost)
                ahead = forecast(used, account.limit, period, at)
                found.append(
                    BudgetLine(
                        budget=budget.name,
                        scope=budget.scope,
                        name=one.name,
                        period=budget.period,
                        used=account.said(used),
                        limit=account.said(account.limit),
                        ratio=used / account.limit,
                        ends=ahead.ends_at if ahead is not None else None,
                    )
                )
    return found
