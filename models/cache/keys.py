"""The canonical form of a request: what the model sees and what changes the answer, no more.

Two requests share a key exactly when their canonical forms are equal.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, SecretStr, TypeAdapter

IRRELEVANT_FIELDS = frozenset(
    {
        "answers", "async_client", "async_client_kwargs", "cache", "callbacks", "client",
        "client_kwargs", "custom_get_token_ids", "default_headers", "default_query",
        "disable_streaming", "embedded", "http_async_client", "http_client",
        "http_socket_options", "include_response_headers", "keep_alive", "max_retries", "metadata",
        "name", "num_gpu", "num_thread", "openai_api_key", "openai_organization", "openai_proxy",
        "profile", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "provider", "rate_limiter", "request_timeout", "root_async_client", "root_client",
        "safety_identifier", "service_tier", "store", "stream", "stream_chunk_timeout",
        "stream_options", "stream_usage", "streaming", "sync_client_kwargs", "tags",
        "tiktoken_model_name", "timeout", "user", "validate_model_on_init", "verbose",
        "extra_headers", "extra_query", "api_key", "structured_output_format",
        "ls_structured_output_format", "tools", "stop", "model", "model_name", "response_format",
    }
)  # fmt: skip
"""Parameters that don't change what the model says, and those that have a place of their own.

Everything not listed counts: an unknown parameter can cost a hit, never a wrong answer.
"""

ALIASES = {"max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens"}
"""Names of one parameter that differ between constructor and call."""

NOISE = frozenset({"refusal", "parsed", "reasoning_content", "token_usage"})
"""Parts of `additional_kwargs` that no provider is sent back."""

REPEATED = frozenset({"tool_calls", "function_call"})
"""Parts of `additional_kwargs` that repeat a message's tool calls, where it has any."""

ROLE = "__openai_role__"
"""Where langchain-openai notes that a system message goes out as the developer's."""

REFERENCES = frozenset({"item_reference", "image_generation_call", "computer_call"})
"""Kinds of blocks whose id is what the provider looks up: the id is the content."""


class UncacheableError(ValueError):
    """The request can't be written down exactly, so it must not be cached."""


