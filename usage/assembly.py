"""Puts recorder, budgets and notifiers together from the settings.

A turn begins by assembling these, so what only the writer's thread or a budget needs (SQLAlchemy
above all: a third of a second) is imported where it is used.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from langchain_core.callbacks import BaseCallbackHandler

from allotrope.settings import Settings
from allotrope.usage.budgets.periods import Account, Directive, span, units
from allotrope.usage.ledger.places import ledger_url, spill_path
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.recorder import UsageRecorder
from allotrope.usage.recorder.rows import DAY_US, moment, scope_sums
from allotrope.usage.recorder.spill import Spill
from allotrope.usage.reports.alerts import AlertCenter, Watch
from allotrope.usage.reports.notifiers import Dispatcher, make_notifier

if TYPE_CHECKING:
    from allotrope.usage.budgets.guard import Budgets, BudgetState
    from allotrope.usage.budgets.reservations import FailoverReservations, SharedReservations
    from allotrope.usage.ledger.ledger import Ledger


def identity(settings: Settings) -> str:
    """What tells two sets of handlers apart."""
    return f"{ledger_url(settings)}|{settings.tenant}|{settings.redis!r}|{settings.usage!r}"


def spent_so_far(
    ledger: "Callable[[], Ledger]", spill: Spill
) -> Callable[[Account, datetime], int]:
    """A function that says what an account used in its period.

    Args:
        ledger: Gives the open ledger.
        spill: Its calls that wait for the ledger count, too.
    """

    def spent(account: Account, at: datetime) -> int:
        from allotrope.usage.queries import sums as queries

        period = span(account.budget.period, at)
        scope, name = account.budget.scope, account.name
        with spill.waiting() as rows:
            found = queries.scope_sum(
                ledger(), scope, name, queries.Window(period.start, period.end)
            )
            known = ledger().known([row.id for row in rows]) if rows else set()
        tokens, cost = found.tokens, found.cost or Decimal(0)
        waiting = {row.id: row for row in rows if row.id not in known}.values()
        for (day, *whose), sums in scope_sums(waiting).items():
            if whose == [scope, name] and period.start <= moment(day * DAY_US) < period.end:
                tokens, cost = tokens + sums["tokens"], cost + sums["cost"]
        return tokens if account.budget.usd is None else units(cost)

    return spent


def make_reservations(settings: Settings) -> "FailoverReservations":
    """Reservations in the settings' Redis, and in this process while that is gone."""
    from allotrope.usage.budgets.redis_reservations import RedisReservations
    from allotrope.usage.budgets.reservations import FailoverReservations, LocalReservations
    from allotrope.usage.budgets.unwritten import Unwritten

    unwritten, ttl_s = Unwritten(), settings.usage.reservation_ttl_s

    def shared() -> "SharedReservations | None":
        from allotrope.stores.redis.client import open_redis

        client = open_redis(settings)
        if client is None:
            return None
        prefix = settings.redis.prefix
        return RedisReservations(client, prefix=prefix, ttl_s=ttl_s, unwritten=unwritten)

    local = LocalReservations(ttl_s=ttl_s, unwritten=unwritten)
    return FailoverReservations(shared, local)


def make_budgets(
    settings: Settings, ledger: "Callable[[], Ledger]", *, center: AlertCenter | None = None
) -> "Budgets":
    """The budgets of the settings.

    Args:
        settings: Limits, and the Redis they are held in.
        ledger: Gives the open ledger.
        center: Raises alerts when thresholds are passed.
    """
    from allotrope.usage.budgets.guard import Budgets

    usage = settings.usage
    return Budgets(
        usage.budgets,
        reservations=make_reservations(settings),
        prices=PriceBook(usage.prices),
        spent=spent_so_far(ledger, Spill(spill_path(settings))),
        expected_output_tokens=usage.expected_output_tokens,
        hysteresis=usage.hysteresis_percent,
        on_level=center.level_passed if center is not None else None,
    )


