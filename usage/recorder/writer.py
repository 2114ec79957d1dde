"""The background thread between the callback and the ledger: bounded, batched, never in the way."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allotrope.exceptions import StoreError
from allotrope.stores.errors import error_name
from allotrope.usage.recorder.estimate import CounterNotReadyError
from allotrope.usage.recorder.reading import Ended, Reader
from allotrope.usage.recorder.rows import CallRow
from allotrope.usage.recorder.spill import Spill

if TYPE_CHECKING:
    from allotrope.usage.ledger.ledger import Ledger  # SQLAlchemy: the writer's thread imports it

logger = logging.getLogger(__name__)

RETRY_PAUSES_S = (0.05, 0.2, 0.5)
"""Pauses between attempts to write a batch; after the last one it goes to the spill."""

GATHER_S = 0.02
"""How often the writer looks for calls while they come; budgets settle that much later.

It looks, and is not woken: waking a thread costs the call that does it 10 to 15 µs, and then the
two compete for the interpreter's lock. Where no calls come the pauses double."""

SETTLE_S = 0.05
"""The longest pause where budgets wait for what calls cost."""

TAKING_S = 0.1
"""How long the end of the process waits for a call that is being read, seconds."""

SPILL_RETRY_S = 5.0
"""How long the writer waits after a failure before it tries to pick the spill up again."""


@dataclass(slots=True)
class WriterStats:
    """What the writer did so far, in calls."""

    recorded: int = 0
    written: int = 0
    spilled: int = 0
    picked_up: int = 0
    lost: int = 0
    problem: str | None = None


class _Flush:
    def __init__(self, *, last: bool) -> None:
        self.last = last
        self.done = threading.Event()


