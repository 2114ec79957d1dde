"""Ollama's chat models as a fallback: window set, timeouts set, content it understands."""

import socket
from typing import Any
from urllib.parse import urlsplit

from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import BaseMessage
from langchain_ollama import ChatOllama

from allotrope.models.cache.chat import CachingChatModel
from allotrope.models.content import plain
from allotrope.models.guarded import GuardedChatModel
from allotrope.models.http import close_with, tls
from allotrope.settings import Settings
from allotrope.settings.sections import OllamaSettings

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

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """What traces say of a call: with the model of the call, where it names one."""
        params = super()._get_ls_params(stop=stop, **kwargs)
        if kwargs.get("model"):
            params["ls_model_name"] = str(kwargs["model"])
        return params

    def prepare(
        self, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> tuple[list[BaseMessage], dict[str, Any]]:
        """Turns Responses-style content into text and leaves out arguments only OpenAI knows."""
        kept = {name: value for name, value in kwargs.items() if name not in OPENAI_ONLY}
        return [plain(message) for message in messages], kept


def is_used(settings: Settings) -> bool:
    """Whether Ollama is in the chain of these settings.

    Where somebody set an Ollama up, it is, up or down. In `dev`, where nobody did, it is if one
    answers: else every outage would be told as that of a server which never was there.

    Args:
        settings: A setting of Ollama's own, an address say, makes it one that was set up.
    """
    own = settings.ollama
    if not own.enabled or own.model_fields_set or settings.env != "dev":
        return own.enabled
    where = urlsplit(own.host)
    try:
        socket.create_connection((where.hostname, where.port or 11434), timeout=0.2).close()
    except OSError:
        return False
    return True


def build_ollama(settings: OllamaSettings, **arguments: Any) -> OllamaChat:
    """The Ollama model of the settings. No request is made.

    Args:
        settings: Address, model, window in tokens and timeouts.
        arguments: More arguments of `ChatOllama`, such as a profile's `temperature`.
    """
    import httpx

    timeout = httpx.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
    given: dict[str, Any] = {
        "model": settings.model,
        "base_url": settings.host,
        "num_ctx": settings.num_ctx,
        "client_kwargs": {"timeout": timeout, "verify": tls()},
        "profile": {"max_input_tokens": settings.num_ctx, "tool_calling": True},
    }
    model = OllamaChat(**{**given, **arguments})
    close_with(model._client, model._client._client.close)
    return model
