"""The chain: OpenAI, then Ollama, then the embedded model, as one runnable that a graph calls."""

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.caches import BaseCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig, RunnableWithFallbacks
from langchain_core.runnables.config import (
    ensure_config,
    get_async_callback_manager_for_config,
    patch_config,
    set_config_context,
)
from langchain_core.runnables.utils import coro_with_context
from pydantic import Field

from allotrope.contracts import Configurable
from allotrope.exceptions import (
    AllotropeError,
    AllProvidersFailedError,
    LeftQueueError,
    ModelGoneError,
    ProviderError,
    SettingsError,
)
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.opening import guard_models
from allotrope.models.cache.model import attach
from allotrope.models.call.guard import Repack
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.call.last_resort import last_resort, model_in, serves
from allotrope.models.call.streams import StreamRestart
from allotrope.models.failures.degraded import nobody, refusal
from allotrope.models.failures.functions import FUNCTIONS, Function
from allotrope.models.failures.policy import FAILOVER_ERRORS
from allotrope.models.failures.trail import Trail
from allotrope.models.providers.provider import all_providers
from allotrope.settings import Settings
from allotrope.support.counters import count
from allotrope.support.loop_thread import SYNC_CALLS
from allotrope.support.pools import TURNS
from allotrope.support.providers import label_of

if TYPE_CHECKING:
    from allotrope.models.catalogue.lifecycle import Lifecycles

logger = logging.getLogger(__name__)


