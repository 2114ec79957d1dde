"""Token counts and vectors of the simulated providers: deterministic, and cheap to compute."""

import math
import re
import zlib
from collections.abc import Callable, Iterable

from allotrope.testing.content.replies import Turn

Counter = Callable[[str], int]

TOKENS_PER_MESSAGE = 4
"""Wrapping of one message: three tokens and the role (OpenAI's cookbook, since 2023)."""
TOKENS_PER_REPLY = 3
"""Every reply is primed with three tokens (same source)."""

_PIECE = re.compile(r"\S+\s*|\s+")
_WORD = re.compile(r"\w+")


def rule_of_four(text: str) -> int:
    """The count where no counter is given: one token for every four characters, rounded up."""
    return -(-len(text) // 4)


def count_turns(turns: Iterable[Turn], counter: Counter) -> int:
    """Prompt tokens of a conversation.

    Args:
        turns: The messages.
        counter: Tokens of a text.
    """
    return TOKENS_PER_REPLY + sum(
        TOKENS_PER_MESSAGE + counter(turn.text) + turn.image_tokens for turn in turns
    )


def pieces(text: str) -> list[str]:
    """The text in the pieces that are streamed: words with the white space behind them."""
    return _PIECE.findall(text)


def embed(text: str, dimensions: int) -> list[float]:
    """A unit vector in which texts that share words are near one another.

    Args:
        text: Any text.
        dimensions: Length of the vector.
    """
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        digest = zlib.crc32(word.encode("utf-8"))
        vector[digest % dimensions] += 1.0 if digest & 0x8000_0000 else -1.0
    norm = math.sqrt(sum(value * value for value in vector))
    if norm == 0.0:
        vector[0], norm = 1.0, 1.0
    return [value / norm for value in vector]
