"""The message that carries summary and recalled messages, and what each line of it costs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_core.messages import HumanMessage

from allotrope.memory.pieces import MEMORY_ID
from allotrope.memory.recall import Recalled
from allotrope.memory.summary import SENTENCE
from allotrope.memory.tokens import TokenCounter
from allotrope.memory.words import words

OPENING = "[Memory of this conversation: for reference, not a new request]"
_RECALLED = "Earlier messages:"
_LINE_BREAKS = re.compile(r"\s*\n\s*")


@dataclass(frozen=True)
class Chosen:
    """A recalled message as it stands in the prompt.

    Args:
        recalled: The message.
        line: Its line.
        tokens: What the line costs.
        day: The heading it stands under.
    """

    recalled: Recalled
    line: str
    tokens: int
    day: str


def choose(
    found: Sequence[Recalled],
    *,
    tokens: int,
    counter: TokenCounter,
    question: str,
    longest: int,
) -> list[Chosen]:
    """Fills tokens with recalled messages, best first; those that don't fit are passed over.

    Args:
        found: Best first.
        tokens: The most they may cost, headings included.
        counter: Counts.
        question: What is asked; long messages are cut to the sentences that bear on it.
        longest: The most one message may cost.
    """
    left = tokens - counter.text(_RECALLED + "\n") if found else 0
    days: set[str] = set()
    chosen: list[Chosen] = []
    asked = set(words(question))
    for item in found:
        if left < 8:
            break
        day = _day(item)
        line = _line(item, asked, longest, counter)
        cost = counter.text(line + "\n")
        heading = 0 if day in days else counter.text(f"{day}\n") + 1
        if cost + heading > left:
            continue
        left -= cost + heading
        days.add(day)
        chosen.append(Chosen(item, line, cost, day))
    return chosen


def _day(item: Recalled) -> str:
    at = item.message.at
    return f"{at.day} {at:%B %Y}"


def _line(item: Recalled, asked: set[str], longest: int, counter: TokenCounter) -> str:
    message = item.message
    mark = " (corrected later)" if message.superseded_by is not None else ""
    text = _LINE_BREAKS.sub("\n  ", message.text.strip())
    line = f"{message.speaker}{mark}: {text}"
    if len(text) < longest or counter.text(line) <= longest:
        return line
    excerpt = _excerpt(text, asked, longest, counter)
    return f"{message.speaker}{mark}: {excerpt} [excerpt of #{message.row}]"


def _excerpt(text: str, asked: set[str], longest: int, counter: TokenCounter) -> str:
    """The sentences of a long text that bear on the question, in order, with gaps marked."""
    sentences = [part for part in SENTENCE.split(text) if part.strip()]
    order = sorted(range(len(sentences)), key=lambda i: (-len(asked & set(words(sentences[i]))), i))
    left, kept = longest - 12, set()
    for index in order:
        cost = counter.text(sentences[index]) + 2
        if cost <= left:
            kept.add(index)
            left -= cost
    parts: list[str] = []
    last = -1
    for index in sorted(kept):
        parts.append(("" if index == last + 1 else "… ") + sentences[index].strip())
        last = index
    return " ".join(parts) or text[: longest * 2] + "…"


def apart(message: HumanMessage) -> tuple[str, str]:
    """The notes (pinned lines and summary) and the recalled lines of a memory message.

    Args:
        message: From `build`.
    """
    text = message.text.removeprefix(OPENING).strip("\n")
    if text.startswith(_RECALLED + "\n"):
        return "", text.removeprefix(_RECALLED).strip("\n")
    # recalled lines are indented, so the last heading at a line's start is ours
    notes, found, recalled = text.rpartition(f"\n{_RECALLED}\n")
    return (notes, recalled) if found else (text, "")


def joined(notes: str, recalled: str) -> HumanMessage | None:
    """The memory message of notes and recalled lines; None where both are empty."""
    parts = [OPENING, notes, f"{_RECALLED}\n{recalled}" if recalled else ""]
    if not notes and not recalled:
        return None
    return HumanMessage("\n".join(part for part in parts if part), id=MEMORY_ID)


def build(summary: str, chosen: Sequence[Chosen]) -> HumanMessage | None:
    """The message, or None when there is nothing to remember. Recalled lines stand in order."""
    parts = [OPENING]
    if summary:
        parts.append(summary)
    if chosen:
        parts.append(_RECALLED)
        day = ""
        for item in sorted(chosen, key=lambda item: item.recalled.message.seq):
            if item.day != day:
                day = item.day
                parts.append(day)
            parts.append(item.line)
    if len(parts) == 1:
        return None
    return HumanMessage("\n".join(parts), id=MEMORY_ID)


def kinds(summary: str, chosen: Sequence[Chosen], counter: TokenCounter) -> Mapping[str, int]:
    """What summary and recalled messages cost inside the message."""
    return {
        "summary": counter.text(summary) if summary else 0,
        "recalled": sum(item.tokens for item in chosen),
    }
