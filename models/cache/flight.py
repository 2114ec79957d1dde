"""Single flight: many identical questions at once make one request.

Within a process the first asker is the leader and the others wait for its future. Between processes
a Redis lease says who leads; it is renewed while the leader works and runs out soon after it dies,
and the first waiter to see that takes over.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from allotrope.models.cache.answers import AnswerCache, CacheCall, Hit
from allotrope.models.cache.storage import commands as store
from allotrope.models.cache.storage.commands import Partition, Steps

POLL_S = (0.01, 0.25)
"""First and longest pause of a waiter between two looks at another process's lease, seconds."""

PATIENCE_S = 1.0
"""Seconds a leader's reader may take for one chunk until nobody waits for that stream any more."""


@dataclass(frozen=True, kw_only=True)
class Landed:
    """How a flight ended.

    Args:
        hit: The answer, where it could be kept.
        space: What the leader's question was compared within, for a hit of the semantic tier.
        error: What the leader's call raised.
        again: The leader was cancelled, or its reader pauses: somebody else must lead.
    """

    hit: Hit | None = None
    space: str = ""
    error: Exception | None = None
    again: bool = False


class Flight:
    """A leader's flight; it must land, whatever happens. Made by `Flights.board`.

    Attributes:
        future: How it ended, for those who wait.
        lease: Key and token of the lease between processes, where it holds one.
    """

    def __init__(self, flights: "Flights", name: tuple[str, str]) -> None:
        self._flights = flights
        self._name = name
        self._handed_over: float | None = None
        self.future: Future[Landed] = Future()
        self.lease: tuple[str, str] | None = None

    @contextmanager
    def reader_has_it(self) -> Iterator[None]:
        """While the leader's reader has a chunk and hasn't asked for the next one."""
        self._handed_over = time.monotonic()
        try:
            yield
        finally:
            self._handed_over = None

    @property
    def held_up(self) -> bool:
        """Whether the leader's reader pauses, so that nobody should wait for it."""
        since = self._handed_over
        return since is not None and time.monotonic() - since > PATIENCE_S

    def land(self, landed: Landed) -> None:
        """Tells the waiters of this process; only the first call counts."""
        with self._flights.lock:
            if self.future.done():
                return
            self._flights.table.pop(self._name, None)
            self.future.set_result(landed)


class Flights:
    """All flights of this process.

    Args:
        answers: Where leases lie.
    """

    def __init__(self, answers: AnswerCache) -> None:
        self.lock = threading.Lock()
        self.table: dict[tuple[str, str], Flight] = {}
        self._answers = answers
        self.keeper = LeaseKeeper(answers)

    def board(self, call: CacheCall) -> tuple[Flight, bool]:
        """The flight of those who ask this, and whether the caller leads it."""
        name = (call.part.id, call.digest)
        with self.lock:
            under_way = self.table.get(name)
            if under_way is not None:
                return under_way, False
            flight = self.table[name] = Flight(self, name)
        return flight, True

    def lease_key(self, call: CacheCall) -> str:
        """The key of the lease between processes."""
        return call.part.key("f", call.digest)

    def new_token(self) -> str:
        """A token nobody else has."""
        return uuid.uuid4().hex

    def take(self, key: str, token: str) -> Steps[bool]:
        """The steps that take the lease; False when somebody has it."""
        lease_ms = int(self._answers.settings.lease_s * 1000)
        (reply,) = yield [("SET", key, token, "NX", "PX", lease_ms)]
        if isinstance(reply, Exception):
            raise reply
        return reply is not None

    def look(
        self, part: Partition, call: CacheCall, key: str, token: str
    ) -> Steps[tuple[Any, bool]]:
        """The steps of a waiter: is the answer there, and if the lease is free, take it."""
        lease_ms = int(self._answers.settings.lease_s * 1000)
        value, taken = yield [
            ("GET", part.key("e", call.digest)),
            ("SET", key, token, "NX", "PX", lease_ms),
        ]
        if isinstance(taken, Exception):
            raise taken
        return (value if isinstance(value, bytes) else None), taken is not None

    def release(self, key: str, token: str) -> Steps[int]:
        """The steps that give the lease back; in two commands where scripts aren't allowed."""
        (reply,) = yield [("EVAL", store.RELEASE, 1, key, token)]
        if not isinstance(reply, Exception):
            return int(reply)
        (held,) = yield [("GET", key)]
        if held == token.encode():
            yield [("UNLINK", key)]
        return 0


class LeaseKeeper:
    """Renews the leases of this process from one daemon thread that lives while there are any.

    Args:
        answers: Where leases lie.
        sleep: Waits the given seconds.
    """

    def __init__(
        self, answers: AnswerCache, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._answers = answers
        self._sleep = sleep
        self._lock = threading.Lock()
        self._leases: dict[str, tuple[str, Flight]] = {}
        self._running = False

    def add(self, key: str, token: str, flight: Flight) -> None:
        """Keeps a flight's lease alive from now on, as long as its reader doesn't pause."""
        with self._lock:
            self._leases[key] = token, flight
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="allotrope-leases", daemon=True).start()

    def remove(self, key: str) -> None:
        """Lets a lease go."""
        with self._lock:
            self._leases.pop(key, None)

    def _run(self) -> None:
        pause = self._answers.settings.lease_s / 3
        while True:
            self._sleep(pause)
            with self._lock:
                leases = dict(self._leases)
                if not leases:
                    self._running = False
                    return
            for key, (token, flight) in leases.items():
                if not flight.held_up:  # else it runs out, and another process takes over
                    self._answers.execute(self._renew(key, token))

    def _renew(self, key: str, token: str) -> Steps[None]:
        yield [
            ("EVAL", store.RENEW, 1, key, token, int(self._answers.settings.lease_s * 1000)),
        ]


class Pauses:
    """Seconds between two looks: each half as long again as the one before, up to a limit."""

    def __init__(self) -> None:
        self._next = POLL_S[0]

    def next(self) -> float:
        """The next pause in seconds."""
        pause = self._next
        self._next = min(POLL_S[1], pause * 1.5)
        return pause