class Writer:
    """Takes ended calls from any thread and writes them in batches.

    Args:
        ledger: Where to, or its URL; the writer's thread imports and opens it as soon as it has
            nothing else to do, which is while a provider works on the first call.
        reader: Makes rows.
        spill: Where rows go when the ledger can't take them.
        queue_size: Calls that may wait; more are spilled at once.
        batch_size: Most rows of one transaction.
        flush_interval_s: Longest time a call waits to be committed.
        on_row: Told of each row as soon as it is read (budgets settle here); its errors are logged.
        on_written: Told of the rows that the ledger or the spill has.
        on_idle: Called now and then by the writer's thread (alerts look here).
    """

    def __init__(
        self,
        ledger: "Ledger | str",
        reader: Reader,
        spill: Spill,
        *,
        queue_size: int = 10_000,
        batch_size: int = 500,
        flush_interval_s: float = 0.5,
        on_row: Callable[[CallRow], None] | None = None,
        on_written: Callable[[Sequence[CallRow]], None] | None = None,
        on_idle: Callable[[], None] | None = None,
    ) -> None:
        self.url = ledger if isinstance(ledger, str) else ledger.url
        self._ledger = None if isinstance(ledger, str) else ledger
        self.stats = WriterStats()
        self._reader = reader
        self._spill = spill
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._interval_s = flush_interval_s
        self._on_row = on_row
        self._on_written = on_written
        self._on_idle = on_idle
        self._longest_pause_s = min(flush_interval_s, SETTLE_S) if on_row else flush_interval_s
        self._queue: deque[Ended] = deque()
        self._batch: list[CallRow] = []  # read, but not written
        self._uncounted: list[Ended] = []  # the counter is still loading; others don't wait for it
        self._taking = threading.Lock()  # held while a call goes from one of these to the next
        self._flushes: deque[_Flush] = deque()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._pid = 0
        self._opened = False
        self._spill_after = 0.0
        self._open_after = 0.0
        self._closed = False
        self._held: list[CallRow] = []
        """What neither the ledger nor the spill could take; tried again with the next batch."""

    @property
    def ledger(self) -> "Ledger":
        """The ledger, made when it is first asked for (that imports SQLAlchemy)."""
        if self._ledger is None:
            from allotrope.usage.ledger.ledger import Ledger

            self._ledger = Ledger(self.url)
        return self._ledger

    def start(self) -> None:
        """Starts the thread unless it runs; a call is under way."""
        if not self._runs():
            self._start()

    def _runs(self) -> bool:
        thread = self._thread
        ours = self._pid == os.getpid() and not self._closed
        return ours and thread is not None and thread.is_alive()

    def put(self, ended: Ended) -> None:
        """Takes a call; never blocks on the ledger, never raises."""
        self.start()
        self.stats.recorded += 1
        waiting = self.waiting()
        if waiting >= self._queue_size:
            try:
                row = self._reader.read(ended)
            except CounterNotReadyError:
                self._reader.wait_until_ready()
                row = self._reader.read(ended)
            self._keep([row])
        else:
            self._queue.append(ended)
            if waiting == self._batch_size:
                self._wake.set()

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until everything put so far is in the ledger or the spill.

        Returns:
            False if that took longer than `timeout_s`, or if nobody is there to do it.
        """
        return self._send(_Flush(last=False), timeout_s)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Writes what waits, ends the thread and closes the ledger."""
        done = self._send(_Flush(last=True), timeout_s)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
        return done

    def leave(self, timeout_s: float) -> None:
        """For the end of the process: what isn't in the ledger in time goes to the spill.

        Tokens that can't be counted exactly yet are counted by the rule.

        Args:
            timeout_s: How long the ledger is waited for, seconds; with 0 nothing is.
        """
        if self._pid != os.getpid():
            return
        self._reader.stop_waiting()
        if timeout_s and self.close(timeout_s):
            return
        ours = self._taking.acquire(timeout=TAKING_S)
        try:
            for ended in (*self._uncounted, *self._queue):
                self._read(ended)
            rows = [*self._held, *self._batch]  # the ledger knows those that are written meanwhile
        finally:
            if ours:
                self._taking.release()
        if rows:
            self._keep(rows)

    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._queue)

    def _send(self, flush: _Flush, timeout_s: float) -> bool:
        if self._pid != os.getpid():
            return True
        if self._thread is None or not self._thread.is_alive():
            return not self._queue
        self._flushes.append(flush)
        self._wake.set()
        return flush.done.wait(timeout_s)

    def _start(self) -> None:
        with self._lock:
            if self._runs():
                return
            if self._pid not in (0, os.getpid()):
                # Forked: the parent's thread, queue and connections aren't ours.
                self._queue, self._flushes = deque(), deque()
                self._batch, self._uncounted = [], []
                self._taking = threading.Lock()
                self._wake = threading.Event()
                self._ledger = None
            self._opened = self._closed = False
            self._thread = threading.Thread(target=self._run, name="allotrope-usage", daemon=True)
            self._thread.start()
            self._pid = os.getpid()

    def _run(self) -> None:
        due = time.monotonic() + self._interval_s
        pause_s = GATHER_S
        while True:
            self._wake.wait(max(0.0, min(pause_s, due - time.monotonic())))
            self._wake.clear()
            flush = self._flushes.popleft() if self._flushes else None
            waiting = len(self._queue)  # after the flush: what was put before it is among these
            if waiting and not self._opened:
                self._open()
            for _ in range(waiting):
                with self._taking:
                    self._take(self._queue[0])
                    self._queue.popleft()
                if len(self._batch) >= self._batch_size:
                    self._write()
            pause_s = GATHER_S if waiting else min(2 * pause_s, self._longest_pause_s)
            if self._uncounted and (flush or time.monotonic() >= due):
                if flush:
                    self._reader.wait_until_ready()
                with self._taking:
                    again, self._uncounted = self._uncounted, []
                    for ended in again:
                        self._take(ended)
            if flush or time.monotonic() >= due:
                due = time.monotonic() + self._interval_s  # a slow write doesn't put off the next
                self._write()
                if self._on_idle is not None:
                    self._quietly(self._on_idle)
            if flush and self._flushed(flush):
                return

    def _flushed(self, flush: _Flush) -> bool:
        if flush.last:
            self._closed = True
            if self._ledger is not None:
                self._ledger.close()
        flush.done.set()
        while self._flushes and flush.last:
            self._flushes.popleft().done.set()
        if self._flushes:
            self._wake.set()
        return flush.last

    def _take(self, ended: Ended) -> None:
        try:
            self._read(ended)
        except CounterNotReadyError:
            self._uncounted.append(ended)

    def _read(self, ended: Ended) -> None:
        try:
            row = self._reader.read(ended)
        except CounterNotReadyError:
            raise
        except Exception as exc:  # noqa: BLE001 - one odd reply must not end the recording
            self.stats.lost += 1
            logger.warning("A call could not be recorded: %s", error_name(exc))
            return
        self._batch.append(row)
        on_row = self._on_row
        if on_row is not None:
            self._quietly(lambda: on_row(row))

    def _quietly(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as exc:  # noqa: BLE001 - budgets and alerts never stop the recording
            logger.warning("Budgets or alerts failed: %s", error_name(exc))

    def _open(self) -> bool:
        if time.monotonic() < self._open_after:
            return False
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self.ledger.open()
        except (StoreError, SQLAlchemyError, OSError) as exc:
            self._open_after = time.monotonic() + SPILL_RETRY_S
            self._problem(exc)
            return False
        self._opened = True
        self._reader.salt = self.ledger.salt
        self._reader.get_ready()
        return True

    def _write(self) -> None:
        if self._held:
            with self._lock:
                self._batch, self._held = [*self._held, *self._batch], []
        batch = self._batch
        try:
            self._write_or_keep(batch)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the next calls are recorded
            self._problem(exc)
            self._keep(batch)
        self._batch = []

    def _write_or_keep(self, batch: list[CallRow]) -> None:
        if not batch and time.monotonic() < self._spill_after:
            return
        if not self._opened and not self._open():
            if batch:
                self._keep(batch)
            return
        from sqlalchemy.exc import SQLAlchemyError

        if batch and not self._attempt(batch):
            self._keep(batch)
            return
        if time.monotonic() >= self._spill_after:
            self._spill_after = time.monotonic() + SPILL_RETRY_S
            try:
                self.stats.picked_up += self._spill.pick_up(self._commit)
            except (SQLAlchemyError, OSError, StoreError) as exc:
                self._problem(exc)

    def _commit(self, rows: Sequence[CallRow]) -> int:
        """Writes rows; one that can't be stored for what it holds takes no other with it.

        Returns:
            How many of them are in the ledger.
        """
        try:
            self.ledger.write(rows)
        except Exception as exc:
            from allotrope.usage.ledger.database import is_the_rows

            if not is_the_rows(exc):
                raise
            if len(rows) == 1:
                self.stats.lost += 1
                name = error_name(exc)
                logger.error(
                    "The call %s can't be stored (%s); it isn't counted.", rows[0].id, name
                )
                return 0
            return sum(self._commit([row]) for row in rows)
        return len(rows)

    def _attempt(self, batch: list[CallRow]) -> bool:
        from sqlalchemy.exc import SQLAlchemyError

        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                written = self._commit(batch)
            except (SQLAlchemyError, OSError, StoreError) as exc:  # after damage it is new now
                self._problem(exc)
            else:
                self._reader.salt = self.ledger.salt
                self.stats.written += written
                self.stats.problem = None
                self._are_written(batch)
                return True
            if pause_s is None:
                return False
            time.sleep(pause_s)
        return False

    def _keep(self, rows: list[CallRow]) -> None:
        self._spill_after = time.monotonic() + SPILL_RETRY_S
        try:
            self._spill.append(rows)
            self.stats.spilled += len(rows)
            self._are_written(rows)
        except OSError as exc:  # a full disk has no room for either
            self._problem(exc)
            with self._lock:
                self._held += rows
                self.stats.lost += max(0, len(self._held) - self._queue_size)
                del self._held[: -self._queue_size]

    def _are_written(self, rows: Sequence[CallRow]) -> None:
        on_written = self._on_written
        if on_written is not None:
            self._quietly(lambda: on_written(rows))

    def _problem(self, exc: Exception) -> None:
        name = type(exc).__name__
        if self.stats.problem != name:
            told = error_name(exc)
            logger.warning("The usage ledger can't be written (%s); calls are spilled.", told)
        self.stats.problem = name
