"""Counting a text: words, characters, lines, sentences, paragraphs, bullets, hashtags, emojis."""

import re
from typing import Any

EMOJI = re.compile(
    "(?:[\U0001f1e6-\U0001f1ff]{2}|[\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55])"
    "[\ufe0f\U0001f3fb-\U0001f3ff]*+"
    "(?:\u200d[\U0001f300-\U0001faff\u2600-\u27bf][\ufe0f\U0001f3fb-\U0001f3ff]*+)*+"
)
"""An emoji with its skin tone and what is joined to it: a family is one emoji."""
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
BULLET = re.compile(r"[-*•–]\s|\d{1,3}[.)]\s")
_HASHTAG = re.compile(r"(?<!\w)#[^\W\d]\w*")


def lines_of(text: str) -> list[str]:
    """The lines of a text that aren't empty."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs_of(text: str) -> list[str]:
    """The paragraphs, or stanzas, of a text: blank lines stand between them."""
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return ["\n".join(part) for part in found if part]


def sentences_of(text: str) -> list[str]:
    """The sentences of a text; titles such as `Dr.` before a small letter end none."""
    pieces = re.split(r"(?<=[.!?…])[\"”’)]*\s+(?=[\"“„‘(]?[^\W\d_a-zß-ÿ]|\d)", text.strip())
    return [piece for piece in pieces if WORD.search(piece)]


def bullets_of(text: str) -> list[str]:
    """The lines that begin with a mark of a list, without it."""
    return [BULLET.sub("", line, count=1) for line in lines_of(text) if BULLET.match(line)]


def parts_of(text: str, per: str) -> list[str]:
    """The parts of a text that a constraint speaks of.

    Args:
        text: The text.
        per: `line`, `sentence`, `paragraph` or `bullet`.
    """
    split: dict[str, Any] = {
        "line": lines_of, "sentence": sentences_of, "paragraph": paragraphs_of,
        "bullet": bullets_of,
    }  # fmt: skip
    found: list[str] = split[per](text)
    return found


def count(text: str, unit: str) -> int:
    """How many words, characters, lines, sentences, paragraphs, bullets and so on a text has.

    Args:
        text: The text.
        unit: One of these.
    """
    if unit == "words":
        return len(WORD.findall(text))
    if unit == "characters":
        return len(text.strip())
    if unit == "hashtags":
        return len(_HASHTAG.findall(text))
    if unit == "emojis":
        return len(EMOJI.findall(text))
    return len(parts_of(text, unit.removesuffix("s")))
