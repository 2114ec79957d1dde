"""An agent ready to be asked: its graph, its threads, and the answer with where it came from."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from allotrope.agents import registry
from allotrope.agents.spec import AgentSpec
from allotrope.exceptions import InputError
from allotrope.graphs.context import RunContext
from allotrope.graphs.parts import Parts
from allotrope.memory.threads import thread_config
from allotrope.online import TurnExperiments, pinned_by
from allotrope.reply import Reply, TurnMeter
from allotrope.settings import Settings, load_settings
from allotrope.turns import asked_of_person, check_text, check_thread_id, events_of
from allotrope.usage.prices import PriceBook

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

RECURSION_LIMIT = 50
"""Steps of a graph in one turn; the nodes answer gracefully before it is reached."""


@dataclass(frozen=True)
class TurnStart:
    """What a turn begins with."""

    input: Any
    config: RunnableConfig
    context: RunContext
    meter: TurnMeter
    thread_id: str
    run_id: str
    at: float


class Agent:
    """One agent over the stores of the settings. Threads are kept; nothing is opened before use.

    Use it as a context manager, or call `close`/`aclose`.

    Args:
        spec: Which agent.
        settings: Where models and stores are.
        parts: What the graph's nodes work with; default: those of the settings.
        checkpointer: Keeps the threads; default: the store of the settings. It must fit the way
            the agent is called (sync or async).
    """

    def __init__(
        self,
        spec: AgentSpec,
        settings: Settings,
        *,
        parts: Parts | None = None,
        checkpointer: "BaseCheckpointSaver[Any] | None" = None,
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.parts = parts or Parts(settings)
        self._own_parts = parts is None
        self._given = checkpointer
        self._prices = PriceBook(settings.usage.prices)
        self._experiments = TurnExperiments(settings)
        self._needs_profile: bool | None = None
        self._graph: CompiledStateGraph[Any, Any, Any, Any] | None = None
        self._agraph: CompiledStateGraph[Any, Any, Any, Any] | None = None
        self._stack = ExitStack()
        self._astack = AsyncExitStack()
        self._opening = asyncio.Lock()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> "Agent":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def close(self) -> None:
        """Closes what the sync calls opened, and the memory unless it was handed in."""
        self._graph = None
        self._stack.close()
        self._experiments.close()
        if self._own_parts:
            self.parts.close()

    async def aclose(self) -> None:
        """Closes what the async calls opened, and what the sync calls opened."""
        self._agraph = None
        await self._astack.aclose()
        if self._own_parts:
            await self.parts.aclose()
        await asyncio.to_thread(self.close)

    @property
    def graph(self) -> "CompiledStateGraph[Any, Any, Any, Any]":
        """The compiled graph for sync calls, with its checkpointer."""
        if self._graph is None:
            saver = self._given
            if saver is None:
                from allotrope.memory.checkpoints import open_checkpoints

                saver = self._stack.enter_context(open_checkpoints(self.settings))
            self._graph = self.spec.build(parts=self.parts, checkpointer=saver)
        return self._graph

    async def agraph(self) -> "CompiledStateGraph[Any, Any, Any, Any]":
        """The compiled graph for async calls, with its checkpointer."""
        async with self._opening:
            if self._agraph is None:
                saver = self._given
                if saver is None:
                    from allotrope.memory.checkpoints import open_async_checkpoints

                    saver = await self._astack.enter_async_context(
                        open_async_checkpoints(self.settings)
                    )
                self._agraph = await asyncio.to_thread(
                    self.spec.build, parts=self.parts, checkpointer=saver
                )
            return self._agraph

    def ask(
        self,
        text: str,
        *,
        thread_id: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Reply:
        """Answers one question.

        Args:
            text: The question.
            thread_id: The conversation to go on with; default: a new one.
            context: Profile, prompt label, tenant and limits of this run.

        Raises:
            InputError: The text or the thread id can't be used.
            AllProvidersFailedError: No model could answer; the question is kept in the thread.
        """
        turn = self._joined(self._begin(text, thread_id, context), context)
        if self.spec.asks:
            turn = _answering(turn, self.graph.get_state(turn.config))
        state = self.graph.invoke(turn.input, turn.config, context=turn.context, durability="sync")
        return self._reply(turn, state)

    async def aask(
        self,
        text: str,
        *,
        thread_id: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Reply:
        """As `ask`, asynchronously."""
        turn = await self._ajoined(self._begin(text, thread_id, context), context)
        graph = await self.agraph()
        if self.spec.asks:
            turn = _answering(turn, await graph.aget_state(turn.config))
        state = await graph.ainvoke(
            turn.input, turn.config, context=turn.context, durability="async"
        )
        return self._reply(turn, state)

    def resume(
        self,
        thread_id: str,
        *,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Reply:
        """Answers the question a thread was left with when no model could answer.

        Args:
            thread_id: The thread.
            context: As for `ask`.

        Raises:
            InputError: Nothing in this thread waits for an answer.
            AllProvidersFailedError: Still nobody can answer; the question stays kept.
        """
        turn = self._joined(self._begin(None, thread_id, context), context)
        self._waiting(self.graph.get_state(turn.config), thread_id)
        state = self.graph.invoke(turn.input, turn.config, context=turn.context, durability="sync")
        return self._reply(turn, state)

    async def aresume(
        self,
        thread_id: str,
        *,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Reply:
        """As `resume`, asynchronously."""
        turn = await self._ajoined(self._begin(None, thread_id, context), context)
        graph = await self.agraph()
        self._waiting(await graph.aget_state(turn.config), thread_id)
        state = await graph.ainvoke(
            turn.input, turn.config, context=turn.context, durability="async"
        )
        return self._reply(turn, state)

    def _waiting(self, found: Any, thread_id: str) -> None:
        if not found.next:
            raise InputError(
                f"Nothing in the thread {thread_id!r} waits for an answer.",
                hint="Ask with --thread instead.",
            )

    def stream(
        self,
        text: str | None,
        *,
        thread_id: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """As `ask` (without a text as `resume`), as events.

        They are `token` with text, `tool`, `degraded`, `restart`; last `reply`.
        """
        turn = self._joined(self._begin(text, thread_id, context), context)
        if text is None:
            self._waiting(self.graph.get_state(turn.config), turn.thread_id)
        if self.spec.asks:
            turn = _answering(turn, self.graph.get_state(turn.config))
        state: Any = {}
        mode: Any
        for mode, part in self.graph.stream(
            turn.input,
            turn.config,
            context=turn.context,
            durability="sync",
            stream_mode=["messages", "custom", "values"],
        ):
            if mode == "values":
                state = part
            else:
                yield from events_of(mode, part)
        yield {"type": "reply", **self._reply(turn, state).as_dict()}

    async def astream(
        self,
        text: str | None,
        *,
        thread_id: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
        before: Sequence[BaseMessage] = (),
    ) -> AsyncGenerator[dict[str, Any], None]:
        """As `stream`, asynchronously.

        Args:
            text: The question; None answers the one the thread was left with, as `resume`.
            thread_id: The conversation to go on with; default: a new one.
            context: As for `ask`.
            before: Earlier messages of the conversation, where the thread doesn't have them.
        """
        turn = await self._ajoined(self._begin(text, thread_id, context), context)
        if before and turn.input is not None:
            turn = replace(turn, input={"messages": [*before, *turn.input["messages"]]})
        graph = await self.agraph()
        if text is None:
            self._waiting(await graph.aget_state(turn.config), turn.thread_id)
        if self.spec.asks:
            turn = _answering(turn, await graph.aget_state(turn.config))
        state: Any = {}
        mode: Any
        async for mode, part in graph.astream(
            turn.input,
            turn.config,
            context=turn.context,
            durability="async",
            stream_mode=["messages", "custom", "values"],
        ):
            if mode == "values":
                state = part
            else:
                for event in events_of(mode, part):
                    yield event
        yield {"type": "reply", **self._reply(turn, state).as_dict()}

    def history(
        self, thread_id: str, *, context: RunContext | Mapping[str, Any] | None = None
    ) -> list[BaseMessage]:
        """The messages of a thread that are in its live state.

        Args:
            thread_id: The thread.
            context: As for `ask`: its tenant says whose thread.
        """
        config = self.thread_config(thread_id, context=context)
        messages: list[BaseMessage] = self.graph.get_state(config).values.get("messages", [])
        return messages

    def thread_config(
        self, thread_id: str, *, context: RunContext | Mapping[str, Any] | None = None
    ) -> RunnableConfig:
        """What the graph's own methods (`get_state`, …) take to find a tenant's thread.

        Args:
            thread_id: The thread.
            context: As for `ask`: its tenant says whose thread.
        """
        return {
            "configurable": thread_config(self._context(context).tenant, check_thread_id(thread_id))
        }

    def _begin(
        self,
        text: str | None,
        thread_id: str | None,
        context: RunContext | Mapping[str, Any] | None,
    ) -> TurnStart:
        if text is not None:
            check_text(text)
        thread = check_thread_id(thread_id) if thread_id is not None else uuid.uuid4().hex
        run_id = uuid.uuid4()
        meter = TurnMeter(self._prices)
        asked = self._context(context)
        config: RunnableConfig = {
            "configurable": thread_config(asked.tenant, thread),
            "run_id": run_id,
            "run_name": self.spec.name,
            "recursion_limit": RECURSION_LIMIT,
            "callbacks": [meter],
            "metadata": {"allotrope_run_id": str(run_id), "thread_id": thread},
        }
        return TurnStart(
            input=None if text is None else {"messages": [HumanMessage(text)]},
            config=config,
            context=asked,
            meter=meter,
            thread_id=thread,
            run_id=str(run_id),
            at=time.perf_counter(),
        )

    def _joined(
        self, turn: TurnStart, given: RunContext | Mapping[str, Any] | None
    ) -> TurnStart:  # fmt: skip
        """The turn with what its variant of a running experiment sets."""
        if self._needs_profile is None:
            self._needs_profile = bool(self.spec.profile) and not self.spec.takes_profile()
        context = self._experiments.join(
            self.spec.name, turn.context, pinned=pinned_by(given), thread=turn.thread_id,
            run_id=turn.run_id,
        )  # fmt: skip
        return replace(turn, context=self._with_own(context))

    async def _ajoined(
        self, turn: TurnStart, given: RunContext | Mapping[str, Any] | None
    ) -> TurnStart:
        """As `_joined`, asynchronously."""
        if self._needs_profile is None:  # imports the graph
            needs = await asyncio.to_thread(self.spec.takes_profile)
            self._needs_profile = bool(self.spec.profile) and not needs
        context = await self._experiments.ajoin(
            self.spec.name, turn.context, pinned=pinned_by(given), thread=turn.thread_id,
            run_id=turn.run_id,
        )  # fmt: skip
        return replace(turn, context=self._with_own(context))

    def _with_own(self, context: RunContext) -> RunContext:
        """The context with the agent's own profile, where its graph can't be told of it."""
        if context.profile is None and self._needs_profile:
            return replace(context, profile=self.spec.profile)
        return context

    def _context(self, given: RunContext | Mapping[str, Any] | None) -> RunContext:
        if isinstance(given, RunContext):
            return given
        base = RunContext(tenant=self.settings.tenant)
        if not given:
            return base
        try:
            return replace(base, **given)
        except TypeError as exc:
            raise InputError(f"The run's context is wrong: {exc}.") from exc

    def _reply(self, turn: TurnStart, state: Mapping[str, Any]) -> Reply:
        last = state["messages"][-1]
        provenance = state.get("provenance") or {}
        answer = last.text if isinstance(last, AIMessage) else ""
        if asked := state.get("__interrupt__"):
            answer = asked_of_person(asked, turn.thread_id)
        return Reply(
            answer=answer,
            agent=self.spec.name,
            thread_id=turn.thread_id,
            run_id=turn.run_id,
            provider=provenance.get("provider", "unknown"),
            model=provenance.get("model", "unknown"),
            cached=provenance.get("cached"),
            degraded=state.get("degraded"),
            usage=dict(turn.meter.usage),
            cost_usd=turn.meter.cost_usd,
            latency_ms=(time.perf_counter() - turn.at) * 1000,
        )


def _answering(turn: TurnStart, found: Any) -> TurnStart:
    """The turn, as the answer to the question the thread stopped at when there is one."""
    if not found.interrupts or turn.input is None:
        return turn
    from langgraph.types import Command

    return replace(turn, input=Command(resume=turn.input["messages"][-1].text))


def build_agent(
    name: str = "assistant",
    *,
    settings: Settings | None = None,
    parts: Parts | None = None,
    checkpointer: "BaseCheckpointSaver[Any] | None" = None,
) -> Agent:
    """An agent ready to be asked.

    Args:
        name: Which agent: `assistant`, …
        settings: Where models and stores are; default: from the environment.
        parts: What the graph's nodes work with; default: those of the settings.
        checkpointer: Keeps the threads; default: the store of the settings.

    Raises:
        UnknownAgentError: There is no such agent.
        SettingsError: A setting is malformed.
    """
    spec = registry.find(name)
    return Agent(spec, settings or load_settings(), parts=parts, checkpointer=checkpointer)
