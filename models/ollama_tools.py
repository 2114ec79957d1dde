"""Whether a model of Ollama can call tools: read from `/api/show`, once per model and process.

A GGUF imported without a tools template has the capability `completion` only; Ollama then refuses
each request that offers tools, so they are left out, and the reply says so.
"""

import threading
import time
from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

TIMEOUT_S = 2.0
"""Seconds Ollama has to say what a model can do; it is asked beside the turn, never instead."""

AGAIN_S = 30.0
"""Seconds after which it is asked again where it didn't say."""

_known: dict[tuple[str, str], frozenset[str] | None] = {}
_asked: dict[tuple[str, str], float] = {}
_lock = threading.Lock()


def capabilities(host: str, model: str) -> frozenset[str] | None:
    """What a model can do, as far as it is known; nothing is asked."""
    return _known.get((host, model))


def ask_capabilities(host: str, model: str) -> None:
    """Asks Ollama what a model can do, where that isn't known. Blocks for `TIMEOUT_S` at most."""
    import ollama

    name = (host, model)
    with _lock:
        now = time.monotonic()
        if _known.get(name) is not None or now - _asked.get(name, -AGAIN_S) < AGAIN_S:
            return
        _asked[name] = now
    try:
        client = ollama.Client(host=host, timeout=TIMEOUT_S)
        try:
            found = client.show(model).capabilities
        finally:
            client._client.close()
    except Exception:  # noqa: BLE001 - whatever ails it, the turn's own request will say so
        return
    with _lock:
        _known[name] = None if found is None else frozenset(found)  # None: an old Ollama


def due(host: str, model: str) -> bool:
    """Whether `ask_capabilities` would ask now."""
    name = (host, model)
    if _known.get(name) is not None:
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