class FailoverChain(RunnableWithFallbacks[LanguageModelInput, AIMessage]):
    """`RunnableWithFallbacks` that keeps every cause, and goes on when a stream breaks.

    Of a model and its successors at the same provider only the one that serves now is asked; when
    it turns out to have ended, the next one answers in the same call, before any other provider.
    It is what `model.with_fallbacks([...])` gives, so `bind_tools`, `with_structured_output` and
    streaming work as there. Only what `models.policy` lets fail over is handled: a request that is
    wrong or refused goes up as it is.

    Attributes:
        function: What the models are asked for; one that isn't critical is refused by its name.
        chosen: Chains over some of the models, by their ids; made once.
    """

    function: Function = FUNCTIONS["answer"]
    chosen: dict[tuple[int, ...], Any] = Field(default_factory=dict, exclude=True, repr=False)

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """As `ainvoke`, for callers that aren't async."""
        return SYNC_CALLS.run(self.ainvoke(input, ensure_config(config), **kwargs))

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Asks the models in order; see `RunnableWithFallbacks.ainvoke`.

        Raises:
            AllProvidersFailedError: No model could answer; `causes` has every error.
        """
        config, trail = with_trail(config)
        trail.earlier = self._lets_pass
        if self._stale():
            await TURNS.run(self._refresh)
        rest = self._serving(self.runnables)
        while True:
            try:
                return await self._asked(rest, input, config, **kwargs)
            except LeftQueueError:
                rest, config = self._returned(trail), _first_again(config)
            except ModelGoneError as exc:
                rest, config = self._after_gone(exc, trail), _again(config)
            except FAILOVER_ERRORS as exc:
                rest, config = self._after_all(exc, trail, config)

    async def _asked(
        self,
        runnables: Iterable[Any],
        input: LanguageModelInput,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AIMessage:
        """What the first of them answers that can, as a run whose children theirs are.

        LangChain's own `ainvoke` hands them the config of the run itself (fallbacks.py:194): with
        bound tools a tracer stands twice among the handlers then, and hears of each call twice.
        """
        manager = get_async_callback_manager_for_config(config)
        name = config.get("run_name") or self.get_name()
        run = await manager.on_chain_start(
            None, input, name=name, run_id=config.pop("run_id", None)
        )
        child = patch_config(config, callbacks=run.get_child())
        failed: BaseException | None = None
        for runnable in runnables:
            try:
                with set_config_context(child) as context:
                    asking = context.run(runnable.ainvoke, input, child, **kwargs)
                    answer: AIMessage = await coro_with_context(asking, context)
            except self.exceptions_to_handle as exc:
                failed = failed or exc
            except BaseException as exc:
                await run.on_chain_error(exc)
                raise
            else:
                await run.on_chain_end(answer)
                return answer
        assert failed is not None
        await run.on_chain_error(failed)
        raise failed

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Each input by `invoke`, in threads: every one has failures and provenance of its own."""
        return Runnable.batch(self, inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """The same as `batch`, asynchronously."""
        return await Runnable.abatch(
            self, inputs, config, return_exceptions=return_exceptions, **kwargs
        )

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessage]:
        """As `astream`, for callers that aren't async."""
        parts: Any = self.astream(input, ensure_config(config), **kwargs)
        yield from SYNC_CALLS.iterate(parts)

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessage]:
        """Streams the first model that starts to speak, then the next if that one breaks off.

        Before the second's first chunk comes a `StreamRestart`; chunks added up over it are right.
        Once it is closed, no request is under way.

        Raises:
            AllProvidersFailedError: No model could answer.
        """
        config, trail = with_trail(config)
        trail.earlier = self._lets_pass
        async with contextlib.AsyncExitStack() as streams:
            config["configurable"][Configurable.STREAMS] = streams
            async with contextlib.aclosing(self._parts(input, config, trail, **kwargs)) as parts:
                async for chunk in parts:
                    yield chunk

    async def _parts(
        self, input: LanguageModelInput, config: RunnableConfig, trail: Trail, **kwargs: Any
    ) -> AsyncGenerator[AIMessage]:
        if self._stale():
            await TURNS.run(self._refresh)
        rest, void = self._serving(self.runnables), False
        while True:
            known, last = len(trail), None
            try:
                part: Any = RunnableWithFallbacks.astream(self._of(rest), input, config, **kwargs)
                async with contextlib.aclosing(part):
                    async for last in part:
                        if void:
                            void = False
                            yield StreamRestart(content="")
                        yield last
                return
            except LeftQueueError:
                rest, config = self._returned(trail), _first_again(config)
                continue
            except ModelGoneError as exc:
                rest, config = self._after_gone(exc, trail), _again(config)
                continue
            except FAILOVER_ERRORS as exc:
                rest = _after_break(rest, trail, known, spoke=last is not None)
                if not rest and not config["configurable"].get(Configurable.LAST):
                    rest = self._last_resort(trail)
                    config = _last(config)
                if not rest:
                    raise all_failed(trail, exc, function=self.function) from exc
            void = void or isinstance(last, AIMessageChunk)
            config = _again(config)

    def _lets_pass(self) -> Literal["closed", "due"] | None:
        """Whether the model that is asked first would get leave now."""
        first = model_in(self._serving(self.runnables)[0])
        return None if first is None else first.lets_pass()

    def _returned(self, trail: Trail) -> list[Any]:
        """Who is asked when a turn left the queue of a later model: all of them, from the first."""
        trail.clear()
        trail.deadline = None
        trail.returns += 1
        return self._serving(self.runnables)

    def _last_resort(self, trail: list[ProviderError]) -> list[Any]:
        return last_resort(self.runnables, trail) if self.function.critical else []

    def _after_all(
        self, exc: BaseException, trail: list[ProviderError], config: RunnableConfig
    ) -> tuple[list[Any], RunnableConfig]:
        """Who is asked when every model failed, once; else the error with every cause."""
        left = [] if config["configurable"].get(Configurable.LAST) else self._last_resort(trail)
        if not left:
            raise all_failed(trail, exc, function=self.function) from exc
        return left, _last(config)

    def _after_gone(self, exc: ModelGoneError, trail: list[ProviderError]) -> list[Any]:
        """Who is asked when a model turned out to have ended: its successor, then the others."""
        asked = {(error.provider, error.model) for error in trail}
        rest = [
            runnable
            for runnable in self._serving(self.runnables)
            if (model := model_in(runnable)) is None
            or (model.provider, model.name_of_model()) not in asked
        ]
        first = model_in(rest[0]) if rest else None
        if first is None or (first.provider, first.name_of_model()) == (exc.provider, exc.model):
            raise all_failed([*trail, exc], exc, function=self.function) from exc
        return rest

    @property
    def serving_model(self) -> Any:
        """The model that is asked first now, without what is bound to it."""
        return model_in(self._serving(self.runnables)[0]) or self.runnable

    def _serving(self, runnables: Iterable[Any]) -> list[Any]:
        """The models to ask: of a model and its successors the one that serves now."""
        return [runnable for runnable in runnables if serves(runnable)]

    def _lifecycles(self) -> "Lifecycles | None":
        first = model_in(self.runnable)
        return None if first is None else first.lifecycles

    def _stale(self) -> bool:
        """Whether what is known of the models must be read anew before they are asked."""
        lifecycles = self._lifecycles()
        return lifecycles is not None and lifecycles.touch()

    def _refresh(self) -> None:
        lifecycles = self._lifecycles()
        if lifecycles is not None:
            lifecycles.notes.read()

    def _of(self, runnables: list[Any]) -> "FailoverChain":
        if len(runnables) == 1 + len(self.fallbacks):
            return self
        key = tuple(map(id, runnables))
        chain: FailoverChain | None = self.chosen.get(key)
        if chain is None:
            chain = self.chosen[key] = FailoverChain(
                function=self.function,
                runnable=runnables[0],
                fallbacks=runnables[1:],
                exceptions_to_handle=self.exceptions_to_handle,
            )
        return chain


def _after_break(
    rest: list[Any], trail: list[ProviderError], known: int, *, spoke: bool
) -> list[Any]:
    """The models that are left after one broke off; none if all of them have failed."""
    return rest[max(1, len(trail) - known) :] if spoke else []


def _last(config: RunnableConfig) -> RunnableConfig:
    """The configuration of the last resort: an open circuit may be tried."""
    again = _again(config)
    again["configurable"] = {**again.get("configurable", {}), Configurable.LAST: True}
    return again


