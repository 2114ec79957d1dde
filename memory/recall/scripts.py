"""Writing systems: which characters make a word, and which are written without blanks."""

import re

MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u05bf\u05c1-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0963\u0980-\u0ddf\u0e31-\u0e4e\u0eb1-\u0ecd\u0f71-\u0f84\u102b-\u103e\u17b4-\u17d3"
    "\u200c\u200d\u3099\u309a"
)
"""What stands on, under or after a letter and belongs to its word; Python's `\\w` has none."""
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
)
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese; Korean too, whose particles are written on."""

_RUN = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{UNSPACED}]")
_CLUSTER = re.compile(f"[^{MARKS}][{MARKS}]*|[{MARKS}]+")
_ARABIC_EXTRAS = re.compile("[\u0640\u064b-\u065f\u0670]")
_ARABIC_PREFIX = re.compile("(?:[وف]?(?:[بكل]?ال|لل)|و)(?=.{3})")
_ARABIC_OWNER = re.compile("(?<=.{3})(?:نا|ها|هما|هم|كم|هن|ي)$")
"""And, so, with, like, for, the: written on; what Light10 takes off and Snowball takes off less
evenly (Larkey, Ballesteros & Connell 2002)."""


def is_unspaced(text: str) -> bool:
    """Whether a text begins in a script that is written without blanks between words."""
    return bool(_IS_UNSPACED.match(text))


def runs(word: str) -> list[str]:
    """A word cut where its script changes: `iPhone手机` is two."""
    return [word] if word.isascii() else _RUN.findall(word)


def clusters(text: str) -> list[str]:
    """The letters of a text, each with its marks."""
    return _CLUSTER.findall(text)


def bare_arabic(word: str) -> str:
    """Arabic without prefixes, endings for whose it is, and signs that are written at will."""
    plain = _ARABIC_EXTRAS.sub("", word)
    found = _ARABIC_PREFIX.match(plain)
    plain = plain[found.end() :] if found else plain
    return _ARABIC_OWNER.sub("", plain)


def stemmed_as(word: str) -> str | None:
    """The Snowball algorithm for a word, by its script; None where there is none.

    Latin script alone doesn't tell the language: ASCII words are taken for English, which every
    message and every question are alike.
    """
    if word.isascii():
        return "english"
    code = ord(word[0])
    for first, last, algorithm in _STEMMED:
        if first <= code <= last:
            return algorithm
    return None


_STEMMED = (
    (0x0370, 0x03FF, "greek"),
    (0x0400, 0x052F, "russian"),
    (0x0530, 0x058F, "armenian"),
    (0x0600, 0x077F, "arabic"),
    (0x0900, 0x097F, "hindi"),
    (0x0B80, 0x0BFF, "tamil"),
)
