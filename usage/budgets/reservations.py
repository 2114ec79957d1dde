"""Reserving money before a call, atomically: in Redis for all processes, else in this one.

Without Redis a process learns from the ledger what the others spent, and looks there often.

A key holds what is spent and what is reserved in a period. `reserve` books an estimate on every
account of a call or on none; `settle` replaces it by what the call cost. Reservations of calls that
vanish are given back after a while.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from allotrope.stores.errors import error_name
from allotrope.usage.budgets.unwritten import Settled, Unwritten

logger = logging.getLogger(__name__)

REDIS_PAUSE_S = 5.0
"""How long a Redis that failed is left alone."""

AGED_S = 5.0
"""A balance that was read from the ledger so long ago is read again before a call may begin."""

SAID_LIMIT = 10_000
"""Of how many accounts it is remembered what Redis last said; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Booking:
    """One account's part of a reservation.

    Attributes:
        key: The account and its period.
        amount: What the call is expected to use.
        ceiling: What must not be passed; None only counts.
        life_s: Seconds until the key may be forgotten.
    """

    key: str
    amount: int
    ceiling: int | None
    life_s: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What is spent and reserved on an account."""

    spent: int
    reserved: int

    @property
    def used(self) -> int:
        """Both together."""
        return self.spent + self.reserved


Seed = Callable[[str], int]
"""What the ledger says is spent on a key; asked when nobody remembers."""


class Reservations(Protocol):
    """Where reservations are kept."""

    def reserve(
        self, call: str, bookings: Sequence[Booking], seed: Seed
    ) -> tuple[int | None, list[Balance]]:
        """Books all or none; gives the index of the refusing account, and the balances before."""

    def settle(
        self, call: str, spent: Sequence[tuple[str, int | None, int]]
    ) -> list[Balance | None]:
        """Replaces (key, reserved, spent) per account; gives the balances after, where known."""

    def raise_spent(self, key: str, spent: int) -> None:
        """Corrects what is spent upwards to what the ledger says."""

    def written(self, calls: Iterable[str]) -> None:
        """The ledger, or the spill, has these calls: seeds of later on have them, too."""

    def catch_up(self, seed: Seed) -> None:
        """Learns what other processes did; called about once per flush of the ledger."""


class SharedReservations(Reservations, Protocol):
    """Reservations that may be away for a while."""

    def doubt(self, keys: Iterable[str]) -> None:
        """These balances may lack calls, or have some twice: they are seeded anew."""


@dataclass(slots=True)
class _Held:
    spent: int = 0
    looked: float = 0.0
    used: bool = True
    open: dict[str, tuple[int, float]] = field(default_factory=dict)

    def reserved(self) -> int:
        return sum(amount for amount, _ in self.open.values())


class LocalReservations:
    """Reservations of this process alone.

    Args:
        clock: Seconds, monotonic.
        ttl_s: Seconds until a reservation whose call vanished is given back.
        unwritten: What this process has settled; default: of its own.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        ttl_s: float = 900.0,
        unwritten: Unwritten | None = None,
    ) -> None:
        self.unwritten = unwritten or Unwritten()
        self._clock = clock
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._said: dict[str, int] = {}

    def reserve(
        self, call: str, bookings: Sequence[Booking], seed: Seed
    ) -> tuple[int | None, list[Balance]]:
        """See `Reservations`."""
        for booking in bookings:
            held = self._held.get(booking.key)
            if held is None or self._clock() > held.looked + AGED_S:
                self._look(booking.key, seed)
        with self._lock:
            now = self._clock()
            balances = []
            for booking in bookings:
                held = self._held[booking.key]
                held.used = True
                for stale in [c for c, (_, until) in held.open.items() if until < now]:
                    del held.open[stale]
                balances.append(Balance(held.spent, held.reserved()))
            for index, (booking, balance) in enumerate(zip(bookings, balances, strict=True)):
                ceiling = booking.ceiling
                if ceiling is not None and balance.used + booking.amount > ceiling:
                    return index, balances
            for booking in bookings:
                self._held[booking.key].open[call] = (booking.amount, now + self._ttl_s)
            return None, balances

    def _look(self, key: str, seed: Seed) -> None:
        """Reads the ledger; where it can't be read, what was known before holds.

        Raises:
            Exception: What `seed` raises, where nothing was known.
        """
        at = self.unwritten.clock()
        found: int | None = None
        try:
            found = seed(key)
        except Exception:
            if key not in self._held and key not in self._said:
                raise
        with self._lock:
            held = self._held.setdefault(key, _Held())
            if found is not None:
                held.spent = found + self.unwritten.after(key, at)
            if (said := self._said.get(key)) is not None:
                lacking = sum(row.amount for row in self.unwritten.missing(key))
                held.spent = max(held.spent, said + lacking)
            held.looked = self._clock()
            held.used = False

    def settle(
        self, call: str, spent: Sequence[tuple[str, int | None, int]]
    ) -> list[Balance | None]:
        """See `Reservations`."""
        with self._lock:
            after: list[Balance | None] = []
            for key, reserved, amount in spent:
                is_new = self.unwritten.add(Settled(call, key, reserved, amount))
                held = self._held.get(key)
                if held is None:
                    after.append(None)
                    continue
                held.open.pop(call, None)
                held.spent += amount if is_new else 0
                after.append(Balance(held.spent, held.reserved()))
            return after

    def raise_spent(self, key: str, spent: int) -> None:
        """See `Reservations`."""
        with self._lock:
            if (held := self._held.get(key)) is not None:
                held.spent = max(held.spent, spent)

    def written(self, calls: Iterable[str]) -> None:
        """See `Reservations`."""
        self.unwritten.written(calls)

    def catch_up(self, seed: Seed) -> None:
        """See `Reservations`: reads the ledger again for the accounts that calls asked for."""
        for key in [key for key, held in list(self._held.items()) if held.used]:
            with suppress(Exception):
                self._look(key, seed)

    def shared_said(self, key: str, spent: int) -> None:
        """What Redis had: the least that is spent, should it be away when the next call comes."""
        with self._lock:
            self._said.pop(key, None)
            self._said[key] = spent
            while len(self._said) > SAID_LIMIT:
                del self._said[next(iter(self._said))]