def _first_again(config: RunnableConfig) -> RunnableConfig:
    """The configuration for the chain from its first model on."""
    again = _again(config)
    again["configurable"] = {**again.get("configurable", {}), Configurable.LAST: False}
    return again


def _again(config: RunnableConfig) -> RunnableConfig:
    """The configuration for a second part of the same stream: a run id is used once."""
    again = config.copy()
    again.pop("run_id", None)
    return again


def with_trail(
    config: RunnableConfig | None = None,
) -> tuple[RunnableConfig, Trail]:
    """A config whose calls collect what failed in a list of their own, and that list.

    Args:
        config: The config of the run.
    """
    config = ensure_config(config)
    trail = Trail()
    config["configurable"] = {**config.get("configurable", {}), Configurable.TRAIL: trail}
    return config, trail


def with_repack(config: RunnableConfig | None, repack: Repack) -> RunnableConfig:
    """A config whose calls pack the prompt anew when another model takes over or overflows.

    Args:
        config: The config of the run.
        repack: `repack(messages, budget_tokens)` gives the same conversation in so many tokens.
    """
    config = ensure_config(config)
    config["configurable"] = {**config.get("configurable", {}), Configurable.REPACK: repack}
    return config


def all_failed(
    trail: Sequence[ProviderError],
    last: BaseException,
    *,
    function: Function = FUNCTIONS["answer"],
) -> AllotropeError:
    """The error for "nobody could answer", with every cause.

    Args:
        trail: The errors of the models asked, in order.
        last: What was raised in the end.
        function: What they were asked for.
    """
    count("allotrope_exhausted_total")
    causes: tuple[BaseException, ...] = tuple(trail) or (last,)
    waits = [
        cause.retry_after_s
        for cause in causes
        if isinstance(cause, ProviderError) and cause.retry_after_s is not None
    ]
    hints = [cause.hint for cause in causes if isinstance(cause, ProviderError) and cause.hint]
    return AllProvidersFailedError(
        nobody(causes) if function.critical else refusal(function.noun, causes),
        causes=causes,
        hint=hints[0] if hints else None,
        retry_after_s=min(waits, default=None),
    )


def build_models(
    settings: Settings, *, arguments: dict[str, dict[str, Any]] | None = None
) -> list[GuardedChatModel]:
    """The models the settings allow, in the order they are asked.

    Args:
        settings: Which providers are on, and how they are reached. An Ollama that nobody set up is
            looked for now (`builtin.is_used`); a refused connection on loopback takes no time.
        arguments: Constructor arguments by provider, `{"openai": {"reasoning_effort": "low"}}`.
    """
    more = arguments or {}
    models: list[GuardedChatModel] = []
    for name, provider in all_providers().items():
        if not provider.is_used(settings):
            continue
        try:
            models += provider.build(settings, more)
        except SettingsError as exc:
            if not provider.optional or settings.strict or not models:
                raise
            logger.warning("%s is left out of the chain: %s", label_of(name), exc)
    return models


def build_chain(
    settings: Settings,
    *,
    arguments: dict[str, dict[str, Any]] | None = None,
    cache: BaseCache | None = None,
    callbacks: Sequence[BaseCallbackHandler] = (),
    circuits: Circuits | None = None,
    function: str = "answer",
) -> FailoverChain:
    """The chain of the settings. Nothing is asked and nothing is loaded yet.

    Args:
        settings: Which providers are on, and how they are reached.
        arguments: More constructor arguments by provider.
        cache: A LangChain cache for every model of the chain; None caches nothing.
        callbacks: Handlers put on every call.
        circuits: The circuit breaker; default: the one this process has for these settings.
        function: What it is for, one of `FUNCTIONS`; if that isn't critical, nobody stands in for
            the first model.

    Returns:
        A runnable from messages to an `AIMessage`.

    Raises:
        SettingsError: No provider is left to ask.
    """
    models = build_models(settings, arguments=arguments)
    if not models:
        raise SettingsError(
            "No model can answer: no OpenAI key is set, there is no Ollama, and the embedded model"
            " is off.",
            hint="Set OPENAI_API_KEY, or ALLOTROPE_EMBEDDED__ENABLED=true.",
        )
    asked = FUNCTIONS[function]
    models = models if asked.critical else [m for m in models if m.provider == models[0].provider]
    guard_models(models, settings, circuits=circuits, patient=asked.patient)
    for model in models:
        attach(model, cache)
        model.callbacks = list(callbacks) or None
    return chain_of(models, function=function)


def chain_of(models: Sequence[BaseChatModel], *, function: str = "answer") -> FailoverChain:
    """A chain over models of your own, first to last, for one of `FUNCTIONS`."""
    return FailoverChain(
        function=FUNCTIONS[function],
        runnable=models[0],
        fallbacks=list(models[1:]),
        exceptions_to_handle=FAILOVER_ERRORS,
    )
