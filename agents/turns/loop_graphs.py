"""The compiled graph of each event loop, with the store of threads that was opened there."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from allotrope.settings import Settings
from allotrope.support.pools import UPKEEP

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    Graph = CompiledStateGraph[Any, Any, Any, Any]


@dataclass
class _LoopGraph:
    """What one loop has."""

    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    graph: "Graph | None" = None


class LoopGraphs:
    """One graph and one store for each event loop: connections belong to the loop they began in.

    A loop that ends (`asyncio.run`) closes its own; the next one opens anew.

    Args:
        settings: Where the threads are kept.
        build: Compiles the graph with a checkpointer.
        given: A checkpointer to use in every loop instead.
    """

    def __init__(
        self,
        settings: Settings,
        build: "Callable[[BaseCheckpointSaver[Any]], Graph]",
        given: "BaseCheckpointSaver[Any] | None",
    ) -> None:
        self._settings = settings
        self._build = build
        self._given = given
        self._lock = threading.Lock()
        self._opened: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopGraph] = WeakKeyDictionary()

    async def get(self) -> "Graph":
        """The graph of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            opened = self._opened.get(loop)
            if opened is None:
                opened = self._opened[loop] = _LoopGraph()
        if opened.graph is None:
            async with opened.opening:
                if opened.graph is None:
                    saver = self._given
                    if saver is None:
                        saver = await opened.stack.enter_async_context(await self._store())
                    else:
                        saver = await _for_async(saver)
                    opened.graph = await UPKEEP.run(self._build, saver)
        return opened.graph

    async def aclose(self) -> None:
        """Closes the stores of all loops that still run."""
        with self._lock:
            left = list(self._opened.items())
            self._opened.clear()
        here = asyncio.get_running_loop()
        for loop, opened in left:
            if loop is here:
                await opened.stack.aclose()
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(opened.stack.aclose(), loop)
                await asyncio.wrap_future(closing)

    async def _store(self) -> "contextlib.AbstractAsyncContextManager[BaseCheckpointSaver[Any]]":
        def found() -> Any:
            from allotrope.memory.checkpoints.opening import open_async_checkpoints

            return open_async_checkpoints

        return (await UPKEEP.run(found))(self._settings)  # type: ignore[no-any-return]


async def _for_async(saver: "BaseCheckpointSaver[Any]") -> "BaseCheckpointSaver[Any]":
    """The checkpointer, or one around it that asks it in threads where it has no async side."""
    try:
        await saver.aget_tuple({"configurable": {"thread_id": "", "checkpoint_ns": ""}})
    except NotImplementedError:
        from allotrope.memory.checkpoints.sync_saver import InThreads

        return InThreads(saver)
    return saver
