"""Allotrope's parts as middleware for `langchain.agents.create_agent`.

Each stands alone and is thin: the work is done by the same code that our own graphs use.

    from langchain.agents import create_agent
    from allotrope.middleware import FailoverMiddleware, MemoryMiddleware, UsageMiddleware

    agent = create_agent(
        "openai:o3",
        tools=[...],
        middleware=[UsageMiddleware(), MemoryMiddleware(budget_tokens=9_000), FailoverMiddleware()],
    )
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from langchain.agents.middleware.types import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, BaseMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, set_config_context

from allotrope.exceptions import ProviderError
from allotrope.memory.fit import fit
from allotrope.memory.tokens import TokenCounter
from allotrope.models.chat import all_failed, build_models
from allotrope.models.guard import REPACK, TRAIL
from allotrope.models.policy import FAILOVER_ERRORS
from allotrope.settings import Settings, load_settings

Handler = Callable[[ModelRequest[Any]], ModelResponse[Any]]
AsyncHandler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
T = TypeVar("T")


class FailoverMiddleware(AgentMiddleware[Any, Any, Any]):
    """The chain in place of the agent's model: breaker, retries, then the next model.

    The agent's own model is not asked; the models of the settings are, in their order, each with
    its circuit breaker. Every reply says in `response_metadata["allotrope"]` where it came from.

    Args:
        models: The models to ask, first to last; default: those of the settings.
        settings: Where models are; default: from the environment, at the first call.
    """

    def __init__(
        self, *, models: Sequence[BaseChatModel] | None = None, settings: Settings | None = None
    ) -> None:
        super().__init__()
        self._models = None if models is None else list(models)
        self._settings = settings

    def wrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        """Asks the models in order.

        Raises:
            AllProvidersFailedError: No model could answer; `causes` has every error.
        """
        config, trail = _with_trail()
        last: BaseException | None = None
        for model in self._chain():
            with set_config_context(config) as context:
                try:
                    return context.run(handler, request.override(model=model))
                except FAILOVER_ERRORS as exc:
                    last = exc
        assert last is not None
        raise all_failed(trail, last) from last

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: AsyncHandler
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, asynchronously."""
        config, trail = _with_trail()
        last: BaseException | None = None
        models = await asyncio.to_thread(self._chain)
        for model in models:
            with set_config_context(config) as context:
                try:
                    return await _within(context, handler(request.override(model=model)))
                except FAILOVER_ERRORS as exc:
                    last = exc
        assert last is not None
        raise all_failed(trail, last) from last

    def _chain(self) -> list[BaseChatModel]:
        if self._models is None:
            self._models = list(build_models(self._settings or load_settings()))
        return self._models


class MemoryMiddleware(AgentMiddleware[Any, Any, Any]):
    """Fits the conversation into a budget before each call; the agent's state keeps all of it.

    Tool calls and their results stay together, and the latest user turn is always there. When
    `FailoverMiddleware` hands over to a model with a smaller window, the prompt is packed again.

    Args:
        budget_tokens: Tokens the system prompt and the conversation may have.
        counter: Counts; default: o200k_base, exact and offline.
    """

    def __init__(self, *, budget_tokens: int, counter: TokenCounter | None = None) -> None:
        super().__init__()
        self.budget_tokens = budget_tokens
        self._counter = counter or TokenCounter()
        self.last_audit: dict[str, Any] | None = None

    def wrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        """Packs the request's messages.

        Raises:
            InputTooLongError: System prompt and latest user turn can't fit, even shortened.
        """
        config = _with(REPACK, self._repack)
        with set_config_context(config) as context:
            return context.run(handler, self._fitted(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: AsyncHandler
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, asynchronously; counting runs in a thread."""
        fitted = await asyncio.to_thread(self._fitted, request)
        with set_config_context(_with(REPACK, self._repack)) as context:
            return await _within(context, handler(fitted))

    def _fitted(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        system = [request.system_message] if request.system_message else []
        found = fit([*system, *request.messages], budget=self.budget_tokens, counter=self._counter)
        self.last_audit = found.audit
        kept = found.messages[len(system) :] if system else found.messages
        messages: list[AnyMessage] = [m for m in kept if not _is(m, request.system_message)]  # type: ignore[misc]  # fit gives back what it was given
        return request.override(messages=messages)

    def _repack(self, messages: list[BaseMessage], budget: int) -> Sequence[BaseMessage]:
        return fit(messages, budget=budget, counter=self._counter).messages


def _is(message: BaseMessage, system: SystemMessage | None) -> bool:
    return system is not None and message is system


class UsageMiddleware(AgentMiddleware[Any, Any, Any]):
    """Records every call in the ledger, and refuses calls that a budget doesn't allow.

    Args:
        handlers: What watches the calls; default: the recorder and budgets of the settings.
        settings: Where the ledger is; default: from the environment, at the first call.
        agent: The agent's name in the ledger.
        tenant: Whose calls these are.
    """

    def __init__(
        self,
        *,
        handlers: Sequence[BaseCallbackHandler] | None = None,
        settings: Settings | None = None,
        agent: str = "create_agent",
        tenant: str | None = None,
    ) -> None:
        super().__init__()
        self._handlers = None if handlers is None else list(handlers)
        self._settings = settings
        self._metadata = {"allotrope_agent": agent}
        if tenant is not None:
            self._metadata["allotrope_tenant"] = tenant

    def wrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        """Puts the handlers on the call.

        Raises:
            BudgetExceededError: A budget refuses the call.
        """
        with set_config_context(self._config()) as context:
            return context.run(handler, request)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: AsyncHandler
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, asynchronously."""
        config = await asyncio.to_thread(self._config)
        with set_config_context(config) as context:
            return await _within(context, handler(request))

    def _config(self) -> RunnableConfig:
        if self._handlers is None:
            from allotrope.usage.recorder import from_settings

            self._handlers = from_settings(self._settings or load_settings())
        config = ensure_config()
        given = config.get("callbacks")
        if given is None:
            config["callbacks"] = list(self._handlers)
        elif isinstance(given, list):
            config["callbacks"] = [*given, *self._handlers]
        else:
            manager = given.copy()
            for one in self._handlers:
                manager.add_handler(one, inherit=True)
            manager.add_metadata(self._metadata)
            config["callbacks"] = manager
        config["metadata"] = {**config.get("metadata", {}), **self._metadata}
        return config


def _with(name: str, value: Any) -> RunnableConfig:
    config = ensure_config()
    config["configurable"] = {**config.get("configurable", {}), name: value}
    return config


def _with_trail() -> tuple[RunnableConfig, list[ProviderError]]:
    trail: list[ProviderError] = []
    return _with(TRAIL, trail), trail


async def _within(context: contextvars.Context, call: Awaitable[T]) -> T:
    """Awaits a call inside a context."""

    async def run() -> T:
        return await call

    return await asyncio.create_task(run(), context=context)