class _UnseededError(Exception):
    """The ledger can't be read, and Redis doesn't know the balance."""


class FailoverReservations:
    """Redis while it answers, this process alone while it doesn't.

    Args:
        shared: Reservations in Redis; None where there is none.
        local: Reservations of this process.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        shared: Callable[[], SharedReservations | None],
        local: LocalReservations,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_shared = shared
        self._shared: SharedReservations | None = None
        self._made = False
        self._local = local
        self._clock = clock
        self._pause_until = 0.0
        self._lock = threading.Lock()

    @property
    def is_shared(self) -> bool:
        """Whether Redis is used at present."""
        return self._shared is not None and self._clock() >= self._pause_until

    def reserve(
        self, call: str, bookings: Sequence[Booking], seed: Seed
    ) -> tuple[int | None, list[Balance]]:
        """See `Reservations`."""

        def known(key: str) -> int:
            try:
                return seed(key)
            except Exception as exc:
                raise _UnseededError from exc

        shared = self._current()
        if shared is not None:
            try:
                found = shared.reserve(call, bookings, known)
            except _UnseededError:
                pass
            except Exception as exc:  # noqa: BLE001 - redis-py's and socket errors alike
                self._failed(exc)
            else:
                for booking, balance in zip(bookings, found[1], strict=True):
                    self._local.shared_said(booking.key, balance.spent)
                return found
        return self._local.reserve(call, bookings, seed)

    def settle(
        self, call: str, spent: Sequence[tuple[str, int | None, int]]
    ) -> list[Balance | None]:
        """See `Reservations`; both are settled, so that whichever serves next knows."""
        here = self._local.settle(call, spent)
        shared = self._current()
        if shared is not None:
            try:
                found = shared.settle(call, spent)
            except Exception as exc:  # noqa: BLE001 - as above
                self._failed(exc)
            else:
                for (key, _, _), balance in zip(spent, found, strict=True):
                    if balance is not None:
                        self._local.shared_said(key, balance.spent)
                return found
        if self._shared is not None:
            self._shared.doubt(key for key, _, _ in spent)
        return here

    def written(self, calls: Iterable[str]) -> None:
        """See `Reservations`."""
        self._local.written(calls)

    def catch_up(self, seed: Seed) -> None:
        """See `Reservations`."""
        shared = self._current()
        if shared is None:
            self._local.catch_up(seed)
            return
        try:
            shared.catch_up(seed)
        except Exception as exc:  # noqa: BLE001 - as above
            self._failed(exc)

    def raise_spent(self, key: str, spent: int) -> None:
        """See `Reservations`."""
        self._local.raise_spent(key, spent)
        shared = self._current()
        if shared is not None:
            with suppress(Exception):
                shared.raise_spent(key, spent)

    def _current(self) -> SharedReservations | None:
        if self._clock() < self._pause_until:
            return None
        if not self._made:
            with self._lock:
                if not self._made:
                    self._shared = self._make_shared()
                    self._made = True
        return self._shared

    def _failed(self, exc: Exception) -> None:
        if self._pause_until == 0.0:
            logger.warning(
                "Redis doesn't answer (%s): budgets are held by each process alone until it does.",
                error_name(exc),
            )
        self._pause_until = self._clock() + REDIS_PAUSE_S
