"""An async side for checkpointers that have none."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from allotrope.support.pools import TURNS


class InThreads(BaseCheckpointSaver[Any]):
    """A checkpointer such as LangGraph's `SqliteSaver`, asked in threads.

    Args:
        inner: Its sync methods must bear other threads than the one that made it.
    """

    def __init__(self, inner: BaseCheckpointSaver[Any]) -> None:
        super().__init__(serde=inner.serde)
        self._inner = inner

    @property
    def config_specs(self) -> list[Any]:
        """As the inner one's."""
        return self._inner.config_specs

    def get_next_version(self, current: Any, channel: None) -> Any:
        """As the inner one's."""
        return self._inner.get_next_version(current, channel)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await TURNS.run(self._inner.get_tuple, config)

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
            return [*self._inner.list(config, filter=filter, before=before, limit=limit)]

        for item in await TURNS.run(found):
            yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await TURNS.run(self._inner.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As `put_writes`."""
        await TURNS.run(self._inner.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await TURNS.run(self._inner.delete_thread, thread_id)
