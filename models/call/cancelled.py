"""A call that is cancelled ends as LangChain's handlers know ends: they hear of it.

`BaseChatModel.agenerate` waits for its calls by `asyncio.gather`. A cancellation ends that wait and
none of the handlers hears of the call again, be it that it was cut off, had just been answered, or
hadn't begun. Whoever accounts for calls would never book it, and hold what was reserved for it.
So the wait goes on here, and only the call in it is cancelled: that LangChain tells.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

AGAIN_S = 0.5
"""After so many seconds a call that was cancelled and goes on is cancelled again."""

TRIES = 10


class Cancelling:
    """The calls of one `agenerate`, to be cancelled together."""

    def __init__(self) -> None:
        self._calls: set[asyncio.Task[Any]] = set()
        self._asked = False

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """The running task makes a call; it doesn't begin where all are to end.

        Raises:
            CancelledError: They are.
        """
        task = asyncio.current_task()
        assert task is not None
        if self._asked:
            raise asyncio.CancelledError
        self._calls.add(task)
        try:
            yield
        finally:
            self._calls.discard(task)

    def cancel(self) -> None:
        """Ends those that run, and lets none begin."""
        self._asked = True
        for task in list(self._calls):
            task.cancel()


_cancelling: ContextVar[Cancelling | None] = ContextVar("cancelling", default=None)
_left: set["asyncio.Task[Any]"] = set()
"""Waits that were cancelled twice and end by themselves; the event loop holds tasks weakly."""


@contextlib.contextmanager
def one_call() -> Iterator[None]:
    """Around a call of a model, within `told`; elsewhere it does nothing."""
    cancelling = _cancelling.get()
    if cancelling is None:
        yield
        return
    with cancelling.call():
        yield


async def reported(work: Coroutine[Any, Any, T]) -> T:
    """Waits for LangChain's own handling of calls; a cancellation ends the calls, then the wait.

    Args:
        work: `agenerate`; each call in it stands in `one_call`.
    """
    cancelling = Cancelling()
    before = _cancelling.set(cancelling)
    try:
        task = asyncio.ensure_future(work)  # takes the context as it is now
    finally:
        _cancelling.reset(before)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _left.add(task)
        task.add_done_callback(_over)
        for _ in range(TRIES):
            cancelling.cancel()
            await asyncio.wait([task], timeout=AGAIN_S)
            if task.done():
                break
        raise


def _over(task: "asyncio.Task[Any]") -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()  # who cancelled it has no use for what it failed with
