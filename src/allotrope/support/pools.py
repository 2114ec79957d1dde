"""Threads for what would hold up the event loop, apart by kind of work.

asyncio has one pool of a few threads for everything: six slow look-ups in it stop every turn. Here
work waits only behind work of its own kind, no kind has more than its share of threads, and what
is too much is refused at once instead of piling up.
"""

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from allotrope.exceptions import PoolFullError

P = ParamSpec("P")
T = TypeVar("T")

THREAD_TEXT = 16_384
"""Characters from which texts are read in a thread: reading them would hold the event loop up."""

LONG_TEXT = 65_536
"""Characters from which they are read in the few threads of `LONG_TEXTS`."""

LONGEST_WAIT_S = 2.0
"""A pool is full where work has waited for a thread for so long, seconds."""


@dataclass(frozen=True)
class PoolUse:
    """How a pool is used now.

    Attributes:
        running: Pieces of work that have a thread.
        waiting: Pieces of work that wait for one.
        waits_s: Seconds for which the first of them has waited.
        full: Whether work is refused, or has waited for longer than `LONGEST_WAIT_S`.
    """

    running: int
    waiting: int
    waits_s: float
    full: bool


class Pool:
    """Threads for one kind of work, and a line before them that isn't endless.

    It belongs to the process: any event loop and any thread may use it. A piece of work must not
    wait for another one of the same pool. The threads are made as they are needed.

    Args:
        name: What `/healthz` and refusals call it.
        does: What it is for, in words.
        threads: Most of them.
        waiting: Pieces of work that may wait for a thread.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        does: str,
        *,
        threads: int,
        waiting: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.does = does
        self.threads = threads
        self.waiting = waiting
        self._clock = clock
        self._reset()
        _pools.append(self)

    def _reset(self) -> None:
        """As at the start; a forked process has none of the threads."""
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._waits: dict[int, float] = {}
        self._held = self._number = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function in a thread of the pool, with the caller's context variables.

        A caller that is cancelled doesn't wait; what has begun goes on and keeps its thread.

        Args:
            function: It may block.
            args: For the function.
            kwargs: For the function.

        Raises:
            PoolFullError: As much waits as may; the function isn't called.
        """
        within = contextvars.copy_context()
        call = partial(within.run, function, *args, **kwargs)
        return await asyncio.wrap_future(self.executor.submit(call))

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The threads; what is submitted is counted and refused as by `run`."""
        with self._lock:
            if self._executor is None:
                self._executor = _Executor(self)
            return self._executor

    def for_a_loop(self) -> ThreadPoolExecutor:
        """The same with threads that an event loop may end with itself, as its default executor."""
        return _Executor(self)

    def use(self) -> PoolUse:
        """How it is used now."""
        with self._lock:
            first = next(iter(self._waits.values()), None)
            waiting, held = len(self._waits), self._held
        waits_s = 0.0 if first is None else self._clock() - first
        full = held >= self.threads + self.waiting or waits_s > LONGEST_WAIT_S
        return PoolUse(held - waiting, waiting, waits_s, full)

    def _enter(self) -> int:
        """A number for a piece of work that comes."""
        with self._lock:
            if self._held >= self.threads + self.waiting:
                raise PoolFullError(
                    f"This server has as much to do of one kind as it takes: {self.does}.",
                    pool=self.name,
                )
            self._held += 1
            self._number += 1
            self._waits[self._number] = self._clock()
            return self._number

    def _begin(self, number: int, call: Callable[[], T]) -> T:
        with self._lock:
            self._waits.pop(number, None)
        return call()

    def _leave(self, number: int) -> None:
        with self._lock:
            self._waits.pop(number, None)
            self._held -= 1


class _Executor(ThreadPoolExecutor):
    """The threads of a pool."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.threads, thread_name_prefix=f"allotrope-{pool.name}")
        self._pool = pool

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        number = self._pool._enter()
        try:
            future = super().submit(self._pool._begin, number, partial(fn, *args, **kwargs))
        except BaseException:
            self._pool._leave(number)
            raise
        future.add_done_callback(lambda _: self._pool._leave(number))
        return future


_pools: list[Pool] = []

TURNS = Pool("turns", "steps of turns", threads=16, waiting=1_024)
"""What turns do between calls of a model: prompts, memory, circuits; the stores that they ask."""

LONG_TEXTS = Pool("long_texts", "long texts that are read", threads=2, waiting=128)
"""The same with long texts; few, since they take the processor from everybody."""

SOURCES = Pool("sources", "files, tables, pages of the web and sandboxes", threads=8, waiting=128)
"""What agents work on."""

KEYS = Pool("keys", "look-ups of keys", threads=4, waiting=512)
"""Who calls; asked by every request."""

PAGES = Pool("pages", "pages and lists of threads", threads=4, waiting=64)
"""What people look at: threads and the dashboard."""

STATUS = Pool("status", "status and metrics", threads=2, waiting=32)
"""What watches a server looks at."""

UPKEEP = Pool("upkeep", "work in the background", threads=4, waiting=64)
"""What nobody waits for: opening, watching, closing."""

HEALTH = Pool("health", "looks at this server's health", threads=2, waiting=64)
"""What `/healthz` looks at, which must not wait for anything else."""

TOOLS = Pool("tools", "tools and libraries", threads=64, waiting=256)
"""The event loop's own pool in a server: tools that aren't async, look-ups of host names."""


def pools() -> tuple[Pool, ...]:
    """All pools of this process."""
    return tuple(_pools)


def pool_for(characters: int) -> Pool:
    """The pool for a step of a turn that reads so many characters."""
    return TURNS if characters < LONG_TEXT else LONG_TEXTS


async def beside_loop(
    characters: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Calls a function that only computes; in a thread where it has much text to read.

    Args:
        characters: Of all texts that it reads.
        function: What reads it.
        args: For the function.
        kwargs: For the function.

    Raises:
        PoolFullError: Too many texts wait already.
    """
    if characters < THREAD_TEXT:
        return function(*args, **kwargs)
    return await pool_for(characters).run(function, *args, **kwargs)


def _forked() -> None:
    for pool in _pools:
        pool._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
