"""One call's wait for its first token, watched: the link between `overdue` and the circuits."""

import asyncio
import time
from dataclasses import dataclass
from typing import TypeVar

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.waiting.overdue import Overdue, OverdueRules, WaitingCall
from allotrope.models.waiting.stalls import STALLS
from allotrope.support.pools import TURNS

T = TypeVar("T")

REASON = "overdue"
"""Why a circuit is open that silence opened, and the code of calls given up for it."""

STILL_S = 5.0
"""Seconds this process may have stood still while others are judged by their silence."""

LOOK_S = 0.25
"""Longest pause between two looks of a held call."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is watched, and by which rules.

    Attributes:
        circuits: The breaker whose circuit opens.
        circuit: The name of the model's circuit.
        kind: What the call is compared with.
        timeout_s: The first-token timeout.
        rules: When silence is evidence.
    """

    circuits: Circuits
    circuit: str
    kind: str
    timeout_s: float
    rules: OverdueRules


class FirstTokenWatch:
    """Watches one call; `begin` and `end` frame each attempt.

    Args:
        watched: What and how; None watches nothing.
    """

    def __init__(self, watched: Watched | None) -> None:
        self.gave_up = False
        self._watched = watched
        self._flight: WaitingCall | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timeout: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._give_up_at: float | None = None

    def check(self) -> None:
        """Opens the circuit if the calls under way are silent, and lets them go elsewhere."""
        found = self._watched
        if found is None or not self.is_silent():
            return
        circuit = found.circuits.trip(found.circuit, reason=REASON)
        if circuit.state in ("open", "half_open", "isolated"):
            self._tracker().abandon(found.kind, self._tracker().usual_s(found.kind))

    def is_silent(self) -> bool:
        """Whether there is something to open a circuit for."""
        found = self._watched
        if found and STALLS.stood_still_s(time.monotonic() - found.timeout_s) > STILL_S:
            return False  # nobody could speak while this process stood still
        return found is not None and self._tracker().silent(
            found.kind, found.timeout_s, found.rules
        )

    def is_hushed(self) -> bool:
        """Whether the calls under way should be waited for before one more is sent."""
        found = self._watched
        return found is not None and self._tracker().hushed(found.kind, found.rules)

    def pause_s(self) -> float:
        """Seconds after which a held call looks by itself whether there is silence."""
        found = self._watched
        if found is None:
            return LOOK_S
        limit = self._tracker().limit_s(found.kind, found.timeout_s, found.rules)
        return LOOK_S if limit is None else min(LOOK_S, limit / 4)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """An attempt begins.

        Args:
            loop: Where the call runs.
        """
        found = self._watched
        self.gave_up, self._give_up_at, self._loop = False, None, loop
        if found is not None:
            self._flight = self._tracker().begin(found.kind, found.timeout_s, abandon=self._abandon)
            self._arm()

    def spoke(self) -> None:
        """The first token came."""
        if self._flight is not None and self._watched is not None:
            self._tracker().spoke(self._flight, self._watched.rules)
            self._still()
            self._watched.circuits.waiters.wake()

    def end(self) -> None:
        """The attempt ended."""
        if self._flight is not None:
            self._tracker().end(self._flight)
            self._still()
            if self._watched is not None:
                self._watched.circuits.waiters.wake()

    def enter(self, timeout: asyncio.Timeout) -> None:
        """The attempt waits under this timeout."""
        self._timeout = timeout
        self._hurry()

    def leave(self) -> None:
        """It no longer does."""
        self._timeout = None

    def _still(self) -> None:
        self._flight, self._give_up_at = None, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tracker(self) -> Overdue:
        assert self._watched is not None
        return self._watched.circuits.overdue

    def _arm(self) -> None:
        found = self._watched
        if self._loop is None or found is None or self._flight is None:
            return
        limit = self._tracker().limit_s(found.kind, found.timeout_s, found.rules)
        if limit is not None:
            self._timer = self._loop.call_later(limit / 2, self._look)

    def _look(self) -> None:
        if self._loop is not None and self._flight is not None:
            if self.is_silent():  # opening may take a round trip: not on the event loop
                self._loop.run_in_executor(TURNS.executor, self.check)
            self._arm()

    def _abandon(self, after_s: float) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._plan, after_s)

    def _plan(self, after_s: float) -> None:
        if self._flight is not None and self._loop is not None:
            self._give_up_at = self._loop.time() + after_s
            self._hurry()

    def _hurry(self) -> None:
        """Shortens the running timeout to when the call is to be given up."""
        if self._timeout is None or self._give_up_at is None:
            return
        when = self._timeout.when()
        if when is None or self._give_up_at < when:
            self.gave_up = True
            self._timeout.reschedule(self._give_up_at)
