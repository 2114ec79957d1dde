"""Which words of a language are small, and which say that something changed (`languages.yaml`).

Whether a correction corrects a statement is decided by comparing the two, whatever the language;
a cue only says that it is worth comparing. A language that the file doesn't have has no cues.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from allotrope.memory.recall.sentences import tokens

CUES = ("wrong", "changed", "ended", "contrast", "decided", "allowed")


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
    found = {one.strip() for one in getattr(language, kind).split(",")}
    longest_first = sorted(found, key=lambda one: (-len(one), one))
    phrases = "|".join(re.escape(one) for one in longest_first)
    return phrases if language.unspaced else rf"(?<!\w)(?:{phrases})(?!\w)"


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

    def hits(code: str) -> int:
        small = listed("small", code) | listed("being", code) | persons(code).keys()
        return 2 * len(found & small) + any(
            cue(kind, code).search(letters) is not None for kind in ("wrong", "changed", "ended")
        )

    return max(codes, key=hits)


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
