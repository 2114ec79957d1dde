"""The running summary: structured, checked against its source, bounded. Pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from allotrope.memory.recall.corrections import is_correction, replaces
from allotrope.memory.recall.lexicon import cue, language_of, listed, persons
from allotrope.memory.recall.sentences import tokens
from allotrope.memory.recall.words import FILLER, words
from allotrope.memory.summary.statements import (
    Statement,
    SummarySource,
    is_instruction,
    same_words,
    statements,
)
from allotrope.memory.tokens.counting import TokenCounter

_HEADINGS = {
    "goal": "facts",
    "facts": "facts",
    "done": "facts",
    "decisions": "decisions",
    "open": "questions",
    "open questions": "questions",
}
_HEADING = re.compile(
    r"^[#*\s]*(goal|facts|done|decisions|open questions|open)[*\s]*:[*\s]*(.*)$", re.IGNORECASE
)
"""What the template `summariser@1` asks for."""
_NUMBER = re.compile(r"\d[\d.,:/-]*\d|\d")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'-]+(?:\s+[A-Z][\w'-]+)*")
_FACT = re.compile(
    r"\b(?:my|our)\b[^.?!]{1,60}\b(?:is|are|was|will be)\b|\bI(?:'m| am| live| work| prefer| need"
    r"| never| always| own| moved)\b|\b(?:remember|note that|call me|fyi|for the record)\b",
    re.IGNORECASE,
)
_DECISION = re.compile(
    r"\b(?:we|i)(?:'ve| have)? (?:decided|agreed|chose|settled)\b|\bdecision\b"
    r"|\blet's (?:go with|use)\b|\bwe(?:'ll| will) (?:go with|use)\b",
    re.IGNORECASE,
)
_UNDECIDED = re.compile(
    r"\b(?:not|never|nothing|nobody|undecided|might|could|would|should|if|unless|discuss\w*)\b|n't\b"
    r"|\b(?:nicht|noch|kein\w*|nie|falls)\b|没|未|不|尚|ない|ません|\b(?:لم|لن|لا|ليس)\b"
    r"|\b(?:pas|jamais|no|nunca|não|non|mai|niet|geen|nie|не|нет|inte|değil|नहीं)\b"
)
_DATED = re.compile(r"^\d{4}-\d\d-\d\d: ")
_OPEN = re.compile(
    r"\b(?:open question|todo|still need to|we should find out)\b|\bto[ -]do:", re.IGNORECASE
)


_SHORTEST, _LONGEST = 5, 300
"""Characters of a sentence that the deterministic summary takes."""


@dataclass(frozen=True)
class Summary:
    """What is known so far.

    Args:
        facts: One line each.
        decisions: One line each.
        questions: What is still open.
        upto: Position in the archive up to which messages are in it; -1 for none.
        source: `model`, `extract`, or `none`.
    """

    facts: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    upto: int = -1
    source: str = "none"

    @property
    def lines(self) -> tuple[str, ...]:
        """All points."""
        return (*self.facts, *self.decisions, *self.questions)

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "facts": list(self.facts),
            "decisions": list(self.decisions),
            "questions": list(self.questions),
            "upto": self.upto,
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Summary":
        """From what `to_dict` gave; missing parts are empty."""
        return cls(
            tuple(map(str, data.get("facts", ()))),
            tuple(map(str, data.get("decisions", ()))),
            tuple(map(str, data.get("questions", ()))),
            int(data.get("upto", -1)),
            str(data.get("source", "none")),
        )


@dataclass(frozen=True)
class SummaryLine:
    """A message as the summary reads it.

    Args:
        speaker: Who said it.
        text: What.
        role: As LangChain names it.
        day: When, as `2026-05-08`; decisions keep it.
    """

    speaker: str
    text: str
    role: str = "human"
    day: str = ""


def render(summary: Summary, *, tokens: int, counter: TokenCounter) -> str:
    """The summary as text of at most so many tokens; decisions first, then the newest facts."""
    parts = [("Decided", summary.decisions), ("Open", summary.questions), ("Known", summary.facts)]
    chosen: dict[str, list[str]] = {}
    left = tokens
    for title, lines in parts:
        for line in reversed(lines):
            heading = 0 if title in chosen else counter.text(f"{title}:\n")
            cost = counter.text(f"- {line}\n") + heading
            if cost > left:
                continue
            left -= cost
            chosen.setdefault(title, []).insert(0, line)
    return "\n".join(
        f"{title}:\n" + "\n".join(f"- {line}" for line in chosen[title])
        for title, _ in parts
        if title in chosen
    )


def transcript(messages: Sequence[SummaryLine]) -> str:
    """The messages as a summariser reads them."""
    return "\n".join(f"{line.speaker}: {line.text}" for line in messages)


def outline(summary: Summary) -> str:
    """The summary under the headings that a summariser is asked to keep."""
    parts = [
        ("Facts", summary.facts),
        ("Decisions", summary.decisions),
        ("Open", summary.questions),
    ]
    return "\n".join(
        f"{title}:\n" + "\n".join(f"- {line}" for line in lines) for title, lines in parts if lines
    )


def parse(text: str) -> Summary | None:
    """A summariser's answer, or None when it isn't one (garbage, an error text, nothing)."""
    found: dict[str, list[str]] = {}
    current: str | None = None
    for raw in text.splitlines():
        heading = _HEADING.match(raw.strip())
        if heading:
            current = _HEADINGS[heading[1].casefold()]
            found.setdefault(current, [])
            raw = heading[2]
        line = raw.strip().lstrip("-*•").strip()
        if current and line and line.casefold() not in ("none", "none.", "(none)", "n/a", "-"):
            found[current].append(line[:500])
    if not any(found.values()):
        return None
    return Summary(
        tuple(found.get("facts", ())),
        tuple(found.get("decisions", ())),
        tuple(found.get("questions", ())),
        source="model",
    )


def details(text: str) -> set[str]:
    """Numbers and names of a text, as they must come again in a summary."""
    names = {name.casefold() for name in _NAME.findall(text)}
    return set(_NUMBER.findall(text)) | {
        name for name in names if name not in FILLER and len(name) > 1
    }


def verified(answer: Summary, *, previous: Summary, messages: Sequence[SummaryLine]) -> Summary:
    """The answer in words of its source, and with what it left out.

    Each point is held against the one sentence it was made from, of a person, of the assistant or
    of the previous summary (see `statements`): it stays as it is, or that sentence takes its place,
    or it goes. Orders, permissions and links go in any case, and so does what a later message
    corrects. A decision must be one in its source; it keeps wording and day. A previous point whose
    details are gone comes back. Sentences of users with details that nothing covers are appended.
    """
    said = [
        statement
        for message in messages
        if message.role in ("human", "ai")
        for statement in statements(message.text, message.speaker, message.role, message.day)
    ]
    known = [Statement(line, known=True) for line in previous.lines if not is_instruction(line)]
    corrections = [line.text for line in messages if is_correction(line.text)]
    source = SummarySource(
        [one for one in (*known, *said) if not _is_replaced(one.text, corrections)]
    )
    taken: set[str] = set()

    def true(lines: tuple[str, ...]) -> list[tuple[str, Statement]]:
        found: list[tuple[str, Statement]] = []
        for line in lines:
            one = None if is_instruction(line) else source.nearest(line)
            if one is None or one.line in taken:
                continue
            taken.add(one.line)
            found.append((line if same_words(line, one) else one.line, one))
        return found

    decisions, facts = [], []
    for line, one in (*true(answer.decisions), *true(answer.facts)):
        if one.text in previous.decisions:
            decisions.append(line)
        elif not one.known and _decides(one.text):
            decisions.append(_dated(one.line, one.day))
        else:
            facts.append(line)
    questions = [line for line, _ in true(answer.questions)]
    covered = "\n".join([*decisions, *facts, *questions, *taken]).casefold()

    def missing(line: str) -> bool:
        lost = [part for part in details(line) if part.casefold() not in covered]
        # where names have no capitals, nothing tells which lines have details
        return bool(lost) or (not _has_capitals(line) and line.casefold() not in covered)

    back = [
        line
        for line in (*previous.facts, *previous.decisions)
        if missing(line) and not _is_replaced(line, corrections)
    ]
    found = extract(Summary(), messages)
    added = [line for line in found.lines if missing(line) and line not in back]
    return replace(
        answer,
        facts=(
            *(line for line in back if line in previous.facts),
            *facts,
            *(line for line in added if line not in found.decisions),
        ),
        decisions=(
            *(line for line in back if line in previous.decisions),
            *decisions,
            *(line for line in added if line in found.decisions),
        ),
        questions=tuple(questions),
    )


def _is_replaced(text: str, corrections: Sequence[str]) -> bool:
    return any(later != text and replaces(later, _undated(text)) for later in corrections)


def _decides(sentence: str) -> bool:
    """Whether a sentence tells of a decision that was made."""
    folded = sentence.casefold()
    if _UNDECIDED.search(folded) or sentence.endswith(("?", "？", "؟")):
        return False
    code = language_of(folded)
    # in English others decide things in every story
    said = _DECISION if code == "en" else cue("decided", code)
    return bool(said.search(folded))


def _dated(line: str, day: str) -> str:
    return f"{day}: {line}" if day else line


def _undated(line: str) -> str:
    return _DATED.sub("", line)


def _has_capitals(text: str) -> bool:
    return text.casefold() != text or text.isascii()


def extract(previous: Summary, messages: Sequence[SummaryLine]) -> Summary:
    """The deterministic summary: users' statements of fact and decision, corrections applied."""
    facts, decisions = list(previous.facts), list(previous.decisions)
    questions = list(previous.questions)
    for message in messages:
        if message.role != "human":
            continue
        for one in statements(message.text, message.speaker, message.role, message.day):
            sentence, line = one.text, one.line
            if not _SHORTEST <= len(sentence) <= _LONGEST:
                continue
            correction = is_correction(sentence)
            if correction:
                facts = [old for old in facts if not replaces(sentence, old)]
                decisions = [old for old in decisions if not replaces(sentence, _undated(old))]
            elif sentence.endswith(("?", "？", "؟")):
                continue
            if _decides(sentence):
                line = _dated(line, one.day)
                decisions = [old for old in decisions if old != line] + [line]
            elif _OPEN.search(sentence):
                questions = [old for old in questions if old != line] + [line]
            elif correction or _tells(sentence):
                facts = [old for old in facts if not _same_statement(old, line)] + [line]
    return Summary(tuple(facts), tuple(decisions), tuple(questions), previous.upto, "extract")


