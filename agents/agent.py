"""An agent ready to be asked: its graph, its threads, and the answer with where it came from."""

import contextlib
import threading
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from allotrope.agents import registry
from allotrope.agents.reply import Reply, TurnMeter
from allotrope.agents.spec import AgentSpec
from allotrope.agents.turns.loop_graphs import LoopGraphs
from allotrope.agents.turns.start import TurnStart, check_ends_so, going_on, within_the_limit
from allotrope.agents.turns.stopping import keep_said
from allotrope.agents.turns.text import (
    asked_of_person,
    asks_of,
    check_text,
    check_thread_id,
    events_of,
)
from allotrope.agents.turns.thread_locks import ThreadLocks
from allotrope.contracts import Event, Metadata
from allotrope.exceptions import InputError
from allotrope.graphs.context import RunContext, context_of, pinned_by
from allotrope.graphs.parts import Parts, named
from allotrope.memory.checkpoints.threads import thread_config
from allotrope.models.profiles.budget_profiles import check_budget_profiles
from allotrope.settings import Settings, load_settings
from allotrope.stores import lacks
from allotrope.support.loop_thread import LoopThread
from allotrope.support.pools import LONG_TEXT, LONG_TEXTS, TURNS
from allotrope.usage.prices.prices import PriceBook

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

DURABILITY: Literal["sync"] = "sync"
"""A step begins once the one before it is stored: the question is, before a model is asked."""

VARIANTS = "allotrope.experiments.online.turns:TurnExperiments"
"""What gives a turn its variant. Experiments use agents, so an agent knows them by name only."""

RECURSION_LIMIT = 50
"""Steps of a graph in one turn; the nodes answer gracefully before it is reached."""


class TurnVariants(Protocol):
    """The experiments that a turn may take part in."""

    async def ajoin(
        self, agent: str, context: RunContext, *, pinned: frozenset[str], thread: str, run_id: str
    ) -> RunContext:
        """The context of a run with what its variant sets."""

    def close(self) -> None:
        """Closes what was opened."""


