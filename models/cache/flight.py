"""Single flight: many identical questions at once make one request.

Within a process the first asker is the leader and the others wait for its future. Between processes
a Redis lease says who leads; it is renewed while the leader works and runs out soon after it dies,
and the first waiter to see that takes over.
"""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from allotrope.models.cache import store
from allotrope.models.cache.answers import AnswerCache, Call
from allotrope.models.cache.codec import Entry
from allotrope.models.cache.store import Partition, Steps

POLL_S = (0.01, 0.25)
"""First and longest pause of a waiter between two looks at another process's lease, seconds."""


@dataclass(frozen=True, kw_only=True)
class Landed:
    """How a flight ended.

    Args:
        entry: The answer, where it could be kept.
        error: What the leader's call raised.
        again: The leader was cancelled: somebody else must lead.
    """

    entry: Entry | None = None
    error: Exception | None = None
    again: bool = False


class Flight:
    """A leader's flight; it must land, whatever happens. Made by `Flights.board`."""

    def __init__(self, flights: "Flights", name: tuple[str, str], future: Future[Landed]) -> None:
        self._flights = flights
        self._name = name
        self._future = future
        self.lease: tuple[str, str] | None = None

    def land(self, landed: Landed) -> None:
        """Tells the waiters of this process; only the first call counts."""
        with self._flights.lock:
            if self._future.done():
                return
            self._flights.table.pop(self._name, None)
            self._future.set_result(landed)


class Flights:
    """All flights of this process.

    Args:
        answers: Where leases lie.
    """

    def __init__(self, answers: AnswerCache) -> None:
        self.lock = threading.Lock()
        self.table: dict[tuple[str, str], Future[Landed]] = {}
        self._answers = answers
        self.keeper = LeaseKeeper(answers)

    def board(self, call: Call) -> "Flight | Future[Landed]":
        """The flight to lead, or the future of the one that is under way."""
        name = (call.part.id, call.digest)
        with self.lock:
            future = self.table.get(name)
            if future is not None:
                return future
            future = self.table[name] = Future()
        return Flight(self, name, future)

    def lease_key(self, call: Call) -> str:
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

    def look(self, part: Partition, call: Call, key: str, token: str) -> Steps[tuple[Any, bool]]:
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
        self._leases: dict[str, str] = {}
        self._running = False

    def add(self, key: str, token: str) -> None:
        """Keeps a lease alive from now on."""
        with self._lock:
            self._leases[key] = token
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
            for key, token in leases.items():
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
