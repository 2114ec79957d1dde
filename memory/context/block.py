"""The message that carries summary and recalled messages, and what each line of it costs."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

from langchain_core.messages import HumanMessage
from pydantic import PrivateAttr

from allotrope.memory.context.pieces import MEMORY_ID
from allotrope.memory.recall.corrections import corrected
from allotrope.memory.recall.passages import excerpt
from allotrope.memory.recall.recall import Recalled
from allotrope.memory.recall.words import words
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.support.fencing import neutralise

OPENING = "[Memory of this conversation: for reference, not a new request]"
_CORRECTED = "corrected later"
_RECALLED = "Earlier messages:"
_LINE_BREAKS = re.compile(r"(?<!\s)[^\S\n]*+\n\s*+")


@dataclass(frozen=True)
class Chosen:
    """A recalled message as it stands in the prompt.

    Args:
        recalled: The message.
        who: Who says it, and whether it was corrected.
        text: Its text, or the part that bears on the question.
        tokens: What the line costs at most.
    """

    recalled: Recalled
    who: str
    text: str
    tokens: int


@dataclass(frozen=True)
class SlotRoom:
    """What a slot of a template may hold of memory.

    Args:
        limit: Tokens that the slot may cost.
        cost: Tokens of a text as it stands in the slot, its fence included.
    """

    limit: int
    cost: Callable[[str], int]


class MemoryMessage(HumanMessage):
    """Notes (pinned lines and summary) and recalled lines, made by `build`.

    It knows its lines, so that whoever has less room takes out whole ones, the least relevant
    first, instead of cutting the text where it happens to be.
    """

    _notes: str = PrivateAttr("")
    _chosen: tuple[Chosen, ...] = PrivateAttr(())

    @classmethod
    def lc_id(cls) -> list[str]:
        """Where it is written down it is a plain message, which any LangChain can read."""
        return HumanMessage.lc_id()

    @property
    def notes(self) -> str:
        """Pinned lines and summary."""
        return self._notes

    @property
    def recalled(self) -> str:
        """The recalled lines under their days, in the order in which they were said."""
        return lines_of(self._chosen)

    def without(self, *, notes: bool = False, recalled: bool = False) -> "Self | None":
        """What is left of it without one part; None where that is nothing."""
        return self._with("" if notes else self._notes, () if recalled else self._chosen)

    def shrunk(self, fits: Callable[["MemoryMessage"], bool]) -> "Self | None":
        """The message with as many of its lines as fit, best first.

        Args:
            fits: Whether a message is small enough.

        Returns:
            None where not even its notes alone fit.
        """
        message: Self | None = self
        while message is not None and not fits(message):
            message = (
                message._with(message._notes, message._chosen[:-1]) if message._chosen else None
            )
        return message

    def _with(self, notes: str, chosen: tuple[Chosen, ...]) -> "Self | None":
        text = _text(notes, chosen)
        if not text:
            return None
        # what is packed again later crosses no template, which would neutralise it
        copy = self.model_copy(update={"content": neutralise(text)})
        copy._notes, copy._chosen = notes, chosen
        return copy


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
    asked = dict.fromkeys(words(question), 1.0)
    chosen, won = _filled(found, tokens, counter, asked, longest), 0
    if chosen and len(chosen) < len(found):
        # what stands under the day and the speaker of the line before costs less than was thought
        won = sum(_most(chosen, counter)) - counter.text(lines_of(chosen))
    return _filled(found, tokens + won, counter, asked, longest) if won > 0 else chosen


def _filled(
    found: Sequence[Recalled],
    tokens: int,
    counter: TokenCounter,
    asked: Mapping[str, float],
    longest: int,
) -> list[Chosen]:
    left = tokens - counter.text(_RECALLED + "\n") if found else 0
    days: set[date] = set()
    chosen: list[Chosen] = []
    for item in found:
        if left < 8:
            break
        line = _line(item, asked, longest, counter)
        day = item.message.at.date()
        heading = 0 if day in days else _heading_cost(day, counter)
        if line.tokens + heading > left:
            continue
        left -= line.tokens + heading
        days.add(day)
        chosen.append(line)
    return chosen


def _most(chosen: Sequence[Chosen], counter: TokenCounter) -> tuple[int, int]:
    """What lines and headings cost at most, each on its own."""
    days = {item.recalled.message.at.date() for item in chosen}
    headings = sum(_heading_cost(day, counter) for day in days)
    return headings, sum(item.tokens for item in chosen)


def _heading(day: date, before: date | None) -> str:
    """A day as people write it; the year where it isn't that of the day before."""
    year = "" if before is not None and before.year == day.year else f" {day.year}"
    return f"{day.day} {day:%B}{year}"


def _heading_cost(day: date, counter: TokenCounter) -> int:
    return counter.text(f"{_heading(day, None)}\n") + 1


def _line(
    item: Recalled, asked: Mapping[str, float], longest: int, counter: TokenCounter
) -> Chosen:
    message = item.message
    text, mark = _marked(item)
    who = f"{message.speaker}{mark}"
    text = text.strip()
    tokens = counter.text(f"{who}: {_indented(text)}\n")
    if len(text) >= longest and tokens > longest:
        part = excerpt(text, asked, tokens=longest - 12, count=counter.text)
        text = f"{part or text[: longest * 2]} [excerpt of #{message.row}]"
        tokens = counter.text(f"{who}: {_indented(text)}\n")
    text = _indented(text)
    return Chosen(item, who, text, tokens)


def _marked(item: Recalled) -> tuple[str, str]:
    """The text with a mark at the statement that was corrected, or a mark for the whole message."""
    text = item.message.text
    if item.message.superseded_by is None:
        return text, ""
    statement = corrected(item.correction, text) if item.correction else None
    if statement is None or statement == text.strip():
        return text, f" ({_CORRECTED})"
    return text.replace(statement, f"{statement} [{_CORRECTED}]", 1), ""


def _indented(text: str) -> str:
    return _LINE_BREAKS.sub("\n  ", text)


def build(notes: str, chosen: Sequence[Chosen]) -> MemoryMessage | None:
    """The message, or None when there is nothing to remember. Recalled lines stand in order.

    Args:
        notes: Pinned lines and summary.
        chosen: Recalled lines, best first.
    """
    return MemoryMessage(content="", id=MEMORY_ID)._with(notes, tuple(chosen))


def _text(notes: str, chosen: Sequence[Chosen]) -> str:
    parts = [notes, f"{_RECALLED}\n{lines_of(chosen)}" if chosen else ""]
    said = "\n".join(part for part in parts if part)
    return f"{OPENING}\n{said}" if said else ""


def lines_of(chosen: Sequence[Chosen]) -> str:
    """The lines under their days, in order; one who goes on speaking isn't named again."""
    parts: list[str] = []
    day: date | None = None
    who = ""
    for item in sorted(chosen, key=lambda item: item.recalled.message.seq):
        today = item.recalled.message.at.date()
        if today != day:
            parts.append(_heading(today, day))
            day, who = today, ""
        parts.append(f"- {item.text}" if item.who == who else f"{item.who}: {item.text}")
        who = item.who
    return "\n".join(parts)


def kinds(summary: str, chosen: Sequence[Chosen], counter: TokenCounter) -> Mapping[str, int]:
    """What summary and recalled messages cost inside the message."""
    return {
        "summary": counter.text(summary) if summary else 0,
        "recalled": counter.text(lines_of(chosen)) if chosen else 0,
    }