def _tells(sentence: str) -> bool:
    """Whether a user tells something about themselves."""
    if _FACT.search(sentence):
        return True
    found = tokens(sentence)
    code = language_of(sentence.casefold())
    if code == "en":
        return False
    first = any(persons(code).get(word) == 1 for word in found)
    said = any(word in listed("being", code) or word[0].isnumeric() for word in found)
    return first and said


def _same_statement(old: str, new: str) -> bool:
    """`My X is A` is replaced by `My X is B`."""
    pattern = re.compile(r"\b(?:my|our) ([^.?!]{1,60}?) (?:is|are|was|will be)\b", re.IGNORECASE)
    first, second = pattern.search(old), pattern.search(new)
    if first and second:
        return bool(words(first[1])) and words(first[1]) == words(second[1])
    return old == new


def bounded(summary: Summary, *, tokens: int, counter: TokenCounter) -> Summary:
    """The summary with its oldest points left out until it costs at most so many tokens.

    Nothing is lost: what they came from is in the archive.
    """
    facts, decisions, questions = (
        list(summary.facts),
        list(summary.decisions),
        list(summary.questions),
    )
    cost = {line: counter.text(f"- {line}\n") for line in summary.lines}
    total = sum(cost[line] for line in summary.lines)
    while total > tokens and (facts or questions or decisions):
        longest = facts or questions or decisions
        total -= cost[longest.pop(0)]
    return replace(
        summary, facts=tuple(facts), decisions=tuple(decisions), questions=tuple(questions)
    )
