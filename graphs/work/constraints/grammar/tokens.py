"""A brief as tokens: words, numbers, signs and quotations, and where its sentences end."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from allotrope.graphs.work.spelled import words

LONGEST = 20_000
"""Characters of a brief that are read for constraints; what follows is material, not wishes."""
LONGEST_QUOTE = 120
_TOKEN = re.compile(r"[^\W\d_]++(?:['’][^\W\d_]++)*+|\d++(?:[.,]\d++)*+|\S")
_QUOTES = {'"': '"', "“": "”“", "„": '“”"', "«": "»", "»": "«", "‘": "’", "'": "'", "‚": "‘’"}
_SHORT = frozenset(words("max min ca approx incl excl e.g i.e vs no st mr mrs dr bzw inkl ungef"))
_PASTED = re.compile(
    r"\b(?:text|draft|paragraph|article|email|poem|story|passage|following|below|entwurf|absatz)"
    r"[ \w]{0,30}:[ \t]*\n",
    re.I,
)


@dataclass(frozen=True)
class Token:
    """A word, number, sign or quotation.

    Args:
        text: As written; of a quotation what is between the marks.
        start: Where it begins in the brief.
        end: Where it ends.
        quoted: Whether it is a quotation.
    """

    text: str
    start: int
    end: int
    quoted: bool = False

    @cached_property
    def low(self) -> str:
        """The word in lower case, with a plain apostrophe; a quotation has none."""
        return "\0" if self.quoted else self.text.lower().replace("’", "'")


def tokens(brief: str) -> list[Token]:
    """The tokens of a brief, without text that was pasted below it to be worked on."""
    text = brief[:LONGEST]
    pasted = _PASTED.search(text)
    if pasted:
        text = text[: pasted.end()]
    found: list[Token] = []
    at = 0
    for match in _TOKEN.finditer(text):
        if match.start() < at:
            continue
        sign, at = match.group(), match.end()
        end = _quote_end(text, match.start()) if sign in _QUOTES else 0
        if end:
            found.append(Token(text[at:end], match.start(), end + 1, quoted=True))
            at = end + 1
        else:
            found.append(Token(sign, match.start(), match.end()))
    return found


_LISTING = frozenset(words("keywords words terms phrases schlüsselwörter wörter begriffe"))


def _is_list(part: Sequence[Token]) -> bool:
    """Whether a list of words with a colon runs, whose items a semicolon parts."""
    noun = next((at for at, one in enumerate(part) if one.low in _LISTING), len(part))
    return any(one.text == ":" for one in part[noun : noun + 5])


def _quote_end(text: str, start: int) -> int:
    """Where a quotation that begins here ends, or 0 where none does."""
    sign = text[start]
    if sign in "'‘" and start and text[start - 1].isalnum():
        return 0
    for at in range(start + 1, min(len(text), start + LONGEST_QUOTE)):
        if text[at] == "\n":
            return 0
        if text[at] in _QUOTES[sign] and at > start + 1:
            if text[at] in "'’" and text[at + 1 : at + 2].isalnum():
                continue  # an apostrophe
            return at
    return 0


def sentences(found: Sequence[Token], brief: str) -> list[list[Token]]:
    """The tokens by sentence; a semicolon and a new line end one too."""
    parts: list[list[Token]] = [[]]
    for at, token in enumerate(found):
        before = found[at - 1] if at else None
        if before is not None and "\n" in brief[before.end : token.start]:
            parts.append([])
        parts[-1].append(token)
        after = brief[token.end : token.end + 1]
        ends_quote = (
            token.quoted
            and token.text[-1:] in ".!?"
            and (at + 1 < len(found) and found[at + 1].text[:1].isupper())
        )
        stops = token.text in "!?" or (
            token.text == "."
            and (not after or after.isspace())
            and not (before is not None and before.low in _SHORT)
        )
        listing = token.text == ";" and _is_list(parts[-1])
        if (not token.quoted and (token.text == ";" or stops) and not listing) or ends_quote:
            parts.append([])
    return [part for part in parts if part]
