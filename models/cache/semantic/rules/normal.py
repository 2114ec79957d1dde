"""One written form for texts that differ in nothing but how they were typed."""

import re
import unicodedata

from allotrope.support.remembered import remembered

KEPT = ("<super>", "<sub>", "<fraction>", "<circle>", "<font>")
"""Compatibility forms that mean something: `x²` isn't `x2`, `½` isn't `1/2`, `ℝ` isn't `R`."""

_LIKE = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"',
        "\u201e": '"', "\u00ab": '"', "\u00bb": '"', "\u2010": "-", "\u2011": "-", "\u2012": "-",
        "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00ad": None, "\u200b": None,
        "\ufeff": None, "\ufe0f": None, "\u00ae": None, "\u2122": None, "\u00a9": None,
    }
)  # fmt: skip
_BLANKS = re.compile(r"\s+")
_OPENING = "¿¡"
_ASKING = "?？؟।。"
"""End marks that may follow anything."""
_ENDING = ".!…！,;:"
"""End marks that are dropped after a letter or a closing bracket only: `5!` isn't `5`."""


@remembered(most=20_000)
def normalised(text: str) -> str:
    """The text with one form for each character, single blanks and no end punctuation.

    Compatibility forms are folded as by NFKC, but for those in `KEPT`.
    """
    if not text.isascii():
        text = unicodedata.normalize(
            "NFC", "".join(map(_folded, unicodedata.normalize("NFC", text)))
        )
        text = text.translate(_LIKE)
    text = _BLANKS.sub(" ", text).strip().lstrip(_OPENING)
    while text:
        bare = text.rstrip(_ASKING).rstrip()
        last = bare[-1:]
        if last in _ENDING and (len(bare) > 1 and (bare[-2].isalpha() or bare[-2] in ")]}\"' ")):
            bare = bare[:-1].rstrip()
        if bare == text or not bare:
            break
        text = bare
    return text


def _folded(char: str) -> str:
    """A character without its compatibility form, unless that form means something."""
    form = unicodedata.decomposition(char)
    if not form.startswith("<") or form.startswith(KEPT):
        return char
    return unicodedata.normalize("NFKC", char)


def bare_letters(word: str) -> str:
    """A word without the marks on its letters, in lower case: `résumé` becomes `resume`."""
    if word.isascii():
        return word.lower()
    parts = unicodedata.normalize("NFD", word.lower())
    return "".join(char for char in parts if not unicodedata.combining(char))