class Agent:
    """One agent over the stores of the settings. Threads are kept; nothing is opened before use.

    It may be called from any thread and any event loop; two turns in one thread of a conversation
    run one after the other. The core is async: sync calls run it in a thread of the agent's own.
    Use it as a context manager, or call `close`/`aclose`.

    Args:
        spec: Which agent.
        settings: Where models and stores are.
        parts: What the graph's nodes work with; default: those of the settings.
        checkpointer: Keeps the threads; default: the store of the settings. One without an async
            side is asked in threads.
        locks: Who may answer in a thread; default: those of the settings.
    """

    def __init__(
        self,
        spec: AgentSpec,
        settings: Settings,
        *,
        parts: Parts | None = None,
        checkpointer: "BaseCheckpointSaver[Any] | None" = None,
        locks: ThreadLocks | None = None,
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.parts = parts or Parts(settings)
        self._own_parts = parts is None
        self._given = checkpointer
        self._locks = locks or ThreadLocks(settings)
        self._own_locks = locks is None
        self._prices = PriceBook(settings.usage.prices)
        self._experiments: TurnVariants = named(VARIANTS)(settings)
        self._needs_profile: bool | None = None
        self._graphs = LoopGraphs(settings, self._build, checkpointer)
        self._sync = LoopThread()
        self._graph: CompiledStateGraph[Any, Any, Any, Any] | None = None
        self._stack = contextlib.ExitStack()
        self._opening = threading.Lock()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> "Agent":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def close(self) -> None:
        """Closes what the calls opened, and the memory unless it was handed in."""
        self._sync.close()
        with self._opening:
            self._graph = None
            self._stack.close()
        self._experiments.close()
        if self._own_locks:
            self._locks.close()
        if self._own_parts:
            self.parts.close()

    async def aclose(self) -> None:
        """As `close`, for async callers; stores of other event loops that run are closed too."""
        await self._graphs.aclose()
        if self._own_parts:
            await self.parts.aclose()
        await TURNS.run(self.close)

    @property
    def graph(self) -> "CompiledStateGraph[Any, Any, Any, Any]":
        """The compiled graph for sync calls of LangGraph's own, with its checkpointer."""
        with self._opening:
            if self._graph is None:
                saver = self._given
                if saver is None:
                    from allotrope.memory.checkpoints.opening import open_checkpoints

                    saver = self._stack.enter_context(open_checkpoints(self.settings))
                self._graph = self._build(saver)
            return self._graph

    async def agraph(self) -> "CompiledStateGraph[Any, Any, Any, Any]":
        """The compiled graph for async calls in the running event loop, with its checkpointer."""
        return await self._graphs.get()

    def ask(
        self,
        text: str,
        *,
        thread_id: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Reply:
        """Answers one question.

        Args:
            text: The question. Where the thread's last one has no answer yet, the same text goes on
                where that turn stood; another one is answered together with it.
            thread_id: The conversation to go on with; default: a new one.
            context: Profile, prompt label, tenant and limits of this run.

        Raises:
            InputError: The text or the thread id can't be used.
            ThreadBusyError: Another turn of the thread took longer than we wait.
            AllProvidersFailedError: No model could answer; the question is kept in the thread.
        """
        return self._sync.run(self.aask(text, thread_id=thread_id, context=context))

    async def aask(
        self,
        text: str,
        *,
        thread_id: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Reply:
        """As `ask`, asynchronously."""
        check_text(text)
        return await self._answered(text, thread_id, context)

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
            ThreadBusyError: Another turn of the thread took longer than we wait.
            AllProvidersFailedError: Still nobody can answer; the question stays kept.
        """
        return self._sync.run(self.aresume(thread_id, context=context))

    async def aresume(
        self,
        thread_id: str,
        *,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Reply:
        """As `resume`, asynchronously."""
        return await self._answered(None, thread_id, context)

    async def _answered(
        self,
        text: str | None,
        thread_id: str | None,
        context: RunContext | Mapping[str, Any] | None,
    ) -> Reply:
        async with self._turn(text, thread_id, context) as (turn, graph):
            state = await graph.ainvoke(
                turn.input, turn.config, context=turn.context, durability=DURABILITY
            )
            return self._reply(turn, state)

    def stream(
        self,
        text: str | None,
        *,
        thread_id: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> Generator[dict[str, Any], None, None]:
        """As `ask` (without a text as `resume`), as events.

        They are `token` with text, `tool`, `degraded`, `restart`; last `reply`. Who stops reading
        (`close()`, Ctrl-C) ends the turn; `keep_said` then keeps what was said.
        """
        return self._sync.iterate(self.astream(text, thread_id=thread_id, context=context))

    async def astream(
        self,
        text: str | None,
        *,
        thread_id: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
        before: Sequence[BaseMessage] = (),
        recognised: bool = False,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """As `stream`, asynchronously.

        Args:
            text: The question; None answers the one the thread was left with, as `resume`.
            thread_id: The conversation to go on with; default: a new one.
            context: As for `ask`.
            before: Earlier messages of the conversation, where the thread doesn't have them.
            recognised: `before` led to the thread, so that it must end with them still.

        Raises:
            ThreadMovedOnError: A recognised thread ends otherwise.
        """
        async with self._turn(text, thread_id, context, before, recognised) as (turn, graph):
            state: Any = {}
            mode: Any
            async for mode, part in graph.astream(
                turn.input,
                turn.config,
                context=turn.context,
                durability=DURABILITY,
                stream_mode=["messages", "custom", "values"],
            ):
                if mode == "values":
                    state = part
                else:
                    for event in events_of(mode, part):
                        yield event
            reply = self._reply(turn, state)
        yield {"type": Event.REPLY, **reply.as_dict()}

    def keep_said(
        self,
        thread_id: str,
        said: str,
        *,
        question: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> bool:
        """After a stream that was stopped: what was said so far becomes the answer in the thread.

        Without a word said, or in the middle of a tool's work, the question stays and waits. So
        it does where another one was asked in the thread meanwhile.

        Args:
            thread_id: The thread.
            said: The text that the person has seen.
            question: What the stream was asked; without it, what was said is put behind the
                thread's latest question, whoever asked that.
            context: As for `ask`.

        Returns:
            Whether the text is in the thread now.
        """
        return self._sync.run(self.akeep_said(thread_id, said, question=question, context=context))

    async def akeep_said(
        self,
        thread_id: str,
        said: str,
        *,
        question: str | None = None,
        context: RunContext | Mapping[str, Any] | None = None,
    ) -> bool:
        """As `keep_said`, asynchronously."""
        if not said.strip():
            return False
        asked, graph = self._context(context), await self.agraph()
        async with self._locks.turn(asked.tenant, thread_id):
            config = self.thread_config(thread_id, context=asked)
            with lacks.explained():
                return await keep_said(graph, config, said, context=asked, question=question)

    def history(
        self, thread_id: str, *, context: RunContext | Mapping[str, Any] | None = None
    ) -> list[BaseMessage]:
        """The messages of a thread that are in its live state.

        Args:
            thread_id: The thread.
            context: As for `ask`: its tenant says whose thread.
        """
        config = self.thread_config(thread_id, context=context)

        async def found() -> list[BaseMessage]:
            state = await (await self.agraph()).aget_state(config)
            messages: list[BaseMessage] = state.values.get("messages", [])
            return messages

        return self._sync.run(found())

    def thread_config(
        self, thread_id: str, *, context: RunContext | Mapping[str, Any] | None = None
    ) -> "RunnableConfig":
        """What the graph's own methods (`get_state`, …) take to find a tenant's thread.

        Args:
            thread_id: The thread.
            context: As for `ask`: its tenant says whose thread.
        """
        return {
            "configurable": thread_config(self._context(context).tenant, check_thread_id(thread_id))
        }

    def _build(self, saver: "BaseCheckpointSaver[Any]") -> "CompiledStateGraph[Any, Any, Any, Any]":
        return self.spec.build(parts=self.parts, checkpointer=saver)

    @contextlib.asynccontextmanager
    async def _turn(
        self,
        text: str | None,
        thread_id: str | None,
        given: RunContext | Mapping[str, Any] | None,
        before: Sequence[BaseMessage] = (),
        recognised: bool = False,
    ) -> "AsyncIterator[tuple[TurnStart, CompiledStateGraph[Any, Any, Any, Any]]]":
        """A turn that may begin, and the graph: the thread is ours until the end."""
        turn = self._begin(text, thread_id, given, before)
        if text is not None and len(text) >= LONG_TEXT and self.parts.ready:
            await LONG_TEXTS.run(self._check_length, text, turn.context)
        if thread_id is None:  # nobody else knows the thread
            turn, graph = await self._joined(turn, given), await self.agraph()
            with within_the_limit(turn), lacks.explained():
                yield turn, graph
            return
        async with self._locks.turn(turn.context.tenant, thread_id):
            turn, graph = await self._joined(turn, given), await self.agraph()
            found = await graph.aget_state(turn.config)
            if recognised and turn.input is not None:
                check_ends_so(found, turn)
            with within_the_limit(turn), lacks.explained():
                yield going_on(turn, found), graph

    def _check_length(self, text: str, context: RunContext) -> None:
        """Refuses what no model takes before it is stored; the graph's first node checks all."""
        from allotrope.graphs.nodes import check_length

        profile = self.parts.profile_of(context, agent=self.spec.name, own=self.spec.profile)
        window = self.parts.window(profile)
        if window is not None:
            check_length(HumanMessage(text), window)

    def _begin(
        self,
        text: str | None,
        thread_id: str | None,
        context: RunContext | Mapping[str, Any] | None,
        before: Sequence[BaseMessage] = (),
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
            "metadata": {Metadata.RUN_ID: str(run_id), "thread_id": thread},
        }
        return TurnStart(
            input=None if text is None else {"messages": [*before, HumanMessage(text)]},
            config=config,
            context=asked,
            meter=meter,
            thread_id=thread,
            run_id=str(run_id),
            at=time.perf_counter(),
        )

    async def _joined(
        self, turn: TurnStart, given: RunContext | Mapping[str, Any] | None
    ) -> TurnStart:
        """The turn with what its variant of a running experiment sets."""
        if self._needs_profile is None:  # imports the graph
            own = self.spec.profile is not None
            self._needs_profile = own and not await TURNS.run(self.spec.takes_profile)
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
        if not isinstance(given, RunContext):
            try:
                given = RunContext(**(given or {}))
            except TypeError as exc:
                raise InputError(f"The run's context is wrong: {exc}.") from exc
        return context_of(given, tenant=self.settings.tenant)

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
            succession=state.get("succession"),
            truncated=bool(provenance.get("truncated")),
            usage=dict(turn.meter.usage),
            cost_usd=turn.meter.cost_usd,
            latency_ms=(time.perf_counter() - turn.at) * 1000,
            repairs=tuple(provenance.get("repairs") or ()),
            asks=asks_of(asked),
            files=() if asked else tuple(map(str, state.get("saved") or ())),
        )


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
        SettingsError: A setting is malformed, or a budget names a profile that isn't there.
    """
    spec = registry.find(name)
    settings = settings or load_settings()
    check_budget_profiles(settings)
    return Agent(spec, settings, parts=parts, checkpointer=checkpointer)
