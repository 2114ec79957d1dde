"""Budgets, as arithmetic: periods, thresholds with hysteresis, forecasts. No I/O here."""

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from allotrope.exceptions import InputError
from allotrope.settings.usage import BudgetSettings, ThresholdSettings
from allotrope.support.remembered import remembered

Action = Literal["notify", "switch_profile", "local_only", "refuse"]
Period = Literal["day", "week", "month"]

NANO = Decimal("0.000000001")
"""Budgets count whole 10⁻⁹ USD: Redis' Lua has doubles, which are exact up to 9 million USD so."""

FORECAST_AFTER = 0.1
"""No forecast before a tenth of the period is over: an hour tells nothing about a month."""


@dataclass(frozen=True, slots=True)
class Span:
    """A period on the calendar (UTC), `start` ≤ t < `end`."""

    key: str
    start: datetime
    end: datetime


def span(period: str, at: datetime) -> Span:
    """The day, ISO week or month that a moment lies in.

    Raises:
        InputError: No such period.
    """
    at = at.astimezone(UTC)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return Span(day.strftime("%Y-%m-%d"), day, day + timedelta(days=1))
    if period == "week":
        start = day - timedelta(days=day.weekday())
        return Span(start.strftime("%G-W%V"), start, start + timedelta(days=7))
    if period == "month":
        start = day.replace(day=1)
        length = calendar.monthrange(start.year, start.month)[1]
        return Span(start.strftime("%Y-%m"), start, start + timedelta(days=length))
    raise InputError(f"{period!r} is no period.", hint="Use day, week or month.")


@dataclass(frozen=True, slots=True)
class Account:
    """One limit that a call counts against: a budget, for one name of its scope.

    Attributes:
        budget: The budget.
        name: The agent, tenant …; empty for the scope `all`.
    """

    budget: BudgetSettings
    name: str = ""

    @property
    def limit(self) -> int:
        """The limit in 10⁻⁹ USD, or in tokens."""
        if self.budget.usd is not None:
            return units(self.budget.usd)
        return self.budget.tokens or 0

    def key(self, at: datetime) -> str:
        """Unique per budget, name and period."""
        return f"{self.budget.name}/{self.name}/{span(self.budget.period, at).key}"

    def amount(self, cost: Decimal | None, tokens: int) -> int:
        """What a call counts: 10⁻⁹ USD rounded up, or tokens."""
        if self.budget.usd is None:
            return tokens
        return units(cost or Decimal(0))

    def said(self, amount: float | Decimal) -> str:
        """An amount for people."""
        if self.budget.usd is None:
            return f"{int(amount):,} tokens"
        usd = Decimal(amount) * NANO
        return f"${usd:.2f}" if usd >= 1 or not usd else f"${usd:.4f}"


def units(usd: Decimal) -> int:
    """USD in whole 10⁻⁹ USD, rounded up so that spending is never understated."""
    return int((usd / NANO).to_integral_value(ROUND_CEILING))  # `//` cuts towards zero


@remembered(most=1_000)
def allowance(text: str) -> BudgetSettings | None:
    """A budget that a run brings along for its user, or None where a text is none.

    All that bring one in the same unit draw on one account of the user, each up to its own limit.

    Args:
        text: `usd` or `tokens`, the amount, and `day`, `week` or `month`.
    """
    unit, _, rest = text.partition(" ")
    amount, _, period = rest.partition(" ")
    if unit not in ("usd", "tokens"):
        return None
    try:
        limit = {"usd": Decimal(amount)} if unit == "usd" else {"tokens": int(amount)}
        return BudgetSettings.model_validate(
            {"name": f"key-{unit}", "scope": "user", "period": period, **limit}
        )
    except (ValueError, ArithmeticError):
        return None


def accounts(budgets: Sequence[BudgetSettings], names: Mapping[str, str]) -> list[Account]:
    """The accounts a call counts against.

    Args:
        budgets: All budgets.
        names: Scope to name of the call: agent, tenant, user, thread.
    """
    found = []
    for budget in budgets:
        if budget.scope == "all":
            found.append(Account(budget))
            continue
        name = names.get(budget.scope, "")
        if name and budget.match in (None, name):
            found.append(Account(budget, name))
    return found


