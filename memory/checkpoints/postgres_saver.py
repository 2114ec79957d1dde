"""LangGraph's PostgreSQL savers with the newest checkpoints only; needs `allotrope[postgres]`."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from allotrope.memory.checkpoints.pruning import Pruning, Statements, serializer
from allotrope.stores.postgres.connections import AsyncConnections, Connections, one_at_a_time
from allotrope.support.compat.postgres_savers import AsyncSaverByConnection, SaverByConnection

_LOCK = 7205759402
"""The advisory lock of LangGraph's tables."""

_OLDEST = """
DELETE FROM {table} WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id < (
  SELECT checkpoint_id FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = %s
  ORDER BY checkpoint_id DESC LIMIT 1 OFFSET %s)
"""
_VALUES = """
DELETE FROM checkpoint_blobs AS value WHERE thread_id = %s AND checkpoint_ns = %s AND NOT EXISTS (
  SELECT 1 FROM checkpoints AS kept
  WHERE kept.thread_id = value.thread_id AND kept.checkpoint_ns = value.checkpoint_ns
  AND kept.checkpoint -> 'channel_versions' ->> value.channel = value.version)
"""


def _statements(key: tuple[str, str], keep: int) -> Statements:
    """Writes first, their condition looks at the checkpoints; then values that none needs."""
    oldest = (*key, *key, keep - 1)
    return [
        (_OLDEST.format(table="checkpoint_writes"), oldest),
        (_OLDEST.format(table="checkpoints"), oldest),
        (_VALUES, key),
    ]


class PrunedPostgresSaver(SaverByConnection):
    """`PostgresSaver` that keeps the newest checkpoints of each thread, and outlives a restart.

    All it does may be done twice: reading, and rows whose key is there already.

    Args:
        connections: To the server.
        keep: Checkpoints of a thread that stay.
    """

    def __init__(self, connections: Connections, *, keep: int) -> None:
        super().__init__(connections, serde=serializer())
        self._connections = connections
        self._pruning = Pruning(keep, _statements)

    def setup(self) -> None:
        """Makes the tables, one process at a time."""

        def alone() -> None:
            with self._connections.connection() as connection, one_at_a_time(connection, _LOCK):
                super(PrunedPostgresSaver, self).setup()

        self._connections.surely(alone)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's."""
        return self._connections.surely(super().get_tuple, config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As LangGraph's."""
        found = super().list

        def whole() -> tuple[CheckpointTuple, ...]:
            return tuple(found(config, filter=filter, before=before, limit=limit))

        yield from self._connections.surely(whole)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint; now and then the oldest ones go."""
        saved = self._connections.surely(super().put, config, checkpoint, metadata, new_versions)
        if due := self._pruning.due(config):
            self._connections.surely(self.run, due)
        return saved

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As LangGraph's."""
        self._connections.surely(super().put_writes, config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        """As LangGraph's."""
        self._connections.surely(super().delete_thread, thread_id)


class AsyncPrunedPostgresSaver(AsyncSaverByConnection):
    """`PrunedPostgresSaver`, asynchronously.

    Args:
        connections: To the server.
        keep: Checkpoints of a thread that stay.
    """

    def __init__(self, connections: AsyncConnections, *, keep: int) -> None:
        super().__init__(connections, serde=serializer())
        self._connections = connections
        self._pruning = Pruning(keep, _statements)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's."""
        return await self._connections.surely(super().aget_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As LangGraph's."""
        found = super().alist

        async def whole() -> tuple[CheckpointTuple, ...]:
            items = found(config, filter=filter, before=before, limit=limit)
            return tuple([item async for item in items])

        for item in await self._connections.surely(whole):
            yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint; now and then the oldest ones go."""
        saved = await self._connections.surely(
            super().aput, config, checkpoint, metadata, new_versions
        )
        if due := self._pruning.due(config):
            await self._connections.surely(self.run, due)
        return saved

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As LangGraph's."""
        await self._connections.surely(super().aput_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """As LangGraph's."""
        await self._connections.surely(super().adelete_thread, thread_id)
