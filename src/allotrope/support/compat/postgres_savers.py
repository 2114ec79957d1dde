"""A private part of LangGraph's PostgreSQL savers; needs `allotrope[postgres]`."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import Any, Protocol

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from psycopg.rows import dict_row

Statements = Sequence[tuple[str, Any]]


class _Connections(Protocol):
    def connection(self) -> AbstractContextManager[Any]: ...


class _AsyncConnections(Protocol):
    def connection(self) -> AbstractAsyncContextManager[Any]: ...


class SaverByConnection(PostgresSaver):
    """`PostgresSaver` with a connection of its own for each operation.

    Reason: LangGraph's holds a lock around all operations of a saver, also with a pool. Without it:
    one slow read of a thread holds up all other threads.

    Args:
        connections: To the server.
        serde: Writes values.
    """

    def __init__(self, connections: _Connections, *, serde: SerializerProtocol) -> None:
        unused: Any = None
        super().__init__(unused, serde=serde)
        self._own = connections

    def run(self, statements: Statements) -> None:
        """Runs statements with their values."""
        with self._cursor() as cursor:
            for statement, values in statements:
                cursor.execute(statement.encode(), values)

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Any]:
        with self._own.connection() as connection:
            together = connection.pipeline if self.supports_pipeline else connection.transaction
            with (
                together() if pipeline else nullcontext(),
                connection.cursor(binary=True, row_factory=dict_row) as cursor,
            ):
                yield cursor


class AsyncSaverByConnection(AsyncPostgresSaver):
    """`SaverByConnection`, asynchronously.

    Args:
        connections: To the server.
        serde: Writes values.
    """

    def __init__(self, connections: _AsyncConnections, *, serde: SerializerProtocol) -> None:
        unused: Any = None
        super().__init__(unused, serde=serde)
        self._own = connections

    async def run(self, statements: Statements) -> None:
        """Runs statements with their values."""
        async with self._cursor() as cursor:
            for statement, values in statements:
                await cursor.execute(statement.encode(), values)

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._own.connection())
            if pipeline:
                together = connection.pipeline if self.supports_pipeline else connection.transaction
                await stack.enter_async_context(together())
            yield await stack.enter_async_context(
                connection.cursor(binary=True, row_factory=dict_row)
            )
