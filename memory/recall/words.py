"""Words as recall compares them: folded, without filler, in their base form."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from threading import local
from typing import Any

from allotrope.memory.recall.scripts import (
    MARKS,
    bare_arabic,
    clusters,
    is_unspaced,
    runs,
    stemmed_as,
)

_WORD = re.compile(rf"[^\W_](?:[^\W_]|[{MARKS}])*(?:\.\d+)?")
_POSSESSIVE = re.compile(r"['’]s\b")

FILLER = frozenset(
    """
    a about above after again all am an and any are as at be because been before being both
    but by can could did do does doing don down during each few for from further had has
    have having he her here hers him his how i if in into is it its just me more most my no
    nor not now of off on once only or other our ours out over own s same she should so some
    such t than that the their them then there these they this those through to too under
    until up very was we were what when where which while who whom why will with would you
    your yours ll ve re d m hey hi yeah wow really thanks thank ok okay please
    """.split()  # noqa: SIM905 - a list of 150 quoted words reads worse
)
"""Words that say nothing about what a message is about."""

_FORMS = (
    "go went gone goes;buy bought;win won;see saw seen;get got gotten;make made;"
    "take took taken;give gave given;come came;find found;think thought;tell told;"
    "become became;leave left;feel felt;bring brought;begin began begun;keep kept;"
    "hold held;write wrote written;stand stood;hear heard;mean meant;meet met;run ran;"
    "pay paid;sit sat;speak spoke spoken;lead led;grow grew grown;lose lost;"
    "fall fell fallen;send sent;build built;understand understood;draw drew drawn;"
    "break broke broken;spend spent;rise rose risen;drive drove driven;wear wore worn;"
    "choose chose chosen;teach taught;catch caught;eat ate eaten;sing sang sung;"
    "swim swam swum;fly flew flown;ride rode ridden;sleep slept;sell sold;fight fought;"
    "throw threw thrown;forget forgot forgotten;hide hid hidden;steal stole stolen;"
    "wake woke woken;drink drank drunk;know knew known;show shown;dream dreamt;"
    "learn learnt;shoot shot;strike struck;seek sought;deal dealt;child children kid kids;"
    "person people;man men;woman women;foot feet;tooth teeth;mouse mice;life lives;"
    "wife wives;knife knives;mother mom mum mommy;father dad daddy;"
    "grandmother grandma granny;grandfather grandpa;"
    "photo photograph photographs picture pictures pic pics;movie movies film films;"
    "tv television;bike bicycle bikes;january jan;february feb;march mar;april apr;"
    "june jun;july jul;august aug;september sep sept;october oct;november nov;"
    "december dec"
)
_BASE = {form: forms.split()[0] for forms in _FORMS.split(";") for form in forms.split()[1:]}
"""Irregular forms and everyday synonyms that a stemmer doesn't join (English)."""

_per_thread = local()


def _stem(word: str, algorithm: str) -> str:
    # a snowball stemmer keeps state while it works, so each thread has its own
    made: dict[str, Any] | None = getattr(_per_thread, "stemmers", None)
    if made is None:
        made = _per_thread.stemmers = {}
    if algorithm not in made:
        import snowballstemmer

        made[algorithm] = snowballstemmer.stemmer(algorithm)
    return str(made[algorithm].stemWord(word))


@lru_cache(maxsize=50_000)
def base_form(word: str) -> str:
    """The base form of one word, folded, by the stemmer of its script."""
    algorithm = stemmed_as(word)
    if algorithm is None or word[0].isdigit():
        return word
    if algorithm == "arabic":
        # with the article Snowball reads a noun, and takes its endings off evenly
        return _stem("ال" + bare_arabic(word), algorithm) or word
    return _stem(_BASE.get(word, word), algorithm) or word


def words(text: str) -> list[str]:
    """The words of a text that carry meaning, in base form and in order.

    Scripts without spaces (Chinese, Japanese, Korean, Thai) become overlapping pairs of letters.
    """
    return _words(text, base_form)


def as_written(text: str) -> list[str]:
    """`words` without base forms outside English: how archives before 0.2 kept them."""
    return _words(text, lambda word: base_form(word) if word.isascii() else word)


def _words(text: str, base: Callable[[str], str]) -> list[str]:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    found: list[str] = []
    for word in _WORD.findall(_POSSESSIVE.sub("", text.casefold())):
        for run in runs(word):
            if run in FILLER:
                continue
            if is_unspaced(run):
                letters = clusters(run)
                pairs = [a + b for a, b in pairwise(letters)]
                found += pairs or [run]
            else:
                found.append(base(run[:64]))
    return found


def bag(text: str) -> Counter[str]:
    """How often each word of a text occurs."""
    return Counter(words(text))
