"""Which words of a language are small, and which say that something changed (`languages.yaml`).

Whether a correction corrects a statement is decided by comparing the two, whatever the language;
a cue only says that it is worth comparing. A language that the file doesn't have has no cues.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from allotrope.memory.recall.sentences import tokens

CUES = (
    "wrong", "changed", "ended", "contrast", "decided", "allowed", "unsure", "added", "instead",
    "denied", "but", "ago",
)  # fmt: skip


@dataclass(frozen=True)
class Language:
    """Words of one language, separated by blanks; phrases of cues by commas.

    Args:
        code: As Babel names it, for days and months.
        small: Articles, prepositions, auxiliaries: they say nothing about what is spoken of.
        being: Of these, what stands between a thing and what is said of it.
        persons: Words for first, second and third person.
        wrong: Cues: what was said was a mistake.
        changed: Cues: it is otherwise now.
        ended: Cues: it isn't so any more.
        contrast: Cues: this one instead of that one, which is named too.
        decided: Cues of a decision.
        allowed: Cues of a permission.
        told: Words with which orders begin.
        unsure: Cues: it is planned, wished for, a condition, or what somebody else says.
        added: Cues: it comes on top of what was said.
        instead: Cues before what no longer holds: rather than.
        denied: Cues before what doesn't hold, where `but` or a comma tells what does.
        but: What follows `denied`.
        ago: When something happened, which says nothing of what holds.
        states: What holds until something else does; `is` has its words, `now` tells how it
            begins: moved to, lives in. `sind … gezogen` may have words between.
    """

    code: str
    small: str
    being: str
    persons: tuple[str, str, str]
    wrong: str
    changed: str
    ended: str
    contrast: str
    decided: str
    allowed: str
    told: str
    unspaced: bool = False
    unsure: str = ""
    added: str = ""
    instead: str = ""
    denied: str = ""
    but: str = ""
    ago: str = ""
    states: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class States:
    """States of one language.

    Args:
        forms: By word, the one that stands for its state.
        begun: Patterns of how a state begins, with the word that tells of it.
    """

    forms: Mapping[str, str]
    begun: tuple[tuple[re.Pattern[str], str], ...]


@lru_cache(maxsize=1)
def languages() -> dict[str, Language]:
    """All languages of the file, by their codes."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = Path(__file__).with_name("languages.yaml").read_text("utf-8")
    found = yaml.load(text, Loader=loader)  # noqa: S506 - both loaders are safe ones
    return {
        code: Language(code, **data | {"persons": tuple(data["persons"])})
        for code, data in found.items()
    }


@lru_cache(maxsize=128)
def cue(kind: str, code: str) -> re.Pattern[str]:
    """A pattern that finds the cues of one kind in a language, in folded text.

    Args:
        kind: One of `CUES`.
        code: The language.
    """
    phrases = written(kind, code)
    return re.compile(phrases)


def written(kind: str, code: str) -> str:
    """The expression of `cue`, longest phrases first."""
    language = languages()[code]
    found = {one.strip() for one in getattr(language, kind).split(",")} - {""}
    longest_first = sorted(found, key=lambda one: (-len(one), one))
    phrases = "|".join(map(_phrase, longest_first)) or "(?!)"
    return phrases if language.unspaced else rf"(?<!\w)(?:{phrases})(?!\w)"


def _phrase(words: str) -> str:
    """A phrase, whose words may have commas between them: no, wait."""
    return r"[\s,،]{1,3}".join(map(re.escape, words.split()))


@lru_cache(maxsize=64)
def states(code: str) -> States:
    """What of a language tells of states that one thing has one of at a time: where one lives."""
    language = languages()[code]
    forms: dict[str, str] = {}
    begun: list[tuple[re.Pattern[str], str]] = []
    for state in language.states:
        words = state["is"].split()
        forms |= dict.fromkeys(words, words[0])
        for said, form in state["now"].items():
            first, gap, last = (_phrase(part) for part in said.partition("…"))
            phrases = f"{first}(?P<middle>.{{1,60}}?){last}" if gap else first
            if not language.unspaced:
                phrases = rf"(?<!\w)(?:{phrases})(?!\w)"
            begun.append((re.compile(phrases), form))
    return States(forms, tuple(begun))


@lru_cache(maxsize=64)
def listed(kind: str, code: str) -> frozenset[str]:
    """The words of one kind of one language.

    Args:
        kind: `small`, `being` or `told`.
        code: The language.
    """
    return frozenset(getattr(languages()[code], kind).split())


@lru_cache(maxsize=32)
def persons(code: str) -> dict[str, int]:
    """Which person (1, 2, 3) each pronoun of a language stands for."""
    return {
        form: number
        for number, forms in enumerate(languages()[code].persons, 1)
        for form in forms.split()
    }


TRIGGERS = ("wrong", "changed", "ended")
"""Kinds of cues that make a message worth comparing with earlier ones."""


@cache
def triggers(code: str) -> tuple[re.Pattern[str], ...]:
    """What may tell in a language that something no longer holds."""
    cues = (cue(kind, code) for kind in (*TRIGGERS, "instead"))
    return (*cues, *(pattern for pattern, _ in states(code).begun))


@cache
def small_words(code: str) -> frozenset[str]:
    """The words of a language that say nothing about what is spoken of."""
    return listed("small", code) | listed("being", code) | persons(code).keys()


def language_of(text: str) -> str:
    """The language of a text, as far as it is one of these: by script, small words and cues.

    Args:
        text: Folded.
    """
    letters = text[:_READ]
    codes = next((codes for codes, script in _SCRIPTS if script.search(letters)), _latin())
    if len(codes) == 1:
        return codes[0]
    found = frozenset(tokens(letters))
    shared = {code: len(found & small_words(code)) for code in codes}
    most = max(shared.values())
    near = [code for code in codes if shared[code] == most]
    if len(near) == 1:
        return near[0]
    return max(near, key=lambda code: any(one.search(letters) for one in triggers(code)))


_READ = 400
"""Characters that are enough to tell a language."""
_SCRIPTS = (
    (("ja",), re.compile("[\u3040-\u30ff]")),
    (("ko",), re.compile("[\uac00-\ud7af]")),
    (("zh",), re.compile("[\u3400-\u9fff]")),
    (("ar", "fa"), re.compile("[\u0600-\u06ff]")),
    (("ru",), re.compile("[\u0400-\u04ff]")),
    (("hi",), re.compile("[\u0900-\u097f]")),
)


@lru_cache(maxsize=1)
def _latin() -> tuple[str, ...]:
    other = {code for codes, _ in _SCRIPTS for code in codes}
    return tuple(code for code in languages() if code not in other)
