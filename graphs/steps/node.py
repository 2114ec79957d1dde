"""A graph's node or condition with a sync and an async side, and nothing between it and LangGraph.

`RunnableLambda` would look at the function's signature and open a traced run of its own at each
call although LangGraph already has one for the node; a plain sync function would go to a thread.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

Run = Callable[[Any, RunnableConfig], Any]
AsyncRun = Callable[[Any, RunnableConfig], Awaitable[Any]]


class Node(Runnable[Any, Any]):
    """A node that LangGraph calls directly.

    Args:
        run: The sync side; called with the state and the run's config.
        arun: The async side.
        name: The node's name.
    """

    def __init__(self, run: Run, arun: AsyncRun, *, name: str) -> None:
        self.name = name
        self._run = run
        self._arun = arun

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Runs the sync side."""
        return self._run(input, config or {})

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Runs the async side."""
        return await self._arun(input, config or {})


def condition(choose: Callable[[Any], Any], *, name: str) -> Node:
    """A conditional edge that decides at once, without a thread.

    Args:
        choose: Gives the next node's name for a state; it doesn't block.
        name: The condition's name in traces.
    """

    def run(state: Any, config: RunnableConfig) -> Any:
        return choose(state)

    async def arun(state: Any, config: RunnableConfig) -> Any:
        return choose(state)

    return Node(run, arun, name=name)
