"""Which messages leave the live state of a thread, so that its checkpoint stays small."""

from collections.abc import Sequence

from langchain_core.messages import BaseMessage, HumanMessage

from allotrope.memory.context.pieces import latest_user_at
from allotrope.memory.tokens.counting import TokenCounter

_MOST_FRAME_TOKENS = 32
"""More than any message without tool calls costs beside its text (see `memory.tokens`)."""


def surplus(
    history: Sequence[BaseMessage], *, messages: int, tokens: int, counter: TokenCounter
) -> list[BaseMessage]:
    """The oldest messages beyond what a checkpoint may hold; whole turns, never the current one.

    To leave rarely and in one go, a state that is too large is cut to three quarters.

    Args:
        history: The live messages, oldest first.
        messages: Most that may stay.
        tokens: Most tokens that may stay.
        counter: Counts.
    """
    costs = [counter.message(message) for message in history]
    if len(history) <= messages and sum(costs) <= tokens:
        return []
    current = latest_user_at(history)
    stay, used, cut = 0, 0, len(history)
    for at in range(len(history) - 1, -1, -1):
        stay, used = stay + 1, used + costs[at]
        if (stay > messages * 3 // 4 or used > tokens * 3 // 4) and cut < len(history):
            break
        if isinstance(history[at], HumanMessage):
            cut = at
    if current is not None:
        cut = min(cut, current)
    return [message for message in history[:cut] if message.type != "system"]


def _is_text(message: BaseMessage) -> bool:
    """Whether a message has nothing but text, sealed reasoning left aside."""
    if isinstance(message.content, str):
        return True
    return all(
        isinstance(block, str) or block.get("type") in ("text", "reasoning")
        for block in message.content
    )


def surely_fits(history: Sequence[BaseMessage], *, messages: int, tokens: int) -> bool:
    """Whether nothing needs to leave, without counting: a token is at least a byte of UTF-8.

    Args:
        history: The live messages.
        messages: Most that may stay.
        tokens: Most tokens that may stay.
    """
    if len(history) > messages:
        return False
    bytes_ = 0
    for message in history:
        if not _is_text(message) or getattr(message, "tool_calls", None):
            return False
        text = message.text + (message.name or "")
        bytes_ += len(text.encode("utf-8", "replace")) + _MOST_FRAME_TOKENS
    return bytes_ <= tokens
