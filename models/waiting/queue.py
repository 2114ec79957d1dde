"""The queue of a server that answers one request at a time: first come, first served.

llama.cpp has a queue of its own, but who stands in that one can't leave it. Here a turn that waits
for the embedded model goes back to the model it comes from as soon as that can be asked again.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

from allotrope.models.waiting.caution import Waiters

LOOK_S = 0.25
"""Longest pause between two looks whether to leave, seconds."""

BACK_S = 5.0
"""A model whose circuit never opened is asked again after so many seconds in the queue."""

MOST_RETURNS = 3
"""How often a turn leaves the queue at most."""

Leaves = Callable[[bool], bool]
"""Whether to leave the queue now, told whether one is the newest in it."""


class CallQueue:
    """One request at a time."""

    def __init__(self) -> None:
        self._places: deque[Place] = deque()
        self._lock = threading.Lock()
        self._waiters = Waiters()

    def join(self) -> "Place":
        """A place at the end of the queue; `Place.leave` must end it."""
        place = Place(self)
        with self._lock:
            self._places.append(place)
        return place


class Place:
    """A place in the queue; the first one is served.

    Args:
        slot: Whose queue.
    """

    def __init__(self, slot: CallQueue) -> None:
        self._slot = slot

    async def aturn(self, leaves: Leaves, most_s: float | None) -> bool:
        """Waits until it is this one's turn.

        Args:
            leaves: Asked now and then whether to wait no longer.
            most_s: Seconds to wait at most; None: no limit.

        Returns:
            False where `leaves` said so.

        Raises:
            TimeoutError: It took too long.
        """
        if self._is_first():
            return True
        until = _until(most_s)
        with self._slot._waiters.task() as bell:
            while not self._is_first():
                bell.clear()
                if leaves(self._is_newest()):
                    return False
                if not self._is_first():
                    pause_s = _pause(until)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause_s):
                            await bell.wait()
        return True

    def leave(self) -> None:
        """Ends it; later calls do nothing."""
        with self._slot._lock:
            try:
                self._slot._places.remove(self)
            except ValueError:
                return
        self._slot._waiters.wake()

    def _is_first(self) -> bool:
        with self._slot._lock:
            return self._slot._places[0] is self

    def _is_newest(self) -> bool:
        with self._slot._lock:
            return self._slot._places[-1] is self


def _until(most_s: float | None) -> float:
    return float("inf") if most_s is None else time.monotonic() + most_s


def _pause(until: float) -> float:
    """Seconds until the next look.

    Raises:
        TimeoutError: It took too long.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return min(left, LOOK_S)
