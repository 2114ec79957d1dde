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
import threading
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from langchain.agents.middleware.types import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, set_config_context

from allotrope.agents.reply import TurnMeter
from allotrope.contracts import Metadata
from allotrope.graphs.parts import Parts
from allotrope.memory.context.fit import fit
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.models.call.last_resort import serves
from allotrope.models.chain import all_failed, build_chain, with_repack, with_trail
from allotrope.models.failures.policy import HANDED_ON
from allotrope.models.profiles.profile import Profile
from allotrope.settings import Settings, load_settings
from allotrope.support.pools import TURNS
from allotrope.usage.prices.prices import PriceBook

Handler = Callable[[ModelRequest[Any]], ModelResponse[Any]]
AsyncHandler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
T = TypeVar("T")


class FailoverMiddleware(AgentMiddleware[Any, Any, Any]):
    """The chain in place of the agent's model: breaker, retries, then the next model.

    The agent's own model is not asked; the models of the settings are, in their order, each with
    its circuit breaker. Every reply says in `response_metadata["allotrope"]` where it came from.

    Args:
        models: The models to ask, first to last, as they are; default: those of the settings.
        settings: Where models are; default: from the environment, at the first call.
        profile: A named parameter set for them, with its cache policy and its limit of cost; with
            one the answer cache of the settings is used. Default: the models' own parameters.
    """

    def __init__(
        self,
        *,
        models: Sequence[BaseChatModel] | None = None,
        settings: Settings | None = None,
        profile: str | None = None,
    ) -> None:
        super().__init__()
        self._models = None if models is None else list(models)
        self._settings = settings
        self._name = profile
        self._profile: Profile | None = None
        self._lock = threading.Lock()

    def wrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        """Asks the models in order.

        Raises:
            AllProvidersFailedError: No model could answer; `causes` has every error.
            BudgetExceededError: The run has cost what its profile allows.
        """
        models = self._chain()
        config, trail = with_trail(self._config(request))
        last: BaseException | None = None
        for model in models:
            if not serves(model):
                continue
            with set_config_context(config) as context:
                try:
                    return context.run(handler, request.override(model=model))
                except HANDED_ON as exc:
                    last = exc
        assert last is not None
        raise all_failed(trail, last) from last

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: AsyncHandler
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, asynchronously."""
        models = await TURNS.run(self._chain)
        config, trail = with_trail(self._config(request))
        last: BaseException | None = None
        for model in models:
            if not serves(model):
                continue
            with set_config_context(config) as context:
                try:
                    return await _within(context, handler(request.override(model=model)))
                except HANDED_ON as exc:
                    last = exc
        assert last is not None
        raise all_failed(trail, last) from last

    def _chain(self) -> list[BaseChatModel]:
        with self._lock:
            if self._models is None:
                settings = self._settings or load_settings()
                if self._name is None:
                    self._models = list(build_chain(settings).runnables)  # type: ignore[arg-type]  # a chain's runnables are its models
                else:
                    # usage is recorded by UsageMiddleware, where there is one
                    parts = Parts(settings, callbacks=[])
                    self._profile = parts.profiles.get(self._name)
                    self._models = list(parts.chain(self._profile).runnables)  # type: ignore[arg-type]  # the same
                    self._settings = settings
            return self._models

    def _config(self, request: ModelRequest[Any]) -> RunnableConfig | None:
        """What the profile says to cache and ledger, and the limit of what this run may cost."""
        profile = self._profile
        if profile is None or self._settings is None:
            return None
        metadata = {Metadata.PROFILE: profile.name}
        if profile.cache_directive():
            metadata[Metadata.CACHE] = profile.cache_directive()
        if profile.max_cost is not None:
            meter = TurnMeter(PriceBook(self._settings.usage.prices))
            for message in _of_this_run(request.messages):
                spent = LLMResult(generations=[[ChatGeneration(message=message)]])
                meter.on_llm_end(spent, run_id=uuid.uuid4())
            meter.check(profile.max_cost, profile=profile.name)
        return _watched([], metadata)


def _of_this_run(messages: Sequence[BaseMessage]) -> list[AIMessage]:
    """The replies since the latest user turn."""
    at = max((i for i, m in enumerate(messages) if isinstance(m, HumanMessage)), default=-1)
    return [message for message in messages[at + 1 :] if isinstance(message, AIMessage)]


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
        config = with_repack(None, self._repack)
        with set_config_context(config) as context:
            return context.run(handler, self._fitted(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: AsyncHandler
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, asynchronously; counting runs in a thread."""
        fitted = await TURNS.run(self._fitted, request)
        with set_config_context(with_repack(None, self._repack)) as context:
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
        self._metadata = {Metadata.AGENT: agent}
        if tenant is not None:
            self._metadata[Metadata.TENANT] = tenant

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
        config = await TURNS.run(self._config)
        with set_config_context(config) as context:
            return await _within(context, handler(request))

    def _config(self) -> RunnableConfig:
        if self._handlers is None:
            from allotrope.usage.assembly import from_settings

            self._handlers = from_settings(self._settings or load_settings())
        return _watched(self._handlers, self._metadata)


def _watched(
    handlers: Sequence[BaseCallbackHandler], metadata: Mapping[str, str]
) -> RunnableConfig:
    """The config of the run that is under way, with more handlers and metadata."""
    config = ensure_config()
    given = config.get("callbacks")
    if given is None:
        config["callbacks"] = list(handlers)
    elif isinstance(given, list):
        config["callbacks"] = [*given, *handlers]
    else:
        manager = given.copy()
        for one in handlers:
            manager.add_handler(one, inherit=True)
        manager.add_metadata(dict(metadata))
        config["callbacks"] = manager
    config["metadata"] = {**config.get("metadata", {}), **metadata}
    return config


async def _within(context: contextvars.Context, call: Awaitable[T]) -> T:
    """Awaits a call inside a context."""

    async def run() -> T:
        return await call

    return await asyncio.create_task(run(), context=context)
