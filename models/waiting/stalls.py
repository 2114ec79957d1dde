"""When this process stood still: a blocked event loop, SIGSTOP, a machine that slept.

A timeout that ran out meanwhile says nothing about the provider. A beat on the event loop, kept up
while calls are made, notices by coming late; it is due before any timeout that ran out meanwhile,
so it is known in time.
"""

import asyncio
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

BEAT_S = 0.5
"""Seconds between two beats."""

LATE_S = 2.0
"""A beat so much too late means that the process stood still, seconds; less is a busy machine."""

LINGER_S = 300.0
"""Seconds after the last call for which the beat goes on; longer than a call takes."""


class Stalls:
    """The times this process stood still, the last few of them.

    Args:
        clock: Seconds of a clock that never goes back, and goes on while the process is stopped.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque(maxlen=32)
        self._wanted: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, float] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keeps the beat on a loop, from now on for `LINGER_S`; called on that loop."""
        now = self._clock()
        beats = loop in self._wanted
        self._wanted[loop] = now + LINGER_S
        if not beats:
            loop.call_later(BEAT_S, self._beat, weakref.ref(loop), now + BEAT_S)

    def note(self, due: float, now: float) -> None:
        """Something that was due came now; much too late, it means the process stood still."""
        if now - due >= LATE_S:
            with self._lock:
                self._seen.append((due, now))

    def stood_still_s(self, since: float) -> float:
        """Seconds this process stood still since a reading of the clock."""
        with self._lock:
            return sum(max(0.0, end - max(start, since)) for start, end in self._seen)

    def to_blame(self, since: float) -> bool:
        """Whether standing still took half of the time since then, or more."""
        still_s = self.stood_still_s(since)
        return still_s >= LATE_S and 2 * still_s >= self._clock() - since

    def clear(self) -> None:
        """Forgets everything, for tests."""
        with self._lock:
            self._seen.clear()

    def _beat(self, ref: "weakref.ref[asyncio.AbstractEventLoop]", due: float) -> None:
        loop, now = ref(), self._clock()
        self.note(due, now)
        if loop is None or loop.is_closed():
            return
        if now > self._wanted.get(loop, 0.0):
            self._wanted.pop(loop, None)
            return
        loop.call_later(BEAT_S, self._beat, ref, now + BEAT_S)


STALLS = Stalls()
"""Those of this process."""
