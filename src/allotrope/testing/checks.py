"""Which parameters the simulated OpenAI refuses for a model, with the real error bodies."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from allotrope.testing.content.catalog import SimModel
from allotrope.testing.errors import openai_error
from allotrope.testing.openai import refusals
from allotrope.testing.openai.refusals import unsupported_parameter, unsupported_value

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Every effort some model takes; others are no efforts at all."""

_BOTH = {"metadata", "model", "moderation", "parallel_tool_calls", "prompt_cache_key"} | {
    "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "service_tier",
    "store", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs",
    "top_p", "user",
}  # fmt: skip
_CHAT = frozenset(_BOTH | {
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "modalities", "n", "prediction",
    "presence_penalty", "reasoning_effort", "response_format", "seed", "stop", "verbosity",
    "web_search_options",
})  # fmt: skip
_RESPONSES = frozenset(_BOTH | {
    "access_programs", "background", "background_options", "context_management", "conversation",
    "image", "include", "input", "instructions", "max_output_tokens", "max_tool_calls",
    "previous_response_id", "prompt", "reasoning", "text", "truncation",
})  # fmt: skip
_MOVED = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
_INSIDE = {
    "reasoning": {"context", "effort", "generate_summary", "mode", "summary"},
    "text": {"format", "verbosity"},
}
_INCLUDE = (
    "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
    "message.input_image.image_url", "computer_call_output.output.image_url",
    "code_interpreter_call.outputs", "reasoning.encrypted_content", "message.output_text.logprobs",
)  # fmt: skip
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_O_SERIES = re.compile(r"^o\d")
_SHORTEST_LIMIT = 16


def check_chat(body: Mapping[str, Any], model: SimModel) -> None:
    """Refuses what the real Chat Completions API refuses for the model.

    Args:
        body: The JSON body.
        model: The rules of the model it names.

    Raises:
        ErrorReply: The error the real API answers with.
    """
    if not model.chat:
        raise refusals.wrong_endpoint("v1/responses", "v1/chat/completions")
    for name in body:
        if name not in _CHAT:
            raise openai_error(400, f"Unrecognized request argument supplied: {name}")
    effort = body.get("reasoning_effort")
    if effort is not None and not model.reasons:
        raise openai_error(400, "Unrecognized request argument supplied: reasoning_effort")
    if model.reasons and body.get("max_tokens") is not None:
        raise unsupported_parameter("max_tokens", instead="max_completion_tokens")
    if _O_SERIES.match(model.name) and body.get("parallel_tool_calls") is not None:
        raise unsupported_parameter("parallel_tool_calls")
    _check_own_rules(body, model)
    _check_effort(effort, model, "reasoning_effort")
    _check_sampling(body, model, model.effort(effort), chat=True)
    _check_tools(body, model, effort)
    _check_values(body.get("verbosity"), model.verbosities, "verbosity")
    _check_values(body.get("service_tier"), _TIERS, "service_tier", known=True)
    wanted = body.get("response_format")
    _check_format(wanted if isinstance(wanted, Mapping) else {}, model, "response_format")
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        if isinstance(limit, int) and limit > model.longest_answer:
            raise refusals.limit_too_large(name, limit, model.longest_answer)


def check_responses(body: Mapping[str, Any], model: SimModel) -> None:
    """Refuses what the real Responses API refuses for the model.

    Args:
        body: The JSON body.
        model: The rules of the model it names.

    Raises:
        ErrorReply: The error the real API answers with.
    """
    if not model.responses:
        raise refusals.wrong_endpoint("v1/chat/completions", "v1/responses")
    for name in body:
        if name not in _RESPONSES:
            moved = _MOVED.get(name)
            raise refusals.moved(name, moved) if moved else refusals.unknown_parameter(name)
    for outer, names in _INSIDE.items():
        for name in body.get(outer) or {}:
            if name not in names:
                raise refusals.unknown_parameter(f"{outer}.{name}")
    effort = value_at(body, "reasoning.effort")
    if not model.reasons:
        for name in body.get("reasoning") or {}:
            if value_at(body, f"reasoning.{name}") is not None:
                raise unsupported_parameter(f"reasoning.{name}")
    _check_include(body.get("include") or [], model)
    _check_own_rules(body, model)
    _check_effort(effort, model, "reasoning.effort")
    _check_sampling(body, model, model.effort(effort), chat=False)
    _check_named(body.get("tools") or [], "tools[{index}].name", lambda tool: tool.get("name"))
    verbosity = value_at(body, "text.verbosity")
    _check_values(verbosity, model.verbosities, "text.verbosity", model=model.name)
    _check_values(body.get("service_tier"), _TIERS, "service_tier", known=True)
    _check_format(value_at(body, "text.format") or {}, model, "text.format")
    limit = body.get("max_output_tokens")
    if isinstance(limit, int) and limit < _SHORTEST_LIMIT:
        raise refusals.out_of_range("max_output_tokens", limit, at_least=_SHORTEST_LIMIT)
    if isinstance(limit, int) and limit > model.longest_answer:
        raise refusals.out_of_range("max_output_tokens", limit, at_most=model.longest_answer)


