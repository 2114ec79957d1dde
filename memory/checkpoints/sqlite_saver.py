"""LangGraph's SQLite saver with the newest checkpoints only, and a fast one for async calls."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.sqlite import SqliteSaver

from allotrope.exceptions import StoreError
from allotrope.memory.checkpoints.pruning import Pruning, Statements, serializer
from allotrope.stores.sqlite import SqliteFile

T = TypeVar("T")

_OLDEST = """
DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id < (
  SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ?
  ORDER BY checkpoint_id DESC LIMIT 1 OFFSET ?)
"""


def _statements(key: tuple[str, str], keep: int) -> Statements:
    """Writes first: their condition looks at the checkpoints."""
    values = (*key, *key, keep - 1)
    return [(_OLDEST.format(table=table), values) for table in ("writes", "checkpoints")]


class PrunedSqliteSaver(SqliteSaver):
    """`SqliteSaver` that keeps the newest checkpoints of each thread, so that a file stays small.

    Args:
        connection: An open database.
        keep: Checkpoints of a thread that stay.
        file: Where the connection is from: what opens it again, and begins it anew when it is found
            damaged.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, keep: int, file: SqliteFile | None = None
    ) -> None:
        super().__init__(connection, serde=serializer())
        self._pruning = Pruning(keep, _statements)
        self._file = file
        self._grouping: int | None = None

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's, of a damaged file what is left of it."""
        return self._surely(super().get_tuple, config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As LangGraph's, of a damaged file what is left of it."""
        found = super().list

        def whole() -> tuple[CheckpointTuple, ...]:
            return tuple(found(config, filter=filter, before=before, limit=limit))

        yield from self._surely(whole)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint; now and then the oldest ones go."""
        saved = self._surely(super().put, config, checkpoint, metadata, new_versions)
        if due := self._pruning.due(config):
            self._surely(self._prune, due)
        return saved

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As LangGraph's."""
        self._surely(super().put_writes, config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        """As LangGraph's."""
        self._surely(super().delete_thread, thread_id)

    def close(self) -> None:
        """Ends the connection."""
        if self._file is not None:
            self._file.close()
        self.conn.close()

    def _prune(self, due: Statements) -> None:
        with self.cursor() as cursor:
            for statement, values in due:
                cursor.execute(statement, values)

    def _surely(self, work: Callable[..., T], *args: Any) -> T:
        """Does it on the file that has the name now; once more where it was damaged."""
        if self._file is None or self._grouping == get_ident():
            return work(*args)  # of a group each is done again by itself
        used = self._current()
        try:
            return work(*args)
        except sqlite3.DatabaseError as exc:
            with self.lock:
                if not self._file.mend(exc, used):
                    raise
        self._current()
        return work(*args)

    def _current(self) -> sqlite3.Connection:
        assert self._file is not None
        with self.lock:
            self.conn = self._file.connection()
            return self.conn


@dataclass(frozen=True)
class _Operation:
    work: Callable[..., Any]
    args: tuple[Any, ...]
    future: "asyncio.Future[Any]"


@dataclass
class _Queue:
    """What one event loop waits for."""

    waiting: list[_Operation] = field(default_factory=list)
    busy: bool = False


_Outcome = tuple[Any, Exception | None]


def _outcome(operation: _Operation) -> _Outcome:
    try:
        return operation.work(*operation.args), None
    except Exception as exc:  # noqa: BLE001 - whoever waits for it gets it
        return None, exc


class AsyncPrunedSqliteSaver(PrunedSqliteSaver):
    """`PrunedSqliteSaver` for async calls: operations in order, in one thread, committed in groups.

    `AsyncSqliteSaver` of LangGraph goes to its thread and back for every statement, cursor and
    commit: some 70 times a turn, each waiting for the interpreter's lock. Here whatever is asked
    for while the thread is busy goes to it together, as one transaction; an operation is done when
    that is committed.

    Args:
        connection: An open database that any thread may use.
        keep: Checkpoints of a thread that stay.
        file: As for `PrunedSqliteSaver`.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, keep: int, file: SqliteFile | None = None
    ) -> None:
        super().__init__(connection, keep=keep, file=file)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="allotrope-checkpoints")
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()
        self._closed = False

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await self._do(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""

        def found() -> list[CheckpointTuple]:
            return [*self.list(config, filter=filter, before=before, limit=limit)]

        for item in await self._do(found):
            yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await self._do(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As `put_writes`."""
        await self._do(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await self._do(self.delete_thread, thread_id)

    async def aclose(self) -> None:
        """Ends the thread and the connection, after what is still to be written."""
        await self._do(lambda: None)  # a run that was cancelled leaves writes behind it
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self.close)
        self._thread.shutdown(wait=False)

    @contextlib.contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """As LangGraph's, but within a group only the group commits."""
        with super().cursor(transaction and self._grouping != get_ident()) as cursor:
            yield cursor

    async def _do(self, work: Callable[..., T], *args: Any) -> T:
        if self._closed:
            raise StoreError("The threads are closed: nothing more is written into them.")
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = _Queue()
        future: asyncio.Future[T] = loop.create_future()
        queue.waiting.append(_Operation(work, args, future))
        if not queue.busy:
            queue.busy = True
            # what the loop asks for in this round still comes along
            loop.call_soon(self._send, loop, queue)
        return await future

    def _send(self, loop: asyncio.AbstractEventLoop, queue: "_Queue") -> None:
        group, queue.waiting = queue.waiting, []

        def done(sent: "asyncio.Future[list[_Outcome]]") -> None:
            try:
                outcomes = sent.result()
            except Exception as exc:  # noqa: BLE001 - who waits for these would wait for ever
                outcomes = [(None, exc)] * len(group)
            for operation, (result, error) in zip(group, outcomes, strict=True):
                if operation.future.cancelled():
                    continue
                if error is not None:
                    operation.future.set_exception(error)
                else:
                    operation.future.set_result(result)
            if queue.waiting:
                self._send(loop, queue)
            else:
                queue.busy = False

        loop.run_in_executor(self._thread, self._run, group).add_done_callback(done)

    def _run(self, group: "Sequence[_Operation]") -> "list[_Outcome]":
        if len(group) > 1:
            if self._file is not None:
                self._current()
            self._grouping = get_ident()
            try:
                results: list[_Outcome] = [(one.work(*one.args), None) for one in group]
                self.conn.commit()
            except Exception:  # noqa: BLE001 - found out below, one by one
                with contextlib.suppress(sqlite3.Error):
                    self.conn.rollback()
            else:
                return results
            finally:
                self._grouping = None
        return [_outcome(one) for one in group]
