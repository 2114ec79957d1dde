"""Cutting a conversation into pieces that stay whole: a tool call never parts from its results."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

MEMORY_ID = "allotrope-memory"
"""Id of the message that carries summary and recalled messages; ids are never sent."""


class Kind(StrEnum):
    """What a piece is."""

    SYSTEM = "system"
    USER = "user"
    OPEN = "open"
    PINNED = "pinned"
    RECALLED = "recalled"
    RECENT = "recent"
    OLD_TOOL = "old_tool"


@dataclass(frozen=True)
class Piece:
    """Messages that are kept or left out together.

    Args:
        kind: What it is.
        messages: One message, or a tool call with all its results.
        at: Position of the first message in the conversation; order is kept by it.
    """

    kind: Kind
    messages: tuple[BaseMessage, ...]
    at: int


@dataclass(frozen=True)
class Dropped:
    """A message that can't be sent as it is: an orphan tool result or an unanswered call."""

    message: BaseMessage
    reason: str


def is_ours(message: BaseMessage) -> bool:
    """Whether we made this message for a prompt; such messages never enter the history."""
    return bool(message.id) and str(message.id).startswith(MEMORY_ID)


def latest_user_at(messages: Sequence[BaseMessage]) -> int | None:
    """Index of the latest user turn, or None when there is none."""
    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], HumanMessage) and not is_ours(messages[index]):
            return index
    return None


def cut(messages: Sequence[BaseMessage]) -> tuple[list[Piece], list[Dropped]]:
    """Pieces in order, and what no provider would accept.

    System messages at the start are `SYSTEM`; the latest user turn is `USER`; what follows it is
    `OPEN` (the run in progress); older tool groups are `OLD_TOOL`; the rest is `RECENT`.
    """
    user_at = latest_user_at(messages)
    pieces: list[Piece] = []
    dropped: list[Dropped] = []
    at, leading = 0, True
    while at < len(messages):
        message = messages[at]
        start = at
        at += 1
        if isinstance(message, RemoveMessage):
            continue
        if isinstance(message, SystemMessage):
            kind = Kind.SYSTEM if leading else Kind.PINNED
            pieces.append(Piece(kind, (message,), start))
            continue
        if is_ours(message):
            pieces.append(Piece(Kind.RECALLED, (message,), start))
            continue
        leading = False
        open_run = user_at is not None and start > user_at
        if isinstance(message, ToolMessage):
            dropped.append(Dropped(message, "a tool result without its call"))
        elif isinstance(message, AIMessage) and message.tool_calls:
            results, at = _results(messages, at, message, dropped)
            if results is None:
                dropped.append(Dropped(message, "a tool call without its result"))
            else:
                kind = Kind.OPEN if open_run else Kind.OLD_TOOL
                pieces.append(Piece(kind, (message, *results), start))
        elif start == user_at:
            pieces.append(Piece(Kind.USER, (message,), start))
        else:
            pieces.append(Piece(Kind.OPEN if open_run else Kind.RECENT, (message,), start))
    return pieces, dropped


def _results(
    messages: Sequence[BaseMessage], at: int, call: AIMessage, dropped: list[Dropped]
) -> tuple[list[ToolMessage] | None, int]:
    """The results that follow a call, in the order given; None when one is missing."""
    wanted = {str(item.get("id")) for item in call.tool_calls}
    found: list[ToolMessage] = []
    strays: list[Dropped] = []
    while at < len(messages):
        message = messages[at]
        if not isinstance(message, ToolMessage):
            break
        if message.tool_call_id in wanted:
            wanted.discard(message.tool_call_id)
            found.append(message)
        else:
            strays.append(Dropped(message, "a tool result without its call"))
        at += 1
    dropped.extend(strays)
    if wanted:
        dropped.extend(Dropped(message, "its call lacks another result") for message in found)
        return None, at
    return found, at
