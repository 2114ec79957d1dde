"""An event loop in a thread of its own, so that sync calls run on the async core."""

import asyncio
import atexit
import contextlib
import os
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from allotrope.exceptions import InputError
from allotrope.support.tasks import ended

T = TypeVar("T")

CALL = "allotrope-call"
"""The name of a task that runs a sync call."""

CLEAN_UP_S = 0.15
"""How long a sync call that was interrupted waits for its work to clean up, seconds."""


class LoopThread:
    """Runs coroutines for callers that aren't async. Its thread starts at the first use.

    The waiting thread can be interrupted (Ctrl-C) at any time: the work is cancelled then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._end: weakref.finalize[..., LoopThread] | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end and gives its result.

        Args:
            work: The coroutine.

        Raises:
            InputError: The caller runs on this very loop, which would wait for itself.
        """
        begun, over = threading.Event(), threading.Event()

        async def run() -> T:
            begun.set()
            _named()
            try:
                return await work
            finally:
                over.set()

        future = self._submit(run(), work)
        try:
            return future.result()
        finally:
            if not future.done() and future.cancel():
                over.wait(CLEAN_UP_S)
            if not begun.is_set():
                work.close()

    def iterate(self, source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """The items of an async generator, which runs ahead of its reader.

        Who stops reading cancels it.

        Args:
            source: The generator.

        Raises:
            InputError: The caller runs on this very loop.
        """
        items: queue.SimpleQueue[tuple[T | None, BaseException | None, bool]] = queue.SimpleQueue()
        over = threading.Event()

        async def pump() -> None:
            _named()
            failure: BaseException | None = None
            try:
                async with contextlib.aclosing(source) as given:
                    async for item in given:
                        items.put((item, None, False))
            except BaseException as exc:
                failure = exc
                raise
            finally:
                items.put((None, failure, True))
                over.set()

        work = pump()
        future = self._submit(work, work)
        future.add_done_callback(_retrieve)
        try:
            while True:
                item, failure, last = items.get()
                if failure is not None:
                    raise failure
                if last:
                    return
                yield item  # type: ignore[misc]  # None only where the source gave None
        finally:
            if not over.is_set() and future.cancel():
                over.wait(CLEAN_UP_S)

    def close(self) -> None:
        """Ends the loop with all it still runs; a later call starts a new one."""
        with self._lock:
            loop, thread, end = self._loop, self._thread, self._end
            self._loop = self._thread = self._end = None
        if loop is None or thread is None or end is None:
            return
        end()
        thread.join(timeout=5)

    def forget(self) -> None:
        """Leaves the loop to the process that this one was forked from."""
        self._lock = threading.Lock()
        if self._end is not None:
            self._end.detach()
        self._loop = self._thread = self._end = None

    def _submit(self, run: Coroutine[Any, Any, T], work: Coroutine[Any, Any, Any]) -> "Future[T]":
        with self._lock:
            if self._loop is None:
                self._start()
            loop, thread = self._loop, self._thread
        assert loop is not None
        if thread is threading.current_thread():
            run.close()
            work.close()
            raise InputError(
                "A sync call on the event loop of sync calls would wait for itself.",
                hint="Use the async one: `aask`, `aresume`, `astream`, `ainvoke`.",
            )
        return asyncio.run_coroutine_threadsafe(run, loop)

    def _start(self) -> None:
        loop = asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(
            target=_serve, args=(loop,), name="allotrope-loop", daemon=True
        )
        self._thread.start()
        self._end = weakref.finalize(self, _stop, loop)
        self._end.atexit = False  # the thread is a daemon; at exit nobody waits for it


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(_wind_up())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(asyncio.sleep(0))  # what was closed says so in the next round
    finally:
        loop.close()  # doesn't wait for threads that still work


async def _wind_up() -> None:
    """Ends the calls, then what they left to close; whatever takes longer is cancelled again.

    The loop is closed afterwards, and a task that is pending then leaves its connection open.
    """
    for calls in (True, False):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            if (task.get_name() == CALL) is calls:
                task.cancel()
        if left:
            await asyncio.wait(left, timeout=1)
    await ended(*asyncio.all_tasks() - {asyncio.current_task()})


def _named() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.set_name(CALL)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError):  # closed already
        loop.call_soon_threadsafe(loop.stop)


def _retrieve(done: "Future[None]") -> None:
    """The reader has had the failure from the queue."""
    if not done.cancelled():
        done.exception()


SYNC_CALLS = LoopThread()
"""Runs the sync calls of models, in this process."""
atexit.register(SYNC_CALLS.close)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SYNC_CALLS.forget)  # the thread stays with the parent
