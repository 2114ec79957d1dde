"""Words as recall compares them: folded, without filler, in their base form."""

import re
from collections import Counter
from functools import lru_cache
from threading import local
from typing import Any

_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")
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


def _stemmer() -> Any:
    # a snowball stemmer keeps state while it works, so each thread has its own
    if not hasattr(_per_thread, "stemmer"):
        import snowballstemmer

        _per_thread.stemmer = snowballstemmer.stemmer("english")
    return _per_thread.stemmer


@lru_cache(maxsize=50_000)
def _base_form(word: str) -> str:
    if not word.isascii() or word[0].isdigit():
        return word
    return str(_stemmer().stemWord(_BASE.get(word, word)))


def words(text: str) -> list[str]:
    """The words of a text that carry meaning, in base form and in order.

    Scripts without spaces (Chinese, Japanese) become overlapping pairs of characters.
    """
    found: list[str] = []
    for word in _WORD.findall(_POSSESSIVE.sub("", text.casefold())):
        if word in FILLER:
            continue
        if len(word) > 1 and _is_cjk(word[0]):
            found += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            found.append(_base_form(word[:64]))
    return found


def _is_cjk(char: str) -> bool:
    return "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff"


def bag(text: str) -> Counter[str]:
    """How often each word of a text occurs."""
    return Counter(words(text))
