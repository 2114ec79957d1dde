"""The provider's prompt cache: who shares one, and where the part ends that stays the same.

From GPT-5.6 on, writing to the cache costs 1.25 times the input. The implicit breakpoint lies near
the latest message, so a long prompt whose end changes is written anew at each turn and never read
(openai/codex #35300). One explicit breakpoint at the end of the part that the next turn has, too,
is written once and read from then on (developers.openai.com/api/docs/guides/prompt-caching).
"""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables.config import ensure_config

from allotrope.contracts import Metadata
from allotrope.models.providers.capabilities import openai_capabilities

STABLE = "__allotrope_stable"
"""Key in a message's `additional_kwargs`: up to so many of its characters the prompt will be the
same in the next turn. No provider is sent it, and no cache key has it."""

MARK = {"mode": "explicit"}


def stable_marked(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """A prompt that says how far it will be the same in the next turn.

    That is up to the last question before the latest one, which the next turn has in the same
    place; in a first turn it is the system message.

    Args:
        messages: A rendered prompt whose system message is the same in every turn.
    """
    marked = list(messages)
    asked = [i for i, message in enumerate(marked) if isinstance(message, HumanMessage)]
    at = asked[-2] if len(asked) > 1 else 0
    if marked and isinstance(marked[at].content, str):
        said = {**marked[at].additional_kwargs, STABLE: len(marked[at].content)}
        marked[at] = marked[at].model_copy(update={"additional_kwargs": said})
    return marked


def with_cache_key(kwargs: dict[str, Any], model: str) -> dict[str, Any]:
    """The arguments of a call, with the provider's cache key of its agent and prompt version.

    Args:
        kwargs: Of the call; a key of the caller's own stays.
        model: Only models that we know get one.
    """
    metadata = ensure_config().get("metadata") or {}
    prompt = metadata.get(Metadata.PROMPT)
    if "prompt_cache_key" in kwargs or not prompt or openai_capabilities(model).known_as is None:
        return kwargs
    agent = metadata.get(Metadata.AGENT) or "agent"
    return {**kwargs, "prompt_cache_key": f"allotrope:{agent}:{prompt}"[:64]}


def with_cache_mark(messages: Sequence[BaseMessage], model: str) -> list[BaseMessage]:
    """The messages, with a breakpoint where the part ends that the next turn has, too.

    Args:
        messages: A prompt; one of its messages may say where that is (`stable_marked`).
        model: Only models that take breakpoints get one.
    """
    marked = list(messages)
    if openai_capabilities(model).known_as is None or not openai_capabilities(model).breakpoints:
        return marked
    for at, message in enumerate(marked):
        stable = int(message.additional_kwargs.get(STABLE) or 0)
        if not stable or not isinstance(message.content, str):
            continue
        head, tail = message.content[:stable], message.content[stable:]
        blocks: list[str | dict[str, Any]] = [
            {"type": "text", "text": head, "prompt_cache_breakpoint": MARK}
        ]
        if tail:
            blocks.append({"type": "text", "text": tail})
        marked[at] = message.model_copy(update={"content": blocks})
        break
    return marked
