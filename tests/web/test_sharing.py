"""What servers that share a Redis tell each other: leases end, whatever their renewal does."""

import asyncio
import random
import time

import pytest

from allotrope.settings import Settings
from allotrope.web import sharing
from allotrope.web.sharing import Sharing


async def test_a_lease_ends_though_the_event_loop_was_blocked(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation that comes while a Redis command is ready is lost in `asyncio.wait_for`."""
    monkeypatch.setattr(sharing, "LEASE_S", 0.15)
    shared = Sharing(redis_settings)
    await shared.open()
    chance = random.Random(14)

    async def work(number: int) -> None:
        for turn in range(3):
            async with shared.lease(f"thread-{number}-{turn}"):
                await asyncio.sleep(chance.uniform(0.03, 0.12))

    async def block() -> None:
        while True:
            await asyncio.sleep(0.02)
            time.sleep(chance.uniform(0.05, 0.45))  # noqa: ASYNC251  # what the test is about

    workers = [asyncio.create_task(work(number)) for number in range(40)]
    blocking = asyncio.create_task(block())
    _, stuck = await asyncio.wait(workers, timeout=60)
    blocking.cancel()
    for worker in stuck:
        worker.cancel()
    assert len(stuck) == 0
    for worker in workers:
        worker.result()
    await shared.aclose()
