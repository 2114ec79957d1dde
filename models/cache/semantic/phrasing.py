"""How a question is put, apart from what it asks: frames, other words for the same, restrictions.

`How can I lose weight?` and `What are the best ways of reducing fat?` have one core. A core is what
is left of a question without its frame and its filling words, other words for the same put as one.
"""

import re
from collections.abc import Collection, Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

from allotrope.models.cache.semantic.parse import ParsedQuestion, stem
from allotrope.models.cache.semantic.words import (
    FILLING,
    PREPOSITIONS,
    STOPWORDS,
    SYNONYMS,
)

_WHO = (
    r"(?: (?:i|you|we|one|they|someone|somebody|anyone|people|a person|a man|a woman|a girl|a guy))"
)
_GOOD = (
    r"(?:best|good|great|easiest|easy|fastest|fast|quickest|quick|right|simplest|simple|effective|"
    r"efficient|possible|proper|correct|perfect|ideal|cheapest|most \w+|other|different|better)"
)
_WAY = (
    r"(?:way|ways|method|methods|step|steps|tip|tips|trick|tricks|process|procedure|strategy|"
    r"strategies|technique|techniques|thing to do|things to do)"
)
_FRAMES = (
    (
        "how",
        re.compile(
            rf"how (?:(?:do|does|did|can|could|should|would|to|might|will|must|shall){_WHO}?"
            r"(?: go about)?\b)"
            rf"|(?:what|which)(?: is| are| s| would be| were)?(?: the| some| a| any| your){0,4}"
            rf"(?: {_GOOD}){{0,6}}(?: (?:and|or) {_GOOD})? {_WAY}"
            r"(?: to| of| for| in which| that| by which)?"
            rf"{_WHO}?(?: can| could| should)?\b"
            rf"|(?:is|are) there (?:any|a|some)(?: {_GOOD})? {_WAY}(?: to| of| that| for)?\b"
            rf"|what (?:should|can|could|must|shall|do){_WHO} do(?: in order)?(?: to| for)\b"
            r"|(?:can|could) (?:someone|anyone|somebody|you)(?: please)?"
            r" (?:tell|explain|teach|help|show)"
            r"(?: me| us)? how to\b"
        ),
    ),
    (
        "best",
        re.compile(
            r"(?:what|which|who|where)(?: is| are| s| was| were| would be| can i find| do i find)?"
            r"(?: according to you| in your opinion)?"
            r"(?: the| some| a| any| one of the| of the){0,4}"
            r"(?: (?:best|good|great|top|most \w+|better|finest|greatest|coolest|nicest|other))"
            r"{1,6}\b"
        ),
    ),
    ("some", re.compile(r"(?:what|which) (?:is|are|were|was)(?: the| some| a| any| an)?\b")),
    ("why", re.compile(r"(?:why|what (?:is the reason|are the reasons)(?: that| why)?)\b")),
    ("think", re.compile(r"(?:what|how) (?:do|does|did|would) \w+ (?:think|feel)\b")),
)  # fmt: skip

_SAME_AS = {stem(word): stem(group.split()[0]) for group in SYNONYMS for word in group.split()}


class Core(NamedTuple):
    """A question without the way it is put.

    Args:
        frame: `how`, `best`, `some`, `why`, `think`, or empty.
        stems: What is asked about, in order, other words for the same put as one.
        bound: Those of `stems` that a preposition brings in, `in India`.
    """

    frame: str
    stems: tuple[str, ...]
    bound: frozenset[str]


@lru_cache(maxsize=20_000)
def core(words: tuple[str, ...]) -> Core:
    """The core of a question's words."""
    text = " ".join(words)
    frame, start = "", 0
    for name, pattern in _FRAMES:
        found = pattern.match(text)
        if found:
            frame, start = name, found.group().count(" ") + 1
            break
    stems: list[str] = []
    bound: set[str] = set()
    led = False
    for word in words[start:]:
        if word in PREPOSITIONS:
            led = True
        elif word not in STOPWORDS and word not in FILLING:
            base = stem(word)
            base = _SAME_AS.get(base, base)
            stems.append(base)
            if led:
                bound.add(base)
            led = False
    return Core(frame, tuple(stems), frozenset(bound))


@lru_cache(maxsize=50_000)
def letters(word: str) -> frozenset[str]:
    """The pairs of letters of a word, its ends marked."""
    marked = f"^{word}$"
    return frozenset(marked[i : i + 2] for i in range(len(marked) - 1))


def alike(one: str, two: str) -> float:
    """How alike two words are spelled, 0 to 1."""
    a, b = letters(one), letters(two)
    return 2 * len(a & b) / (len(a) + len(b))


def typos(few: Collection[str], many: Collection[str]) -> int:
    """How many of the differing words are surely the same, spelled another way."""
    return sum(
        any(alike(word, other) >= 0.7 and word[0] == other[0] for other in many)
        for word in few
        if len(word) > 3 and not any(char.isdigit() for char in word)
    )


PHRASING = (
    "frame_both", "core_rare_share", "core_both", "bound_most", "typos", "plurals",
    "places_differ", "word_grams",
)  # fmt: skip


def phrasing(
    a: ParsedQuestion,
    b: ParsedQuestion,
    rarity: Mapping[str, float],
    matched: "SequenceMatcher[str]",
) -> list[float]:
    """The features named in `PHRASING`, the same whichever question comes first.

    Args:
        a: One question.
        b: The other.
        rarity: Inverse document frequency of stems; of unknown ones under `""`.
        matched: The stems of both.
    """
    one, two = core(a.words), core(b.words)
    ours, theirs = set(one.stems), set(two.stems)
    both, extra_a, extra_b = ours & theirs, ours - theirs, theirs - ours
    few, many = sorted((extra_a, extra_b), key=lambda extra: (len(extra), sum(map(len, extra))))
    usual = rarity.get("", 1.0)
    rare = {s: rarity.get(s, usual) for s in ours | theirs}
    shared = sum(rare[s] for s in both)
    differing = sum(rare[s] for s in extra_a | extra_b)
    places = sum(kind != "equal" for kind, *_ in matched.get_opcodes())
    return [
        one.frame == two.frame == "how", shared / (shared + differing + 1e-9), len(both),
        max(len(extra_a & one.bound), len(extra_b & two.bound)), typos(few, many),
        _other_forms(a, b), places,
        2 * len(a.pairs & b.pairs) / max(1, len(a.pairs) + len(b.pairs)),
    ]  # fmt: skip


def _other_forms(a: ParsedQuestion, b: ParsedQuestion) -> int:
    """How many words are in both with another ending."""
    forms = dict(zip(b.stems, b.words, strict=True))
    return sum(forms.get(stem, word) != word for word, stem in zip(a.words, a.stems, strict=True))
