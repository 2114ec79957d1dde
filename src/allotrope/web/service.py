"""The agents behind the endpoints: opened when the server starts, counted while they run."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from allotrope.agents import registry
from allotrope.agents.turns.leases import LEASE_S
from allotrope.agents.turns.text import said_after
from allotrope.agents.turns.thread_locks import ThreadLocks
from allotrope.contracts import Event
from allotrope.exceptions import AllotropeError, ThreadBusyError
from allotrope.identity.principal import Principal
from allotrope.memory.checkpoints.threads import thread_key
from allotrope.settings import Settings, load_settings
from allotrope.stores.errors import error_name
from allotrope.support.pools import UPKEEP
from allotrope.web.chat.sharing import Sharing
from allotrope.web.chat.turns import CLEAN_UP_S, PERSON, SERVER, Events, RunningTurn
from allotrope.web.errors import BusyError
from allotrope.web.health.heartbeat import Heartbeat
from allotrope.web.health.shortages import Shortages

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from allotrope.agents.agent import Agent
    from allotrope.graphs.parts import Parts

logger = logging.getLogger(__name__)

RELOADED = ("openai", "ollama", "profiles", "prompts")
"""Sections of the settings that SIGHUP reads anew."""

LONGEST_PAUSE_S = 30.0
"""Between two tries to open the stores of a server that starts, seconds."""


class Service:
    """The agents of one server process.

    Args:
        settings: Where models and stores are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sharing = Sharing(settings)
        self.shortages = Shortages(settings)
        self.heartbeat = Heartbeat(self._stood_still)
        self._locks = ThreadLocks(settings, wait_s=LEASE_S + 1)  # as long as a dead one keeps it
        self.ready = False
        """Whether a turn finds all it needs."""
        self.when_warm: Callable[[], None] = lambda: None
        """Called in a thread when everything is open."""
        self.stopping = False
        """Whether no turn may begin any more."""
        self._turns: set[RunningTurn] = set()
        self._by_thread: dict[str, RunningTurn] = {}
        """By tenant and thread."""
        self._agents: dict[str, Agent] = {}
        self._parts: Parts | None = None
        self._stack = contextlib.AsyncExitStack()
        self._saver: Any = None
        self._lock = asyncio.Lock()

    def _stood_still(self, seconds: float) -> None:
        self.shortages.note("time", f"it stood still for {seconds:.0f} s")

    @property
    def names(self) -> tuple[str, ...]:
        """The agents there are."""
        return registry.names()

    @property
    def running(self) -> int:
        """How many turns are under way."""
        return len(self._turns)

    async def warm(self) -> None:
        """Opens what the first turn needs; where a store is down, tries again until it is up."""
        from allotrope.web.warming import warm

        pause_s = 1.0
        while not self.ready:
            try:
                await self.agent("assistant")
                assert self._parts is not None
                await warm(self._parts, [registry.find("assistant")])
                self.ready = True
            except Exception as exc:  # noqa: BLE001  # a server that starts outlives any of them
                logger.warning("the agents can't be opened yet: %s", error_name(exc))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        with contextlib.suppress(Exception):  # whoever asks this agent is told what is wrong
            assert self._parts is not None
            await warm(self._parts, [registry.find(name) for name in self.names])
        await UPKEEP.run(self.when_warm)
        self.heartbeat.start()  # until then imports hold the loop up

    async def agent(self, name: str) -> "Agent":
        """An agent, with the stores it shares with the others.

        Raises:
            UnknownAgentError: There is none of that name.
            StoreError: The threads can't be opened.
        """
        async with self._lock:
            if name not in self._agents:
                await self._open(name)
            return self._agents[name]

    async def _open(self, name: str) -> None:
        spec = await UPKEEP.run(registry.find, name)
        if self._parts is None:
            await UPKEEP.run(_load)
            from allotrope.graphs.parts import Parts
            from allotrope.memory.checkpoints.opening import open_async_checkpoints

            if self._saver is None:
                self._saver = await self._stack.enter_async_context(
                    open_async_checkpoints(self.settings)
                )
            await self.sharing.open()
            parts = Parts(self.settings)
            await UPKEEP.run(parts.make_ready)
            self._parts = parts
        from allotrope.agents.agent import Agent

        self._agents[name] = Agent(
            spec, self.settings, parts=self._parts, checkpointer=self._saver, locks=self._locks
        )

    async def reload(self) -> None:
        """Reads keys, models, profiles and prompts anew; turns under way go on.

        Running turns take the new ones with their next call of a model. Where the settings can't be
        used, the old ones stay, and the log says why. Addresses of stores, the section `serve` and
        the rest are as they were until the server is started again.
        """
        try:
            read = await UPKEEP.run(load_settings)
            changed = {name: getattr(read, name) for name in RELOADED}
            settings = self.settings.model_copy(update=changed)
            async with self._lock:
                if self._parts is not None:
                    await UPKEEP.run(self._parts.reload, settings)
                self.settings = settings
        except AllotropeError as exc:
            logger.error("the settings stay as they were: %s", exc)
        else:
            logger.warning("keys, models, profiles and prompts were read anew")

    async def memory(self) -> Any:
        """The memory of all threads (sync; ask it in a thread)."""
        await self.agent("assistant")
        assert self._parts is not None
        return await UPKEEP.run(lambda: self._parts and self._parts.memory)

    def tenant_of(self, principal: Principal) -> str:
        """Whose data a caller sees."""
        return principal.tenant or self.settings.tenant

    async def state(
        self, agent: str, thread: str, *, context: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The live state of a thread, empty where there is none; `next` says what waits."""
        found = await self.agent(agent)
        graph = await found.agraph()
        state = await graph.aget_state(found.thread_config(thread, context=context))
        return {**state.values, "next": state.next}

    async def events(
        self,
        agent: str,
        text: str | None,
        *,
        thread: str,
        context: Mapping[str, Any],
        before: "Sequence[BaseMessage]" = (),
        recognised: bool = False,
    ) -> Events:
        """One turn as events; see `Agent.astream`. A thread has one turn at a time: who asks this
        server meanwhile is refused at once, who asks another one waits a little first.

        Besides the agent's own events there are `beat` where it is silent, and as the last one
        `stopped` where a person stopped it.

        Args:
            agent: Who is asked.
            text: The question; None goes on with the one the thread was left with, and so does
                the same question once more.
            thread: The conversation.
            context: Fields of `RunContext`.
            before: Earlier messages of the conversation, for a thread that has none yet.
            recognised: `before` led to the thread; see `Agent.astream`.

        Raises:
            ThreadMovedOnError: A recognised thread ends otherwise; nothing was asked.
            BusyError: As many turns run as may, this thread has one running, or the server stops.
        """
        stream = self._run(
            lambda turn: self._turn(
                turn,
                agent,
                text,
                thread=thread,
                context=context,
                before=before,
                recognised=recognised,
            )
        )
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield event

    async def aside(self, answer: "Callable[[Parts], Awaitable[dict[str, Any]]]") -> Events:
        """A question beside the threads, which counts as a turn while it runs.

        Args:
            answer: Gives the one event, from the models and settings.

        Raises:
            BusyError: As many turns run as may, or the server stops.
        """

        async def source(turn: RunningTurn) -> Events:
            await self.agent("assistant")
            assert self._parts is not None
            yield await answer(self._parts)

        async with contextlib.aclosing(self._run(source)) as events:
            async for event in events:
                yield event

    async def _run(self, source: "Callable[[RunningTurn], Events]") -> Events:
        """What a source gives, with beats in its silences, until somebody stops it."""
        self.check_room()
        turn = RunningTurn(
            source,
            beat_s=self.settings.serve.heartbeat_s,
            ended=lambda: self._turns.discard(turn),
        )
        self._turns.add(turn)
        try:
            async with contextlib.aclosing(turn.events()) as events:
                async for event in events:
                    yield event
        except Exception as exc:
            told = self.shortages.explained(exc)
            if told is exc:
                raise
            raise told from exc
        if turn.stopped == SERVER:
            raise cut_off()

    async def _turn(
        self,
        turn: RunningTurn,
        agent: str,
        text: str | None,
        *,
        thread: str,
        context: Mapping[str, Any],
        before: "Sequence[BaseMessage]",
        recognised: bool,
    ) -> Events:
        """The turn, as its own task runs it."""
        found = await self.agent(agent)
        place = thread_key(context.get("tenant") or self.settings.tenant, thread)
        if place in self._by_thread:  # a person who waits is told at once
            raise busy()
        self._by_thread[place] = turn
        said = ""
        try:
            stream = found.astream(
                text, thread_id=thread, context=context, before=before, recognised=recognised
            )
            async with contextlib.aclosing(stream) as events:
                async for event in events:
                    said = said_after(said, event)
                    yield event
        except ThreadBusyError as exc:
            raise busy() from exc
        except asyncio.CancelledError:
            if turn.stopped != PERSON:
                raise
            turn.go_on()
            kept = await found.akeep_said(thread, said, question=text, context=context)
            yield {"type": Event.STOPPED, "kept": kept}
        finally:
            del self._by_thread[place]

    def check_room(self) -> None:
        """Refuses a turn where none may begin.

        Raises:
            BusyError: As many turns run as may, or the server stops.
        """
        if self.stopping:
            raise stopping()
        if self.running >= self.settings.serve.running_turns:
            raise BusyError(
                f"{self.running} turns are running, which is all that may. Try again soon.",
                status=503,
                code="overloaded",
                retry_after_s=1,
            )

    def stop(self, tenant: str, thread: str) -> bool:
        """Ends the turn of a tenant's thread; whether there is one in this process."""
        turn = self._by_thread.get(thread_key(tenant, thread))
        if turn is not None:
            turn.stop(PERSON)
        return turn is not None

    def cut(self) -> None:
        """Ends all turns; each thread keeps its question, and another server can answer it."""
        for turn in self._turns:
            turn.stop(SERVER)

    async def aclose(self) -> None:
        """Ends what runs and closes every store."""
        self.stopping = True
        self.cut()
        await asyncio.gather(*(turn.end(patience_s=CLEAN_UP_S) for turn in list(self._turns)))
        for agent in self._agents.values():
            await agent.aclose()
        self._agents.clear()
        if self._parts is not None:
            await self._parts.aclose()
            self._parts = None
        await self.sharing.aclose()
        await UPKEEP.run(self._locks.close)
        await self._stack.aclose()


def busy() -> BusyError:
    """The refusal of a second turn at once on a thread."""
    return BusyError(
        "This thread is answering another message. Wait for it, or stop it.",
        status=409,
        code="thread_busy",
        retry_after_s=1,
    )


def stopping() -> BusyError:
    """The refusal of a server that is about to end."""
    return BusyError(
        "This server is stopping and took nothing new: ask again soon, or another server.",
        status=503,
        code="server_stopping",
        retry_after_s=5,
    )


def cut_off() -> BusyError:
    """What the client of a turn hears that a stopping server ended."""
    return BusyError(
        "This server stopped before the answer was ready. Ask the same again soon: a question that "
        "its thread has already is answered there.",
        status=503,
        code="server_stopping",
        retry_after_s=5,
    )


def _load() -> None:
    """The heavy imports, off the event loop."""
