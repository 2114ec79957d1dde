"""The provider's prompt cache: who shares one, and where the part ends that stays the same.

From GPT-5.6 on, writing to the cache costs 1.25 times the input. The implicit breakpoint lies near
the latest message, so a long prompt whose end changes is written anew at each turn and never read
(openai/codex #35300). One explicit breakpoint at the end of the stable part is written once and
read from then on (developers.openai.com/api/docs/guides/prompt-caching).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables.config import ensure_config

from allotrope.models.capabilities import Capabilities, capabilities_of

STABLE = "__allotrope_stable"
"""Key in a system message's `additional_kwargs`: so many characters of it are the same in every
turn. No provider is sent it, and no cache key has it."""

MARK = {"mode": "explicit"}


@lru_cache(maxsize=256)
def _able(model: str) -> Capabilities:
    return capabilities_of(model)


def opening_marked(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """A prompt whose first message says that it is the same in every turn.

    Args:
        messages: A rendered prompt.
    """
    marked = list(messages)
    if marked and isinstance(marked[0], SystemMessage) and isinstance(marked[0].content, str):
        said = {**marked[0].additional_kwargs, STABLE: len(marked[0].content)}
        marked[0] = marked[0].model_copy(update={"additional_kwargs": said})
    return marked


def with_cache_key(kwargs: dict[str, Any], model: str) -> dict[str, Any]:
    """The arguments of a call, with the provider's cache key of its agent and prompt version.

    Args:
        kwargs: Of the call; a key of the caller's own stays.
        model: Only models of a family that takes the key get one.
    """
    metadata = ensure_config().get("metadata") or {}
    prompt = metadata.get("allotrope_prompt")
    if "prompt_cache_key" in kwargs or not prompt or _able(model).family == "unknown":
        return kwargs
    agent = metadata.get("allotrope_agent") or "agent"
    return {**kwargs, "prompt_cache_key": f"allotrope:{agent}:{prompt}"[:64]}


def with_cache_mark(messages: Sequence[BaseMessage], model: str) -> list[BaseMessage]:
    """The messages, with a breakpoint where the part ends that is the same in every turn.

    Args:
        messages: A prompt; the system message says how much of it is stable.
        model: Only models that take breakpoints get one.
    """
    marked = list(messages)
    if not marked or not _able(model).breakpoints:
        return marked
    first = marked[0]
    if not isinstance(first, SystemMessage) or not isinstance(first.content, str):
        return marked
    stable = int(first.additional_kwargs.get(STABLE) or 0)
    if not stable:
        return marked
    head, tail = first.content[:stable], first.content[stable:]
    blocks: list[str | dict[str, Any]] = [
        {"type": "text", "text": head, "prompt_cache_breakpoint": MARK}
    ]
    if tail:
        blocks.append({"type": "text", "text": tail})
    marked[0] = first.model_copy(update={"content": blocks})
    return marked
