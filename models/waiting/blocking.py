"""Blocking calls that can be given up: each in a thread of its own, which is left behind then.

A thread that waits on a socket can't be interrupted. What can be done is not to wait for it: the
caller goes on to the next model, and the thread ends by the socket's timeout, its result dropped.
"""

import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class GivenUpError(Exception):
    """The work was given up; its thread is left behind."""


class Blocking(Generic[T]):
    """One piece of blocking work.

    Args:
        work: What blocks. It runs in a copy of the caller's context.
        drop: Told the result nobody waited for, to close what it holds.
    """

    def __init__(self, work: Callable[[], T], *, drop: Callable[[T], object]) -> None:
        self._work = work
        self._drop = drop
        self._lock = threading.Lock()
        self._stirred = threading.Event()
        self._done = False
        self._left = False
        self._results: list[T] = []
        self._error: BaseException | None = None

    @property
    def left(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._left

    def stir(self) -> None:
        """Lets the waiting caller ask again how long it is to wait."""
        self._stirred.set()

    def run(self, patience_s: Callable[[], float | None]) -> T:
        """Does the work.

        Args:
            patience_s: Seconds until it is to be asked again; None: don't wait any longer.

        Raises:
            GivenUpError: Nobody waits for it any more.
        """
        thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._go,),
            name="allotrope-call",
            daemon=True,
        )
        thread.start()
        try:
            while not self._done:
                seconds = patience_s()
                if seconds is None:
                    raise GivenUpError
                self._stirred.wait(seconds)
                self._stirred.clear()
        except GivenUpError:
            if self._leave():
                raise
        except BaseException:  # Ctrl-C leaves it behind, too
            self._leave()
            raise
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _leave(self) -> bool:
        """Whether it is left behind now; no longer possible once it is done."""
        with self._lock:
            self._left = not self._done
            return self._left

    def _go(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as exc:  # noqa: BLE001 - raised where it is waited for
            self._error = exc
        with self._lock:
            self._done = True
        if self._left:
            with contextlib.suppress(Exception):
                for result in self._results:
                    self._drop(result)
        self._stirred.set()
