"""The agents behind the endpoints: opened at the first turn, counted while they run."""

import asyncio
import contextlib
import hashlib
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from allotrope.agents import registry
from allotrope.settings import Settings
from allotrope.web.errors import RequestError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from allotrope.graphs.parts import Parts
    from allotrope.runtime import Agent

REMEMBERED_CONVERSATIONS = 10_000


class BusyError(RequestError):
    """As many turns run as may."""


class Conversations:
    """Which thread a client's message history belongs to.

    Clients of OpenAI's API send the whole conversation each time and name no thread. A history
    that ends as a thread of ours ended goes on in that thread, so that its archive and summary
    serve it; any other history begins a new one.

    Args:
        most: How many are remembered.
    """

    def __init__(self, most: int = REMEMBERED_CONVERSATIONS) -> None:
        self._most = most
        self._threads: OrderedDict[str, str] = OrderedDict()

    @staticmethod
    def key(agent: str, user: str | None, turns: Sequence[tuple[str, str]]) -> str:
        """What a conversation is recognised by: agent, user, and every role and text."""
        whole = json.dumps([agent, user, [[role, text.strip()] for role, text in turns]])
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()

    def take(self, key: str) -> str | None:
        """The thread that stands exactly there. Only one request may go on with it."""
        return self._threads.pop(key, None)

    def put(self, key: str, thread: str) -> None:
        """A thread stands there now."""
        self._threads[key] = thread
        while len(self._threads) > self._most:
            self._threads.popitem(last=False)


class Service:
    """The agents of one server process.

    Args:
        settings: Where models and stores are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.conversations = Conversations()
        self.running = 0
        self._agents: dict[str, Agent] = {}
        self._parts: Parts | None = None
        self._stack = contextlib.AsyncExitStack()
        self._saver: Any = None
        self._lock = asyncio.Lock()
        self._threads: dict[str, asyncio.Lock] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The agents there are."""
        return registry.names()

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
        spec = await asyncio.to_thread(registry.find, name)
        if self._parts is None:
            await asyncio.to_thread(_load)
            from allotrope.graphs.parts import Parts
            from allotrope.memory.checkpoints import open_async_checkpoints

            self._saver = await self._stack.enter_async_context(
                open_async_checkpoints(self.settings)
            )
            self._parts = Parts(self.settings)
            await asyncio.to_thread(self._parts.make_ready)
        from allotrope.runtime import Agent

        self._agents[name] = Agent(spec, self.settings, parts=self._parts, checkpointer=self._saver)

    async def memory(self) -> Any:
        """The memory of all threads (sync; ask it in a thread)."""
        await self.agent("assistant")
        assert self._parts is not None
        return await asyncio.to_thread(lambda: self._parts and self._parts.memory)

    async def state(self, agent: str, thread: str) -> Mapping[str, Any]:
        """The live state of a thread, empty where there is none; `next` says what waits."""
        graph = await (await self.agent(agent)).agraph()
        found = await graph.aget_state({"configurable": {"thread_id": thread}})
        return {**found.values, "next": found.next}

    async def events(
        self,
        agent: str,
        text: str | None,
        *,
        thread: str,
        context: Mapping[str, Any],
        before: "Sequence[BaseMessage]" = (),
    ) -> AsyncGenerator[dict[str, Any], None]:
        """One turn as events; see `Agent.astream`. A thread has one turn at a time.

        Args:
            agent: Who is asked.
            text: The question; None goes on with the one the thread was left with.
            thread: The conversation.
            context: Fields of `RunContext`.
            before: Earlier messages of the conversation, for a thread that doesn't have them.

        Raises:
            BusyError: As many turns run as may, or this thread has one running.
        """
        if self.running >= self.settings.serve.running_turns:
            raise BusyError(
                f"{self.running} turns are running, which is all that may. Try again soon.",
                status=503,
                code="overloaded",
            )
        lock = self._threads.setdefault(thread, asyncio.Lock())
        if lock.locked():
            raise BusyError(
                "This thread is answering another message. Wait for it, or stop it.",
                status=409,
                code="thread_busy",
            )
        self.running += 1
        try:
            async with lock:
                found = await self.agent(agent)
                stream = found.astream(text, thread_id=thread, context=context, before=before)
                async with contextlib.aclosing(stream) as events:
                    async for event in events:
                        yield event
        finally:
            self.running -= 1
            if not lock.locked():
                self._threads.pop(thread, None)

    async def aclose(self) -> None:
        """Closes every store."""
        for agent in self._agents.values():
            await agent.aclose()
        self._agents.clear()
        if self._parts is not None:
            await asyncio.to_thread(self._parts.close)
            self._parts = None
        await self._stack.aclose()


def _load() -> None:
    """The heavy imports, off the event loop."""
    import allotrope.graphs.parts
    import allotrope.memory.checkpoints
    import allotrope.runtime  # noqa: F401  # loading them is the point
