"""Messages that every provider reads: without what only one model can use."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage

from allotrope.contracts import STAMP
from allotrope.support.fencing import neutralised_message
from allotrope.support.pools import beside_loop

Request: TypeAlias = tuple[list[BaseMessage], dict[str, Any]]
Prepare: TypeAlias = Callable[[list[BaseMessage], dict[str, Any]], Request]

PORTABLE = frozenset({"text", "output_text", "image_url", "image"})
"""Types of content blocks that every provider of the chain knows."""


def plain(message: BaseMessage) -> BaseMessage:
    """The message with content every provider reads: reasoning and unknown blocks are left out.

    Text blocks of an assistant's message become one string; images of a user's stay as they are.

    Args:
        message: As it stands in the conversation; it isn't changed.
    """
    if isinstance(message.content, str):
        return message
    blocks = [block for block in message.content if _portable(block)]
    if isinstance(message, AIMessage) or all(
        isinstance(block, str) or block.get("type") == "text" for block in blocks
    ):
        text = "".join(
            block if isinstance(block, str) else str(block.get("text", "")) for block in blocks
        )
        return message.model_copy(update={"content": text})
    return message.model_copy(update={"content": blocks})


def _portable(block: str | dict[str, Any]) -> bool:
    return isinstance(block, str) or block.get("type") in PORTABLE


def made_by(message: BaseMessage) -> str:
    """The model that wrote a message, as its provider reports it; empty where nobody says.

    Args:
        message: A reply.
    """
    stamp = message.response_metadata.get(STAMP)
    told = stamp.get("model") if isinstance(stamp, dict) else None
    return str(told or message.response_metadata.get("model_name") or "")


def sent(prepare: Prepare, messages: list[BaseMessage], kwargs: Mapping[str, Any]) -> Request:
    """What a model gets: no text holds a token of a chat format, whoever made the prompt.

    Args:
        prepare: Adapts messages and arguments to the provider.
        messages: Of the call.
        kwargs: Its arguments.
    """
    ready, arguments = prepare(messages, dict(kwargs))
    return [neutralised_message(message, tags=False) for message in ready], arguments


async def asent(
    prepare: Prepare, messages: list[BaseMessage], kwargs: Mapping[str, Any]
) -> Request:
    """As `sent`; long prompts are read off the event loop."""
    return await beside_loop(text_length(messages), sent, prepare, messages, kwargs)


def text_length(messages: Sequence[BaseMessage]) -> int:
    """Characters of all texts of messages, which say where they are read: see `beside_loop`."""
    return sum(len(message.text) for message in messages)
