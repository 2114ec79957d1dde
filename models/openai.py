"""OpenAI's chat models with timeouts and without hidden retries."""

from typing import Any

import httpx2
from langchain_core.language_models import LanguageModelInput
from langchain_openai import ChatOpenAI

from allotrope.exceptions import SettingsError
from allotrope.models.cache.chat import CachingChatModel
from allotrope.models.guarded import GuardedChatModel
from allotrope.models.http import async_client, sync_client
from allotrope.settings.sections import OpenAISettings


class OpenAIChat(CachingChatModel, GuardedChatModel, ChatOpenAI):
    """`ChatOpenAI` with clear errors and provenance."""

    provider: str = "openai"

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The request; tools go past the client's check of each of their fields.

        That check walks through every schema at every request (1 to 2 ms for five tools), although
        `bind_tools` has brought them into the provider's form already.
        """
        payload = super()._get_request_payload(input_, stop=stop, **kwargs)
        if "tools" not in payload or "response_format" in payload:
            return payload
        if not self._use_responses_api(payload):
            body = {**(payload.get("extra_body") or {}), "tools": payload.pop("tools")}
            payload["extra_body"] = body
        return payload

    def stream_arguments(self) -> dict[str, Any]:
        """A sync stream can't be interrupted between chunks: its socket's timeout must do."""
        limits = self._guard.limits
        if limits.first_token_s is None or limits.idle_s is None:
            return {}
        connect = getattr(self.request_timeout, "connect", None)
        wait = max(limits.first_token_s, limits.idle_s)
        return {"timeout": httpx2.Timeout(wait, connect=connect)}


def build_openai(settings: OpenAISettings, **arguments: Any) -> OpenAIChat:
    """The OpenAI model of the settings. No request is made.

    Args:
        settings: Key, address, model and timeouts.
        arguments: More arguments of `ChatOpenAI`, such as a profile's `reasoning_effort`.

    Raises:
        SettingsError: There is no key.
    """
    if settings.api_key is None:
        raise SettingsError("There is no OpenAI key.", hint="Set OPENAI_API_KEY.")
    timeout = httpx2.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
    given: dict[str, Any] = {
        "model": settings.model,
        "api_key": settings.api_key,
        "base_url": settings.base_url,
        "organization": settings.organization,
        "timeout": timeout,
        "max_retries": 0,
        "stream_usage": True,
        # it also waits for the first chunk, which a reasoning model sends late
        "stream_chunk_timeout": max(settings.first_token_timeout_s, settings.idle_timeout_s),
        "use_responses_api": settings.use_responses_api or None,
        "http_client": sync_client(timeout),
        "http_async_client": async_client(timeout),
    }
    return OpenAIChat(**{**given, **arguments})