def value_at(body: Mapping[str, Any], path: str) -> Any:
    """What stands in the body at a dotted path, None where nothing does."""
    found: Any = body
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _check_own_rules(body: Mapping[str, Any], model: SimModel) -> None:
    for path in sorted(model.unknown):
        if value_at(body, path) is not None:
            raise refusals.unknown_parameter(path)
    for path in sorted(model.refused):
        if value_at(body, path) is not None:
            raise unsupported_parameter(path)
    for path, allowed in model.values.items():
        _check_values(value_at(body, path), allowed, path)


def _check_values(
    value: object,
    allowed: Collection[Any],
    path: str,
    *,
    model: str | None = None,
    known: bool = False,
) -> None:
    if value is None or value in allowed:
        return
    if known:
        raise refusals.invalid_value(value, allowed, path)
    raise unsupported_value(path, value, refusals.supported(allowed), model=model)


def _check_effort(effort: object, model: SimModel, path: str) -> None:
    if effort is None or not model.reasons:
        return
    if effort not in (*EFFORTS, *model.efforts):
        raise refusals.invalid_value(effort, EFFORTS, path)
    named = model.name if path == "reasoning.effort" else None
    _check_values(effort, model.efforts, path, model=named)


def _check_sampling(
    body: Mapping[str, Any], model: SimModel, effort: str | None, *, chat: bool
) -> None:
    given = [name for name in ("temperature", "top_p") if body.get(name) is not None]
    if model.sampling == "any" or (model.sampling == "none" and effort == "none"):
        return
    if model.sampling == "none":
        given += [name for name in ("logprobs", "top_logprobs") if body.get(name)]
    if model.sampling == "default" and chat and "temperature" in given:
        given.remove("temperature")
        if body["temperature"] != 1:
            only = "Only the default (1) value is supported."
            raise unsupported_value("temperature", body["temperature"], only)
    if given:
        raise unsupported_parameter(given[0])


def _check_tools(body: Mapping[str, Any], model: SimModel, effort: str | None) -> None:
    tools = body.get("tools") or []
    _check_named(tools, "tools[{index}].function", lambda tool: tool.get("function"))
    if not any(tool.get("type") == "function" for tool in tools):
        return
    asked = effort if model.tools_in_chat == "no effort" else model.effort(effort)
    if model.tools_in_chat == "always" or asked == "none":
        return
    if model.tools_in_chat != "no effort" or asked is not None:
        takes_none = model.cache_breakpoints and "none" in model.efforts
        raise refusals.tools_with_effort(model.name, takes_none=takes_none)


def _check_named(tools: Any, path: str, name: Any) -> None:
    for index, tool in enumerate(tools):
        if tool.get("type") == "function" and not name(tool):
            raise refusals.missing_parameter(path.format(index=index))


def _check_format(wanted: Mapping[str, Any], model: SimModel, path: str) -> None:
    if wanted.get("type") == "json_schema" and not model.json_schema:
        raise refusals.no_json_schema(path)


def _check_include(include: Any, model: SimModel) -> None:
    for index, name in enumerate(include):
        if name not in _INCLUDE:
            raise refusals.invalid_value(name, _INCLUDE, f"include[{index}]")
    if "reasoning.encrypted_content" in include and not model.reasons:
        raise refusals.nothing_to_encrypt()


def check_parts(body: Mapping[str, Any], model: SimModel) -> None:
    """Refuses images and cache fields that the model doesn't take.

    Args:
        body: The JSON body of a request to either API.
        model: The rules of the model it names.

    Raises:
        ErrorReply: The 400 the real API answers with.
    """
    for path, role, part in content_parts(body):
        if part.get("type") in ("image_url", "input_image") and not model.images:
            raise refusals.no_images(path)
        if "prompt_cache_breakpoint" in part:
            where = f"{path}.prompt_cache_breakpoint"
            if not model.cache_breakpoints or role == "assistant":
                raise refusals.unknown_parameter(where)
            mode = (part["prompt_cache_breakpoint"] or {}).get("mode")
            if mode != "explicit":
                raise refusals.invalid_value(mode, ("explicit",), f"{where}.mode")
    options = body.get("prompt_cache_options")
    if options is not None and not model.cache_breakpoints:
        raise refusals.unknown_parameter("prompt_cache_options")
    if body.get("prompt_cache_retention") is not None and model.cache_breakpoints:
        raise refusals.no_retention()
    allowed = {"mode": ("implicit", "explicit"), "ttl": ("30m",)}
    if "input" in body:
        allowed["ttl"] = ("30m", "12h")
    for name, values in allowed.items():
        path = f"prompt_cache_options.{name}"
        _check_values((options or {}).get(name), values, path, known=True)


def content_parts(body: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The content parts of a request to either API: path in the body, role, part."""
    name = "input" if "input" in body else "messages"
    items = body.get(name)
    for index, item in enumerate(items if isinstance(items, list) else []):
        field = "output" if item.get("type") == "function_call_output" else "content"
        parts = item.get(field)
        for number, part in enumerate(parts if isinstance(parts, list) else []):
            if isinstance(part, Mapping):
                role = str(item.get("role") or "")
                yield f"{name}[{index}].{field}[{number}]", role, part
