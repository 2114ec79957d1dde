"""Reservations in Redis, for all processes that use it."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from allotrope.usage.budgets.reservations import Balance, Booking, Seed
from allotrope.usage.budgets.unwritten import Settled, Unwritten

# KEYS: two per account: hash {spent, seeded, reserved, open}, sorted set of "call:amount" by
# expiry. Redis may evict either alone. A lost hash is made anew from the ledger's seed and the set;
# `seeded` says when the ledger was read, so that each process adds what it lacked then. A lost set
# shows in `open`, how many calls it should hold: their money stays reserved until they settle, and
# those that never do are given back at `lost`, when the last of them would have expired.
# ARGV: now, expiry, life of keys (s), call, then per account: amount, ceiling, seed ("" = unknown),
# when it was read, and the seeding that the caller knows ("" = any will do).
# A ceiling below 0 only counts and never refuses. Returns {refusing index or 0, spent, reserved …};
# {-i} asks for the seed of account i, {-i, seeding} says that it was seeded anew. All keys of a
# ledger share a hash tag, so a cluster takes it.
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
  if not known and ARGV[2 + 5*i] == '' then return {-i} end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', book, '-inf', '(' .. now)) do
    redis.call('ZREM', book, member)
    if known then
      redis.call('HINCRBY', key, 'reserved', '-' .. string.match(member, ':(%d+)$'))
      redis.call('HINCRBY', key, 'open', -1)
    end
  end
  if not known then
    redis.call('HSET', key, 'spent', ARGV[2 + 5*i], 'seeded', ARGV[3 + 5*i])
    recount(key, book)
    redis.call('EXPIRE', key, life)
  elseif tonumber(redis.call('HGET', key, 'open') or '0') > redis.call('ZCARD', book) then
    redis.call('HSETNX', key, 'lost', expiry)
    if tonumber(redis.call('HGET', key, 'lost')) < now then recount(key, book) end
  end
  local seeded = redis.call('HGET', key, 'seeded') or '0'
  if ARGV[4 + 5*i] ~= '' and ARGV[4 + 5*i] ~= seeded then return {-i, seeded} end
end
local refusing, figures = 0, {}
for i = 1, n do
  local spent = redis.call('HGET', KEYS[2*i-1], 'spent')
  local reserved = redis.call('HGET', KEYS[2*i-1], 'reserved') or '0'
  local amount, ceiling = tonumber(ARGV[5*i]), tonumber(ARGV[1 + 5*i])
  if ceiling >= 0 and refusing == 0
     and tonumber(spent) + tonumber(reserved) + amount > ceiling then refusing = i end
  figures[2*i-1], figures[2*i] = spent, reserved
end
if refusing == 0 then
  for i = 1, n do
    local key, book, amount = KEYS[2*i-1], KEYS[2*i], ARGV[5*i]
    if amount ~= '0' then
      redis.call('HINCRBY', key, 'reserved', amount)
      redis.call('HINCRBY', key, 'open', redis.call('ZADD', book, expiry, call .. ':' .. amount))
    end
    redis.call('EXPIRE', book, life)
  end
end
return {refusing, unpack(figures)}
"""

# KEYS as above. ARGV: call, then per account: reserved amount ("" = none), spent amount, and the
# seeding that the caller knows: a balance of another one is left as it is. Returns per account:
# spent ("" = unknown), reserved, seeding.
_SETTLE = """
local call, figures = ARGV[1], {}
for i = 1, #KEYS / 2 do
  local key, book = KEYS[2*i-1], KEYS[2*i]
  local amount = ARGV[3*i - 1]
  local known = redis.call('HEXISTS', key, 'spent') == 1
  local seeded = redis.call('HGET', key, 'seeded') or '0'
  if not known or seeded == ARGV[3*i + 1] then
    local booked = amount ~= '' and redis.call('ZREM', book, call .. ':' .. amount) == 1
    if known then
      local open = tonumber(redis.call('HGET', key, 'open') or '0')
      if booked or (amount ~= '' and amount ~= '0' and open > redis.call('ZCARD', book)) then
        redis.call('HINCRBY', key, 'reserved', '-' .. amount)
        if redis.call('HINCRBY', key, 'open', -1) <= redis.call('ZCARD', book) then
          redis.call('HDEL', key, 'lost')
        end
      end
      redis.call('HINCRBY', key, 'spent', ARGV[3*i])
    end
  end
  figures[3*i-2] = redis.call('HGET', key, 'spent') or ''
  figures[3*i-1] = redis.call('HGET', key, 'reserved') or '0'
  figures[3*i] = seeded
end
return figures
"""

# KEYS as above. Returns per account the seeding, "" where the balance is unknown.
_SEEDED = """
local found = {}
for i = 1, #KEYS / 2 do
  local key = KEYS[2*i-1]
  local known = redis.call('HEXISTS', key, 'spent') == 1
  found[i] = known and (redis.call('HGET', key, 'seeded') or '0') or ''
end
return found
"""

_RAISE = """
if redis.call('HEXISTS', KEYS[1], 'spent') == 1
   and tonumber(redis.call('HGET', KEYS[1], 'spent')) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'spent', ARGV[1])
end
return 1
"""


