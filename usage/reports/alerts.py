"""Which alerts there are, and that each is raised once, whichever process sees it first."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from allotrope.settings.usage import UsageSettings
from allotrope.usage.budgets import periods as pure
from allotrope.usage.budgets.periods import Account
from allotrope.usage.budgets.reservations import Balance
from allotrope.usage.reports.notifiers import Alert

if TYPE_CHECKING:  # a turn begins without these
    from allotrope.usage.budgets.guard import Budgets
    from allotrope.usage.ledger.ledger import Ledger

HISTORY = timedelta(days=14)
"""What an hour is compared with."""

WATCH_EVERY_S = 60.0
ADVISE_EVERY_S = 1_800.0


class AlertCenter:
    """Raises alerts.

    Args:
        ledger: Gives the open ledger, which remembers what was raised.
        send: Takes new alerts to people.
    """

    def __init__(self, ledger: "Callable[[], Ledger]", send: Callable[[Alert], None]) -> None:
        self._ledger = ledger
        self._send = send

    def raise_once(self, alert: Alert) -> bool:
        """Sends an alert unless its key was raised before, by any process."""
        new = self._ledger().raise_alert(
            alert.key,
            kind=alert.kind,
            severity=alert.severity,
            title=alert.title,
            message=alert.message,
            at=alert.at,
        )
        if new:
            self._send(alert)
        return new

    def level_passed(self, account: Account, passed: int, balance: Balance, at: datetime) -> None:
        """An account passed its threshold number `passed` (from 1)."""
        threshold = account.budget.thresholds[passed - 1]
        does = {
            "notify": "",
            "switch_profile": f" New turns use the profile {threshold.profile!r}.",
            "local_only": " Only local models answer from now on.",
            "refuse": " Further calls are refused.",
        }[threshold.action]
        self.raise_once(
            Alert(
                key=f"budget/{account.key(at)}/{threshold.percent:g}",
                kind="budget",
                severity="critical" if threshold.action != "notify" else "warning",
                title=f"Budget {account.budget.name}: {threshold.percent:g} % used",
                message=pure.sentence(account, balance.spent) + does,
                at=at,
                data={
                    "budget": account.budget.name,
                    "scope": account.budget.scope,
                    "name": account.name,
                    "percent": threshold.percent,
                    "action": threshold.action,
                    "profile": threshold.profile,
                },
            )
        )


class Watch:
    """Looks at forecasts and anomalies about once a minute, in the writer's thread.

    Args:
        ledger: Gives the open ledger.
        center: Raises alerts.
        settings: Factors and limits.
        budgets: For forecasts; None where no budgets are set.
        advise: Renews what the rules recommend, where it is kept; asked about once an hour.
        clock: Seconds, monotonic.
        now: The moment, aware.
    """

    def __init__(
        self,
        ledger: "Callable[[], Ledger]",
        center: AlertCenter,
        settings: UsageSettings,
        *,
        budgets: "Budgets | None" = None,
        advise: "Callable[[Ledger], object] | None" = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._center = center
        self._settings = settings
        self._budgets = budgets
        self._advise = advise
        self._clock = clock
        self._now = now
        self._due = clock() + WATCH_EVERY_S
        self._advise_due = clock() + ADVISE_EVERY_S
        self._pruned_on = ""

    def tick(self) -> None:
        """Does what is due; cheap when nothing is."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + WATCH_EVERY_S
        self.look()

    def look(self) -> None:
        """Reconciles budgets, looks at forecasts and at the last whole hour, and prunes daily."""
        now = self._now()
        if self._budgets is not None:
            self._budgets.reconcile()
            for state in self._budgets.states():
                message = (
                    pure.forecast_sentence(state.account, state.forecast)
                    if state.forecast is not None
                    else None
                )
                if message is not None and state.balance.spent < state.account.limit:
                    self._center.raise_once(
                        Alert(
                            key=f"forecast/{state.account.key(now)}",
                            kind="forecast",
                            severity="warning",
                            title=f"Budget {state.account.budget.name} will not last",
                            message=message,
                            at=now,
                            data={"budget": state.account.budget.name},
                        )
                    )
        self._anomaly(now)
        if self._advise is not None and self._clock() >= self._advise_due:
            self._advise_due = self._clock() + ADVISE_EVERY_S
            self._advise(self._ledger())
        today = now.date().isoformat()
        if self._settings.retention_days is not None and self._pruned_on != today:
            self._pruned_on = today
            self._ledger().prune(keep_days=self._settings.retention_days, now=now)

    def _anomaly(self, now: datetime) -> None:
        from allotrope.usage.queries import sums as queries

        hour = now.replace(minute=0, second=0, microsecond=0)
        window = queries.Window(hour - HISTORY, hour)
        *history, last = queries.hourly_costs(self._ledger(), window)
        first_used = next((i for i, cost in enumerate(history) if cost), len(history))
        history = history[first_used:]
        if not pure.outlier(
            history,
            last,
            factor=self._settings.anomaly_factor,
            minimum=self._settings.anomaly_minimum_usd,
        ):
            return
        began = hour - timedelta(hours=1)
        usual = sorted(history)[len(history) // 2]
        self._center.raise_once(
            Alert(
                key=f"anomaly/{began:%Y-%m-%dT%H}",
                kind="anomaly",
                severity="warning",
                title="Unusual spending",
                message=(
                    f"The hour from {began:%Y-%m-%d %H:%M} UTC cost ${last:.2f}; the median of the "
                    f"{len(history)} hours before is ${usual:.2f}."
                ),
                at=now,
                data={"cost_usd": str(last), "median_usd": str(usual)},
            )
        )
