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
    question: str | None = None,
) -> bool:
    """Ends a stopped turn with what was said so far, so that the next message follows on it.

    Without a word said, in the middle of a tool's work, or where somebody asked something else in
    the thread meanwhile, the question stays and waits.

    Args:
        graph: Of the agent whose turn it was; the turn must be over.
        config: Finds the thread.
        said: The text that the person has seen.
        context: Of the run.
        question: What the turn was asked; None where that isn't known.

    Returns:
        Whether the text is in the thread now.
    """
    from langchain_core.messages import AIMessage

    from allotrope.graphs.nodes import REPORT, RESPOND

    found = await graph.aget_state(config)
    node = next((name for name in (RESPOND, REPORT) if name in found.next), None)
    asked = [one.text for one in found.values.get("messages", []) if one.type == "human"]
    # an answer to the agent's own question isn't among them
    if node is None or (question in asked and question != asked[-1]):
        return False
    message = AIMessage(said, response_metadata={"allotrope": {"stopped": True}})
    await graph.aupdate_state(config, {"messages": [message]}, as_node=node)
    await graph.ainvoke(None, config, context=context, durability="sync")
    return True
