"""Nodes that every agent's graph shares: `fit`, `respond`, `tools`, `finish`.

Each has a sync and an async side, so that a graph runs with `invoke` and `ainvoke` alike; the async
side never blocks the event loop.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.config import get_stream_writer
from langgraph.runtime import get_runtime

from allotrope.exceptions import InputError
from allotrope.graphs.context import RunContext, allowed, context_of
from allotrope.graphs.parts import LazyParts, Parts
from allotrope.graphs.state import AgentState

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from allotrope.prompts.template import PromptTemplateVersion

FIT, RESPOND, TOOLS, FINISH = "fit", "respond", "tools", "finish"
"""Names of the shared nodes; they stay the same in every graph and version."""

STEPS_FOR_LAST_ANSWER = 3
"""Steps a run keeps back to answer without tools before LangGraph's recursion limit ends it."""


@dataclass(frozen=True)
class AgentNodes:
    """The shared nodes of one agent.

    Args:
        agent: The agent's name.
        prompt: Its prompt template, `name` or `name@version`.
        profile: The parameter profile where a run names none.
        tools: What it may call.
        parts: What the nodes work with.
    """

    agent: str
    prompt: str
    profile: str | None = None
    tools: "Sequence[BaseTool]" = ()
    parts: LazyParts = field(default_factory=LazyParts)

    def fit(self) -> RunnableLambda[Any, Any]:
        """Checks the latest message and tells what fills the window."""

        def run(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            return self._fitted(state, self.parts.get())

        async def arun(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            return self._fitted(state, await self.parts.aget())

        return RunnableLambda(run, arun, name=FIT)

    def respond(self) -> RunnableLambda[Any, Any]:
        """Renders the prompt and asks the chain."""

        def run(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            parts, context = self.parts.get(), run_context()
            template = parts.library.get(self.prompt, context.prompt_label)
            model = parts.model(context.profile or self.profile, self._tools(state, context))
            reply = model.invoke(
                self._messages(state, template), self._config(config, template, context)
            )
            return answered(reply)

        async def arun(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            parts, context = await self.parts.aget(), run_context()
            template = await parts.library.aget(self.prompt, context.prompt_label)
            profile, tools = context.profile or self.profile, self._tools(state, context)
            model = parts.bound(profile, tools)
            if model is None:
                model = await asyncio.to_thread(parts.model, profile, tools)
            reply = await model.ainvoke(
                self._messages(state, template), self._config(config, template, context)
            )
            return answered(reply)

        return RunnableLambda(run, arun, name=RESPOND)

    def finish(self) -> RunnableLambda[Any, Any]:
        """The end of a turn: says in the stream when the answer isn't from the first choice."""

        def run(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            if state.get("degraded"):
                get_stream_writer()({"type": "degraded", **(state["degraded"] or {})})
            return {}

        return RunnableLambda(run, name=FINISH)

    def _fitted(self, state: AgentState, parts: Parts) -> dict[str, Any]:
        if not state["messages"]:
            raise InputError("There is no message to answer.")
        return {"provenance": None, "degraded": None, "audit": None}

    def _tools(self, state: AgentState, context: RunContext) -> "Sequence[BaseTool]":
        if state.get("remaining_steps", 100) <= STEPS_FOR_LAST_ANSWER:
            return ()
        return allowed(self.tools, context)

    def _messages(self, state: AgentState, template: "PromptTemplateVersion") -> list[BaseMessage]:
        return template.render({"messages": state["messages"]})

    def _config(
        self, config: RunnableConfig, template: "PromptTemplateVersion", context: RunContext
    ) -> RunnableConfig:
        metadata = {
            "allotrope_agent": self.agent,
            "allotrope_profile": context.profile or self.profile,
            "allotrope_prompt": template.ref,
            "allotrope_variant": context.variant,
            "allotrope_tenant": context.tenant,
            "allotrope_user": context.user,
            "allotrope_cache": context.cache,
        }
        return {
            **config,
            "metadata": {
                **config.get("metadata", {}),
                **{name: value for name, value in metadata.items() if value is not None},
            },
        }


def run_context() -> RunContext:
    """The context of the run that is under way; defaults where the caller gave none."""
    return context_of(get_runtime().context)


def answered(reply: AIMessage) -> dict[str, Any]:
    """The state's update for a reply: the message, and where it came from."""
    provenance = reply.response_metadata.get("allotrope")
    degraded = provenance.get("degraded") if isinstance(provenance, dict) else None
    return {"messages": [reply], "provenance": provenance, "degraded": degraded}


def wants_tools(state: AgentState) -> bool:
    """Whether the last message asks for tools."""
    last = state["messages"][-1]
    return isinstance(last, AIMessage) and bool(last.tool_calls)