def canonical_request(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    *,
    stop: Sequence[str] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The canonical form of a call of a chat model.

    Args:
        model: The model; its parameters count as far as they change the answer.
        messages: What it is asked.
        stop: Stop sequences of the call.
        arguments: The call's other arguments (`tools`, `tool_choice`, `response_format` …).

    Raises:
        UncacheableError: Something in it has no exact written form.
    """
    call = dict(arguments or {})
    bound = {
        name: value
        for name, about in type(model).model_fields.items()
        if name not in IRRELEVANT_FIELDS
        and not about.exclude
        and (value := getattr(model, name, None)) is not None
    }
    parameters = {**bound, **{k: v for k, v in call.items() if k not in IRRELEVANT_FIELDS}}
    name = call.get("model") or call.get("model_name")
    name = name or getattr(model, "model_name", None) or getattr(model, "model", None)
    stops = stop or call.get("stop") or getattr(model, "stop", None) or ()
    named = {
        ALIASES.get(key, key): plain(value)
        for key, value in parameters.items()
        if value is not None and value != {}
    }
    return {
        "kind": model._llm_type,
        "model": str(name or type(model).__qualname__),
        "parameters": heeded(model._llm_type, named),
        "route": route(model, call),
        "stop": sorted({stops} if isinstance(stops, str) else set(stops)),
        "tools": canonical_tools(call.get("tools") or ()),
        "format": schema_of(call.get("response_format")),
        "messages": canonical_messages(messages),
    }


def digest(form: Any) -> str:
    """The key of a canonical form: 128 bits, in hex.

    Raises:
        UncacheableError: The form holds something JSON can't say.
    """
    return hashlib.sha256(written(form).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def written(form: Any) -> str:
    """A canonical form as text, the same for equal forms."""
    try:
        return json.dumps(
            form, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
        )
    except (TypeError, ValueError) as exc:
        raise UncacheableError(str(exc)) from exc


def canonical_tools(tools: Iterable[Any]) -> list[Any]:
    """Tools as a set with schemas: their order doesn't count, their descriptions do."""
    forms = {written(form): form for form in (_tool(tool) for tool in tools)}
    return [forms[key] for key in sorted(forms)]


def _tool(tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return plain(tool)
    try:
        return plain(convert_to_openai_tool(tool))
    except (ValueError, TypeError) as exc:
        raise UncacheableError(f"the tool {tool!r} has no schema") from exc


def schema_of(wanted: Any) -> Any:
    """A response format by its schema, never by the name of a class."""
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return plain(wanted)
    if isinstance(wanted, type):
        try:
            if issubclass(wanted, BaseModel):
                return plain(wanted.model_json_schema())
            return plain(TypeAdapter(wanted).json_schema())
        except Exception as exc:
            raise UncacheableError(f"{wanted!r} has no JSON schema") from exc
    return plain(wanted)


def canonical_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Messages without ids, usage and metadata; tool calls are numbered in order."""
    numbers: dict[str, str] = {}
    return [_message(message, numbers) for message in messages]


def _message(message: BaseMessage, numbers: dict[str, str]) -> dict[str, Any]:
    form: dict[str, Any] = {
        "role": message.type.removesuffix("MessageChunk").lower(),
        "content": _content(message.content, numbers),
    }
    if message.name:
        form["name"] = message.name
    role = getattr(message, "role", None)
    if role:
        form["chat_role"] = role
    calls = [
        *getattr(message, "tool_calls", ()),
        *getattr(message, "invalid_tool_calls", ()),
    ]
    if calls:
        form["calls"] = [
            {"name": c["name"], "args": plain(c["args"]), "id": _number(c.get("id"), numbers)}
            for c in calls
        ]
    if (call_id := getattr(message, "tool_call_id", None)) is not None:
        form["call"] = _number(call_id, numbers)
        if getattr(message, "status", "success") != "success":
            form["status"] = str(getattr(message, "status", ""))
    extra = {
        key: plain(value)
        for key, value in message.additional_kwargs.items()
        if key not in NOISE
        and not (calls and key in REPEATED)
        and (key == ROLE or not key.startswith("__"))
        and value is not None
    }
    if extra:
        form["extra"] = extra
    return form


def _content(content: Any, numbers: dict[str, str]) -> Any:
    if isinstance(content, str):
        return same_writing(content)
    blocks: list[Any] = []
    for block in content:
        if isinstance(block, str):
            blocks.append({"type": "text", "text": same_writing(block)})
            continue
        passing = {"index", "encrypted_content"}
        if block.get("type") not in REFERENCES and set(block) - {"id", "type", "status"}:
            passing.add("id")
        form = plain({k: v for k, v in block.items() if k not in passing})
        if isinstance(form.get("text"), str):
            form["text"] = same_writing(form["text"])
        if "call_id" in form:
            form["call_id"] = _number(form["call_id"], numbers)
        if form.get("type") == "output_text":
            form["type"] = "text"
        if not form.get("annotations", True):
            form.pop("annotations")
        if form.get("type") == "reasoning":
            continue  # the model's own notes: not what was asked, and new in every run
        blocks.append(form)
    if all(set(block) == {"type", "text"} for block in blocks) and len(blocks) <= 1:
        return "".join(block["text"] for block in blocks)
    return blocks


def _number(call_id: str | None, numbers: dict[str, str]) -> str:
    """Call ids are random; the order in which they first appear is not."""
    if call_id is None:
        return ""
    return numbers.setdefault(call_id, str(len(numbers)))


def plain(value: Any) -> Any:
    """A value as JSON types; classes by schema, mappings with text keys.

    Raises:
        UncacheableError: It has no exact written form, such as a function or a client.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=written)
    if isinstance(value, SecretStr):
        raise UncacheableError("a secret is no part of a key")
    if isinstance(value, type):
        return schema_of(value)
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    raise UncacheableError(f"{type(value).__qualname__} has no written form")


UNHEEDED_HEADERS = frozenset(
    {
        "accept", "accept-encoding", "baggage", "connection", "content-length", "content-type",
        "idempotency-key", "traceparent", "tracestate", "user-agent",
        "x-client-request-id", "x-correlation-id", "x-request-id", "x-session-id", "x-title",
        "x-trace-id", "http-referer", "referer",
        "b3", "sentry-trace",
    }
)  # fmt: skip
"""Headers that name a request or its sender's software. Every other header may route the answer."""

ORGANIZATION = "openai-organization"
"""The header in which the client sends its organisation; who sets it says the same."""

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
    headers = {str(name).lower(): value for name, value in headers.items()}
    organization = headers.pop(ORGANIZATION, None) or getattr(model, "openai_organization", None)
    query = {**_given(model, "default_query"), **(call.get("extra_query") or {})}
    found: dict[str, Any] = {
        "headers": {name: fingerprint(value) for name, value in headers.items() if heeds(name)},
        "query": {str(name): str(value) for name, value in query.items()},
        "organization": str(organization or ""),
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


_FENCE = ("```", "~~~")
_WIDE = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""Blanks of other widths: no-break, thin, ideographic."""
_RUNS = re.compile(rf"(?<=\S)(?:[ {_WIDE}]{{2,}}|[{_WIDE}])(?=\S)")
_ODD = re.compile(rf"  |\t| \n|\n\n\n|[{_WIDE}]")
_LITERAL = re.compile(r"[`\"|\t<>{}=;]|(?<!\w)'|'(?!\w)")
"""Marks of a line in which blanks may count: code, a table, something quoted. An apostrophe within
a word is none."""
_EMPTY_LINES = re.compile(r"\n{3,}")


def same_writing(text: str) -> str:
    """The text composed (NFC), with `\\n` at line ends and single blanks within lines of prose.

    Code keeps its blanks: fenced blocks, indented lines, lines with quotes or marks of code.
    Several empty lines are one where all is prose.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not _ODD.search(text) and text.strip() == text:
        return text
    fenced, prose = False, True
    lines = []
    for line in text.split("\n"):
        if line.lstrip().startswith(_FENCE):
            fenced, prose = not fenced, False
        elif not fenced:
            line = line.rstrip()
            if not line.startswith((" ", "\t")) and not _LITERAL.search(line):
                line = _RUNS.sub(" ", line)
            else:
                prose = False
        lines.append(line)
    whole = "\n".join(lines)
    if prose:
        whole = _EMPTY_LINES.sub("\n\n", whole)
    return (
        whole if fenced else whole.strip("\n").rstrip(" ").lstrip(" ") if _prose(whole) else whole
    )


def _prose(text: str) -> bool:
    """Whether the text's first line isn't indented on purpose, as code is."""
    return not (text.startswith((" ", "\t")) and "\n" in text.strip("\n"))
