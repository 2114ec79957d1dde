"""A turn under way: a task behind a queue, so that it can be stopped and isn't silent."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

from allotrope.contracts import Event
from allotrope.support.tasks import ended

BEAT: dict[str, Any] = {"type": Event.BEAT}
"""Says only that the turn still runs, so that no proxy and no client gives up on it."""

CLEAN_UP_S = 3.0
"""What turns that were cut off may take to clean up and to say so, seconds."""

PERSON, SERVER = "person", "server"
"""Who stopped a turn."""

Events = AsyncGenerator[dict[str, Any], None]


class RunningTurn:
    """One turn in a task of its own.

    The task, not the request that reads it, holds the thread: a client that goes away cancels
    its request in the middle of any cleaning up, and can't cancel that of the task.

    Args:
        source: Makes the turn's events, given this object.
        beat_s: Seconds of silence after which a beat is given.
        ended: Called when the task is over.
    """

    def __init__(
        self,
        source: "Callable[[RunningTurn], Events]",
        *,
        beat_s: float,
        ended: Callable[[], None],
    ) -> None:
        self.stopped: str | None = None
        """Who stopped it, if somebody did."""
        self._beat_s = beat_s
        self._ended = ended
        self._queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._failure: Exception | None = None
        self._ends = False
        self._task = asyncio.create_task(self._fill(source(self)))
        self._task.add_done_callback(self._over)

    async def _fill(self, source: Events) -> None:
        try:
            async with contextlib.aclosing(source) as events:
                async for event in events:
                    self._queue.put_nowait(event)
                    if self._ends:  # the cancellation was swallowed on its way
                        self._task.cancel()
        except Exception as exc:  # noqa: BLE001  # the reader raises it, where it belongs
            self._failure = exc

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._ended()
        self._queue.put_nowait(None)

    def stop(self, who: str) -> None:
        """Ends the turn at once; what it has given so far can still be read.

        Args:
            who: `PERSON` or `SERVER`.
        """
        if self.stopped is None and not self._task.done():
            self.stopped = who
            self._end()

    def go_on(self) -> None:
        """For the source of a turn that was stopped: it has noticed, and does a last thing."""
        self._ends = False
        while self._task.uncancel():
            pass

    async def end(self, *, patience_s: float) -> None:
        """Ends the turn, and waits until it has cleaned up.

        Args:
            patience_s: What cleaning up may take before the turn is cancelled again, seconds.
        """
        self.stop(SERVER)
        await asyncio.wait([self._task], timeout=patience_s)
        await ended(self._task, again_s=patience_s)

    def _end(self) -> None:
        self._ends = True
        self._task.cancel()

    async def events(self) -> Events:
        """The turn's events, with beats in its silences; whoever stops reading ends the turn.

        Raises:
            Exception: What the turn failed with. A turn that was stopped just ends.
        """
        try:
            while True:
                try:
                    async with asyncio.timeout(self._beat_s):
                        event = await self._queue.get()
                except TimeoutError:
                    yield BEAT
                    continue
                if event is None:
                    break
                yield event
            if self._failure is not None and self.stopped is None:
                raise self._failure
        finally:
            self._end()
