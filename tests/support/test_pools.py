"""Work that blocks waits only behind work of its own kind, and what is too much is refused."""

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Iterator

import pytest

from allotrope.exceptions import PoolFullError
from allotrope.support import pools
from allotrope.support.pools import LONG_TEXT, THREAD_TEXT, Pool, beside_loop, pool_for
from allotrope.web.errors import problem_of


@pytest.fixture
def small() -> Iterator[Pool]:
    """One thread, and room for one more piece of work."""
    made = Pool("small", "a test's work", threads=1, waiting=1)
    yield made
    made.executor.shutdown(wait=False)
    pools._pools.remove(made)


@contextlib.asynccontextmanager
async def busy(pool: Pool, count: int):  # type: ignore[no-untyped-def]
    """Work in all threads of a pool and before them, which ends with the block."""
    begun, over = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        loop.call_soon_threadsafe(begun.set)
        over.wait()

    tasks = [asyncio.create_task(pool.run(block)) for _ in range(count)]
    await begun.wait()
    try:
        yield tasks
    finally:
        over.set()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_full_pool_refuses_and_says_what_it_has_too_much_of(small: Pool) -> None:
    called: list[int] = []
    async with busy(small, 2):
        assert small.use().full
        with pytest.raises(PoolFullError, match="a test's work") as refused:
            await small.run(called.append, 1)
    problem = problem_of(refused.value)
    assert (problem.status, problem.code, problem.retry_after_s) == (503, "overloaded", 1.0)
    assert called == []
    await small.run(called.append, 2)
    assert called == [2]
    assert small.use() == pools.PoolUse(0, 0, 0.0, full=False)


async def test_a_pool_whose_work_waits_too_long_is_full() -> None:
    now = [0.0]
    made = Pool("slow", "a test's work", threads=1, waiting=50, clock=lambda: now[0])
    try:
        async with busy(made, 2):
            assert not made.use().full
            now[0] += pools.LONGEST_WAIT_S + 0.1
            assert made.use().full
    finally:
        made.executor.shutdown(wait=False)
        pools._pools.remove(made)


async def test_other_pools_go_on_while_one_is_full(small: Pool) -> None:
    async with busy(small, 2):
        for pool in pools.pools():
            if pool is not small:
                assert await pool.run(threading.current_thread) is not threading.main_thread()


async def test_who_is_cancelled_while_waiting_leaves_the_line(small: Pool) -> None:
    called: list[int] = []
    async with busy(small, 1):
        waiting = asyncio.create_task(small.run(called.append, 1))
        await asyncio.sleep(0)
        assert small.use().waiting == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert small.use().waiting == 0
    assert called == []


async def test_work_that_was_begun_keeps_its_thread_when_its_caller_goes(small: Pool) -> None:
    async with busy(small, 1) as (task,):
        task.cancel()
        await asyncio.wait([task])
        assert small.use().running == 1
    await small.run(int)
    assert small.use().running == 0


async def test_work_sees_the_variables_of_its_caller(small: Pool) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
    variable.set("mine")
    assert await small.run(variable.get) == "mine"


@pytest.mark.parametrize(
    ("characters", "prefix"),
    [
        (THREAD_TEXT - 1, None),
        (THREAD_TEXT, "allotrope-turns"),
        (LONG_TEXT, "allotrope-long_texts"),
    ],
)
async def test_long_texts_are_read_beside_the_loop(characters: int, prefix: str | None) -> None:
    ran = await beside_loop(characters, threading.current_thread)
    if prefix is None:
        assert ran is threading.current_thread()
    else:
        assert ran.name.startswith(prefix)
        assert pool_for(characters).name in ran.name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(small: Pool) -> None:
    small.executor.submit(int).result()
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = small.executor.submit(int).result(20)
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
