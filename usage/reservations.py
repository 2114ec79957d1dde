"""Reserving money before a call, atomically: in Redis for all processes, else in this one.

A key holds what is spent and what is reserved in a period. `reserve` books an estimate on every
account of a call or on none; `settle` replaces it by what the call cost. Reservations of calls that
vanish are given back after a while.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from allotrope.stores.errors import error_name

logger = logging.getLogger(__name__)

REDIS_PAUSE_S = 5.0
"""How long a Redis that failed is left alone."""

# KEYS: two per account: hash {spent, reserved, open}, sorted set of "call:amount" by expiry. Redis
# may evict either alone. A lost hash is made anew from the ledger's seed and the set. A lost set
# shows in `open`, how many calls it should hold: their money stays reserved until they settle, and
# those that never do are given back at `lost`, when the last of them would have expired.
# ARGV: now, expiry, life of keys (s), call, then per account: amount, ceiling, seed ("" = unknown).
# A ceiling below 0 only counts and never refuses. Returns {refusing index or 0, spent, reserved …};
# {-i} asks for the seed of account i. All keys of a ledger share a hash tag, so a cluster takes it.
_RESERVE = """
local now, expiry, life, call = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local n = #KEYS / 2
local function recount(key, book)
  local held = 0
  for _, member in ipairs(redis.call('ZRANGE', book, 0, -1)) do
    held = held + tonumber(string.match(member, ':(%d+)$'))
  end
  redis.call('HSET', key, 'reserved', string.format('%.0f', held))
  redis.call('HSET', key, 'open', redis.call('ZCARD', book))
  redis.call('HDEL', key, 'lost')
end
for i = 1, n do
  local key, book = KEYS[2*i-1], KEYS[2*i]
  local known = redis.call('HEXISTS', key, 'spent') == 1
  if not known and ARGV[4 + 3*i] == '' then return {-i} end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', book, '-inf', '(' .. now)) do
    redis.call('ZREM', book, member)
    if known then
      redis.call('HINCRBY', key, 'reserved', '-' .. string.match(member, ':(%d+)$'))
      redis.call('HINCRBY', key, 'open', -1)
    end
  end
  if not known then
    redis.call('HSET', key, 'spent', ARGV[4 + 3*i])
    recount(key, book)
    redis.call('EXPIRE', key, life)
  elseif tonumber(redis.call('HGET', key, 'open') or '0') > redis.call('ZCARD', book) then
    redis.call('HSETNX', key, 'lost', expiry)
    if tonumber(redis.call('HGET', key, 'lost')) < now then recount(key, book) end
  end
end
local refusing, figures = 0, {}
for i = 1, n do
  local spent = redis.call('HGET', KEYS[2*i-1], 'spent')
  local reserved = redis.call('HGET', KEYS[2*i-1], 'reserved') or '0'
  local amount, ceiling = tonumber(ARGV[2 + 3*i]), tonumber(ARGV[3 + 3*i])
  if ceiling >= 0 and refusing == 0
     and tonumber(spent) + tonumber(reserved) + amount > ceiling then refusing = i end
  figures[2*i-1], figures[2*i] = spent, reserved
end
if refusing == 0 then
  for i = 1, n do
    local key, book, amount = KEYS[2*i-1], KEYS[2*i], ARGV[2 + 3*i]
    if amount ~= '0' then
      redis.call('HINCRBY', key, 'reserved', amount)
      redis.call('HINCRBY', key, 'open', redis.call('ZADD', book, expiry, call .. ':' .. amount))
    end
    redis.call('EXPIRE', book, life)
  end
end
return {refusing, unpack(figures)}
"""

# KEYS as above. ARGV: call, then per account: reserved amount ("" = none), spent amount.
_SETTLE = """
local call, figures = ARGV[1], {}
for i = 1, #KEYS / 2 do
  local key, book = KEYS[2*i-1], KEYS[2*i]
  local amount = ARGV[2*i]
  local booked = amount ~= '' and redis.call('ZREM', book, call .. ':' .. amount) == 1
  if redis.call('HEXISTS', key, 'spent') == 1 then
    local open = tonumber(redis.call('HGET', key, 'open') or '0')
    if booked or (amount ~= '' and amount ~= '0' and open > redis.call('ZCARD', book)) then
      redis.call('HINCRBY', key, 'reserved', '-' .. amount)
      if redis.call('HINCRBY', key, 'open', -1) <= redis.call('ZCARD', book) then
        redis.call('HDEL', key, 'lost')
      end
    end
    redis.call('HINCRBY', key, 'spent', ARGV[2*i + 1])
  end
  figures[2*i-1] = redis.call('HGET', key, 'spent') or ''
  figures[2*i] = redis.call('HGET', key, 'reserved') or '0'
end
return figures
"""

_RAISE = """
if redis.call('HEXISTS', KEYS[1], 'spent') == 1
   and tonumber(redis.call('HGET', KEYS[1], 'spent')) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'spent', ARGV[1])