def budget_states(settings: Settings, ledger: "Ledger", *, most: int = 20) -> "list[BudgetState]":
    """Every budget as it stands, in the settings' order.

    Args:
        settings: Limits, and the Redis they are held in.
        ledger: Open; knows who used a budget that each name of its scope has.
        most: So many names of such a budget, those who used most of it first; nobody so far is one
            account without a name.
    """
    from allotrope.usage.budgets.guard import BudgetState
    from allotrope.usage.budgets.reservations import Balance
    from allotrope.usage.queries import sums as queries

    budgets = make_budgets(settings, lambda: ledger)
    now = datetime.now(UTC)
    found = []
    for budget in settings.usage.budgets:
        if budget.scope == "all" or budget.match is not None:
            found.append(budgets.state(Account(budget, budget.match or "")))
            continue
        period = span(budget.period, now)
        names = [
            one.name
            for one in queries.top(
                ledger, budget.scope, queries.Window(period.start, period.end), limit=most,
                by="cost" if budget.usd is not None else "tokens",
            )
            if one.name
        ]  # fmt: skip
        if names:
            found += [budgets.state(Account(budget, name)) for name in names]
        else:
            nobody = BudgetState(Account(budget), Balance(0, 0), Directive(), None, period)
            found.append(nobody)
    return found


class OwnLedger:
    """A second connection to the ledger, opened when it is first asked for.

    Args:
        settings: Where the ledger is.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = ledger_url(settings)
        self._ledger: Ledger | None = None
        self._lock = threading.Lock()

    def __call__(self) -> "Ledger":
        """The open ledger."""
        with self._lock:
            if self._ledger is None:
                from allotrope.usage.ledger.ledger import Ledger

                self._ledger = Ledger(self._url).open()
        return self._ledger

    def close(self) -> None:
        """Closes it again."""
        with self._lock:
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None


class Accounting(UsageRecorder):
    """The recorder with the budgets and alerts of the settings.

    Args:
        settings: Everything of the section `usage`.
    """

    def __init__(self, settings: Settings) -> None:
        usage = settings.usage
        self.reading = OwnLedger(settings)
        self.dispatcher = Dispatcher([make_notifier(one) for one in usage.notifiers])
        self._center = AlertCenter(self.reading, self.dispatcher.send)
        self.budgets: Budgets | None = None
        if usage.budgets or usage.allowances:
            self.budgets = make_budgets(settings, self.reading, center=self._center)
        self._watch = Watch(
            self.reading,
            self._center,
            usage,
            budgets=self.budgets,
            advise=lambda ledger: _renew_advice(settings, ledger),
        )
        super().__init__(
            ledger_url(settings),
            prices=PriceBook(usage.prices),
            tenant=settings.tenant,
            spill_path=spill_path(settings),
            queue_size=usage.queue_size,
            batch_size=usage.batch_size,
            flush_interval_s=usage.flush_interval_s,
            on_row=self.budgets.settle if self.budgets is not None else None,
            on_written=self.budgets.written if self.budgets is not None else None,
            on_idle=self._idle,
        )

    def _idle(self) -> None:
        if self.budgets is not None:
            self.budgets.catch_up()
        self._watch.tick()

    def leave(self, timeout_s: float) -> None:
        """As the recorder's; alerts that wait are delivered only where there is time."""
        super().leave(timeout_s)
        if timeout_s:
            self.dispatcher.drain(min(timeout_s, 5.0))
            self.reading.close()

    def close(self, timeout_s: float = 10.0) -> bool:
        """Flushes, delivers alerts that wait, and ends the background threads."""
        done = super().close(timeout_s)
        self.dispatcher.drain(min(timeout_s, 5.0))
        self.reading.close()
        return done


def _renew_advice(settings: Settings, ledger: "Ledger") -> None:
    from allotrope.usage.advice.advice import advise

    advise(settings, ledger)


def assemble(settings: Settings) -> list[BaseCallbackHandler]:
    """Recorder first, then the budgets' guard where budgets are set."""
    recorder = Accounting(settings)
    if recorder.budgets is None:
        return [recorder]
    from allotrope.usage.budgets.guard import BudgetGuard

    return [
        recorder,
        BudgetGuard(recorder.budgets, recorder=recorder, tenant=settings.tenant),
    ]


_shared: dict[str, list[BaseCallbackHandler]] = {}
_shared_lock = threading.Lock()


def from_settings(settings: Settings) -> list[BaseCallbackHandler]:
    """The handlers that account for calls and hold budgets, one set per process and ledger.

    Named in `Settings.callbacks` as `allotrope.usage.assembly:from_settings`.

    Returns:
        The recorder, and the budgets' guard where budgets are set; nothing where usage is off.
    """
    if not settings.usage.enabled:
        return []
    with _shared_lock:
        key = identity(settings)
        if key not in _shared:
            _shared[key] = assemble(settings)
        return list(_shared[key])
