"""OpenAI's Responses API: reading requests, writing replies and streams."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from allotrope.testing.content.replies import Asked, ToolSpec, Turn
from allotrope.testing.errors import openai_error
from allotrope.testing.http.http11 import json_bytes
from allotrope.testing.http.wire import Answer
from allotrope.testing.openai.chat import content_text, input_details, turn_of

SUMMARY = "Weighed the question and settled on an answer."
"""What a reasoning summary says."""


def read(body: Mapping[str, Any], *, before: Sequence[Turn] = ()) -> Asked:
    """The request in the shape common to all APIs.

    Args:
        body: The JSON body.
        before: The turns that `previous_response_id` stands for.

    Raises:
        ErrorReply: A 400 for a missing input, a tool call without its output or an output nobody
            asked for, and for JSON mode without the word JSON in the messages.
    """
    given = body.get("input")
    if not given:
        raise openai_error(
            400,
            "Missing required parameter: 'input'.",
            code="missing_required_parameter",
            param="input",
        )
    turns = list(before)
    if body.get("instructions"):
        turns.insert(0, Turn("system", str(body["instructions"])))
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        turns.extend(_turns(item, turns))
    _check_outputs(turns)
    text_format = (body.get("text") or {}).get("format") or {}
    if text_format.get("type") == "json_object" and not _speaks_of_json(turns):
        raise openai_error(
            400,
            "Response input messages must contain the word 'json' in some form to use "
            "'text.format' of type 'json_object'.",
            param="input",
        )
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, Mapping):
        choice = choice.get("name", "required")
    return Asked(
        turns=tuple(turns),
        tools=tuple(
            ToolSpec(str(tool.get("name", "")), tool.get("parameters") or {})
            for tool in body.get("tools") or []
            if tool.get("type") == "function"
        ),
        tool_choice=str(choice),
        schema=text_format.get("schema") if text_format.get("type") == "json_schema" else None,
        json_mode=text_format.get("type") == "json_object",
        max_tokens=body.get("max_output_tokens"),
        effort=(body.get("reasoning") or {}).get("effort"),
    )


def _check_outputs(turns: Sequence[Turn]) -> None:
    answered = {turn.tool_call_id for turn in turns}
    for turn in turns:
        for call_id in turn.tool_call_ids:
            if call_id not in answered:
                message = f"No tool output found for function call {call_id}."
                raise openai_error(400, message, param="input")


def _speaks_of_json(turns: Sequence[Turn]) -> bool:
    return any("json" in turn.text.lower() for turn in turns)


def _turns(item: Mapping[str, Any], before: Sequence[Turn]) -> list[Turn]:
    kind = item.get("type", "message")
    if kind == "message":
        content = item.get("content")
        return [turn_of(str(item.get("role", "user")), content, content_text(content))]
    if kind == "function_call":
        text = f"{item.get('name', '')}{item.get('arguments', '')}"
        return [Turn("assistant", text, tool_call_ids=(str(item.get("call_id")),))]
    if kind == "function_call_output":
        call_id = str(item.get("call_id"))
        if not any(call_id in turn.tool_call_ids for turn in before):
            message = f"No tool call found for function call output with call_id {call_id}."
            raise openai_error(400, message, param="input")
        output = item.get("output")
        return [turn_of("tool", output, content_text(output), tool_call_id=call_id)]
    return []


def items(answer: Answer, *, summary: bool = False) -> list[dict[str, Any]]:
    """The output items of a reply.

    Args:
        answer: The reply.
        summary: Whether its reasoning is summed up.
    """
    items: list[dict[str, Any]] = []
    if answer.thought:
        parts = [{"type": "summary_text", "text": SUMMARY}] if summary else []
        reasoning: dict[str, Any] = {"id": f"rs_{answer.id}", "type": "reasoning", "summary": parts}
        if answer.sealed is not None:
            reasoning["encrypted_content"] = answer.sealed
        items.append(reasoning)
    if answer.text or answer.refusal or not answer.tool_calls:
        part: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": []}
        if answer.refusal:
            part = {"type": "refusal", "refusal": answer.refusal}
        items.append(
            {
                "id": f"msg_{answer.id}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    items.extend(
        {
            "id": f"fc_{index}_{answer.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
        }
        for index, (call_id, name, arguments) in enumerate(answer.tool_calls)
    )
    return items


def _response(answer: Answer, body: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
    cut = answer.finish_reason in ("length", "content_filter")
    reason = "max_output_tokens" if answer.finish_reason == "length" else "content_filter"
    status = ("incomplete" if cut else "completed") if done else "in_progress"
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if cut and done else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": answer.model,
        "output": items(answer, summary=_summed_up(body)) if done else [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"summary": None, **(body.get("reasoning") or {}), "effort": answer.effort},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": _usage(answer) if done else None,
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": input_details(answer),
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def plain(answer: Answer, body: Mapping[str, Any]) -> bytes:
    """The body of a reply that isn't streamed."""
    return json_bytes(_response(answer, body, done=True))


