"""Nodes written once for `invoke` and `ainvoke`: a generator that says what it needs.

A node's body yields `Ask` (a template for the chain) or `Work` (a function that blocks) and gets
the result back; its last `return` is the state's update. The sync side does what is asked at once,
the async side awaits it and sends blocking work to a thread:

    def plan(state: State) -> Step:
        reply = yield Ask("analyst.plan", {"question": state["question"]})
        return {"steps": lines(reply.text)}
"""

import asyncio
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.config import get_stream_writer

from allotrope.graphs.answers import without_thoughts
from allotrope.graphs.context import RunContext
from allotrope.graphs.nodes import run_context
from allotrope.graphs.parts import LazyParts, Parts
from allotrope.settings import Settings

REPORT = "report"
"""The node that gives the answer of a graph with steps; its name stays the same."""

NOSTREAM = "nostream"
"""LangGraph's tag for calls whose tokens aren't part of the answer."""


@dataclass(frozen=True)
class Ask:
    """A question to the chain.

    Args:
        template: `name` or `name@version`.
        values: By name of variable or context slot.
    """

    template: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """Something that blocks: files, queries, processes.

    Args:
        function: Called with no arguments.
    """

    function: Callable[[], Any]


Step = Generator["Ask | Work", Any, "dict[str, Any] | Any"]
Body = Callable[..., Any]
"""Takes state and settings; gives the update, or yields what it needs and returns the update."""


@dataclass(frozen=True)
class StepNodes:
    """Makes nodes of one agent.

    Args:
        agent: The agent's name.
        profile: The parameter profile where a run names none.
        parts: What the nodes work with.
    """

    agent: str
    profile: str | None = None
    parts: LazyParts = field(default_factory=LazyParts)

    def node(self, name: str, body: Body) -> RunnableLambda[Any, Any]:
        """A node with a sync and an async side.

        Args:
            name: Its name in the graph.
            body: What it does; called with the state and the settings.
        """

        def run(state: Any, config: RunnableConfig) -> Any:
            parts, context = self.parts.get(), run_context()
            steps = body(state, parts.settings)
            if not isinstance(steps, Generator):
                return steps
            result: Any = None
            try:
                need = next(steps)
                while True:
                    try:
                        result = self._do(need, config, parts, context)
                    except Exception as exc:  # noqa: BLE001 # the body decides what it can handle
                        need = steps.throw(exc)
                    else:
                        need = steps.send(result)
            except StopIteration as done:
                return done.value

        async def arun(state: Any, config: RunnableConfig) -> Any:
            parts, context = await self.parts.aget(), run_context()
            if not parts.ready:
                await asyncio.to_thread(parts.make_ready)
            steps = body(state, parts.settings)
            if not isinstance(steps, Generator):
                return steps
            result: Any = None
            try:
                need = next(steps)
                while True:
                    try:
                        result = await self._ado(need, config, parts, context)
                    except Exception as exc:  # noqa: BLE001 # the body decides what it can handle
                        need = steps.throw(exc)
                    else:
                        need = steps.send(result)
            except StopIteration as done:
                return done.value

        return RunnableLambda(run, arun, name=name)

    def _do(self, need: Any, config: RunnableConfig, parts: Parts, context: RunContext) -> Any:
        if isinstance(need, Work):
            return need.function()
        messages, asked, profile = self._prepare(need, config, parts, context)
        return parts.model(profile).invoke(messages, asked)

    async def _ado(
        self, need: Any, config: RunnableConfig, parts: Parts, context: RunContext
    ) -> Any:
        if isinstance(need, Work):
            return await asyncio.to_thread(need.function)
        messages, asked, profile = self._prepare(need, config, parts, context)
        model = parts.bound(profile)
        if model is None:
            model = await asyncio.to_thread(parts.model, profile)
        return await model.ainvoke(messages, asked)

    def _prepare(
        self, ask: Ask, config: RunnableConfig, parts: Parts, context: RunContext
    ) -> tuple[Any, RunnableConfig, Any]:
        template = parts.library.get(ask.template, context.prompt_label)
        profile = parts.profiles.get(context.profile or self.profile, agent=self.agent)
        values = dict(ask.values)
        if profile.style and "style" in template.meta.variables:
            values["style"] = profile.style
        metadata = {
            "allotrope_agent": self.agent,
            "allotrope_profile": profile.name,
            "allotrope_prompt": template.ref,
            "allotrope_variant": context.variant,
            "allotrope_tenant": context.tenant,
            "allotrope_user": context.user,
            "allotrope_cache": profile.cache_directive(context.cache),
            "allotrope_max_cost_usd": profile.max_cost,
        }
        given = {name: value for name, value in metadata.items() if value is not None}
        asked: RunnableConfig = {
            **config,
            "metadata": {**config.get("metadata", {}), **given},
            "tags": [*(config.get("tags") or []), NOSTREAM],
        }
        return template.render(values), asked, profile


def tell(kind: str, **facts: Any) -> None:
    """Sends a progress event into the run's custom stream.

    Args:
        kind: The event's `type`.
        facts: Its other values, plain.
    """
    get_stream_writer()({"type": kind, **facts})


def final(text: str, provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """The state's update that ends a turn with an answer.

    Args:
        text: The answer.
        provenance: Where its words came from: of the last model call that counted.
    """
    given = dict(provenance or {})
    metadata = {"allotrope": given} if given else {}
    return {
        "messages": [AIMessage(text, response_metadata=metadata)],
        "provenance": given or None,
        "degraded": given.get("degraded"),
    }


def origin(reply: AIMessage) -> dict[str, Any]:
    """Where a reply came from (docs/contracts.md)."""
    return cast("dict[str, Any]", dict(reply.response_metadata.get("allotrope") or {}))


_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)|<img\b[^>]*>", re.IGNORECASE)


def harmless(text: str) -> str:
    """A model's words without pictures from elsewhere.

    A page or cell can talk a model into `![](https://…/?q=secret)`, which a chat page would fetch.

    Args:
        text: What the model wrote.
    """
    return _IMAGE.sub(lambda found: found[1] or "", without_thoughts(text)).strip()


def too_late(state: Mapping[str, Any], *, steps: int) -> bool:
    """Whether LangGraph's recursion limit is near, so that the turn must end with what there is.

    Args:
        state: The graph's state.
        steps: Steps that the way to the end takes.
    """
    return int(state.get("remaining_steps", 100)) <= steps


def asked_before(state: Mapping[str, Any], *, most_chars: int = 1500) -> str:
    """The user's question, after the last exchanges when there are any.

    Args:
        state: The graph's state.
        most_chars: Characters kept of what was said before.
    """
    earlier = [m for m in state["messages"] if m.type in ("human", "ai") and m.text][:-1]
    question = question_of(state)
    if not earlier:
        return question
    said = "\n".join(
        f"{'User' if message.type == 'human' else 'You'}: {' '.join(message.text.split())[:400]}"
        for message in earlier[-4:]
    )
    return f"{question}\n\n(Said before:\n{said[-most_chars:]})"


def question_of(state: Mapping[str, Any]) -> str:
    """The user's last message as text."""
    for message in reversed(state["messages"]):
        if message.type == "human":
            return str(message.text)
    return ""


def output_folder(settings: Settings) -> Any:
    """Where files that agents make are saved."""
    return settings.agents.output_dir.expanduser()
