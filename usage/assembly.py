"""Puts recorder, budgets and notifiers together from the settings."""

import threading
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from langchain_core.callbacks import BaseCallbackHandler

from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.usage import queries
from allotrope.usage.alerts import AlertCenter, Watch
from allotrope.usage.budgets import Account, span, units
from allotrope.usage.guard import BudgetGuard, Budgets
from allotrope.usage.ledger import Ledger, make_ledger
from allotrope.usage.notifiers import Dispatcher, make_notifier
from allotrope.usage.prices import PriceBook
from allotrope.usage.recorder import UsageRecorder
from allotrope.usage.reservations import (
    FailoverReservations,
    LocalReservations,
    RedisReservations,
    Reservations,
)
from allotrope.usage.rules import RuleData


def identity(settings: Settings) -> str:
    """What tells two sets of handlers apart."""
    return f"{make_ledger(settings).url}|{settings.tenant}|{settings.redis!r}|{settings.usage!r}"


def spent_so_far(ledger: Callable[[], Ledger]) -> Callable[[Account, datetime], int]:
    """A function that asks the ledger what an account used in its period."""

    def spent(account: Account, at: datetime) -> int:
        period = span(account.budget.period, at)
        found = queries.scope_sum(
            ledger(),
            account.budget.scope,
            account.name,
            queries.Window(period.start, period.end),
        )
        return found.tokens if account.budget.usd is None else units(found.cost or Decimal(0))

    return spent


def make_reservations(settings: Settings) -> FailoverReservations:
    """Reservations in the settings' Redis, and in this process while that is gone."""

    def shared() -> Reservations | None:
        from allotrope.stores.redis import open_redis

        client = open_redis(settings)
        if client is None:
            return None
        return RedisReservations(
            client, prefix=settings.redis.prefix, ttl_s=settings.usage.reservation_ttl_s
        )

    local = LocalReservations(ttl_s=settings.usage.reservation_ttl_s)
    return FailoverReservations(shared, local)


def make_budgets(
    settings: Settings, ledger: Callable[[], Ledger], *, center: AlertCenter | None = None
) -> Budgets:
    """The budgets of the settings.

    Args:
        settings: Limits, and the Redis they are held in.
        ledger: Gives the open ledger.
        center: Raises alerts when thresholds are passed.
    """
    usage = settings.usage
    return Budgets(
        usage.budgets,
        reservations=make_reservations(settings),
        prices=PriceBook(usage.prices),
        spent=spent_so_far(ledger),
        expected_output_tokens=usage.expected_output_tokens,
        hysteresis=usage.hysteresis_percent,
        on_level=center.level_passed if center is not None else None,
    )


class OwnLedger:
    """A second connection to the ledger, opened when it is first asked for.

    Args:
        settings: Where the ledger is.
    """

    def __init__(self, settings: Settings) -> None:
        self._ledger = make_ledger(settings)
        self._open = False
        self._lock = threading.Lock()

    def __call__(self) -> Ledger:
        """The open ledger."""
        with self._lock:
            if not self._open:
                self._ledger.open()
                self._open = True
        return self._ledger

    def close(self) -> None:
        """Closes it again."""
        self._ledger.close()
        self._open = False


class Accounting(UsageRecorder):
    """The recorder with the budgets and alerts of the settings.

    Args:
        settings: Everything of the section `usage`.
    """

    def __init__(self, settings: Settings) -> None:
        usage = settings.usage
        ledger = make_ledger(settings)
        self.reading = OwnLedger(settings)
        self.dispatcher = Dispatcher([make_notifier(one) for one in usage.notifiers])
        self._center = AlertCenter(self.reading, self.dispatcher.send)
        self.budgets: Budgets | None = None
        if usage.budgets:
            self.budgets = make_budgets(settings, self.reading, center=self._center)
        watch = Watch(self.reading, self._center, usage, budgets=self.budgets)
        super().__init__(
            ledger,
            prices=PriceBook(usage.prices),
            tenant=settings.tenant,
            spill_path=data_folder(settings) / "usage-spill.jsonl",
            queue_size=usage.queue_size,
            batch_size=usage.batch_size,
            flush_interval_s=usage.flush_interval_s,
            on_row=self.budgets.settle if self.budgets is not None else None,
            on_idle=watch.tick,
        )

    def close(self, timeout_s: float = 10.0) -> bool:
        """Flushes, delivers alerts that wait, and ends the background threads."""
        done = super().close(timeout_s)
        self.dispatcher.drain(min(timeout_s, 5.0))
        self.reading.close()
        return done


def assemble(settings: Settings) -> list[BaseCallbackHandler]:
    """Recorder first, then the budgets' guard where budgets are set."""
    recorder = Accounting(settings)
    if recorder.budgets is None:
        return [recorder]
    return [
        recorder,
        BudgetGuard(recorder.budgets, recorder=recorder, tenant=settings.tenant),
    ]


SEMANTIC_THRESHOLDS = {"strict": 0.92, "balanced": 0.87, "wide": 0.82}
"""The score that each setting of the semantic cache's precision asks for."""


def rule_data(settings: Settings, ledger: Ledger, *, days: int = 30) -> RuleData:
    """What the rules look at, with the settings they compare to."""
    return RuleData(
        ledger,
        queries.last_days(days),
        PriceBook(settings.usage.prices),
        cache_ttl_s=settings.cache.ttl_s,
        semantic_threshold=SEMANTIC_THRESHOLDS[settings.cache.semantic.precision],
    )
