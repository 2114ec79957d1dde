"""How far a negation reaches, and what a sentence excepts, leaves open or says as a condition."""

import re

from allotrope.graphs.work.sources.claims.polarity import STOPS, WORD, sense


def reach(scope: str) -> str:
    """What of the words behind a negation it denies: those before the next `and` or `but`."""
    return STOPS.split(scope)[0]


def restates(clause: str) -> bool:
    """Whether a clause says as a condition what another may deny: `needs 3.8 or newer`."""
    return _CONDITION.search(clause) is not None


_CONDITION = re.compile(
    r"\b(?:needs?|needed|require[sd]?|only|must|have to|has to|or (?:newer|later|higher|above|more)"
    r"|nur|muss|müssen|benötig\w*|braucht?)\b",
    re.IGNORECASE,
)
_DENYING = re.compile(
    r"\b(?:oppos(?:es|ed|e|ing)|reject(?:s|ed)?|den(?:ies|ied|y)|refus(?:es|ed|e)|disput(?:es|ed|e)"
    r"|dismiss(?:es|ed)?|against|lehnte[n]?|bestreitet|bestritt)\b",
    re.IGNORECASE,
)


def denials(text: str) -> list[str]:
    """What a clause denies: the words behind each negation, and behind verbs such as `opposed`."""
    found = list(sense(text).scopes)
    found += [re.split(r",|\b(?:and|but)\b", text[one.end() : one.end() + 60])[0]
              for one in _DENYING.finditer(text)]  # fmt: skip
    return found


def exception(text: str) -> str:
    """What a sentence excepts from what it says; nothing where it excepts nothing."""
    match = re.search(
        r"\b(?:with the exception of|except for|except|apart from|other than|excluding|mit ausnahme"
        r"|außer|abgesehen von)\b([^,.;]{1,80})",
        text,
        re.IGNORECASE,
    )
    return match[1] if match else ""


def excepts(text: str) -> bool:
    """Whether a sentence speaks of an exception."""
    return (
        bool(exception(text))
        or re.search(r"\b(?:only|but|exempt\w*|excluded|nur|exception)\b", text, re.IGNORECASE)
        is not None
    )


def is_negative(clause: str, scope: str, *, loosely: bool = False) -> bool:
    """Whether a clause has a negative sense in words other than those of a scope.

    Args:
        clause: A clause.
        scope: The words that don't count.
        loosely: Whether words such as `still` or `only` count as well.
    """
    plain = clause
    for word in WORD.findall(scope):
        plain = re.sub(rf"\b{re.escape(word)}\b", " ", plain, flags=re.IGNORECASE)
    return sense(plain).loosely if loosely else sense(plain).negative


def leaves_open(clause: str) -> bool:
    """Whether a clause leaves open what it speaks of: `it isn't known whether prices rise`."""
    return re.search(r"\b(?:whether|undecided|ob)\b", clause, re.IGNORECASE) is not None
