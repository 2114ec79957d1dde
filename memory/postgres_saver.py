"""LangGraph's PostgreSQL savers with the newest checkpoints only; needs `allotrope[postgres]`."""

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from allotrope.memory.pruning import Pruning, Statements, serializer

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


class PrunedPostgresSaver(PostgresSaver):
    """`PostgresSaver` that keeps the newest checkpoints of each thread.

    Args:
        connection: An open connection.
        keep: Checkpoints of a thread that stay.
    """

    def __init__(self, connection: Any, *, keep: int) -> None:
        super().__init__(connection, serde=serializer())
        self._pruning = Pruning(keep, _statements)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint; now and then the oldest ones go."""
        saved = super().put(config, checkpoint, metadata, new_versions)
        if due := self._pruning.due(config):
            with self._cursor() as cursor:
                for statement, values in due:
                    cursor.execute(statement, values)
        return saved


class AsyncPrunedPostgresSaver(AsyncPostgresSaver):
    """`PrunedPostgresSaver`, asynchronously.

    Args:
        connection: An open connection.
        keep: Checkpoints of a thread that stay.
    """

    def __init__(self, connection: Any, *, keep: int) -> None:
        super().__init__(connection, serde=serializer())
        self._pruning = Pruning(keep, _statements)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint; now and then the oldest ones go."""
        saved = await super().aput(config, checkpoint, metadata, new_versions)
        if due := self._pruning.due(config):
            async with self._cursor() as cursor:
                for statement, values in due:
                    await cursor.execute(statement, values)
        return saved
