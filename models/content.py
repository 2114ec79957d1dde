"""Messages that every provider reads: without what only one model can use."""

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

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
    stamp = message.response_metadata.get("allotrope")
    told = stamp.get("model") if isinstance(stamp, dict) else None
    return str(told or message.response_metadata.get("model_name") or "")