class RedisReservations:
    """Reservations shared by all processes that use the same Redis.

    Args:
        client: A `redis.Redis` of bytes.
        prefix: Before every key.
        wall_clock: Seconds since 1970.
        ttl_s: Seconds until a reservation whose call vanished is given back.
        unwritten: What this process has settled; default: of its own.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str,
        wall_clock: Callable[[], float] = time.time,
        ttl_s: float = 900.0,
        unwritten: Unwritten | None = None,
    ) -> None:
        self._client = client
        self._prefix = f"{prefix}{{budgets}}:"
        self._clock = wall_clock
        self._ttl_s = ttl_s
        self._unwritten = unwritten or Unwritten(clock=wall_clock)
        self._adding = threading.Lock()  # of what a balance lacks: each call once
        self._doubted: set[str] = set()
        self._reserve = client.register_script(_RESERVE)
        self._settle = client.register_script(_SETTLE)
        self._seeded = client.register_script(_SEEDED)
        self._raise = client.register_script(_RAISE)

    def reserve(
        self, call: str, bookings: Sequence[Booking], seed: Seed
    ) -> tuple[int | None, list[Balance]]:
        """See `Reservations`."""
        seeds: dict[str, tuple[int, str]] = {}
        for booking in bookings:
            self._believe(booking.key)
            self._add_missing(booking.key)
        while True:
            now = self._clock()
            arguments: list[Any] = [now, now + self._ttl_s]
            arguments += [max((b.life_s for b in bookings), default=60), call]
            for b in bookings:
                ceiling = -1 if b.ceiling is None else b.ceiling
                arguments += [b.amount, ceiling, *seeds.get(b.key, ("", ""))]
                arguments.append(self._unwritten.seeding(b.key))
            answer = self._reserve(keys=self._keys(b.key for b in bookings), args=arguments)
            if answer[0] < 0:
                key = bookings[-answer[0] - 1].key
                if len(answer) == 1:
                    at = f"{self._unwritten.clock():.6f}"
                    seeds[key] = (seed(key), at)
                else:
                    self._unwritten.seeded(key, answer[1].decode())
                    self._add_missing(key)
                continue
            figures = [int(figure) for figure in answer[1:]]
            balances = [Balance(figures[2 * i], figures[2 * i + 1]) for i in range(len(bookings))]
            return (answer[0] - 1 if answer[0] else None), balances

    def settle(
        self, call: str, spent: Sequence[tuple[str, int | None, int]]
    ) -> list[Balance | None]:
        """See `Reservations`."""
        rows = [Settled(call, key, reserved, amount) for key, reserved, amount in spent]
        for row in rows:
            self._unwritten.add(row)
        with self._adding:
            while True:
                balances = self._add(rows)
                both = zip(rows, balances, strict=True)
                if not any(balance and self._unwritten.lacks(row) for row, balance in both):
                    return balances

    def raise_spent(self, key: str, spent: int) -> None:
        """See `Reservations`."""
        self._raise(keys=[self._keys([key])[0]], args=[spent])

    def written(self, calls: Iterable[str]) -> None:
        """See `Reservations`."""
        self._unwritten.written(calls)

    def catch_up(self, seed: Seed) -> None:
        """See `Reservations`: adds what balances lack that others seeded anew."""
        keys = self._unwritten.keys()
        if not keys:
            return
        found = self._seeded(keys=self._keys(keys), args=[])
        for key, seeding in zip(keys, found, strict=True):
            if seeding:
                self._unwritten.seeded(key, seeding.decode())
                self._add_missing(key)

    def doubt(self, keys: Iterable[str]) -> None:
        """Whether Redis counted the last calls isn't known: the next to reserve seeds anew."""
        self._doubted.update(keys)

    def _believe(self, key: str) -> None:
        if key in self._doubted:
            self._client.hdel(self._keys([key])[0], "spent")
            self._doubted.discard(key)

    def _add_missing(self, key: str) -> None:
        if not self._unwritten.missing(key):
            return
        with self._adding:
            for row in self._unwritten.missing(key):
                self._add([row])

    def _add(self, rows: Sequence[Settled]) -> list[Balance | None]:
        """Adds one call to the accounts whose balance lacks it; gives all their balances."""
        arguments: list[Any] = [rows[0].call if rows else ""]
        for row in rows:
            arguments += ["" if row.reserved is None else row.reserved, row.amount]
            lacks = self._unwritten.lacks(row)
            arguments.append(self._unwritten.seeding(row.key) if lacks else "+")
        figures = self._settle(keys=self._keys(row.key for row in rows), args=arguments)
        found: list[Balance | None] = []
        for index, row in enumerate(rows):
            spent, reserved, seeding = figures[3 * index : 3 * index + 3]
            if not spent:
                found.append(None)
                continue
            found.append(Balance(int(spent), int(reserved)))
            if arguments[3 * index + 3] == seeding.decode():
                self._unwritten.counted(row, seeding.decode())
            else:
                self._unwritten.seeded(row.key, seeding.decode())
        return found

    def _keys(self, keys: Iterable[str]) -> list[str]:
        return [f"{self._prefix}{key}{end}" for key in keys for end in ("", ":open")]
