"""Work for after the answer: one background thread does it, in order; the next turn joins it."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

logger = logging.getLogger(__name__)


class Later:
    """Runs what a turn needn't wait for. Its thread starts at the first use.

    A process that is killed loses what was not yet run: only hand in what the next turn would do
    again.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pending: dict[tuple[str, str], Future[None]] = {}
        self._lock = Lock()

    def submit(self, tenant: str, thread: str, work: Callable[[], None]) -> None:
        """Runs work after everything handed in before.

        Args:
            tenant: Whose thread.
            thread: Which thread of a conversation.
            work: Called with no arguments; what it raises is logged.
        """
        key = (tenant, thread)
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="allotrope-memory")
            future = self._pending[key] = self._pool.submit(self._run, work)
        future.add_done_callback(lambda done: self._forget(key, done))

    def join(self, tenant: str, thread: str, *, timeout_s: float) -> None:
        """Waits until a thread's work is done, at most so many seconds."""
        future = self._pending.get((tenant, thread))
        if future is not None:
            wait([future], timeout=timeout_s)

    def close(self, *, timeout_s: float) -> None:
        """Ends the background thread after what was handed in, waiting at most so many seconds.

        What hasn't begun by then isn't run; the next turn does it again.
        """
        with self._lock:
            pool, self._pool = self._pool, None
            pending = list(self._pending.values())
        if pool is not None:
            wait(pending, timeout=timeout_s)
            pool.shutdown(wait=False, cancel_futures=True)

    def _forget(self, key: tuple[str, str], done: "Future[None]") -> None:
        with self._lock:
            if self._pending.get(key) is done:
                del self._pending[key]

    @staticmethod
    def _run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            logger.exception("work after a turn failed")
