"""How late the event loop is: whatever holds it up holds every request up."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

BEAT_S = 0.1
"""Between two beats, seconds."""

LATE_S = 2.0
"""An event loop that is so much late stood still, or is starved, seconds."""

REMEMBERED_BEATS = 100
"""So many beats are looked back on: some ten seconds."""


class Heartbeat:
    """A timer of the event loop; how much later than it should it rings, is the loop's lag.

    Args:
        late: Called with the lag in seconds where it is more than `LATE_S`.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, late: Callable[[float], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._late = late
        self._clock = clock
        self._lags: deque[float] = deque(maxlen=REMEMBERED_BEATS)
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins in the running event loop; a second call changes nothing."""
        if self._timer is None:
            self._set()

    def _set(self) -> None:
        self._due = self._clock() + BEAT_S
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._rings)

    def stop(self) -> None:
        """Ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._due = None

    def lag_s(self) -> float:
        """The longest lag of the last ten seconds, the one that may last still included."""
        return max([self._now_s(), *self._lags])

    def look(self) -> None:
        """Tells of a lag that lasts still: whoever asks may come before the timer."""
        if self._now_s() > LATE_S:
            self._late(self._now_s())

    def _now_s(self) -> float:
        return 0.0 if self._due is None else max(0.0, self._clock() - self._due)

    def _rings(self) -> None:
        lag = self._now_s()
        self._lags.append(lag)
        if lag > LATE_S:
            self._late(lag)
        self._set()
