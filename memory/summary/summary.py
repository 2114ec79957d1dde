"""The running summary: structured, checked against its source, bounded. Pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from allotrope.memory.recall.corrections import is_correction, replaces
from allotrope.memory.recall.words import FILLER, words
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
SENTENCE = re.compile(
    r"(?<=[.!?])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bSt\.)(?<!\bNo\.)(?<!\bMrs\.)(?<!\bvs\.)"
    r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\b[A-Z]\.)\s+|\n+"
)
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
_OPEN = re.compile(
    r"\b(?:open question|to do|todo|still need to|we should find out)\b", re.IGNORECASE
)


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
    """A message as the summary reads it."""

    speaker: str
    text: str
    role: str = "human"


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
    """The answer without what its source doesn't say, and with what it left out.

    A point with a number or name that stands neither in the messages nor in the previous summary is
    invented and goes. A previous point whose details are gone comes back unless a message corrects
    it. Sentences of users with details that nothing covers are appended from the source.
    """
    source = "\n".join([*(f"{line.speaker}: {line.text}" for line in messages), *previous.lines])
    folded = source.casefold()

    def true(lines: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            line for line in lines if all(part.casefold() in folded for part in details(line))
        )

    kept = replace(
        answer,
        facts=true(answer.facts),
        decisions=true(answer.decisions),
        questions=true(answer.questions),
    )
    covered = "\n".join(kept.lines).casefold()
    corrections = [line.text for line in messages if is_correction(line.text)]

    def missing(line: str) -> bool:
        lost = [part for part in details(line) if part.casefold() not in covered]
        return bool(lost) and not any(replaces(later, line) for later in corrections)

    back = [line for line in (*previous.facts, *previous.decisions) if missing(line)]
    found = extract(Summary(), messages)
    added = [line for line in found.lines if missing(line) and line not in back]
    return replace(kept, facts=(*back, *kept.facts, *added))


def extract(previous: Summary, messages: Sequence[SummaryLine]) -> Summary:
    """The deterministic summary: users' statements of fact and decision, corrections applied."""
    facts, decisions = list(previous.facts), list(previous.decisions)
    questions = list(previous.questions)
    for message in messages:
        if message.role != "human":
            continue
        for raw in SENTENCE.split(message.text):
            sentence = raw.strip()
            if not 8 <= len(sentence) <= 300:
                continue
            if is_correction(sentence):
                facts = [line for line in facts if not replaces(sentence, line)]
                decisions = [line for line in decisions if not replaces(sentence, line)]
            elif sentence.endswith("?"):
                continue
            line = sentence if message.speaker == "user" else f"{message.speaker}: {sentence}"
            if _DECISION.search(sentence):
                decisions = [old for old in decisions if old != line] + [line]
            elif _OPEN.search(sentence):
                questions = [old for old in questions if old != line] + [line]
            elif is_correction(sentence) or _FACT.search(sentence):
                facts = [old for old in facts if not _same_statement(old, line)] + [line]
    return Summary(tuple(facts), tuple(decisions), tuple(questions), previous.upto, "extract")


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