class _Events:
    """Writes events with their running number."""

    def __init__(self) -> None:
        self.number = -1

    def __call__(self, kind: str, **fields: Any) -> bytes:
        self.number += 1
        data = json.dumps({"type": kind, "sequence_number": self.number, **fields})
        return f"event: {kind}\ndata: {data}\n\n".encode()


def stream(answer: Answer, body: Mapping[str, Any]) -> tuple[bytes, list[bytes], bytes]:
    """The reply as server-sent events: what opens it, one entry a token, what closes it."""
    event = _Events()
    starting = _response(answer, body, done=False)
    opening = event("response.created", response=starting)
    opening += event("response.in_progress", response=starting)
    events: list[bytes] = []
    for index, item in enumerate(items(answer, summary=_summed_up(body))):
        if item["type"] == "message":
            events += _message_events(event, index, item, answer)
        elif item["type"] == "function_call":
            events += _call_events(event, index, item)
        else:
            opening += _reasoning_events(event, index, item)
    final = _response(answer, body, done=True)
    return opening, events, event(f"response.{final['status']}", response=final)


def _summed_up(body: Mapping[str, Any]) -> bool:
    reasoning = body.get("reasoning") or {}
    return bool(reasoning.get("summary") or reasoning.get("generate_summary"))


def _reasoning_events(event: _Events, index: int, item: dict[str, Any]) -> bytes:
    added = {**item, "summary": []}
    events = event("response.output_item.added", output_index=index, item=added)
    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    for part in item["summary"]:
        kind = "response.reasoning_summary"
        events += event(f"{kind}_part.added", **where, part={**part, "text": ""})
        events += event(f"{kind}_text.delta", **where, delta=part["text"])
        events += event(f"{kind}_text.done", **where, text=part["text"])
        events += event(f"{kind}_part.done", **where, part=part)
    return events + event("response.output_item.done", output_index=index, item=item)


def _message_events(
    event: _Events, index: int, item: dict[str, Any], answer: Answer
) -> list[bytes]:
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    blank = {**part, ("refusal" if answer.refusal else "text"): ""}
    added = {**item, "status": "in_progress", "content": []}
    head = event("response.output_item.added", output_index=index, item=added)
    head += event("response.content_part.added", **where, part=blank)
    if answer.refusal:
        tokens = [event("response.refusal.delta", **where, delta=answer.refusal)]
        tail = event("response.refusal.done", **where, refusal=answer.refusal)
    else:
        tokens = [
            event("response.output_text.delta", **where, delta=piece, logprobs=[])
            for piece in answer.pieces
        ]
        tail = event("response.output_text.done", **where, text=answer.text, logprobs=[])
    tail += event("response.content_part.done", **where, part=part)
    tail += event("response.output_item.done", output_index=index, item=item)
    if not tokens:
        return [head + tail]
    return [head + tokens[0], *tokens[1:-1], (tokens[-1] if len(tokens) > 1 else b"") + tail]


def _call_events(event: _Events, index: int, item: dict[str, Any]) -> list[bytes]:
    where = {"item_id": item["id"], "output_index": index}
    arguments = item["arguments"]
    added = {**item, "status": "in_progress", "arguments": ""}
    events = [event("response.output_item.added", output_index=index, item=added)]
    events += [
        event(
            "response.function_call_arguments.delta", **where, delta=arguments[start : start + 12]
        )
        for start in range(0, len(arguments), 12)
    ]
    tail = event("response.function_call_arguments.done", **where, arguments=arguments)
    tail += event("response.output_item.done", output_index=index, item=item)
    return [*events, tail]


def error_event() -> bytes:
    """The event of a stream that fails half-way."""
    data = {
        "type": "error",
        "code": "server_error",
        "message": "The server had an error while processing your request. Sorry about that!",
        "param": None,
        "sequence_number": 99,
    }
    return f"event: error\ndata: {json.dumps(data)}\n\n".encode()
