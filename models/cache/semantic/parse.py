"""What a question says, taken apart for the safety gate: numbers, names, negation, order."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import local

from snowballstemmer import stemmer

from allotrope.models.cache.semantic.words import NEGATIONS, STOPWORDS, number_of
from allotrope.support.remembered import remembered

TOKEN = re.compile(
    r"[$€£¥]?\d[\d,.:/\-]*\d[a-z%°]*|[$€£¥]?\d[a-z%°]*|c\+\+|c\#|\.?[a-z]\w*(?:'[a-z]+)?|\w+|[&/]",
    re.IGNORECASE,
)
OPENING = re.compile(r"[.!?:;\"“(]\s*$")
"""What stands before a word that is capitalised for its place only."""

_WORD_AFTER = re.compile(r"[\s]*([a-z]*)", re.IGNORECASE)
PLAIN_GAPS = frozenset(("", " ", ", ", "-"))
KINDS = ("who", "when", "where", "why", "how many", "how much", "how long", "how often", "how old",
         "how far", "how", "what", "which", "yes/no", "other")  # fmt: skip
YES_NO = frozenset(
    {
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "should",
        "shall",
        "may",
        "might",
        "must",
        "has",
        "have",
        "had",
        "am",
        "isn't",
        "aren't",
        "don't",
        "doesn't",
        "didn't",
        "can't",
        "won't",
    }
)
_per_thread = local()


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The stem of a word (English)."""
    # a snowball stemmer keeps state while it works, so each thread has its own
    if not hasattr(_per_thread, "stemmer"):
        _per_thread.stemmer = stemmer("english")
    return str(_per_thread.stemmer.stemWord(word))


Pieces = Counter[tuple[str, ...]]
"""Runs of letters and how often each comes."""


def _pieces(text: str, size: int) -> Pieces:
    return Counter(zip(*(text[start:] for start in range(size)), strict=False))


@dataclass(frozen=True, eq=False)
class ParsedQuestion:
    """A question taken apart.

    Args:
        text: As it was asked.
        words: Its tokens in lower case, in order.
        stems: The stems of `words`.
        content: The stems that are no stopwords, in order.
        numbers: Numbers, dates, versions, identifiers with digits.
        names: Stems of words that were capitalised within a sentence, and of acronyms.
        negations: How many words turn it round.
        kind: One of `KINDS`.
        grams: Trigrams of the text.
    """

    text: str
    words: tuple[str, ...]
    stems: tuple[str, ...]
    content: tuple[str, ...]
    numbers: frozenset[str]
    names: frozenset[str]
    negations: int
    kind: str
    grams: frozenset[str]

    @cached_property
    def word_set(self) -> frozenset[str]:
        """The words without order."""
        return frozenset(self.words)

    @cached_property
    def stem_set(self) -> frozenset[str]:
        """The stems without order."""
        return frozenset(self.stems)

    @cached_property
    def content_set(self) -> frozenset[str]:
        """The stems that are no stopwords, without order."""
        return frozenset(self.content)

    @cached_property
    def fours(self) -> Pieces:
        """Runs of four letters."""
        return _pieces(" ".join(self.words), 4)

    @cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """The stems that stand next to each other."""
        return frozenset(zip(self.stems, self.stems[1:], strict=False))


@remembered(most=20_000)
def parse(text: str) -> ParsedQuestion:
    """Takes a question apart."""
    plain = text.replace("\u2019", "'").replace("\u2018", "'")
    words: list[str] = []
    names: set[str] = set()
    numbers: set[str] = set()
    negations = 0
    shouting = plain.upper() == plain
    starts = True
    end = 0
    for found in TOKEN.finditer(plain):
        raw = found.group()
        gap = plain[end : found.start()]
        starts = starts or (gap not in PLAIN_GAPS and bool(OPENING.search(gap)))
        end = found.end()
        word = raw.lower()
        if word.endswith("'s"):
            word = word[:-2]
        if any(char.isdigit() for char in word):
            numbers.add(_number(word))
        elif counted := number_of(word, _following(plain, end)):
            numbers.add(counted)
        if word in NEGATIONS or word.endswith("n't") or gap.endswith(" non-"):
            negations += 1
        acronym = len(raw) > 1 and raw[:2].isupper() and not shouting
        named = raw[0].isupper() and (acronym or not starts) and word not in STOPWORDS
        if named and raw.partition("'")[0] != "I":  # nor `I'd`
            names.add(stem(word))
        words.append(word)
        starts = False
    stems = tuple(stem(word) for word in words)
    content = tuple(s for word, s in zip(words, stems, strict=True) if word not in STOPWORDS)
    squeezed = " " + " ".join(words) + " "
    grams = frozenset(squeezed[i : i + 3] for i in range(len(squeezed) - 2))
    return ParsedQuestion(
        text=text,
        words=tuple(words),
        stems=stems,
        content=content,
        numbers=frozenset(numbers),
        names=frozenset(names),
        negations=negations,
        kind=_kind(words),
        grams=grams,
    )


def _following(text: str, end: int) -> str:
    """The word after a place, in lower case."""
    found = _WORD_AFTER.match(text, end)
    return found.group(1).lower() if found else ""


def _number(word: str) -> str:
    """A number in one form: `1,000` is `1000`, `2.50` is `2.5`; identifiers stay as they are."""
    bare = word.rstrip(".,:/-")
    digits = bare.replace(",", "")
    if re.fullmatch(r"\d+(\.\d+)?", digits):
        return digits.rstrip("0").rstrip(".") if "." in digits else digits.lstrip("0") or "0"
    return bare


def _kind(words: list[str]) -> str:
    for place, word in enumerate(words[:12]):
        if word == "how":
            following = words[place + 1] if place + 1 < len(words) else ""
            following = "often" if following == "frequently" else following
            wide = f"how {following}"
            return wide if wide in KINDS else "how"
        if word in ("who", "whom", "whose"):
            return "who"
        if word in ("when", "where", "why", "what", "which"):
            if word in ("what", "which") and place + 1 < len(words):
                following = words[place + 1]
                if following in ("time", "year", "date", "day"):
                    return "when"
            return word
    return "yes/no" if words and words[0] in YES_NO else "other"
