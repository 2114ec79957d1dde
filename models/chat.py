"""The chain: OpenAI, then Ollama, then the embedded model, as one runnable that a graph calls."""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableWithFallbacks
from langchain_core.runnables.config import ensure_config

from allotrope.exceptions import (
    AllotropeError,
    AllProvidersFailedError,
    ContentRefusedError,
    ProviderError,
    RequestRejectedError,
    SettingsError,
)
from allotrope.models.cache.chat import attach
from allotrope.models.guarded import TRAIL, GuardedChatModel
from allotrope.settings import Settings

logger = logging.getLogger(__name__)

FAILOVER_ERRORS: tuple[type[BaseException], ...] = (ProviderError, SettingsError)
"""What makes the next model take over; our own budget's refusal and cancellations do not."""


class FailoverChain(RunnableWithFallbacks[LanguageModelInput, AIMessage]):
    """`RunnableWithFallbacks` that keeps every cause when all models fail.

    It is what `model.with_fallbacks([...])` gives, so `bind_tools`, `with_structured_output` and
    streaming work as there.
    """

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Asks the models in order; see `RunnableWithFallbacks.invoke`.

        Raises:
            AllProvidersFailedError: No model could answer; `causes` has every error.
        """
        config, trail = _with_trail(config)
        try:
            return super().invoke(input, config, **kwargs)
        except FAILOVER_ERRORS as exc:
            raise all_failed(trail, exc) from exc

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """The same as `invoke`, asynchronously."""
        config, trail = _with_trail(config)
        try:
            return await super().ainvoke(input, config, **kwargs)
        except FAILOVER_ERRORS as exc:
            raise all_failed(trail, exc) from exc

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessage]:
        """Streams the first model that starts to speak.

        Raises:
            AllProvidersFailedError: No model could answer, or the one that spoke broke off.
        """
        config, trail = _with_trail(config)
        try:
            yield from super().stream(input, config, **kwargs)
        except FAILOVER_ERRORS as exc:
            raise all_failed(trail, exc) from exc

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessage]:
        """The same as `stream`, asynchronously."""
        config, trail = _with_trail(config)
        try:
            async for chunk in super().astream(input, config, **kwargs):
                yield chunk
        except FAILOVER_ERRORS as exc:
            raise all_failed(trail, exc) from exc


def _with_trail(config: RunnableConfig | None) -> tuple[RunnableConfig, list[ProviderError]]:
    config = ensure_config(config)
    trail: list[ProviderError] = []
    config["configurable"] = {**config.get("configurable", {}), TRAIL: trail}
    return config, trail


def all_failed(trail: Sequence[ProviderError], last: BaseException) -> AllotropeError:
    """The error for "nobody could answer", with every cause; a refused request stays itself.

    Args:
        trail: The errors of the models asked, in order.
        last: What was raised in the end.
    """
    if isinstance(last, (RequestRejectedError, ContentRefusedError)) and len(trail) <= 1:
        return last
    causes: tuple[BaseException, ...] = tuple(trail) or (last,)
    told = " ".join(
        f"{cause.provider}: {cause.message}" if isinstance(cause, ProviderError) else str(cause)
        for cause in causes
    )
    waits = [
        cause.retry_after_s
        for cause in causes
        if isinstance(cause, ProviderError) and cause.retry_after_s is not None
    ]
    return AllProvidersFailedError(
        f"No model could answer. {told}", causes=causes, retry_after_s=min(waits, default=None)
    )


def build_models(
    settings: Settings, *, arguments: dict[str, dict[str, Any]] | None = None
) -> list[GuardedChatModel]:
    """The models the settings allow, in the order they are asked.

    Args:
        settings: Which providers are on, and how they are reached.
        arguments: Constructor arguments by provider, `{"openai": {"reasoning_effort": "low"}}`.
    """
    from allotrope.models.embedded import build_embedded
    from allotrope.models.ollama import build_ollama
    from allotrope.models.openai import build_openai

    more = arguments or {}
    models: list[GuardedChatModel] = []
    if settings.openai.enabled and settings.openai.api_key is not None:
        models.append(build_openai(settings.openai, **more.get("openai", {})))
    if settings.ollama.enabled:
        models.append(build_ollama(settings.ollama, **more.get("ollama", {})))
    if settings.embedded.enabled:
        try:
            models.append(build_embedded(settings.embedded, **more.get("embedded", {})))
        except SettingsError as exc:
            if settings.strict or not models:
                raise
            logger.warning("The embedded model is left out of the chain: %s", exc)
    return models


def build_chain(
    settings: Settings,
    *,
    arguments: dict[str, dict[str, Any]] | None = None,
    cache: BaseCache | None = None,
    callbacks: Sequence[BaseCallbackHandler] = (),
) -> FailoverChain:
    """The chain of the settings. Nothing is asked and nothing is loaded yet.

    Args:
        settings: Which providers are on, and how they are reached.
        arguments: More constructor arguments by provider.
        cache: A LangChain cache for every model of the chain; None caches nothing.
        callbacks: Handlers put on every call.

    Returns:
        A runnable from messages to an `AIMessage`.

    Raises:
        SettingsError: No provider is left to ask.
    """
    models = build_models(settings, arguments=arguments)
    if not models:
        raise SettingsError(
            "No model can answer: no OpenAI key is set, and Ollama and the embedded model are off.",
            hint="Set OPENAI_API_KEY, or ALLOTROPE_EMBEDDED__ENABLED=true.",
        )
    for model in models:
        attach(model, cache)
        model.callbacks = list(callbacks) or None
    return chain_of(models)


def chain_of(models: Sequence[BaseChatModel]) -> FailoverChain:
    """A chain over models of your own, first to last."""
    return FailoverChain(
        runnable=models[0], fallbacks=list(models[1:]), exceptions_to_handle=FAILOVER_ERRORS
    )
