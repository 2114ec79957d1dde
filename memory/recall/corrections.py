"""Corrections: which earlier statement a later one replaces."""

import re
from collections.abc import Sequence

from allotrope.memory.recall.words import words

_CUE = re.compile(
    r"\b(?:correction|scratch that|i was wrong|i misspoke|i meant|my mistake|not any ?more"
    r"|no longer|has changed|have changed|changed (?:to|from|it|my|the)|is now|are now"
    r"|moved to|instead of|rather than|update:|actually[,:])",
    re.IGNORECASE,
)
_VALUE = re.compile(r"^\d")


def is_correction(text: str) -> bool:
    """Whether a message says that something said before no longer holds."""
    return bool(_CUE.search(text))


def replaces(later: str, earlier: str) -> bool:
    """Whether a correction speaks of the same thing as an earlier statement.

    At least half of what the earlier one is about (its words without numbers) must come again.
    """
    return same_subject(words(later), words(earlier))


def same_subject(later: Sequence[str], earlier: Sequence[str]) -> bool:
    """`replaces` on words in base form."""
    about = {word for word in earlier if not _VALUE.match(word)}
    if not about or len(about) > 40:
        return False
    shared = about & set(later)
    return len(shared) / len(about) >= 0.5 and (len(shared) >= 2 or len(about) == 1)
