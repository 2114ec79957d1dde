"""A store in this process's memory that answers the steps of `store` where there is no Redis.

It interprets the few commands we send, so that every operation is written once.
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from allotrope.models.cache.storage import commands as store
from allotrope.models.cache.storage.commands import Command


class MemoryRedis:
    """The subset of Redis that the cache uses, for one process.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._values: dict[str, tuple[bytes, float]] = {}
        self._hashes: dict[str, dict[bytes, bytes]] = {}
        self._sets: dict[str, set[bytes]] = {}
        self._orders: dict[str, OrderedDict[str, float]] = {}
        self._logs: dict[str, list[tuple[bytes, list[bytes]]]] = {}
        self._sequence = 0

    def execute_command(self, *command: Any) -> Any:
        """Runs one command."""
        with self._lock:
            return getattr(self, f"_{command[0].lower()}")(*command[1:])

    def pipeline(self, *, transaction: bool = False) -> "_MemoryPipeline":
        """Collects commands to run together."""
        return _MemoryPipeline(self)

    def scan_iter(self, *, match: str, count: int = 500) -> list[str]:
        """All keys that start like `match` without its star."""
        start = match.rstrip("*").replace("\\", "")
        with self._lock:
            tables: list[dict[str, Any]] = [
                self._values, self._hashes, self._sets, self._orders, self._logs,
            ]  # fmt: skip
            return [key for table in tables for key in table if key.startswith(start)]

    def close(self) -> None:
        """Nothing to close."""

    def _get(self, key: str) -> bytes | None:
        value, until = self._values.get(key, (None, 0.0))
        if value is not None and until <= self._clock():
            del self._values[key]
            return None
        return value

    def _set(self, key: str, value: Any, *options: Any) -> bytes | None:
        if "NX" in options and self._get(key) is not None:
            return None
        ttl = options[options.index("PX") + 1] / 1000 if "PX" in options else float("inf")
        self._values[key] = (_bytes(value), self._clock() + ttl)
        return b"OK"

    def _unlink(self, *keys: str) -> int:
        gone = 0
        for key in keys:
            for table in (self._values, self._hashes, self._sets, self._orders, self._logs):
                gone += table.pop(key, None) is not None
        return gone

    def _zadd(self, key: str, *rest: Any) -> int:
        order = self._orders.setdefault(key, OrderedDict())
        if rest[0] == "XX" and rest[2] not in order:
            return 0
        order[rest[-1]] = float(rest[-2])
        order.move_to_end(rest[-1])
        return 1

    def _zcard(self, key: str) -> int:
        return len(self._orders.get(key, ()))

    def _hset(self, key: str, field: Any, value: Any) -> int:
        self._hashes.setdefault(key, {})[_bytes(field)] = _bytes(value)
        return 1

    def _hget(self, key: str, field: Any) -> bytes | None:
        return self._hashes.get(key, {}).get(_bytes(field))

    def _hgetall(self, key: str) -> dict[bytes, bytes]:
        return dict(self._hashes.get(key, {}))

    def _hincrby(self, key: str, field: Any, by: int) -> int:
        table = self._hashes.setdefault(key, {})
        value = int(table.get(_bytes(field), b"0")) + int(by)
        table[_bytes(field)] = str(value).encode()
        return value

    def _sadd(self, key: str, *values: Any) -> int:
        self._sets.setdefault(key, set()).update(map(_bytes, values))
        return len(values)

    def _smembers(self, key: str) -> set[bytes]:
        return set(self._sets.get(key, ()))

    def _expire(self, key: str, seconds: int) -> int:
        return 1

    def _xadd(self, key: str, *rest: Any) -> bytes:
        log = self._logs.setdefault(key, [])
        if rest[0] == "MAXLEN":
            del log[: max(0, len(log) + 1 - int(rest[2]))]
            rest = rest[3:]  # MAXLEN ~ limit
        self._sequence += 1
        name = f"{self._sequence}-0".encode()
        log.append((name, [_bytes(part) for part in rest[1:]]))
        return name

    def _xrange(self, key: str, start: str, end: str, *rest: Any) -> list[Any]:
        after = int(start.lstrip("(").split("-")[0]) if start != "-" else 0
        found = [
            [name, fields]
            for name, fields in self._logs.get(key, ())
            if int(name.split(b"-")[0]) > after
        ]
        return found[: int(rest[1])] if rest else found

    def _eval(self, script: str, keys: int, *rest: Any) -> int:
        names, arguments = rest[:keys], rest[keys:]
        if script is store.PUT:
            return self._put(names, arguments)
        if script is store.DROP:
            return sum(self._forget(names, arguments[0], name) for name in arguments[1:])
        if self._get(names[0]) != _bytes(arguments[0]):
            return 0
        if script is store.RELEASE:
            return self._unlink(names[0])
        self._values[names[0]] = (
            _bytes(arguments[0]),
            self._clock() + int(arguments[1]) / 1000,
        )
        return 1

    def _put(self, keys: Any, arguments: Any) -> int:
        entry, lru, meta, exp, stats = keys
        digest, value, ttl_ms, now, max_entries, max_bytes, base, tags, info, _ = arguments
        books = (lru, meta, exp, stats)
        expired = [n for n, until in self._orders.get(exp, {}).items() if until <= now]
        for name in (*expired, digest):
            self._forget(books, base, name)
        self._set(entry, value, "PX", ttl_ms)
        size = len(value) + 200
        self._hset(meta, digest, json.dumps({**json.loads(info), "b": size, "t": json.loads(tags)}))
        self._hincrby(stats, "bytes", size)
        self._hincrby(stats, "stores", 1)
        self._zadd(lru, now, digest)
        self._zadd(exp, now + ttl_ms / 1000, digest)
        for tag in json.loads(tags):
            self._sets.setdefault(f"{base}t:{tag}", set()).add(_bytes(digest))
        evicted = 0
        while len(self._orders[lru]) > 1 and (
            len(self._orders[lru]) > max_entries or int(self._hashes[stats][b"bytes"]) > max_bytes
        ):
            self._forget(books, base, next(name for name in self._orders[lru] if name != digest))
            evicted += 1
        if evicted:
            self._hincrby(stats, "evictions", evicted)
        return evicted

    def _forget(self, books: Any, base: str, name: str) -> int:
        lru, meta, exp, stats = books
        old = self._hashes.get(meta, {}).pop(_bytes(name), None)
        if old is not None:
            info = json.loads(old)
            self._hincrby(stats, "bytes", -info["b"])
            for tag in info["t"]:
                self._sets.get(f"{base}t:{tag}", set()).discard(_bytes(name))
        for order in (lru, exp):
            if order in self._orders:
                self._orders[order].pop(name, None)
        return self._unlink(f"{base}e:{name}")


class _MemoryPipeline:
    def __init__(self, memory: MemoryRedis) -> None:
        self._memory = memory
        self._commands: list[Command] = []

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        return [self._memory.execute_command(*command) for command in self._commands]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
