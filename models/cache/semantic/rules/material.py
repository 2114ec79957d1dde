"""Tells what is asked from what it is asked about: a pasted text hides its question.

A contract and *Who drafted it?* lies at a cosine of 0.98 beside the same contract and *Who signed
it?*. So the material has to be equal, and the questions are compared alone.
"""

import re
from dataclasses import dataclass

from allotrope.support.remembered import remembered

SHORT = 240
"""Characters up to which one paragraph without code is a question and nothing else."""

ASKED = 200
"""Characters that the question beside material may have."""

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_SENTENCES = re.compile(r"(?<=[.!?:。？！])\s+|\n+")


@dataclass(frozen=True)
class Asked:
    """A text taken apart.

    Args:
        question: What is asked; empty where that can't be told.
        material: What it is asked about, as written; empty in a plain question.
    """

    question: str
    material: str

    @property
    def lines(self) -> list[str]:
        """The material by lines; their breaks and what is blank at their ends doesn't count."""
        return [line.rstrip() for line in self.material.splitlines() if line.strip()]


@remembered(most=20_000)
def asked(text: str) -> Asked:
    """Takes question and material apart.

    A short paragraph is all question. In everything else the question is the first or the last
    sentence or line, whichever asks; code in fences is material.
    """
    text = text.strip()
    if len(text) <= SHORT and "\n" not in text and "```" not in text:
        return Asked(text, "")
    fenced = [found.group() for found in _FENCED.finditer(text)]
    rest = _FENCED.sub("\n", text).strip()
    parts = [part.strip() for part in _SENTENCES.split(rest) if part.strip()]
    if not parts:
        return Asked("", text)
    if len(parts) == 1 and len(rest) <= ASKED:
        return Asked(rest, "\n".join(fenced))
    first, last = parts[0], parts[-1]
    at_end = _asks(last) or not _asks(first)
    question = last if at_end else first
    if _asks(first) and _asks(last):
        question = f"{first} {last}"
    if len(question) > ASKED or not (_asks(first) or _asks(last)):
        return Asked("", text)
    start = len(first) if question != last else 0
    end = len(rest) - len(last) if question != first else len(rest)
    return Asked(question, "\n".join([rest[start:end].strip(), *fenced]))


_ASKING = frozenset(
    """
    who whom whose what which when where why how is are was were
    do does did can could will would should may must has have please
    explain summarise summarize translate fix find list tell give write rewrite answer reply
    add make read describe compare correct convert review check show name shorten extract
    classify improve proofread count
    """.split()  # noqa: SIM905 - easier to read
)


def _asks(part: str) -> bool:
    first = part.split(" ", 1)[0].strip(",.:;\"'").lower()
    return part.rstrip("\"') ").endswith(("?", "？", "؟")) or first in _ASKING