end
return 1
"""


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


class LocalReservations:
    """Reservations of this process alone.

    Args:
        clock: Seconds, monotonic.
        ttl_s: Seconds until a reservation whose call vanished is given back.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, ttl_s: float = 900.0
    ) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._spent: dict[str, int] = {}
        self._open: dict[str, dict[str, tuple[int, float]]] = {}

    def reserve(
        self, call: str, bookings: Sequence[Booking], seed: Seed
    ) -> tuple[int | None, list[Balance]]:
        """See `Reservations`."""
        seeds = {b.key: seed(b.key) for b in bookings if b.key not in self._spent}
        with self._lock:
            now = self._clock()
            balances = []
            for booking in bookings:
                self._spent.setdefault(booking.key, seeds.get(booking.key, 0))
                book = self._open.setdefault(booking.key, {})
                for stale in [c for c, (_, until) in book.items() if until < now]:
                    del book[stale]
                reserved = sum(amount for amount, _ in book.values())
                balances.append(Balance(self._spent[booking.key], reserved))
            for index, (booking, balance) in enumerate(zip(bookings, balances, strict=True)):
                ceiling = booking.ceiling
                if ceiling is not None and balance.used + booking.amount > ceiling:
                    return index, balances
            for booking in bookings:
                self._open[booking.key][call] = (booking.amount, now + self._ttl_s)
            return None, balances

    def settle(
        self, call: str, spent: Sequence[tuple[str, int | None, int]]
    ) -> list[Balance | None]:
        """See `Reservations`."""
        with self._lock:
            after: list[Balance | None] = []
            for key, _, amount in spent:
                book = self._open.get(key, {})
                book.pop(call, None)
                if key not in self._spent:
                    after.append(None)
                    continue
                self._spent[key] += amount
                reserved = sum(reserved for reserved, _ in book.values())
                after.append(Balance(self._spent[key], reserved))
            return after

    def raise_spent(self, key: str, spent: int) -> None:
        """See `Reservations`."""
        with self._lock:
            if key in self._spent:
                self._spent[key] = max(self._spent[key], spent)


class RedisReservations:
    """Reservations shared by all processes that use the same Redis.

    Args:
        client: A `redis.Redis` of bytes.
        prefix: Before every key.
        wall_clock: Seconds since 1970.
        ttl_s: Seconds until a reservation whose call vanished is given back.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str,
        wall_clock: Callable[[], float] = time.time,
        ttl_s: float = 900.0,
    ) -> None:
        self._prefix = f"{prefix}{{budgets}}:"
        self._clock = wall_clock
        self._ttl_s = ttl_s
        self._reserve = client.register_script(_RESERVE)
        self._settle = client.register_script(_SETTLE)
        self._raise = client.register_script(_RAISE)

    def reserve(
        self, call: str, bookings: Sequence[Booking], seed: Seed
    ) -> tuple[int | None, list[Balance]]:
        """See `Reservations`."""
        seeds: dict[str, int] = {}
        now = self._clock()
        while True:
            arguments: list[Any] = [now, now + self._ttl_s]
            arguments += [max((b.life_s for b in bookings), default=60), call]
            for b in bookings:
                ceiling = -1 if b.ceiling is None else b.ceiling
                arguments += [b.amount, ceiling, seeds.get(b.key, "")]
            answer = self._reserve(keys=self._keys(b.key for b in bookings), args=arguments)
            if answer[0] < 0:
                key = bookings[-answer[0] - 1].key
                seeds[key] = seed(key)
                continue
            figures = [int(figure) for figure in answer[1:]]
            balances = [Balance(figures[2 * i], figures[2 * i + 1]) for i in range(len(bookings))]
            return (answer[0] - 1 if answer[0] else None), balances

    def settle(
        self, call: str, spent: Sequence[tuple[str, int | None, int]]
    ) -> list[Balance | None]:
        """See `Reservations`."""
        arguments: list[Any] = [call]
        for _, reserved, amount in spent:
            arguments += ["" if reserved is None else reserved, amount]
        figures = self._settle(keys=self._keys(key for key, _, _ in spent), args=arguments)
        return [
            Balance(int(figures[2 * i]), int(figures[2 * i + 1])) if figures[2 * i] else None
            for i in range(len(spent))
        ]

    def raise_spent(self, key: str, spent: int) -> None:
        """See `Reservations`."""
        self._raise(keys=[self._keys([key])[0]], args=[spent])

    def _keys(self, keys: Any) -> list[str]:
        return [f"{self._prefix}{key}{end}" for key in keys for end in ("", ":open")]


class FailoverReservations:
    """Redis while it answers, this process alone while it doesn't.

    Args:
        shared: Reservations in Redis; None where there is none.
        local: Reservations of this process.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        shared: Callable[[], Reservations | None],
        local: LocalReservations,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_shared = shared
        self._shared: Reservations | None = None
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
        shared = self._current()
        if shared is not None:
            try:
                return shared.reserve(call, bookings, seed)
            except Exception as exc:  # noqa: BLE001 - redis-py's and socket errors alike
                self._failed(exc)
        return self._local.reserve(call, bookings, seed)

    def settle(
        self, call: str, spent: Sequence[tuple[str, int | None, int]]
    ) -> list[Balance | None]:
        """See `Reservations`; both are settled, so that whichever serves next knows."""
        here = self._local.settle(call, spent)
        shared = self._current()
        if shared is not None:
            try:
                return shared.settle(call, spent)
            except Exception as exc:  # noqa: BLE001 - as above
                self._failed(exc)
        return here

    def raise_spent(self, key: str, spent: int) -> None:
        """See `Reservations`."""
        self._local.raise_spent(key, spent)
        shared = self._current()
        if shared is not None:
            with suppress(Exception):
                shared.raise_spent(key, spent)

    def _current(self) -> Reservations | None:
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
