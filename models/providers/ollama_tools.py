"""What Ollama says of a model in `/api/show`: whether it can call tools, and its control tokens.

It is asked once per model and process. A GGUF imported without a tools template has the capability
`completion` only; Ollama then refuses each request that offers tools, so they are left out, and the
reply says so. The control tokens of its vocabulary are taken out of every text it gets.
"""

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from allotrope.models.providers.gguf import borders
from allotrope.support.fencing import learn_tokens

TIMEOUT_S = 2.0
"""Seconds Ollama has to say what a model can do; it is asked beside the turn, never instead."""

AGAIN_S = 30.0
"""Seconds after which it is asked again where it didn't say."""

MOST_BYTES = 64_000_000
"""Of an answer. A vocabulary of 256,000 tokens with its merges has some 20 MB."""

_IN_TEMPLATE = re.compile(r"<\|?[^\s<>{}|]{1,60}\|?>|\[/?[A-Z_]{2,40}\]")

_known: dict[tuple[str, str], frozenset[str] | None] = {}
_asked: dict[tuple[str, str], float] = {}
_lock = threading.Lock()


def capabilities(host: str, model: str) -> frozenset[str] | None:
    """What a model can do, as far as it is known; nothing is asked."""
    return _known.get((host, model))


def ask_about(host: str, model: str) -> None:
    """Asks Ollama about a model, where that isn't known. Blocks for `TIMEOUT_S` at most.

    Args:
        host: Ollama's address.
        model: Its name there.
    """
    name = (host, model)
    with _lock:
        now = time.monotonic()
        if name in _known or now - _asked.get(name, -AGAIN_S) < AGAIN_S:
            return
        _asked[name] = now
    try:
        told = _show(host, model)
        found = told.get("capabilities")
        able = None if found is None else frozenset(map(str, found))  # None: an old Ollama
        tokens = control_tokens(told)
    except Exception:  # noqa: BLE001 - whatever ails it, the turn's own request will say so
        return
    learn_tokens(tokens)
    with _lock:
        _known[name] = able


def _show(host: str, model: str) -> Mapping[str, Any]:
    """Ollama's words on a model, its vocabulary among them; Ollama's own client can't ask for it.

    Raises:
        ValueError: What came is no such answer, or too long.
        httpx.HTTPError: Nothing came.
    """
    import httpx

    from allotrope.models.providers.http import tls
    from allotrope.support.exchanges import limit

    with httpx.Client(timeout=TIMEOUT_S, verify=tls()) as client:
        limit(client, TIMEOUT_S)
        asked = {"model": model, "verbose": True}
        with client.stream("POST", f"{host.rstrip('/')}/api/show", json=asked) as answer:
            answer.raise_for_status()
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise ValueError("more than any vocabulary has")
    told = json.loads(body)
    if not isinstance(told, dict):
        raise ValueError("no object")
    return told


def control_tokens(told: Mapping[str, Any]) -> frozenset[str]:
    """The texts that a model takes for borders and roles.

    Those of its vocabulary, and what stands in its template: an Ollama before 0.5 gives no
    vocabulary.

    Args:
        told: Ollama's answer to `/api/show` (ollama/docs/api.md, "Show Model Information").
    """
    info = told.get("model_info") or {}
    tokens = info.get("tokenizer.ggml.tokens") or []
    kinds = info.get("tokenizer.ggml.token_type") or []
    template = str(told.get("template") or "")[:100_000]
    return borders(tokens, kinds) | frozenset(_IN_TEMPLATE.findall(template))


def due(host: str, model: str) -> bool:
    """Whether `ask_about` would ask now."""
    name = (host, model)
    if name in _known:
        return False
    return time.monotonic() - _asked.get(name, -AGAIN_S) >= AGAIN_S


def forget_capabilities() -> None:
    """Forgets everything, for tests and after a model was pulled anew."""
    with _lock:
        _known.clear()
        _asked.clear()


def without_tools(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """A conversation in which no tool is called: results become text that the model can read.

    Args:
        messages: In which tools may have been called by another model, earlier in the turn.
    """
    kept: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            kept.append(HumanMessage(f"Result of {message.name or 'a tool'}:\n{message.text}"))
        elif isinstance(message, AIMessage) and message.tool_calls:
            if message.text.strip():
                kept.append(AIMessage(message.text))
        else:
            kept.append(message)
    return kept
