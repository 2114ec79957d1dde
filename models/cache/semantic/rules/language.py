"""Which language a question is in: the score was calibrated on English only."""

from functools import lru_cache
from typing import Any

from allotrope.support.remembered import remembered

CALIBRATED = frozenset({"en"})
"""Languages with labelled pairs behind the score."""

NEAR_ENGLISH = frozenset({"pcm"})
"""What short English is taken for: Nigerian Pidgin."""

MARGIN = 6.5
"""So much less likely (log) than the best may English be: the detector errs on short questions.

Of 3,000 questions of Quora Question Pairs all lie within it; of 66 questions in 13 other languages
(`benchmarks/datasets/cache_pairs.jsonl`) none does."""


@lru_cache(maxsize=1)
def _identifier() -> Any:
    import py3langid

    py3langid.classify("what is this")  # reads the model
    return py3langid


@remembered(most=20_000)
def calibrated(text: str) -> bool:
    """Whether the text is in a language for which the score was calibrated."""
    if any(ord(char) > 0x24F and char.isalpha() and ord(char) < 0x1F000 for char in text):
        return False  # a script other than Latin
    ranked = _identifier().rank(text)
    best = ranked[0][1]
    for language, score in ranked:
        if best - score > MARGIN:
            return False
        if language in CALIBRATED or language in NEAR_ENGLISH:
            return True
    return False


def warm() -> None:
    """Reads the detector's model, so that no question waits for it."""
    _identifier()
