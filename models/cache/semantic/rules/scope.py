"""Small words that turn a question: who does it, to whom, on what condition, when, only what."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from allotrope.models.cache.semantic.parse import YES_NO, ParsedQuestion, stem
from allotrope.models.cache.semantic.words import STOPWORDS, SYMMETRIC

_PERSONS = {
    "i": "1s", "me": "1o", "my": "1p", "mine": "1p", "myself": "1o",
    "we": "1s", "us": "1o", "our": "1p", "ours": "1p",
    "you": "2", "your": "2p", "yours": "2p", "yourself": "2",
    "he": "3ms", "him": "3mo", "his": "3mp", "she": "3fs", "her": "3f",
    "they": "3s", "them": "3o", "their": "3p", "theirs": "3p", "hers": "3f",
}  # fmt: skip
"""Person and role of a pronoun."""

FIRST = frozenset(name for name, person in _PERSONS.items() if person.startswith("1"))
_ASKERS = frozenset({"i", "you", "we"})
"""Who is meant by anybody: `how do I` is `how do you`."""

_AUXILIARIES = YES_NO | {"to", "d", "ll", "ve"}
_FILLING = frozenset({"a", "an", "the", "do", "does", "did", "s"})
_CLAUSES = re.compile(r"\w[,.;!] \w")
LIMITS = frozenset({"only", "solely", "merely", "exclusively"})
CONDITIONS = frozenset({"if", "unless", "because", "although", "though"})
LEADING = frozenset(
    {"to", "from", "by", "into", "against", "without", "over", "under", "before", "after", "within",
     "since", "until", "till", "during"}
)  # fmt: skip
"""Words that give what follows its role, and of which none stands for another."""

EVERY = frozenset({"all", "every", "each", "everyone", "everybody", "everything", "both"})
ANY = frozenset({"any", "some", "anyone", "anybody", "anything", "someone", "something", "either"})

FUTURE = frozenset({"will", "shall", "going"})
PAST = frozenset({"did", "was", "were", "had"})


def scope_difference(a: ParsedQuestion, b: ParsedQuestion) -> str | None:
    """What two nearly equal questions differ in by small words.

    Returns:
        `order`, `person`, `only`, `quantity`, `condition`, `tense`, or None.
    """
    if _quantity(a) | _quantity(b) == {"all", "any"} and _quantity(a) != _quantity(b):
        return "quantity"
    if _limited(a) != _limited(b):
        return "only"
    if _turned(a, b):
        return "order"
    ours, theirs = _persons(a.words), _persons(b.words)
    if _things(a) == _things(b):
        words_a, words_b = a.word_set, b.word_set
        if (CONDITIONS & words_a) != (CONDITIONS & words_b) and not _told_before(a, b):
            return "condition"
        if (FUTURE & words_a and PAST & words_b) or (PAST & words_a and FUTURE & words_b):
            return "tense"
        left, right = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
        if not (FIRST & (words_a | words_b)) and set(left + right) == {"1"}:
            return None  # `dehydrate you` is anybody's
        if (left and right) or not (_possessive(left) and _possessive(right)):
            return "person"
        if not left and not right and ours != theirs:
            return "person"
        return None
    one, two = {person[0] for person in ours}, {person[0] for person in theirs}
    return "person" if one - two and two - one else None


def _quantity(question: ParsedQuestion) -> set[str]:
    """`all`, `any`, both or nothing."""
    kinds = {"all": EVERY, "any": ANY}
    return {name for name, words in kinds.items() if words & question.word_set}


def _told_before(a: ParsedQuestion, b: ParsedQuestion) -> bool:
    """Whether one tells in a clause of its own what the other puts after `if`."""
    return CONDITIONS & (a.word_set ^ b.word_set) == {"if"} and any(
        "if" not in question.word_set and _CLAUSES.search(question.text) for question in (a, b)
    )


def _turned(a: ParsedQuestion, b: ParsedQuestion) -> bool:
    """Whether the same words stand in another order, or lead to the same thing by another role."""
    for thing, roles in _led(a).items():
        others = _led(b).get(thing)
        if others and not roles & others:
            return True
    ours, theirs = ([s for s in q.stems if s not in _FILLING] for q in (a, b))
    if ours == theirs or Counter(ours) != Counter(theirs):
        return False
    return _grouped(a) != _grouped(b)


def _led(question: ParsedQuestion) -> dict[str, set[str]]:
    """The words of `LEADING` before each content word."""
    found: dict[str, set[str]] = {}
    role = ""
    for word, base in zip(question.words, question.stems, strict=True):
        if word in LEADING:
            role = word
        elif word not in STOPWORDS:
            if role:
                found.setdefault(base, set()).add(role)
            role = ""
    return found


def _grouped(question: ParsedQuestion) -> list[tuple[str, ...]]:
    """The content in order, what `and` or `or` joins as one group without order."""
    groups: list[list[str]] = []
    joins = False
    for word, base in zip(question.words, question.stems, strict=True):
        if word in SYMMETRIC:
            joins = True
        elif word not in STOPWORDS:
            if joins and groups:
                groups[-1].append(base)
            else:
                groups.append([base])
            joins = False
    return [tuple(sorted(group)) for group in groups]


def _things(question: ParsedQuestion) -> set[str]:
    """The content without pronouns."""
    pairs = zip(question.words, question.stems, strict=True)
    return {base for word, base in pairs if word not in STOPWORDS and word not in _PERSONS}


def _possessive(left: Counter[str]) -> bool:
    """Whether nothing is left but `my` and `your`, for which `the` may stand."""
    return all(person.endswith("p") for person in left)


def _limited(question: ParsedQuestion) -> tuple[tuple[str, str], ...]:
    """Each `only` with the content words before and after it."""
    found = []
    for place, word in enumerate(question.words):
        if word in LIMITS:
            before = _content(reversed(question.words[:place]))
            after = _content(question.words[place + 1 :])
            found.append((before, after))
    return tuple(found)


def _content(words: Iterable[str]) -> str:
    for word in words:
        if word not in STOPWORDS or word in _PERSONS:
            return stem(word)
    return ""


def _persons(words: Sequence[str]) -> list[str]:
    """Persons in order, without those that only ask: `how do I`, `can you`."""
    found = []
    for place, word in enumerate(words):
        person = _PERSONS.get(word)
        if person is None:
            continue
        asks = word in _ASKERS and (place == 0 or words[place - 1] in _AUXILIARIES)
        if not asks:
            found.append(person)
    if not FIRST & set(words):  # `your` is anybody's
        found = [person.replace("2", "1") for person in found]
    return found
