"""What two questions differ in that an answer may hang on: names, kind, opposites, order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from allotrope.models.cache.semantic.parse import ParsedQuestion
from allotrope.models.cache.semantic.rules.scope import scope_difference
from allotrope.models.cache.semantic.words import (
    EXCLUSIVE,
    NARROWING,
    ROLES,
    STOPWORDS,
    SYMMETRIC,
    WEAK_NAMES,
)

SPECIFIC = frozenset(
    ["who", "when", "where", "why", "how many", "how much", "how long", "how often", "how old",
     "how far", "how"]
)  # fmt: skip
"""Kinds of question of which one is never another."""

_GROUPS: dict[str, list[frozenset[str]]] = {}
for _group in EXCLUSIVE:
    for _word in _group:
        _GROUPS.setdefault(_word, []).append(_group)


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What the hard rules and the score both look at; made once for a pair by `differences`.

    Args:
        names: Names of the one question that the other doesn't mention, either way.
        weighty: Those that are more than a first name before a shared last name.
        kinds: Whether one kind of question is never asked in the other's form.
        opposed: Whether a word of one excludes a word of the other.
        blocks: Whether two arguments changed places.
        roles: Whether objects of prepositions changed their roles.
        scope: What small words turn: `person`, `only`, `condition`, `tense`, `order`, or None.
    """

    names: tuple[set[str], set[str]]
    weighty: tuple[set[str], set[str]]
    kinds: bool
    opposed: bool
    blocks: bool
    roles: bool
    scope: str | None


def differences(a: ParsedQuestion, b: ParsedQuestion) -> Differences:
    """What two questions differ in by rule."""
    ours, theirs = missing_names(a, b), missing_names(b, a)
    return Differences(
        names=(ours, theirs),
        weighty=(weighty_names(a, b, ours), weighty_names(b, a, theirs)),
        kinds=kinds_differ(a.kind, b.kind) and not _ways(a, b),
        opposed=opposed(a.words, b.words),
        blocks=blocks_swapped(a, b),
        roles=roles_swapped(a, b),
        scope=scope_difference(a, b),
    )


def kinds_differ(a: str, b: str) -> bool:
    """Whether one kind of question is never asked in the other's form."""
    if a == b:
        return False
    if a in SPECIFIC and b in SPECIFIC:
        return True
    kinds = {a, b}
    if kinds == {"why", "yes/no"} or kinds == {"who", "yes/no"}:
        return True
    return bool(kinds & {"how many", "how much", "how long", "how old", "how far", "when"}) and (
        "yes/no" in kinds
    )


_ASKER = frozenset({"i", "we", "you", "one"})


def _ways(a: ParsedQuestion, b: ParsedQuestion) -> bool:
    """Whether one asks how and the other where something can be done: `where can I change it`."""
    return {a.kind, b.kind} == {"how", "where"} and all(
        any(
            word == question.kind and place + 2 < len(question.words) and follows in _ASKER
            for place, (word, follows) in enumerate(
                zip(question.words, question.words[2:], strict=False)
            )
        )
        for question in (a, b)
    )


def missing_names(a: ParsedQuestion, b: ParsedQuestion) -> set[str]:
    """Names of `a` that `b` doesn't mention, in one word or two (`You Tube`, `YouTube`)."""
    if not a.names:
        return set()
    words, joined = b.word_set, {first + second for first, second in pairwise(b.words)}
    covered = {
        stem
        for (first, second), stems in zip(pairwise(a.words), pairwise(a.stems), strict=True)
        for stem in stems
        if first + second in words
    }
    covered |= {stem for word, stem in zip(a.words, a.stems, strict=True) if word in joined}
    return set(a.names) - set(b.stems) - covered - WEAK_NAMES


def weighty_names(a: ParsedQuestion, b: ParsedQuestion, missing: set[str]) -> set[str]:
    """The missing names, without first names before a last name that both have."""
    shared = set(a.names) & set(b.stems)
    if not missing or not shared:
        return missing
    follows: dict[str, str] = {}
    for first, second in pairwise(a.stems):
        follows.setdefault(first, second)
    return {
        name
        for name in missing
        if name in NARROWING or not _leads_to(name, follows, missing, shared)
    }


