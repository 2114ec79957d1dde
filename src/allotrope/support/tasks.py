"""Ending tasks: one `cancel()` may be lost, so whoever waits for the end asks again.

A cancellation that comes while the awaited result is ready is lost in `asyncio.wait_for` before
Python 3.12 (redis-py writes each command through it), and in every `except` that takes too much.
The task then goes on as if nobody had asked, and who waits for its end waits for ever.
"""

import asyncio
import logging
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
