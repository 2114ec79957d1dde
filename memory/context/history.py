"""A history as memory takes it: every message with an id, and what its latest turn asks."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from langchain_core.messages import BaseMessage, HumanMessage, RemoveMessage

from allotrope.memory.archive.archive import message_text
from allotrope.memory.context.pieces import latest_user_at
from allotrope.memory.recall.words import words

_LONGEST_QUESTION = 2_000


def with_ids(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Messages that all have ids; one without gets an id from its content and its occurrence."""
    seen: Counter[str] = Counter()
    result: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, RemoveMessage):
            continue
        if not message.id:
            mark = hashlib.sha256(f"{message.type}\0{message_text(message)}".encode()).hexdigest()
            seen[mark] += 1
            message = message.model_copy(update={"id": f"h{seen[mark]}-{mark[:24]}"})
        result.append(message)
    return result


def question_of(history: Sequence[BaseMessage]) -> tuple[str, str]:
    """The latest user turn, and the one before where it says little by itself ("and why?")."""
    at = latest_user_at(history)
    if at is None:
        return "", ""
    text, before = message_text(history[at]), ""
    if len(text) <= _LONGEST_QUESTION and len(set(words(text))) < 2:
        earlier = [m for m in history[:at] if isinstance(m, HumanMessage)]
        before = message_text(earlier[-1])[:_LONGEST_QUESTION] if earlier else ""
    if len(text) > _LONGEST_QUESTION:
        half = _LONGEST_QUESTION // 2
        text = f"{text[:half]} {text[-half:]}"
    return text, before
