"""The provider simulator: OpenAI and Ollama on loopback, with faults by schedule."""

import asyncio
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from allotrope.exceptions import InputError
from allotrope.tasks import ended
from allotrope.testing.catalog import OLLAMA_MODELS, SNAPSHOTS
from allotrope.testing.engine import Behaviour, Engine, ScriptItem
from allotrope.testing.faults import FaultPlan
from allotrope.testing.http11 import Protocol
from allotrope.testing.ollama_api import full_name
from allotrope.testing.replies import Provider, SimRequest
from allotrope.testing.upstream import Upstream

_HOST = "127.0.0.1"


class ProviderSimulator:
    """Simulated OpenAI and Ollama servers, each on a port of its own, in a thread of their own.

    Use it as a context manager, from sync or async code; other processes reach it by its URLs.
    Without a script it echoes the last user message, calls tools the user names, and answers
    JSON schemas with JSON that obeys them.

    Args:
        port: OpenAI's port; 0 takes a free one.
        ollama_port: Ollama's port; 0 takes a free one.
        keys: The keys OpenAI accepts; None accepts every key but none at all.
        models: Further OpenAI models, or a mapping of alias to snapshot.
        ollama_models: Installed Ollama models; default: llama3.1 and nomic-embed-text.
        clock: Seconds, for `SimRequest.at` and the time windows of faults.
        sleep: Waits for seconds of that clock.
        counter: Tokens of a text; default: a token for every four characters.
        latency_s: Seconds before the first byte.
        token_delay_s: Seconds a token takes.
        reasoning_tokens: Hidden tokens of a reasoning model at medium effort (half and double at
            low and high).
        upstream: An OpenAI-compatible base URL that answers what nobody scripted.
        upstream_model: The model it is asked for.
        seed: Seed of the chance in faults.

    Raises:
        InputError: On `start`, when a port is taken.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        ollama_port: int = 0,
        keys: Collection[str] | None = None,
        models: Mapping[str, str] | Iterable[str] = (),
        ollama_models: Iterable[str] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        counter: Callable[[str], int] | None = None,
        latency_s: float = 0.0,
        token_delay_s: float = 0.0,
        reasoning_tokens: int = 64,
        upstream: str | None = None,
        upstream_model: str = "default",
        seed: int = 0,
    ) -> None:
        more = models if isinstance(models, Mapping) else {name: name for name in models}
        behaviour = Behaviour(
            keys=keys,
            openai_models={**SNAPSHOTS, **more},
            latency_s=latency_s,
            token_delay_s=token_delay_s,
            reasoning_tokens=reasoning_tokens,
        )
        if ollama_models is not None:
            names = [full_name(name) for name in ollama_models]
            behaviour.ollama_models = {name: OLLAMA_MODELS.get(name, 131_072) for name in names}
        behaviour.clock = clock or behaviour.clock
        behaviour.sleep = sleep or behaviour.sleep
        behaviour.counter = counter or behaviour.counter
        if upstream is not None:
            behaviour.answer = Upstream(upstream, model=upstream_model).reply
        self.faults = FaultPlan(seed=seed)
        self._engine = Engine(behaviour, self.faults)
        self._answer = behaviour.answer
        self._ports: dict[Provider, int] = {"openai": port, "ollama": ollama_port}
        self._servers: dict[Provider, asyncio.Server] = {}
        self._connections: dict[Provider, set[Protocol]] = {"openai": set(), "ollama": set()}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # -- life --------------------------------------------------------------------------------

    def start(self) -> Self:
        """Opens both ports and answers from now on.

        Raises:
            InputError: A port is taken.
        """
        if self._thread is not None:
            return self
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="provider-simulator", daemon=True
        )
        self._thread.start()
        try:
            for provider in self._ports:
                self.up(provider)
        except OSError as exc:
            self.stop()
            raise InputError(
                f"The simulator can't listen on {_HOST}: {exc}.", hint="Choose another port."
            ) from exc
        self._engine.reset_clock()
        return self

    def stop(self) -> None:
        """Closes every port and connection."""
        if self._thread is None or self._loop is None:
            return
        for provider in self._ports:
            self.down(provider)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = self._loop = None

    def __enter__(self) -> Self:
        """Starts."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Starts."""
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops."""
        self.stop()

    def down(self, provider: Provider) -> None:
        """Closes a provider's port and breaks its connections: new ones are refused."""
        self._call(self._close(provider))

    def up(self, provider: Provider) -> None:
        """Opens a provider's port again."""
        self._call(self._open(provider))

    # -- where it is -------------------------------------------------------------------------

    @property
    def openai_url(self) -> str:
        """OpenAI's base URL, `/v1` included."""
        return f"http://{_HOST}:{self._ports['openai']}/v1"

    @property
    def ollama_url(self) -> str:
        """Ollama's host."""
        return f"http://{_HOST}:{self._ports['ollama']}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point any OpenAI and Ollama client of another process here."""
        return {
            "OPENAI_API_KEY": "sk-simulator",
            "OPENAI_BASE_URL": self.openai_url,
            "OLLAMA_HOST": self.ollama_url,
        }

    # -- what it answers ---------------------------------------------------------------------

    def script(self, items: Iterable[ScriptItem], *, provider: Provider | None = None) -> None:
        """Answers the next chat requests with these, one each, then as before.

        Args:
            items: Texts, `Reply`, `Fault`, or callables that get the request and return one.
            provider: Only requests to this provider; None is for whoever asks first.
        """
        queue = self._engine.script.setdefault(provider, deque())
        queue.extend(items)

    def when(
        self, matches: str | re.Pattern[str] | Callable[[SimRequest], bool], answer: ScriptItem
    ) -> None:
        """Answers every request that matches with this, before any script.

        Args:
            matches: A part of the last user message, a pattern searched in it, or a predicate.
            answer: A text, `Reply`, `Fault` or callable.
        """
        self._engine.matchers.append((_predicate(matches), answer))

    def answer_with(self, answer: Callable[[SimRequest], Any]) -> None:
        """Replaces the echo: answers everything that is neither matched nor scripted."""
        self._engine.behaviour.answer = answer

    # -- what it saw -------------------------------------------------------------------------

    @property
    def requests(self) -> list[SimRequest]:
        """Every request since the start or the last reset, oldest first."""
        return list(self._engine.requests)

    def chats(self, provider: Provider | None = None) -> list[SimRequest]:
        """The requests for an answer, without listings and embeddings.

        Args:
            provider: Only those to this provider.
        """
        return [
            request
            for request in self._engine.requests
            if request.api in ("chat", "responses", "ollama")
            and provider in (None, request.provider)
        ]

    @property
    def elapsed_s(self) -> float:
        """Seconds on the simulator's clock since the start or the last reset."""
        return self._engine.elapsed_s()

    def reset(self) -> None:
        """Forgets requests, scripts, matches, `answer_with` and faults; opens ports.

        The clock starts anew.
        """
        self._engine.reset()
        self._engine.behaviour.answer = self._answer
        for provider in self._ports:
            self.up(provider)

    # -- inside ------------------------------------------------------------------------------

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(ended(*asyncio.all_tasks(loop)))
        finally:
            loop.close()

    def _call(self, work: Any) -> None:
        if self._loop is None:
            work.close()
            return
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, provider: Provider) -> None:
        if provider in self._servers:
            return
        connections = self._connections[provider]
        server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(self._engine.handle, connections),
            _HOST,
            self._ports[provider],
            backlog=1024,
        )
        self._servers[provider] = server
        self._ports[provider] = server.sockets[0].getsockname()[1]

    async def _close(self, provider: Provider) -> None:
        server = self._servers.pop(provider, None)
        if server is None:
            return
        server.close()
        for connection in list(self._connections[provider]):
            connection.stop()
        await asyncio.sleep(0)  # lets the transports close before the loop may end


def _predicate(
    matches: str | re.Pattern[str] | Callable[[SimRequest], bool],
) -> Callable[[SimRequest], bool]:
    if isinstance(matches, str):
        return lambda request: matches in request.text
    if isinstance(matches, re.Pattern):
        return lambda request: matches.search(request.text) is not None
    return matches
