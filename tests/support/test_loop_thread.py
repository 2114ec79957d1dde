"""Sync calls on the async core: the thread's loop ends when nothing runs on it any more."""

import asyncio
from typing import Any

from allotrope.support.loop_thread import LoopThread


def test_a_task_that_swallows_cancellations_is_over_before_its_loop_is_closed() -> None:
    thread, tasks = LoopThread(), list[asyncio.Task[Any]]()

    async def deaf() -> None:
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        await asyncio.Event().wait()

    async def call() -> None:
        tasks.append(asyncio.create_task(deaf()))
        await asyncio.sleep(0)

    thread.run(call())
    thread.close()
    assert tasks[0].cancelled()
