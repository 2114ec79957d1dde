"""What becomes of an answer that a person stopped: the part that was said stays in the thread."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

    from allotrope.graphs.context import RunContext


async def keep_said(
    graph: "CompiledStateGraph[Any, Any, Any, Any]",
    config: "RunnableConfig",
    said: str,
    *,
    context: "RunContext",
) -> bool:
    """Ends a stopped turn with what was said so far, so that the next message follows on it.

    Without a word said, or in the middle of a tool's work, the question stays and waits.

    Args:
        graph: Of the agent whose turn it was; the turn must be over.
        config: Finds the thread.
        said: The text that the person has seen.
        context: Of the run.

    Returns:
        Whether the text is in the thread now.
    """
    from langchain_core.messages import AIMessage

    from allotrope.graphs.nodes import RESPOND
    from allotrope.graphs.steps import REPORT

    waiting = (await graph.aget_state(config)).next
    node = next((name for name in (RESPOND, REPORT) if name in waiting), None)
    if node is None:
        return False
    message = AIMessage(said, response_metadata={"allotrope": {"stopped": True}})
    await graph.aupdate_state(config, {"messages": [message]}, as_node=node)
    await graph.ainvoke(None, config, context=context, durability="sync")
    return True
