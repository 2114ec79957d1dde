"""Whether a reply can be used: not empty, tool calls that parse and fit, JSON that is JSON."""

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from allotrope.exceptions import ContentRefusedError, MalformedReplyError, ProviderError

WHAT_WAS_WRONG: Mapping[str, str] = {
    "empty": "Your last reply was empty.",
    "tool_call": "Your last reply called a tool with arguments that are not valid JSON.",
    "unknown_tool": "Your last reply called a tool that does not exist.",
    "arguments": "Your last reply called a tool with arguments that do not fit its parameters.",
    "json": "Your last reply was not valid JSON.",
    "schema": "Your last reply was JSON, but did not fit the required schema.",
}
"""What the model is told before it is asked once more."""


def check_reply(
    message: BaseMessage, arguments: Mapping[str, Any], *, provider: str, model: str
) -> None:
    """Refuses a reply nobody can use.

    Args:
        message: The reply, whole.
        arguments: The call's arguments: `tools`, `response_format`, `format`.
        provider: Who gave it.
        model: The model.

    Raises:
        MalformedReplyError: Its `code` is a key of `WHAT_WAS_WRONG`, or `length`.
        ContentRefusedError: The provider's filter cut it.
    """
    if not isinstance(message, AIMessage):
        return
    text = message.text
    finish = finish_of(message)
    refused = bool(message.additional_kwargs.get("refusal"))
    if finish == "content_filter" or (refused and not text):
        raise ContentRefusedError(
            "The provider's content policy refused this prompt or its answer.",
            hint="Rephrase the question.",
            provider=provider,
            model=model,
            code="content_filter",
        )
    code, detail = _trouble(message, text, finish, arguments)
    if code:
        raise _malformed(code, detail, provider=provider, model=model)


def is_countable(usage: Any) -> bool:
    """Whether all numbers of a reply's token usage are whole; servers have sent NaN and texts.

    Args:
        usage: The usage block as the provider sent it or as LangChain reads it; None is fine.
    """
    if isinstance(usage, Mapping):
        return all(is_countable(part) for part in usage.values())
    return usage is None or type(usage) is int


def finish_of(message: AIMessage) -> str | None:
    """Why a reply ended, in the words of Chat Completions; None where nobody says.

    Args:
        message: The reply, whole.
    """
    told = message.response_metadata
    if told.get("status") == "incomplete":  # OpenAI's Responses API
        reason = (told.get("incomplete_details") or {}).get("reason")
        return "length" if reason == "max_output_tokens" else reason
    finish: str | None = told.get("finish_reason") or told.get("done_reason")
    return finish


def is_truncated(message: AIMessage) -> bool:
    """Whether a reply ended because it was as long as it may be, in any provider's words.

    Args:
        message: The reply, whole.
    """
    return finish_of(message) == "length"


def check_arguments(text: str | None, *, tool: str | None, provider: str, model: str) -> None:
    """Refuses the arguments of a streamed tool call that are no JSON as they stand.

    Raises:
        MalformedReplyError: With code `tool_call`.
    """
    try:
        json.loads(text or "{}")
    except ValueError:
        raise _malformed("tool_call", str(tool), provider=provider, model=model) from None


def _trouble(
    message: AIMessage, text: str, finish: str | None, arguments: Mapping[str, Any]
) -> tuple[str | None, str]:
    if message.invalid_tool_calls:
        return "tool_call", str(message.invalid_tool_calls[0].get("name"))
    if message.tool_calls:
        return _tools_trouble(message, arguments)
    if not text.strip() and not _carries_something(message):
        return ("length" if finish == "length" else "empty"), ""
    schema = _schema(arguments)
    if schema is None:
        return None, ""
    try:
        value = json.loads(text)
    except ValueError:
        return "json", ""
    problem = misfit(value, schema)
    return ("schema", problem) if problem else (None, "")


def _carries_something(message: AIMessage) -> bool:
    """Whether a reply without text has an image, audio or another block to show."""
    if message.additional_kwargs.get("audio"):
        return True
    if isinstance(message.content, str):
        return False
    silent = {"reasoning", "text", "thinking"}
    return any(isinstance(b, dict) and b.get("type") not in silent for b in message.content)


def _tools_trouble(message: AIMessage, arguments: Mapping[str, Any]) -> tuple[str | None, str]:
    known: dict[str, Any] = {}
    for tool in arguments.get("tools") or ():
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if isinstance(function, Mapping):
            known[str(function.get("name"))] = function.get("parameters") or {}
        else:
            return None, ""  # a provider's own tool; its calls are not ours to judge
    if not known:
        return None, ""
    for call in message.tool_calls:
        if call["name"] not in known:
            return "unknown_tool", call["name"]
        problem = misfit(call["args"], known[call["name"]])
        if problem:
            return "arguments", f"{call['name']}: {problem}"
    return None, ""


def _schema(arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON schema the answer must obey; empty for "any JSON", None for free text."""
    form = arguments.get("response_format") or arguments.get("format")
    if form == "json":
        return {}
    if not isinstance(form, Mapping):
        return None
    if form.get("type") == "json_object":
        return {}
    if form.get("type") == "json_schema":
        inner = form.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, Mapping) else form.get("schema")
        return schema if isinstance(schema, Mapping) else {}
    return form  # Ollama's `format` is the schema itself


def misfit(value: Any, schema: Mapping[str, Any]) -> str:
    """Why a value does not fit a JSON schema; empty when it does.

    With the package `jsonschema` all of the schema is checked, else the required names of an
    object. The answer names places and rules, not values.
    """
    if not schema:
        return ""
    try:
        import jsonschema
    except ImportError:
        if schema.get("type") == "object" and not isinstance(value, Mapping):
            return "it must be an object"
        missing = [name for name in schema.get("required", ()) if name not in value]
        return f"missing {', '.join(missing)}" if missing else ""
    try:
        found = next(
            iter(jsonschema.validators.validator_for(schema)(schema).iter_errors(value)), None
        )
    except (jsonschema.SchemaError, TypeError, ValueError):
        return ""  # a schema that is wrong itself is not the model's fault
    if found is None:
        return ""
    place = "/".join(str(part) for part in found.absolute_path) or "the top level"
    return f"rule {found.validator!r} broken at {place}"


def _malformed(code: str, detail: str, *, provider: str, model: str) -> ProviderError:
    return MalformedReplyError(
        f"{model} gave a reply that can't be used ({code}{f', {detail}' if detail else ''}).",
        detail=detail,
        provider=provider,
        model=model,
        code=code,
    )


def correction(error: ProviderError) -> HumanMessage | None:
    """What the model is told before it tries once more; None where telling helps nothing."""
    wrong = WHAT_WAS_WRONG.get(error.code or "")
    if wrong is None:
        return None
    about = getattr(error, "detail", "")
    detail = f" ({about})" if about else ""
    return HumanMessage(f"{wrong[:-1]}{detail}. Answer the request above again, correctly.")
