"""The models the simulated providers have, and what each of them refuses.

Snapshots and windows are OpenAI's published ones as langchain-openai's model profiles carry them.
"""

import re
from collections.abc import Mapping
from typing import Any

from allotrope.testing.errors import (
    ErrorReply,
    openai_error,
    unsupported_parameter,
    unsupported_value,
)

SNAPSHOTS: Mapping[str, str] = {
    "o1": "o1-2024-12-17",
    "o3": "o3-2025-04-16",
    "o3-mini": "o3-mini-2025-01-31",
    "o3-pro": "o3-pro-2025-06-10",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
}
"""Alias to the snapshot a reply names."""

EMBEDDERS: Mapping[str, int] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
"""OpenAI's embedding models and the length of their vectors."""

OLLAMA_MODELS: Mapping[str, int] = {"llama3.1:latest": 131_072, "nomic-embed-text:latest": 2048}
"""Ollama's models and the largest context they were trained for."""

OLLAMA_DEFAULT_NUM_CTX = 4096
"""The window where a request names no `num_ctx`; longer prompts are cut without a word."""

_CHAT_ARGUMENTS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
_NEVER_FOR_REASONING = (
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
)
_O_SERIES = re.compile(r"^o\d")


def is_o_series(model: str) -> bool:
    """Whether it is one of o1, o3, o4 …"""
    return _O_SERIES.match(model) is not None


def is_reasoning(model: str) -> bool:
    """Whether the model thinks before it answers (o-series, GPT-5)."""
    return is_o_series(model) or (model.startswith("gpt-5") and "chat" not in model)


def window(model: str) -> int:
    """Context window in tokens."""
    if model.startswith("gpt-4.1"):
        return 1_047_576
    if model.startswith("gpt-4o"):
        return 128_000
    return 272_000 if model.startswith("gpt-5") else 200_000


def check_chat(body: Mapping[str, Any]) -> None:
    """Refuses what the real Chat Completions API refuses for the model.

    Raises:
        ErrorReply: The 400 the real API answers with.
    """
    model = str(body.get("model", ""))
    for name in body:
        if name not in _CHAT_ARGUMENTS:
            raise openai_error(400, f"Unrecognized request argument supplied: {name}")
    if not is_reasoning(model):
        if body.get("reasoning_effort") is not None:
            raise openai_error(400, "Unrecognized request argument supplied: reasoning_effort")
        return
    if body.get("max_tokens") is not None:
        raise unsupported_parameter("max_tokens", instead="max_completion_tokens")
    _check_sampling(model, body)
    never: tuple[str, ...] = _NEVER_FOR_REASONING
    if is_o_series(model):
        never = (*never, "parallel_tool_calls")
    if model.startswith(("o3", "o4", "gpt-5")):
        never = (*never, "stop")
    _refuse(body, never)
    _check_effort(model, body.get("reasoning_effort"), "reasoning_effort")


def check_responses(body: Mapping[str, Any]) -> None:
    """Refuses what the real Responses API refuses for the model.

    Raises:
        ErrorReply: The 400 the real API answers with.
    """
    for name in ("messages", "max_tokens", "max_completion_tokens", "reasoning_effort", "stop"):
        if name in body:
            message = f"Unknown parameter: '{name}'."
            raise openai_error(400, message, code="unknown_parameter", param=name)
    model = str(body.get("model", ""))
    reasoning = body.get("reasoning") or {}
    if is_reasoning(model):
        _refuse(body, ("temperature", "top_p", "top_logprobs"))
        _check_effort(model, reasoning.get("effort"), "reasoning.effort")
    elif reasoning.get("effort") is not None:
        raise unsupported_parameter("reasoning.effort")


def _refuse(body: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if body.get(name) is not None:
            raise unsupported_parameter(name)


def _check_sampling(model: str, body: Mapping[str, Any]) -> None:
    temperature = body.get("temperature")
    if temperature is None:
        return
    if model.startswith("o3-mini"):
        raise unsupported_parameter("temperature")
    if temperature != 1:
        allowed = "Only the default (1) value is supported."
        raise unsupported_value("temperature", temperature, allowed)


def _check_effort(model: str, effort: object, param: str) -> None:
    if effort is None:
        return
    known = ("none", "minimal", "low", "medium", "high", "xhigh")
    if effort not in known:
        names = ", ".join(f"'{name}'" for name in known[:-1])
        message = f"Invalid value: '{effort}'. Supported values are: {names}, and '{known[-1]}'."
        raise openai_error(400, message, code="invalid_value", param=param)
    if is_o_series(model) and effort not in ("low", "medium", "high"):
        allowed = "Supported values are: 'low', 'medium', and 'high'."
        raise unsupported_value(param, f"'{effort}'", allowed)


def check_messages(messages: object) -> None:
    """Refuses message lists the real Chat Completions API refuses, tool pairs above all.

    Raises:
        ErrorReply: The 400 the real API answers with.
    """
    if messages is None:
        raise openai_error(
            400,
            "Missing required parameter: 'messages'.",
            code="missing_required_parameter",
            param="messages",
        )
    if not isinstance(messages, list) or not messages:
        raise openai_error(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            code="empty_array",
            param="messages",
        )
    waiting: list[str] = []
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                raise openai_error(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",
                    param=f"messages.[{index}].role",
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            raise _unanswered(waiting, index)
        if role == "assistant":
            waiting = [str(call.get("id")) for call in message.get("tool_calls") or []]
        elif role not in ("system", "developer", "user", "function"):
            raise openai_error(
                400,
                f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', "
                "'function', 'tool', and 'developer'.",
                code="invalid_value",
                param=f"messages[{index}].role",
            )
    if waiting:
        raise _unanswered(waiting, len(messages))


def _unanswered(waiting: list[str], index: int) -> ErrorReply:
    return openai_error(
        400,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        + ", ".join(waiting),
        param=f"messages.[{index}].role",
    )