def _leads_to(name: str, follows: dict[str, str], missing: set[str], shared: set[str]) -> bool:
    """Whether after this name, and perhaps other missing ones, a shared name comes at once."""
    for _ in range(3):
        following = follows.get(name)
        if following is None:
            return False
        if following in shared:
            return True
        if following not in missing:
            return False
        name = following
    return False


def opposed(a: Sequence[str], b: Sequence[str]) -> bool:
    """A word of one and another word of its exclusive group in the other, each alone there."""
    only_a, only_b = set(a) - set(b), set(b) - set(a)
    for word in only_a:
        for group in _GROUPS.get(word, ()):
            if group & only_b:
                return True
        if any(turned_by_affix(word, other) for other in only_b):
            return True
    return False


_TURNING = ("un", "in", "im", "ir", "il", "dis", "non", "mis", "anti", "de", "a")
_OTHER_PREFIX = ("in", "ex", "im", "out", "up", "down", "over", "under", "pre", "post", "inter",
                 "intra", "hyper", "hypo", "macro", "micro", "inner", "outer")  # fmt: skip
_OTHER_SUFFIX = ("ful", "less", "er", "ee", "or")
_STEM = 3
"""Letters that are at least left beside a prefix or a suffix."""


@lru_cache(maxsize=50_000)
def turned_by_affix(one: str, two: str) -> bool:
    """Whether a prefix or a suffix makes one word the opposite of the other.

    `edible` and `inedible`, `inclusive` and `exclusive`, `employer` and `employee`.
    """
    short, long = sorted((one, two), key=len)
    if len(short) >= _STEM and long.endswith(short) and long.removesuffix(short) in _TURNING:
        return True
    ours = {one.removeprefix(p): p for p in _OTHER_PREFIX if one.startswith(p)}
    theirs = {two.removeprefix(p): p for p in _OTHER_PREFIX if two.startswith(p)}
    if any(len(rest) >= _STEM for rest in ours.keys() & theirs.keys()):
        return True
    ours = {one.removesuffix(p): p for p in _OTHER_SUFFIX if one.endswith(p)}
    theirs = {two.removesuffix(p): p for p in _OTHER_SUFFIX if two.endswith(p)}
    return any(
        len(rest) > _STEM and {ours[rest], theirs[rest]} != {"er", "or"}
        for rest in ours.keys() & theirs.keys()
        if ours[rest] != theirs[rest]
    )


def _skeleton(question: ParsedQuestion) -> list[str]:
    """The content in order, with the words that give roles; nothing of how it is asked."""
    return [
        stem
        for word, stem in zip(question.words, question.stems, strict=True)
        if word not in STOPWORDS or word in ROLES or word in SYMMETRIC
    ]


def blocks_swapped(left: ParsedQuestion, right: ParsedQuestion) -> bool:
    """`P X M Y S` against `P Y M X S`, where M isn't symmetric."""
    a, b = _skeleton(left), _skeleton(right)
    if len(a) != len(b) or len(a) > 40 or Counter(a) != Counter(b) or a == b:
        return False
    start = 0
    while a[start] == b[start]:
        start += 1
    end = len(a)
    while a[end - 1] == b[end - 1]:
        end -= 1
    one, two = a[start:end], b[start:end]
    for head in range(1, len(one) - 1):
        for tail in range(1, len(one) - head):
            middle = one[head : len(one) - tail]
            swapped = one[len(one) - tail :] + middle + one[:head]
            if swapped == two and not set(middle) <= SYMMETRIC:
                return True
    return False


def roles_swapped(a: ParsedQuestion, b: ParsedQuestion) -> bool:
    """`from Texas to California` against `from California to Texas`: objects changed their role."""
    ours, theirs = _objects(a), _objects(b)
    for role, object_ in ours.items():
        other = theirs.get(role)
        if other is None or other == object_:
            continue
        if object_ in theirs.values() and other in ours.values():
            return True
        same = a.content_set == b.content_set  # else `to` leads an infinitive as often as not
        if same and role in ("to", "from", "than", "by"):
            return True
    return False


def _objects(question: ParsedQuestion) -> dict[str, str]:
    """The first content word after each word that gives a role."""
    found: dict[str, str] = {}
    words, stems = question.words, question.stems
    for place, word in enumerate(words):
        if word not in ROLES or word in found:
            continue
        for following, stem in zip(words[place + 1 :], stems[place + 1 :], strict=True):
            if following not in STOPWORDS:
                found[word] = stem
                break
    return found
