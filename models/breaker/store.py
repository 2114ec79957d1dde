"""Where circuits are kept: in this process, or in Redis for all processes.

A transition is computed by the pure state machine and written by one atomic Lua script that swaps
by version: what another process changed in between is never overwritten, the loser computes again
on top of it. One hash per circuit and one key per script keep it safe on a cluster.
"""

import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any, Protocol

from allotrope.exceptions import StoreError
from allotrope.models.breaker.facts import Bucket, Circuit, Seen
from allotrope.stores.errors import error_name

SWAP = """
local now = redis.call('TIME')
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if not tonumber(version) then version = '0' end
if version ~= ARGV[1] then
  return {0, now[1], now[2], redis.call('HGETALL', KEYS[1])}
end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[2] == '0' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return {1, now[1], now[2], {}}
"""
"""KEYS: the circuit. ARGV: expected version, seconds to live (0: for ever), field, value, …
Answers whether it was written, the server's time, and else the circuit as it is."""

KEEP_S = 86_400
"""A circuit nobody touches for a day is forgotten; one an operator holds is not."""


class BreakerStore(Protocol):
    """What a breaker needs of its storage. May raise `StoreError`."""

    def load(self, name: str) -> Circuit:
        """The circuit as it is; a new closed one where there is none."""

    def swap(self, before: Circuit, after: Circuit) -> Circuit | None:
        """Writes `after` (with the next version) if the circuit is still at `before`.

        Returns:
            None when written; else the circuit as it is.
        """

    def names(self) -> list[str]:
        """The names of all circuits it has."""

    def now(self) -> float:
        """Seconds since the epoch, the same for all who share the store."""


class LocalStore:
    """Circuits of this process alone.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}
        self._lock = threading.Lock()

    def load(self, name: str) -> Circuit:
        """The circuit as it is."""
        return self._circuits.get(name) or Circuit(name=name)

    def swap(self, before: Circuit, after: Circuit) -> Circuit | None:
        """Writes `after` if nobody was quicker."""
        with self._lock:
            current = self.load(before.name)
            if current.version != before.version:
                return current
            self._circuits[before.name] = dataclasses.replace(after, version=before.version + 1)
            return None

    def put(self, circuit: Circuit) -> None:
        """Takes over a circuit as it is, with its version."""
        with self._lock:
            self._circuits[circuit.name] = circuit

    def names(self) -> list[str]:
        """The names of all circuits."""
        return sorted(self._circuits)

    def now(self) -> float:
        """The clock's time."""
        return self._clock()


class RedisStore:
    """Circuits that all processes share.

    Times are the server's, so that machines with different clocks agree.

    Args:
        client: A Redis or Redis Cluster client; it must not retry by itself.
        prefix: Before every key.
        clock: Seconds since the epoch here; its distance to the server's is measured.
        server_time: False trusts `clock` alone, for tests with a clock of their own.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str,
        clock: Callable[[], float],
        server_time: bool = True,
    ) -> None:
        self._client = client
        self._prefix = f"{prefix}breaker:"
        self._clock = clock
        self._server_time = server_time
        self._offset = 0.0
        self._script = client.register_script(SWAP)

    def load(self, name: str) -> Circuit:
        """The circuit as it is: the script with a version that never is."""
        found = self._run(Circuit(name=name), expected="-1")
        return found if found is not None else Circuit(name=name)

    def swap(self, before: Circuit, after: Circuit) -> Circuit | None:
        """Writes `after` if nobody was quicker, in one round trip."""
        return self._run(
            dataclasses.replace(after, version=before.version + 1), expected=str(before.version)
        )

    def names(self) -> list[str]:
        """The names of all circuits, by SCAN."""
        try:
            found = self._client.scan_iter(match=f"{_escaped(self._prefix)}*", count=500)
            return sorted(_text(key)[len(self._prefix) :] for key in found)
        except Exception as exc:
            raise _store_error(exc) from exc

    def now(self) -> float:
        """The server's time as last heard, going on by our clock."""
        return self._clock() + self._offset

    def close(self) -> None:
        """Closes the client."""
        self._client.close()

    def _run(self, circuit: Circuit, *, expected: str) -> Circuit | None:
        held = circuit.state in ("isolated", "disabled")
        left = max(0.0, circuit.opened_until - self.now())
        arguments: list[str | int] = [expected, 0 if held else KEEP_S + int(left)]
        for field, value in encode(circuit).items():
            arguments += [field, value]
        before = self._clock()
        try:
            written, seconds, micros, flat = self._script(
                keys=[self._prefix + circuit.name], args=arguments
            )
        except Exception as exc:
            raise _store_error(exc) from exc
        if self._server_time:
            middle = (before + self._clock()) / 2
            self._offset = int(seconds) + int(micros) / 1e6 - middle
        if int(written):
            return None
        return decode(circuit.name, flat)


def _store_error(exc: Exception) -> Exception:
    """Redis trouble becomes ours; anything else is a bug and stays what it is."""
    import redis

    if isinstance(exc, (redis.RedisError, OSError)):
        return StoreError(f"The breaker's Redis doesn't answer ({error_name(exc)}).")
    return exc


def _escaped(prefix: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


_TIMES = ("since", "opened_until", "probe_until")
_COUNTS = ("version", "generation", "trips", "consecutive", "probe_successes")


def encode(circuit: Circuit) -> dict[str, str]:
    """The fields of the hash, readable with `redis-cli HGETALL`."""
    fields = {name: str(getattr(circuit, name)) for name in _COUNTS}
    fields |= {name: repr(float(getattr(circuit, name))) for name in _TIMES}
    fields["state"] = circuit.state
    fields["probe_owner"] = circuit.probe_owner or ""
    fields["reason"] = circuit.reason or ""
    fields["buckets"] = json.dumps([dataclasses.astuple(bucket) for bucket in circuit.buckets])
    fields["errors"] = json.dumps([dataclasses.astuple(seen) for seen in circuit.errors])
    return fields


def decode(name: str, flat: Any) -> Circuit:
    """The circuit of a hash; one that can't be read counts as new rather than as a failure.

    Args:
        name: The circuit's name.
        flat: The answer of HGETALL inside a script: a flat list, or a mapping under RESP3.
    """
    items = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=False)
    fields = {_text(key): _text(value) for key, value in items}
    if not fields:
        return Circuit(name=name)
    version = fields.get("version", "0")
    try:
        state = fields["state"]
        if state not in ("closed", "open", "half_open", "isolated", "disabled"):
            raise ValueError(state)
        return Circuit(
            name=name,
            state=state,  # type: ignore[arg-type]  # checked above
            probe_owner=fields["probe_owner"] or None,
            reason=fields["reason"] or None,
            buckets=tuple(Bucket(*map(int, row)) for row in json.loads(fields["buckets"])),
            errors=tuple(Seen(*row) for row in json.loads(fields["errors"])),
            since=float(fields["since"]),
            opened_until=float(fields["opened_until"]),
            probe_until=float(fields["probe_until"]),
            version=int(fields["version"]),
            generation=int(fields["generation"]),
            trips=int(fields["trips"]),
            consecutive=int(fields["consecutive"]),
            probe_successes=int(fields["probe_successes"]),
        )
    except (KeyError, ValueError, TypeError):
        return Circuit(name=name, version=int(version) if version.isdigit() else 0)
