"""Holding a summariser's statement against one sentence of its source.

A statement stays in the summariser's words only where they are the source's: the same words in the
same order, person and verb form apart, and what is left out of the sentence can't change what the
rest says. Any other statement is replaced by the sentence it was made from, so that whatever a
summariser changes (a number, a unit, a name, `not`, who did it) can't reach a prompt.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from allotrope.memory.recall.lexicon import cue, language_of, listed, small_words
from allotrope.memory.recall.sentences import CLAUSE, has_link, sentences, tokens
from allotrope.memory.recall.words import base_form
from allotrope.support.remembered import remembered

LONGEST = 400
"""Characters of a sentence that a summary takes; a longer one is left to recall."""
_SHORTEST = 3
_NEAR = 0.34
"""Share of a statement's words, by rarity, that its source must have."""
_BOUNDARY = frozenset([",", ";", ":", "and", "—", "–", "(", ")"])
_PIECES = re.compile(r"[,;:—–()]|[^\s,;:—–()]+")
_MONTH_MAY = re.compile(r"(?<!^)\bMay\b")
_CHANGES = frozenset(
    """
    not no never nobody none nothing neither nor unless if whether until till except only but
    although though however provided maybe perhaps probably possibly likely might may could would
    should must claim claims claimed say says said think thinks thought believe believes believed
    hope hopes hear heard according allegedly supposedly apparently deny denies denied refuse
    refuses refused want wants wanted plan plans planned wish wishes try tries tried fail fails
    failed almost nearly about roughly around over under least most up before after without while
    when where instead rather than false wrong untrue dreamt dreamed joke joked imagine suppose
    same other too
    """.split()  # noqa: SIM905 - a list of 90 quoted words reads worse
)
"""English words that a clause may not leave out: they change what the rest says."""
_AS_ONE = {
    "am": "is", "are": "is", "'m": "is", "were": "was", "has": "have", "an": "a",
    "i": "user", "me": "user", "myself": "user", "my": "user's", "mine": "user's",
}  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """A sentence of the source.

    Args:
        text: As it was written.
        speaker: Who said it; `user` isn't named in a summary.
        role: As LangChain names it.
        day: When, as `2026-05-08`; empty where that isn't known.
        known: Whether it stood in the previous summary, so that it carries speaker and day.
    """

    text: str
    speaker: str = "user"
    role: str = "human"
    day: str = ""
    known: bool = False

    @property
    def line(self) -> str:
        """As it stands in a summary."""
        named = self.speaker == "user" or self.known
        return self.text if named else f"{self.speaker}: {self.text}"


def statements(text: str, speaker: str, role: str, day: str) -> list[Statement]:
    """The sentences of a message that a summary may take: no orders, links or permissions."""
    return [
        Statement(sentence, speaker, role, day)
        for sentence in sentences(text)
        if _SHORTEST <= len(sentence) <= LONGEST and not is_instruction(sentence)
    ]


@remembered(most=4_096)
def is_instruction(text: str) -> bool:
    """Whether a sentence tells somebody to do something, allows it, or leads somewhere else."""
    if has_link(text):
        return True
    folded = _MONTH_MAY.sub(" ", text).casefold()
    code = language_of(folded)
    if cue("allowed", code).search(folded):
        return True
    found = tokens(folded)
    told = listed("told", code)
    if code in ("ja", "ko"):  # orders are told by how they end
        return any(order in folded for order in told)
    if code == "zh":
        return any(part.startswith(tuple(told)) for part in CLAUSE.split(folded))
    first = found[0] if found else ""
    # "Turn 3 is sharp" tells of a turn
    return first in told and not listed("being", code) & set(found[1:3])


class SummarySource:
    """What a summary may be made of.

    Args:
        said: Its sentences, oldest first.
    """

    def __init__(self, said: Sequence[Statement]) -> None:
        self.said = said
        self._words = [_content(one.text) for one in said]
        self._have = Counter(word for words in self._words for word in words)

    def nearest(self, line: str) -> Statement | None:
        """The sentence that a statement was made from; the latest of several that are as near."""
        words = _content(line)
        total = sum(self._rarity(word) for word in words)
        best, near = None, _NEAR
        for one, own in zip(self.said, self._words, strict=True):
            share = sum(self._rarity(word) for word in words & own) / total if total else 0.0
            if share >= near:
                best, near = one, share
        return best

    def _rarity(self, word: str) -> float:
        return math.log(1 + (len(self.said) + 1) / (0.5 + self._have[word]))


@remembered(most=4_096)
def _content(text: str) -> frozenset[str]:
    small = small_words(language_of(text.casefold()))
    return frozenset(
        base_form(word) for word in tokens(text) if word not in small and word[0].isalnum()
    )


def same_words(line: str, source: Statement) -> bool:
    """Whether a statement says what its source says, in the source's words.

    Args:
        line: A summariser's statement.
        source: The sentence it was made from.
    """
    if source.known:
        return _form(line, "", False) == _form(source.text, "", False)
    english = language_of(source.text.casefold()) == "en"
    named = source.speaker if source.role == "human" else ""
    own, whole = _form(line, named, english), _form(source.text, named, english)
    if own == whole:
        return True
    if not english or source.role != "human" or not own:
        return False
    # a clause of it, where the others can't change what it says
    pieces = _pieces(source.text)[:12]
    for first in range(len(pieces)):
        for last in range(first + 1, len(pieces) + 1):
            inside = [word for piece in pieces[first:last] for word in piece]
            outside = {word for piece in (*pieces[:first], *pieces[last:]) for word in piece}
            if _form(" ".join(inside), named, True) == own:
                return not outside & _CHANGES and "n't" not in " ".join(outside)
    return False


def _pieces(text: str) -> list[list[str]]:
    """The clauses of an English sentence, cut at signs and at `and`."""
    pieces: list[list[str]] = [[]]
    for word in _PIECES.findall(text)[:120]:
        if word.casefold() in _BOUNDARY:
            pieces.append([])
        else:
            pieces[-1].append(word.casefold().strip(".!?"))
    return [piece for piece in pieces if piece]


def _form(text: str, speaker: str, english: bool) -> list[str]:
    """The words of a statement in the form in which two are compared."""
    found = tokens(text)
    if not english:
        return found
    name = tokens(speaker) if speaker and speaker != "user" else []
    form: list[str] = []
    for word in found:
        if name and word in (name[0], f"{name[0]}'s"):
            word = "user's" if word.endswith("'s") else "user"
        word = _AS_ONE.get(word, word)
        if word == "i'm":
            form += ["user", "is"]
            continue
        if word in ("user", "user's") and form and form[-1] == "the":
            form.pop()
        # she lives, I live: the person changes, the tense doesn't
        bare = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "'s"))
        form.append(word[:-1] if bare else word)
    return form
