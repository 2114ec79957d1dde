"""What an agent type is."""

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from allotrope.settings.agents import AgentsSettings


@dataclass(frozen=True)
class AgentSpec:
    """One agent type.

    Attributes:
        name: What users call it: `assistant`.
        summary: What it does, one sentence.
        graph: Its builder, `package.module:function`, called with `parts`, `checkpointer`, `store`,
            and with `agent`, `prompt`, `profile` and `tools` of the spec where it takes them.
        prompt: Its prompt template.
        profile: Its parameter profile, where neither run, settings nor a promotion name one;
            default: that of the settings.
        tools: Names of the tools it may call (`agents.tools.making.MAKERS`); a builder that takes
            `tools` gets them made.
        asks: Whether a turn may stop to ask a person; the next text of the thread is the answer.
    """

    name: str
    summary: str
    graph: str
    prompt: str
    profile: str | None = None
    tools: tuple[str, ...] = ()
    asks: bool = False

    def build(self, **collaborators: Any) -> "CompiledStateGraph[Any, Any, Any, Any]":
        """Builds the graph with the collaborators given; imports it now."""
        from allotrope.graphs.parts import named

        builder = named(self.graph)
        takes = inspect.signature(builder).parameters
        own = {"agent": self.name, "prompt": self.prompt, "profile": self.profile}
        given = {name: value for name, value in own.items() if name in takes} | collaborators
        if self.tools and "tools" in takes and "tools" not in given:
            from allotrope.agents.tools.making import MAKERS, tools_named

            if MAKERS.keys() >= set(self.tools):  # a builder makes tools of its own itself
                given["tools"] = tools_named(self.tools)
        graph: CompiledStateGraph[Any, Any, Any, Any] = builder(**given)
        return graph

    def takes_profile(self) -> bool:
        """Whether the graph's builder is told the agent's profile; others get it by each run."""
        from allotrope.graphs.parts import named

        return "profile" in inspect.signature(named(self.graph)).parameters

    def model_calls(self, limits: "AgentsSettings") -> tuple[int, int | None]:
        """Model calls of a turn: the usual number, and the most; None where tools decide.

        Args:
            limits: How far the agent's loops may go.
        """
        import importlib

        module = importlib.import_module(self.graph.partition(":")[0])
        counted = getattr(module, "model_calls", None)
        return (1, None) if counted is None else counted(limits)
