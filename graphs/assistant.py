"""The assistant: fit → respond ⇄ tools → finish."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph

from allotrope.graphs.context import RunContext
from allotrope.graphs.nodes import FINISH, FIT, RESPOND, TOOLS, AgentNodes, wants_tools
from allotrope.graphs.parts import LazyParts, Parts, named
from allotrope.graphs.state import AgentInput, AgentOutput, AgentState
from allotrope.graphs.steps.node import condition
from allotrope.graphs.steps.recall_tool import recall_tool
from allotrope.graphs.steps.tool_calls import tool_node

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore
    from langgraph.types import Checkpointer

SPEC = "allotrope.agents.assistant:SPEC"
MAKE = "allotrope.agents.tools.making:tools_named"
"""The assistant's tools, by name: a graph doesn't import `agents`."""


def build_graph(
    *,
    agent: str = "assistant",
    prompt: str = "assistant",
    profile: str | None = None,
    tools: Sequence[BaseTool] | None = None,
    parts: Parts | None = None,
    checkpointer: "Checkpointer" = None,
    store: "BaseStore | None" = None,
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """The assistant's graph; also the tools loop for agents of your own.

    Args:
        agent: The agent's name, for usage and cache.
        prompt: Its prompt template, `name` or `name@version`.
        profile: The parameter profile where a run names none.
        tools: What it may call; default: those of the assistant's spec.
        parts: What the nodes work with; default: opened from the settings at the first run.
        checkpointer: Keeps threads; leave it out under LangGraph's Agent Server.
        store: Long-term facts.
    """
    if tools is None:
        tools = named(MAKE)(named(SPEC).tools)
    lazy = LazyParts(parts)
    if tools:
        tools = [*tools, recall_tool(lazy)]
    nodes = AgentNodes(agent=agent, prompt=prompt, profile=profile, tools=tools, parts=lazy)
    graph = StateGraph(
        AgentState,
        context_schema=RunContext,
        input_schema=AgentInput,
        output_schema=AgentOutput,
    )
    graph.add_node(FIT, nodes.fit())
    graph.add_node(RESPOND, nodes.respond())
    graph.add_node(FINISH, nodes.finish())
    graph.add_edge(START, FIT)
    graph.add_edge(FIT, RESPOND)
    if tools:
        graph.add_node(TOOLS, tool_node(tools, name=TOOLS))
        graph.add_conditional_edges(
            RESPOND,
            condition(lambda state: TOOLS if wants_tools(state) else FINISH, name="wants_tools"),
            [TOOLS, FINISH],
        )
        graph.add_edge(TOOLS, RESPOND)
    else:
        graph.add_edge(RESPOND, FINISH)
    graph.add_edge(FINISH, END)
    return graph.compile(checkpointer=checkpointer, store=store, name=agent)


graph = build_graph()
"""For Studio and the Agent Server: no checkpointer, and nothing is opened before the first run."""