def level(
    ratio: float, thresholds: Sequence[ThresholdSettings], previous: int, hysteresis: float
) -> int:
    """How many thresholds are passed: entered at their percentage, left only well below it.

    Args:
        ratio: Used share of the limit; 1.0 is all of it.
        thresholds: In rising order.
        previous: The level before.
        hysteresis: Percentage points below a threshold at which it is left again.
    """
    percent = ratio * 100
    reached = sum(1 for threshold in thresholds if percent >= threshold.percent)
    kept = sum(
        1 for threshold in thresholds[:previous] if percent >= threshold.percent - hysteresis
    )
    return max(reached, kept)


@dataclass(frozen=True, slots=True)
class Directive:
    """What the budgets ask of the next calls; the strictest of all accounts.

    Attributes:
        action: `notify` asks nothing.
        profile: The profile to switch to, for `switch_profile`.
        budget: Name of the budget that asks, if any does.
        message: A sentence for people.
    """

    action: Action = "notify"
    profile: str | None = None
    budget: str | None = None
    message: str = ""


STRICTNESS: tuple[Action, ...] = ("notify", "switch_profile", "local_only", "refuse")


def directive(account: Account, passed: int, used: float) -> Directive:
    """What an account asks for at a level."""
    strictest = Directive()
    for threshold in account.budget.thresholds[:passed]:
        if STRICTNESS.index(threshold.action) >= STRICTNESS.index(strictest.action):
            strictest = Directive(
                threshold.action,
                threshold.profile,
                account.budget.name,
                sentence(account, used),
            )
    return strictest


def sentence(account: Account, used: float) -> str:
    """How much of a budget is used, for people."""
    share = used / account.limit * 100
    whom = f" of {account.budget.scope} {account.name}" if account.name else ""
    return (
        f"{account.said(used)} of {account.said(account.limit)} ({share:.0f} %) of this "
        f"{account.budget.period}'s budget {account.budget.name!r}{whom} are used."
    )


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a budget ends at the present rate.

    Attributes:
        projected: Use at the end of the period, in the budget's units.
        ends_at: When the limit is reached, or None if it isn't in this period.
    """

    projected: float
    ends_at: datetime | None


def forecast(used: float, limit: float, period: Span, now: datetime) -> Forecast | None:
    """Extends the use so far in a straight line.

    Args:
        used: Used since the period's start.
        limit: The limit, in the same unit.
        period: The period.
        now: The moment, inside the period.

    Returns:
        The forecast, or None where it is too early or nothing is used.
    """
    whole = (period.end - period.start).total_seconds()
    gone = (now - period.start).total_seconds()
    if used <= 0 or gone < FORECAST_AFTER * whole or gone > whole:
        return None
    projected = used * whole / gone
    if used >= limit:
        return Forecast(projected, now)
    seconds = limit / (used / gone)
    ends_at = period.start + timedelta(seconds=seconds) if seconds < whole else None
    return Forecast(projected, ends_at)


def forecast_sentence(account: Account, found: Forecast) -> str | None:
    """The forecast for people, where the budget will not last."""
    if found.ends_at is None:
        return None
    when = {
        "day": f"at {found.ends_at:%H:%M} UTC",
        "week": f"on {found.ends_at:%A}",
        "month": f"on the {_ordinal(found.ends_at.day)}",
    }[account.budget.period]
    whom = f" of {account.budget.scope} {account.name}" if account.name else ""
    return (
        f"At this rate this {account.budget.period}'s budget {account.budget.name!r}{whom} ends "
        f"{when}; {account.said(found.projected)} would be used in all."
    )


def _ordinal(number: int) -> str:
    ending = (
        "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{ending}"


def outlier(history: Sequence[Decimal], value: Decimal, *, factor: float, minimum: Decimal) -> bool:
    """Whether an hour's spend is far above its usual range.

    The range is the median and the median absolute deviation (MAD), which a few wild hours don't
    move; a MAD below a tenth of the median counts as that, so that a flat history isn't nervous.

    Args:
        history: Spend of earlier hours, at least 48 of them.
        value: Spend of the hour in question, USD.
        factor: MADs above the median that are too many.
        minimum: Hours cheaper than this are never an anomaly, USD.
    """
    if len(history) < 48 or value < minimum:
        return False
    median = _median(history)
    deviation = _median([abs(one - median) for one in history])
    spread = max(deviation, median / 10, minimum / 10)
    return value > median + Decimal(str(factor)) * spread


def _median(values: Sequence[Decimal]) -> Decimal:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
