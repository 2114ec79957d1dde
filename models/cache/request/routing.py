"""What of headers, keys and defaults belongs to a request: what routes or changes the answer."""

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

UNHEEDED_HEADERS = frozenset(
    {
        "accept", "accept-encoding", "baggage", "connection", "content-length", "content-type",
        "idempotency-key", "openai-beta", "traceparent", "tracestate", "user-agent",
        "x-client-request-id", "x-correlation-id", "x-request-id", "x-session-id", "x-title",
        "x-trace-id", "http-referer", "referer",
        "b3", "sentry-trace",
    }
)  # fmt: skip
"""Headers that name a request or its sender's software. Every other header may route the answer."""

UNHEEDED_PREFIXES = ("x-stainless-", "x-b3-", "x-datadog-", "x-amzn-trace")

DEFAULTS: dict[str, Any] = {
    "n": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False,
    "logit_bias": {}, "parallel_tool_calls": True,
}  # fmt: skip
"""What OpenAI's API takes for a parameter that isn't sent: sent, it changes nothing."""


def route(model: Any, call: Mapping[str, Any]) -> dict[str, Any]:
    """Headers, query, organisation and account of a call; secrets only as a fingerprint.

    Args:
        model: The chat model, with `default_headers` and their like.
        call: The call's arguments, with `extra_headers` and `extra_query`.
    """
    headers = {**_given(model, "default_headers"), **(call.get("extra_headers") or {})}
    query = {**_given(model, "default_query"), **(call.get("extra_query") or {})}
    found: dict[str, Any] = {
        "headers": {
            name.lower(): fingerprint(value) for name, value in headers.items() if heeds(name)
        },
        "query": {str(name): str(value) for name, value in query.items()},
        "organization": str(getattr(model, "openai_organization", None) or ""),
        "account": fingerprint(call.get("api_key") or getattr(model, "openai_api_key", None)),
    }
    return {name: value for name, value in found.items() if value}


def route_of_names(named: Mapping[str, Any]) -> dict[str, Any]:
    """The same as `route` from the names in LangChain's model string; it leaves secrets out."""
    headers = named.get("default_headers")
    query = named.get("default_query")
    return {
        "headers": {
            name.lower(): fingerprint(value)
            for name, value in (headers.items() if isinstance(headers, Mapping) else ())
            if heeds(name)
        },
        "query": query if isinstance(query, Mapping) else {},
        "organization": str(named.get("openai_organization") or ""),
    }


def heeds(header: str) -> bool:
    """Whether a header may route or change the answer."""
    name = header.lower()
    return name not in UNHEEDED_HEADERS and not name.startswith(UNHEEDED_PREFIXES)


def _given(model: Any, name: str) -> Mapping[str, Any]:
    value = getattr(model, name, None)
    return value if isinstance(value, Mapping) else {}


def fingerprint(value: Any) -> str:
    """A short hash: which of several it is can be told, what it is can't; empty for no text."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if not isinstance(value, str | int | float) or value == "":
        return ""
    return hashlib.sha256(f"allotrope cache {value}".encode()).hexdigest()[:16]


def heeded(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without those that are sent with their default.

    Args:
        kind: `_llm_type` of the model; only OpenAI's defaults are known.
        parameters: By the names of the API.
    """
    if "openai" not in kind:
        return dict(parameters)
    return {
        name: value
        for name, value in parameters.items()
        if name not in DEFAULTS
        or value != DEFAULTS[name]
        or isinstance(value, bool) != isinstance(DEFAULTS[name], bool)
    }
