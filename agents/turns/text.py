"""What goes into a turn and comes out of it as people see it: text, thread ids, events."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

from allotrope.contracts import Event
from allotrope.exceptions import InputError

THREAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
"""What a thread's id may look like: it ends up in file names, keys and addresses."""


def check_thread_id(thread_id: str) -> str:
    """The id, when it can be one.

    Raises:
        InputError: It has characters that an id can't have.
    """
    if not THREAD_ID.fullmatch(thread_id):
        raise InputError(
            f"{thread_id[:60]!r} can't be a thread id.",
            hint="Use up to 128 letters, digits and . _ : @ - and start with a letter or digit.",
        )
    return thread_id


def check_text(text: str) -> str:
    """The user's text, when there is any.

    Raises:
        InputError: It is empty, or not valid Unicode.
    """
    if not text.strip():
        raise InputError("There is no question: the text is empty.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InputError(
            "The text isn't valid UTF-8.", hint="Convert it, for example with `iconv -t utf-8`."
        ) from exc
    return text


def asked_of_person(interrupts: Any, thread_id: str) -> str:
    """What a graph that stopped asks a person, as text.

    Args:
        interrupts: LangGraph's interrupts; the value of ours is a dict with `question`.
        thread_id: The thread to answer in.
    """
    value = interrupts[0].value
    if not isinstance(value, dict):
        return str(value)
    files = value.get("files") or {}
    note = str(value.get("note") or "")
    code = "\n\n".join(f"{name}:\n```python\n{text}```" for name, text in files.items())
    answers = " or ".join(value.get("answers", ["yes", "no"]))
    how = f"Answer {answers} in the thread {thread_id} (`--thread {thread_id}`)."
    how += " Or say what to change, or ask." if value.get("type") == "approval" else ""
    parts = [note, code, value.get("isolation", ""), f"{value.get('question', '')} {how}".strip()]
    return "\n\n".join(part for part in parts if part)


def asks_of(interrupts: Any) -> dict[str, Any] | None:
    """What a graph that stopped asks a person, as plain values; None where it didn't stop.

    Args:
        interrupts: LangGraph's interrupts.
    """
    if not interrupts:
        return None
    value = interrupts[0].value
    if not isinstance(value, dict):
        return {"question": str(value), "answers": [], "files": []}
    return {
        "question": str(value.get("question", "")),
        "answers": [str(one) for one in value.get("answers", ["yes", "no"])],
        "files": [str(name) for name in value.get("files") or ()],
    }


def said_after(said: str, event: Mapping[str, Any]) -> str:
    """What a person has seen of an answer after one more event of its turn.

    Args:
        said: What they had seen before.
        event: The event; a restart makes what was said void, and so does a call of a tool.
    """
    if event["type"] == Event.TOKEN:
        return said + str(event["text"])
    return "" if event["type"] in (Event.RESTART, Event.TOOL) else said


def events_of(mode: str, part: Any) -> Iterator[dict[str, Any]]:
    """The events for people in one part of LangGraph's stream."""
    if mode == "custom":
        if isinstance(part, dict) and "type" in part:
            yield part
        return
    message, metadata = part
    if not isinstance(message, AIMessage) or metadata.get("langgraph_node") not in (
        "respond",
        "report",
    ):
        return
    if message.text:
        yield {"type": Event.TOKEN, "text": message.text}
    calls = message.tool_call_chunks if isinstance(message, AIMessageChunk) else message.tool_calls
    for call in calls:
        if call.get("name"):
            yield {"type": Event.TOOL, "name": call["name"], "status": "called"}
