"""The words, sentences and clauses of a claim and of its source, English and German."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from allotrope.graphs.work.sources.index import STOP
from allotrope.graphs.work.spelled import words
from allotrope.models.cache.semantic.meaning import likeness

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_GERMAN = frozenset(
    words(
        "der die das und ist nicht ein eine mit von auf für im den dem des wird wurde "
        "laut keine zu bei sich sank stieg"
    )
)
_MORE_STOP = frozenset(
    words(
        "within space course via upon toward towards per said says say nothing nobody "
        "anything any according also both while although however whereas since because so yet "
        "still ones there here now then just only even such same another one two him her his "
        "our your them if not no nor never without none neither don't doesn't didn't isn't "
        "aren't wasn't weren't won't can't couldn't shouldn't wouldn't hasn't haven't hadn't "
        "unless until including some around nearly almost roughly approximately compared "
        "percent cent reported report year years described describes argued argues contends "
        "contended stated states noted notes found finds explained told called announced "
        "warned predicted promised stressed added claimed claims reckon put puts rate rates "
        "level levels number numbers figure figures amount amounts total value values "
        "occurred occur happened seen observed recorded reached reach stood scheduled again "
        "next likely estimated three four five six seven eight nine ten eleven twelve twenty "
        "thirty hundred thousand million billion half twice double triple third quarter must "
        "widely as expected at least first being been were less than more about over under "
        "between through among out off up down nicht kein keine keinen nie ohne sich als auch "
        "noch wurde wurden wird werden laut rund etwa prozent jahr sie er es zu bei nach vor "
        "aus im in an um"
    )
)
_SENTENCE = re.compile(
    r"(?<=[.!?…])(?<!\b[A-ZÄÖÜ]\.)(?<!e\.g\.)(?<!i\.e\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bSt\.)"
    r"(?<!\bMio\.)(?<!\bMrd\.)(?<!\bca\.)(?<!\bvs\.)(?<!\bNo\.)(?<!\bapprox\.)(?<!\bMrs\.)"
    r"(?<!\d\.)\s+(?=[\"“„A-ZÄÖÜ0-9*-]|[a-z]{1,3}[A-Z])"
    r"|(?<=\d\.)\s+(?=[\"“„A-ZÄÖÜ*]|[a-z]{1,3}[A-Z])(?![A-Z][a-zä]+ \d{4})|\n+"
)
_CLAUSE = re.compile(
    r"\s?[;:–—]\s|,\s+(?=(?:while|although|though|but|whereas|yet|so|because|since|which|who"
    r"|and|or"
    r"|after|before|compared|mainly|chiefly|where|as|with|following|even|of which|a|the|its|cutting"
    r"|nor|not|aber|während|obwohl|weil|dagegen|wobei|und|also)\b)|\s(?=(?:while|although|whereas|"
    r"because|but|during|obwohl|während|weil|aber)\b)",
    re.IGNORECASE,
)


def german(text: str) -> bool:
    """Whether a text is German rather than English, by its small words."""
    words = _WORD.findall(text.lower())
    return sum(word in _GERMAN for word in words) * 8 > len(words)


@lru_cache(maxsize=2)
def _stemmer(language: str) -> Callable[[str], str]:
    import snowballstemmer

    stem: Callable[[str], str] = lru_cache(maxsize=50_000)(
        snowballstemmer.stemmer(language).stemWord
    )
    return stem


def stems(text: str, *, in_german: bool) -> list[str]:
    """The words of a text as stems, in order.

    Args:
        text: A claim or a passage.
        in_german: Its language.
    """
    stem = _stemmer("german" if in_german else "english")
    return [stem(word.removesuffix("'s")) for word in _WORD.findall(text.lower().replace("’", "'"))]


def content(text: str, *, in_german: bool) -> list[str]:
    """The stems of the words that say what a text is about; arguments as in `stems`."""
    stem = _stemmer("german" if in_german else "english")
    return [stem(word) for word in raw(text)]


NEAR = 0.55
"""Cosine of two words' vectors from which one may stand for the other."""


def raw(text: str) -> list[str]:
    """The words that say what a text is about, as written, in small letters."""
    return [
        word.removesuffix("'s")
        for word in _WORD.findall(text.lower().replace("’", "'"))
        if word not in STOP and word not in _MORE_STOP and len(word) > 1
    ]


def kin(word: str, others: Sequence[str]) -> bool:
    """Whether a word, one that begins alike, or one of a meaning near to it is among others.

    Args:
        word: As `raw` gives it.
        others: From `raw`.
    """
    return any(
        word == one
        or (len(word) > 3 and len(one) > 3 and word[:5] == one[:5])
        or likeness(word, one) >= NEAR
        for one in others
    )


def alike(word: str, there: set[str], beginnings: set[str]) -> bool:
    """Whether a stem, or one that begins alike, stands among others.

    Args:
        word: A stem.
        there: Other stems.
        beginnings: Their first five letters.
    """
    plain = word.removeprefix("un") if len(word) > 6 else word
    return word in there or plain in there or plain[:5] in beginnings


def sentences(text: str) -> list[str]:
    """The sentences of a text; a row of a table is one."""
    return [piece.strip() for piece in _SENTENCE.split(text) if piece and piece.strip()]


def clauses(sentence: str) -> list[str]:
    """The clauses of a sentence, where commas and conjunctions show them."""
    plain = " ".join(sentence.split())
    found = [piece.strip(" ,") for piece in _CLAUSE.split(plain) if piece and piece.strip(" ,")]
    return found or [sentence]
