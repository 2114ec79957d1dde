"""Ollama's API: reading requests, writing replies and streams of JSON lines."""

import json
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

from allotrope.testing.content.replies import Asked, ToolSpec, Turn
from allotrope.testing.errors import ErrorReply
from allotrope.testing.http.http11 import json_bytes
from allotrope.testing.http.wire import Answer
from allotrope.testing.openai.chat import content_text

_NANOS = 1_000_000


def full_name(model: str) -> str:
    """The name with its tag, `latest` where there is none."""
    return model if ":" in model else f"{model}:latest"


def read(body: Mapping[str, Any]) -> Asked:
    """The request in the shape common to all APIs."""
    turns = []
    for message in body.get("messages") or []:
        calls = message.get("tool_calls") or []
        text = content_text(message.get("content"))
        for call in calls:
            function = call.get("function") or {}
            text += f"{function.get('name', '')}{json.dumps(function.get('arguments') or {})}"
        turns.append(Turn(str(message.get("role", "")), text))
    functions = [tool.get("function") or {} for tool in body.get("tools") or []]
    wanted = body.get("format")
    limit = (body.get("options") or {}).get("num_predict")
    return Asked(
        turns=tuple(turns),
        tools=tuple(ToolSpec(f.get("name", ""), f.get("parameters") or {}) for f in functions),
        schema=wanted if isinstance(wanted, Mapping) else None,
        json_mode=wanted == "json",
        max_tokens=limit if isinstance(limit, int) and limit > 0 else None,
    )


def _line(answer: Answer, message: dict[str, Any], **more: Any) -> bytes:
    at = datetime.fromtimestamp(answer.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    fields = {"model": answer.model, "created_at": at, "message": message, "done": False, **more}
    return json_bytes(fields) + b"\n"


def _final(answer: Answer) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": "length" if answer.finish_reason == "length" else "stop",
        "total_duration": (20 + answer.output_tokens) * _NANOS,
        "load_duration": 10 * _NANOS,
        "prompt_eval_count": answer.input_tokens,
        "prompt_eval_duration": 10 * _NANOS,
        "eval_count": answer.output_tokens,
        "eval_duration": answer.output_tokens * _NANOS,
    }


def _calls(answer: Answer) -> list[dict[str, Any]]:
    calls = []
    for _, name, arguments in answer.tool_calls:
        try:
            parsed = json.loads(arguments)
        except ValueError:
            parsed = arguments
        calls.append({"function": {"name": name, "arguments": parsed}})
    return calls


def plain(answer: Answer) -> bytes:
    """The body of a reply that isn't streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.tool_calls:
        message["tool_calls"] = _calls(answer)
    return _line(answer, message, **_final(answer))


def stream(answer: Answer) -> tuple[bytes, list[bytes], bytes]:
    """The reply as JSON lines: nothing opens it, one line a token, a line with counts closes it."""
    lines = [_line(answer, {"role": "assistant", "content": p}) for p in answer.pieces]
    if answer.tool_calls:
        message = {"role": "assistant", "content": "", "tool_calls": _calls(answer)}
        lines.append(_line(answer, message))
    return b"", lines, _line(answer, {"role": "assistant", "content": ""}, **_final(answer))


def tags(models: Mapping[str, int]) -> bytes:
    """`/api/tags`: the models that are installed."""
    return json_bytes({"models": [_listed(name) for name in models]})


def _listed(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": "2026-01-01T00:00:00Z",
        "size": 4_900_000_000,
        "digest": "0" * 64,
        "details": _details(name),
    }


def _details(name: str) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "8.0B",
        "quantization_level": "Q4_K_M",
    }


def capabilities(name: str) -> list[str]:
    """What a model can do; one with `plain` in its name has no tools, like a bare GGUF import."""
    if "embed" in name:
        return ["embedding"]
    return ["completion"] if "plain" in name else ["completion", "tools"]


def check_tools(model: str, body: Mapping[str, Any]) -> None:
    """Refuses tools as Ollama does for a model that has none.

    Raises:
        ErrorReply: The request offers tools.
    """
    if body.get("tools") and "tools" not in capabilities(model):
        told = f"registry.ollama.ai/library/{full_name(model)} does not support tools"
        raise ErrorReply(400, {"error": told})


VOCABULARY = {"the": 1, "</s>": 3, "<weird_turn>": 3, "[gMASK]": 4, "<0x0A>": 6, "  ": 4}
"""A vocabulary for `/api/show`: tokens and their types (3 control, 4 user-defined)."""


def show(name: str, context: int, *, verbose: bool = False) -> bytes:
    """`/api/show`: one model's details, its context length among them.

    Args:
        name: The model.
        context: Its longest context, tokens.
        verbose: Whether the vocabulary is in it.
    """
    words = {
        "tokenizer.ggml.tokens": list(VOCABULARY) if verbose else None,
        "tokenizer.ggml.token_type": list(VOCABULARY.values()) if verbose else None,
    }
    return json_bytes(
        {
            "modelfile": f"FROM {name}",
            "parameters": 'stop "<|eot_id|>"',
            "template": "[TURN]{{ .Role }}[/TURN]{{ .Prompt }}",
            "details": _details(name),
            "model_info": {
                "general.architecture": "llama",
                "general.parameter_count": 8_030_261_312,
                "llama.context_length": context,
                "llama.embedding_length": 4096,
                **words,
            },
            "capabilities": capabilities(name),
            "modified_at": "2026-01-01T00:00:00Z",
        }
    )


def pull(name: str) -> list[bytes]:
    """`/api/pull`: the progress lines of a download."""
    total = 4_900_000_000
    digest = "sha256:" + "0" * 64
    steps: list[dict[str, Any]] = [{"status": "pulling manifest"}]
    steps += [
        {"status": f"pulling {name}", "digest": digest, "total": total, "completed": total * n // 4}
        for n in range(1, 5)
    ]
    steps += [{"status": "verifying sha256 digest"}, {"status": "success"}]
    return [json_bytes(step) + b"\n" for step in steps]


def installed(model: str, models: Mapping[str, int]) -> int:
    """The largest context of an installed model.

    Raises:
        ErrorReply: It isn't installed.
    """
    name = full_name(model)
    if name not in models:
        raise ErrorReply(404, {"error": f"model '{model}' not found"})
    return models[name]


def other(
    path: str, body: Mapping[str, Any], models: MutableMapping[str, int]
) -> bytes | list[bytes]:
    """The answer to everything but chats and embeddings; lines where it is streamed.

    Args:
        path: The path of the URL.
        body: The JSON body.
        models: The installed models and their largest context; a pull adds to them.

    Raises:
        ErrorReply: No such path or model.
    """
    name = full_name(str(body.get("model") or body.get("name", "")))
    if path == "/":
        return b"Ollama is running"
    if path == "/api/version":
        return json_bytes({"version": "0.12.6"})
    if path == "/api/tags":
        return tags(models)
    if path == "/api/ps":
        return json_bytes({"models": []})
    if path == "/api/show":
        return show(name, installed(name, models), verbose=body.get("verbose") is True)
    if path == "/api/pull":
        models[name] = 131_072
        return pull(name)
    raise ErrorReply(404, "404 page not found")
