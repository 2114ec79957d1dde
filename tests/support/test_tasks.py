"""Tasks end though they swallow a cancellation."""

import asyncio
import gc

from allotrope.support.tasks import ended


async def test_a_task_that_swallows_cancellations_is_cancelled_again() -> None:
    swallowed = []

    async def deaf() -> None:
        while len(swallowed) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(1)
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    assert await ended(task, again_s=0.01)
    assert len(swallowed) == 3
    assert task.cancelled()


async def test_a_task_that_never_ends_is_left_to_itself() -> None:
    over = asyncio.Event()

    async def deaf() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    assert not await ended(task, again_s=0.001)
    over.set()
    await task


async def test_what_a_task_failed_with_is_not_complained_about() -> None:
    complaints: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    async def fails() -> None:
        raise ValueError("nobody asks")

    failed = loop.create_task(fails())
    await asyncio.sleep(0)
    assert await ended(failed)
    del failed
    gc.collect()
    assert complaints == []
