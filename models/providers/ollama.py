"""Ollama's chat models as a fallback: window set, timeouts set, content it understands."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_ollama import ChatOllama
from pydantic import model_validator

from allotrope.contracts import Provenance
from allotrope.exceptions import UnexpectedProviderError
from allotrope.models.cache.model import CachingChatModel
from allotrope.models.call.guard import Call
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.providers import ollama_tools
from allotrope.models.providers.content import plain
from allotrope.models.providers.http import PerLoopTransport, close_with, tls
from allotrope.settings.sections import OllamaSettings
from allotrope.support.exchanges import limit_transport
from allotrope.support.pools import TURNS

OPENAI_ONLY = frozenset(
    {
        "reasoning_effort", "reasoning", "verbosity", "service_tier", "parallel_tool_calls",
        "store", "metadata", "prediction", "logit_bias", "user", "prompt_cache_key", "strict",
        "stream_options", "stream_usage", "response_format", "truncation", "include",
    }
)  # fmt: skip
"""Call arguments that only OpenAI's API has."""


class OllamaChat(CachingChatModel, GuardedChatModel, ChatOllama):
    """`ChatOllama` with clear errors and provenance."""

    provider: str = "ollama"

    @model_validator(mode="before")
    @classmethod
    def _for_any_loop(cls, data: Any) -> Any:
        """Sync calls have an event loop of their own, and loops can't share connections."""
        if not isinstance(data, dict):
            return data
        own = dict(data.get("async_client_kwargs") or {})
        if "transport" in own or "transport" in (data.get("client_kwargs") or {}):
            return data
        return {
            **data,
            "async_client_kwargs": {**own, "transport": PerLoopTransport(library=httpx)},
        }

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Binds tools, and the choice among them."""
        bound = super().bind_tools(tools, **kwargs)
        choice = kwargs.get("tool_choice")
        return bound.bind(tool_choice=choice) if choice else bound  # ChatOllama drops it

    def ensure_ready(self) -> None:
        """Asks once what the model can do, and which tokens its template has."""
        ollama_tools.ask_about(self.base_url or "", self.model)

    async def _aensure_ready(self) -> None:
        if ollama_tools.due(self.base_url or "", self.model):
            await TURNS.run(self.ensure_ready)

    def prepare(
        self, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> tuple[list[BaseMessage], dict[str, Any]]:
        """Turns Responses-style content into text and leaves out arguments only OpenAI knows.

        Tools are left out for a model that can't call them.

        Raises:
            UnexpectedProviderError: It can't, and nothing else would do; another model may answer.
        """
        kept = {name: value for name, value in kwargs.items() if name not in OPENAI_ONLY}
        ready = [plain(message) for message in messages]
        choice = kept.pop("tool_choice", None)
        if not kept.get("tools") or self._can_call_tools():
            return ready, kept
        if choice not in (None, "auto", "none", False):
            raise UnexpectedProviderError(
                f"{self.model} on Ollama can't call tools, and this answer needs one.",
                hint="Choose a model whose `ollama show` lists the capability `tools`.",
                provider=self.provider,
                model=self.model,
                code="tools",
            )
        del kept["tools"]
        return ollama_tools.without_tools(ready), kept

    def stamp(self, call: Call, reported: str | None, *, streamed: bool = False) -> Provenance:
        """The provenance; says so where tools were left out."""
        stamp = super().stamp(call, reported, streamed=streamed)
        if call.offers_tools and not self._can_call_tools():
            before = stamp["degraded"] or {
                "reason": "NoTools",
                "message": "",
                "retry_after_s": None,
            }
            words = f"{self.model} on Ollama can't call tools and answered without them."
            stamp["degraded"] = {**before, "message": f"{before['message']} {words}".strip()}
        return stamp

    def _can_call_tools(self) -> bool:
        able = ollama_tools.capabilities(self.base_url or "", self.model)
        return able is None or "tools" in able


def build_ollama(settings: OllamaSettings, **arguments: Any) -> OllamaChat:
    """The Ollama model of the settings. No request is made.

    Args:
        settings: Address, model, window in tokens and timeouts.
        arguments: More arguments of `ChatOllama`, such as a profile's `temperature`.
    """
    timeout = httpx.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
    transport = limit_transport(httpx.HTTPTransport(verify=tls()), settings.timeout_s)
    given: dict[str, Any] = {
        "model": settings.model,
        "base_url": settings.host,
        "num_ctx": settings.num_ctx,
        "client_kwargs": {"timeout": timeout, "verify": tls()},
        "sync_client_kwargs": {"transport": transport},
        "profile": {"max_input_tokens": settings.num_ctx, "tool_calling": True},
    }
    model = OllamaChat(**{**given, **arguments})
    close_with(model, transport.close)
    return model
