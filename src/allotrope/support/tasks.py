"""Ending tasks, and closing with an event loop what was opened on it.

One `cancel()` may be lost, so whoever waits for a task's end asks again.

A cancellation that comes while the awaited result is ready is lost in `asyncio.wait_for` before
Python 3.12 (redis-py writes each command through it), and in every `except` that takes too much.
The task then goes on as if nobody had asked, and who waits for its end waits for ever.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Any

logger = logging.getLogger(__name__)

AGAIN_S = 0.5
"""After so many seconds a task that was cancelled and goes on is cancelled again."""

TRIES = 10
"""So often a task is cancelled before it is left to itself."""


async def ended(*tasks: "asyncio.Task[Any]", again_s: float = AGAIN_S) -> bool:
    """Cancels tasks until they are over. What they failed with is no one's concern any more.

    Args:
        tasks: Not the one that calls.
        again_s: How long a task may take to clean up before it is cancelled again, seconds.

    Returns:
        Whether all are over; those that aren't after ten times are left to themselves.
    """
    for _ in range(TRIES):
        running = [task for task in tasks if not task.done()]
        if not running:
            break
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=again_s)
    for task in tasks:
        if not task.done():
            logger.error("a task can't be ended: %s", task.get_name())
        elif not task.cancelled():
            task.exception()  # asked for, so that asyncio doesn't complain when it is collected
    return all(task.done() for task in tasks)


_closing: set["asyncio.Task[None]"] = set()


def end_on(loop: asyncio.AbstractEventLoop, keeper: AsyncGenerator[None, None]) -> None:
    """Ends a generator on its loop, from whatever thread; nobody waits for it.

    A generator that closes something when it ends closes it with its loop: a loop ends the
    generators it began, when it ends itself and when one is collected.

    Args:
        loop: On which it began. Where that has ended, so has the generator.
        keeper: The generator.
    """
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_end, loop, keeper)


def _end(loop: asyncio.AbstractEventLoop, keeper: AsyncGenerator[None, None]) -> None:
    task = loop.create_task(keeper.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
