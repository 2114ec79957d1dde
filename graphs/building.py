"""What the graphs of agents with steps have in common: their head, their tail and their gates.

START → fit → <first step> … report → finish → END
"""

from collections.abc import Callable, Mapping
from typing import Any

from langgraph.graph import END, START, StateGraph

from allotrope.graphs.context import RunContext
from allotrope.graphs.nodes import FINISH, FIT, REPORT, RESPOND, AgentNodes
from allotrope.graphs.parts import LazyParts
from allotrope.graphs.state import AgentInput, AgentOutput
from allotrope.graphs.steps.steps import Body, StepNodes, too_late
from allotrope.settings.agents import AgentsSettings


def step_graph(
    bodies: Mapping[str, Body],
    *,
    agent: str,
    parts: LazyParts,
    state: type[Any],
    input_schema: type[Any] = AgentInput,
    output_schema: type[Any] = AgentOutput,
    prompt: str | None = None,
    profile: str | None = None,
) -> StateGraph[Any, Any, Any, Any]:
    """A graph with all its nodes, and the edges that every agent with steps has.

    The first body is what follows `fit`; the edges between the steps are the agent's own.

    Args:
        bodies: The steps by name, `report` among them.
        agent: The agent's name, for usage and cache.
        parts: What the nodes work with.
        state: What the graph works on.
        input_schema: What a run starts with.
        output_schema: What a run ends with.
        prompt: The template of turns without anything to work on; with it the graph has `respond`.
        profile: The parameter profile where a run names none.
    """
    shared = AgentNodes(agent=agent, prompt=prompt or agent, profile=profile, parts=parts)
    nodes = StepNodes(agent=agent, profile=profile, parts=parts)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(
        state, context_schema=RunContext, input_schema=input_schema, output_schema=output_schema
    )
    graph.add_node(FIT, shared.fit())
    graph.add_node(FINISH, shared.finish())
    if prompt is not None:
        graph.add_node(RESPOND, shared.respond())
        graph.add_edge(RESPOND, FINISH)
    for name, body in bodies.items():
        graph.add_node(name, nodes.node(name, body))
    graph.add_edge(START, FIT)
    graph.add_edge(FIT, next(iter(bodies)))
    graph.add_edge(REPORT, FINISH)
    graph.add_edge(FINISH, END)
    return graph


def again_while_wrong(
    parts: LazyParts,
    most: Callable[[AgentsSettings], int],
    *,
    again: str,
    onward: str,
    steps: int,
) -> Callable[[Mapping[str, Any]], str]:
    """The way on after a check: back to be written again, or on when it holds or the tries end.

    Args:
        parts: They have the settings.
        most: How often something may go back.
        again: The node that writes anew.
        onward: The node that comes next.
        steps: Steps that the way to the end takes.
    """

    def way_on(state: Mapping[str, Any]) -> str:
        limit = most(parts.get().settings.agents)
        repairs = state["repairs"]
        return again if 0 < repairs <= limit and not too_late(state, steps=steps) else onward

    return way_on


def pass_on(state: Mapping[str, Any], settings: Any) -> dict[str, Any]:
    """The body of a node where parallel branches meet; it changes nothing."""
    return {}
