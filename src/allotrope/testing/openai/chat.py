"""OpenAI's Chat Completions API: reading requests, writing replies and streams."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from allotrope.testing.content.replies import Asked, ToolSpec, Turn
from allotrope.testing.errors import ErrorReply, openai_error
from allotrope.testing.http.http11 import json_bytes
from allotrope.testing.http.wire import Answer

DONE = b"data: [DONE]\n\n"


def content_text(content: Any) -> str:
    """The text of a message's content, plain or in parts of any API."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = []
    for part in content:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, Mapping):
            parts.append(str(part.get("text") or part.get("refusal") or ""))
    return "".join(parts)


def image_tokens(content: Any) -> int:
    """The tokens of a content's images: 85 at low detail, else those of a square of 512 pixels.

    (OpenAI's vision guide: 85 tokens and 170 for every tile.)
    """
    tokens = 0
    for part in content if isinstance(content, list) else []:
        if isinstance(part, Mapping) and part.get("type") in ("image_url", "input_image"):
            image = part.get("image_url")
            detail = image.get("detail") if isinstance(image, Mapping) else part.get("detail")
            tokens += 85 if detail == "low" else 255
    return tokens


def turn_of(role: str, content: Any, text: str, **more: Any) -> Turn:
    """A turn with the text and what its content says of images and cache breakpoints.

    Args:
        role: Who speaks.
        content: The content as it came.
        text: Its text, with whatever else the turn says.
        more: Further fields of the turn.
    """
    images, marks, at = [], [], 0
    for part in content if isinstance(content, list) else []:
        at += len(content_text([part]))
        if isinstance(part, Mapping):
            if part.get("type") in ("image_url", "input_image"):
                images.append(json.dumps(part.get("image_url") or part.get("file_id")))
            if "prompt_cache_breakpoint" in part:
                marks.append(at)
    return Turn(
        role,
        text,
        image_tokens=image_tokens(content),
        images=hashlib.sha256("".join(images).encode()).hexdigest() if images else "",
        breakpoints=tuple(marks),
        **more,
    )


def read(body: Mapping[str, Any]) -> Asked:
    """The request in the shape common to all APIs.

    Raises:
        ErrorReply: A 400 for JSON mode without the word JSON in the messages.
    """
    turns = tuple(_turn(message) for message in body["messages"])
    schema, json_mode = _format(body.get("response_format"))
    if json_mode and not any("json" in turn.text.lower() for turn in turns):
        raise openai_error(
            400,
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            param="messages",
        )
    functions = [tool.get("function") or {} for tool in body.get("tools") or []]
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, Mapping):
        choice = (choice.get("function") or {}).get("name", "required")
    return Asked(
        turns=turns,
        tools=tuple(ToolSpec(f.get("name", ""), f.get("parameters") or {}) for f in functions),
        tool_choice=str(choice),
        schema=schema,
        json_mode=json_mode,
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        effort=body.get("reasoning_effort"),
    )


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


def _turn(message: Mapping[str, Any]) -> Turn:
    calls = message.get("tool_calls") or []
    text = content_text(message.get("content"))
    for call in calls:
        function = call.get("function") or {}
        text += f"{function.get('name', '')}{function.get('arguments', '')}"
    return turn_of(
        str(message.get("role", "")),
        message.get("content"),
        text,
        tool_call_ids=tuple(str(call.get("id")) for call in calls),
        tool_call_id=message.get("tool_call_id"),
    )


def _format(response_format: Any) -> tuple[Mapping[str, Any] | None, bool]:
    if not isinstance(response_format, Mapping):
        return None, False
    if response_format.get("type") == "json_schema":
        return (response_format.get("json_schema") or {}).get("schema") or {}, False
    return None, response_format.get("type") == "json_object"


def input_details(answer: Answer) -> dict[str, int]:
    """Tokens read from the provider's cache, and written to it where the model reports those."""
    details = {"cached_tokens": answer.cached_tokens}
    if answer.cache_write_tokens is not None:
        details["cache_write_tokens"] = answer.cache_write_tokens
    return details


def usage(answer: Answer) -> dict[str, Any]:
    """The usage block, details included."""
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {**input_details(answer), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def plain(answer: Answer) -> bytes:
    """The body of a reply that isn't streamed."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text if answer.text or not answer.tool_calls else None,
        "refusal": answer.refusal,
        "annotations": [],
    }
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": n, "arguments": a}}
            for i, n, a in answer.tool_calls
        ]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    return json_bytes(
        {
            "id": f"chatcmpl-{answer.id}",
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [choice],
            "usage": usage(answer),
            "service_tier": "default",
            "system_fingerprint": None,
        }
    )


def stream(answer: Answer, *, include_usage: bool) -> tuple[bytes, list[bytes], bytes]:
    """The reply as server-sent events: what opens it, one event a token, what closes it.

    Args:
        answer: The reply.
        include_usage: Whether `stream_options.include_usage` was sent: only then is there a chunk
            with the usage.
    """
    prefix = (
        f'data: {{"id":"chatcmpl-{answer.id}","object":"chat.completion.chunk",'
        f'"created":{answer.created},"model":{json.dumps(answer.model)},'
        '"service_tier":"default","system_fingerprint":null,'
    )
    no_usage = ',"usage":null' if include_usage else ""

    def event(delta: str, finish: str = "null") -> bytes:
        return (
            f'{prefix}"choices":[{{"index":0,"delta":{delta},"logprobs":null,'
            f'"finish_reason":{finish}}}]{no_usage}}}\n\n'
        ).encode()

    opening = event('{"role":"assistant","content":"","refusal":null}')
    events = [event(f'{{"content":{json.dumps(piece)}}}') for piece in answer.pieces]
    if answer.refusal:
        events.append(event(f'{{"refusal":{json.dumps(answer.refusal)}}}'))
    for index, (call_id, name, arguments) in enumerate(answer.tool_calls):
        first = {
            "index": index,
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        events.append(event(json.dumps({"tool_calls": [first]})))
        for start in range(0, len(arguments), 12):
            part = {"index": index, "function": {"arguments": arguments[start : start + 12]}}
            events.append(event(json.dumps({"tool_calls": [part]})))
    closing = event("{}", json.dumps(answer.finish_reason))
    if include_usage:
        closing += f'{prefix}"choices":[],"usage":{json.dumps(usage(answer))}}}\n\n'.encode()
    return opening, events, closing + DONE
