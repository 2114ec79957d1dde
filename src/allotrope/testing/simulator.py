"""The provider simulator: OpenAI and Ollama on loopback, with faults by schedule."""

import re
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from allotrope.testing.content.catalog import OLLAMA_MODELS, SimModel, further_models
from allotrope.testing.content.lifecycles import SimulatedLifecycles
from allotrope.testing.content.replies import Provider, SimRequest
from allotrope.testing.engine import Behaviour, Engine, ScriptItem
from allotrope.testing.faults import FaultPlan
from allotrope.testing.http.upstream import Upstream
from allotrope.testing.loopback import HOST, Loopback
from allotrope.testing.ollama_api import full_name
from allotrope.testing.openai.prompt_caching import PromptCache
from allotrope.testing.openai.server import OpenAIServer


class ProviderSimulator:
    """Simulated OpenAI and Ollama servers, each on a port of its own, in a thread of their own.

    Use it as a context manager, from sync or async code; other processes reach it by its URLs.
    Without a script it echoes the last user message, calls tools the user names, and answers
    JSON schemas with JSON that obeys them.

    Args:
        port: OpenAI's port; 0 takes a free one.
        ollama_port: Ollama's port; 0 takes a free one.
        keys: The keys OpenAI accepts; None accepts every key but none at all.
        models: Further OpenAI models: names (with the rules of their family), `SimModel`s with
            rules of their own, or a mapping of alias to snapshot.
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
        shutdown_dates: What `/v1/models` says of models' ends: `YYYY-MM-DD`, or any other text
            where it shall be broken. It retires nobody, unless `now` is given.
        now: OpenAI's date and time (UTC, ISO 8601) at the start. It moves on with the clock; models
            whose date has come are gone.
        date_header: Sent as OpenAI's `Date` header in place of the time.
        models_endpoint: Whether OpenAI has a `/v1/models`.
        prompt_caching: Whether OpenAI caches prompts and counts what it reads and writes.

    Raises:
        InputError: `now` is no date; on `start`, when a port is taken.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        ollama_port: int = 0,
        keys: Collection[str] | None = None,
        models: Mapping[str, str] | Iterable[str | SimModel] = (),
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
        shutdown_dates: Mapping[str, str | None] | None = None,
        now: str | None = None,
        date_header: str | None = None,
        models_endpoint: bool = True,
        prompt_caching: bool = False,
    ) -> None:
        behaviour = Behaviour(
            latency_s=latency_s, token_delay_s=token_delay_s, reasoning_tokens=reasoning_tokens
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
        self._lifecycles = SimulatedLifecycles(
            shutdown_dates=shutdown_dates,
            now=now,
            date_header=date_header,
            models_endpoint=models_endpoint,
        )
        openai = OpenAIServer(
            keys=keys,
            models=further_models(models),
            lifecycles=self._lifecycles,
            cache=PromptCache(behaviour.counter) if prompt_caching else None,
        )
        self._engine = Engine(behaviour, self.faults, openai)
        self._answer = behaviour.answer
        self._server = Loopback(self._engine.handle, {"openai": port, "ollama": ollama_port})

    # -- life --------------------------------------------------------------------------------

    def start(self) -> Self:
        """Opens both ports and answers from now on.

        Raises:
            InputError: A port is taken.
        """
        if not self._server.running:
            self._server.start()
            self._engine.reset_clock()
        return self

    def stop(self) -> None:
        """Closes every port and connection."""
        self._server.stop()

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
        self._server.down(provider)

    def up(self, provider: Provider) -> None:
        """Opens a provider's port again."""
        self._server.up(provider)

    # -- where it is -------------------------------------------------------------------------

    @property
    def openai_url(self) -> str:
        """OpenAI's base URL, `/v1` included."""
        return f"http://{HOST}:{self._server.ports['openai']}/v1"

    @property
    def ollama_url(self) -> str:
        """Ollama's host."""
        return f"http://{HOST}:{self._server.ports['ollama']}"

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

    # -- which models there are --------------------------------------------------------------

    def retire(self, model: str, *, how: str = "not_found") -> None:
        """Takes an OpenAI model away at once, with its snapshot.

        Args:
            model: Its name.
            how: The refusal it answers with: `not_found` or `deprecated` (404), `bad_request`
                (400), `forbidden` (403), `gone` or `azure` (410), or `no_access` (403, for a model
                the account may not use).

        Raises:
            InputError: There is no such way.
        """
        self._lifecycles.retire(model, how=how)

    def retire_at(self, seconds: float, model: str, *, how: str = "not_found") -> None:
        """Takes an OpenAI model away when so many seconds have passed on the simulator's clock.

        Args:
            seconds: Since the start or the last reset.
            model: Its name.
            how: As for `retire`.

        Raises:
            InputError: There is no such way.
        """
        self._lifecycles.retire(model, how=how, at_s=seconds)

    def revive(self, model: str) -> None:
        """Brings an OpenAI model back, whatever took it."""
        self._lifecycles.revive(model)

    def announce(self, model: str, shutdown_date: str | None) -> None:
        """Changes a model's `shutdown_date`, as far as the next reset.

        Args:
            model: Its name.
            shutdown_date: `YYYY-MM-DD`, None, or any other text.
        """
        self._lifecycles.shutdown_dates[model] = shutdown_date

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
        """Forgets requests, scripts, matches, `answer_with`, faults and retirements; opens ports.

        The clock starts anew.
        """
        self._engine.reset()
        self._engine.behaviour.answer = self._answer
        for provider in self._server.ports:
            self.up(provider)


def _predicate(
    matches: str | re.Pattern[str] | Callable[[SimRequest], bool],
) -> Callable[[SimRequest], bool]:
    if isinstance(matches, str):
        return lambda request: matches in request.text
    if isinstance(matches, re.Pattern):
        return lambda request: matches.search(request.text) is not None
    return matches
