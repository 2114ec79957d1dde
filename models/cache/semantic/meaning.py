"""How near the words of two questions are in meaning, by vectors of single words.

The vectors of whole questions come from the user's embeddings and are asked over the network; those
of words lie in the package (`stores/word_vectors.py`), so that the gate sees which word of one
question has no counterpart in the other.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt

import numpy as np
import numpy.typing as npt

from allotrope.models.cache.semantic.parse import ParsedQuestion
from allotrope.models.cache.semantic.phrasing import alike
from allotrope.models.cache.semantic.words import STOPWORDS
from allotrope.stores.word_vectors import word_vectors

Vector = npt.NDArray[np.float64]

DIMENSIONS = 48
"""Of a word's vector."""

MEANING = (
    "gap_peak_least", "gap_peak_most", "gap_least", "extra_match_least", "extra_match_best",
    "centre", "all_match_least", "cosine_by_centre",
)  # fmt: skip

MISSPELLED = 0.6
"""So alike two words must be spelled to count as near when one of them is unknown."""

_ENDINGS = (
    ("s", ""), ("es", ""), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("ies", "y"),
    ("'t", ""), ("ly", ""),
)  # fmt: skip
_UNKNOWN = np.zeros(DIMENSIONS)


def meaning(
    a: ParsedQuestion, b: ParsedQuestion, cosine: float, rarity: Mapping[str, float]
) -> tuple[list[float], Vector]:
    """The features named in `MEANING`, and what the questions differ in, as a direction.

    Args:
        a: One question.
        b: The other.
        cosine: Similarity of the vectors of the whole questions.
        rarity: Inverse document frequency of stems; of unknown ones under `""`.

    Returns:
        The features, and 2 × `DIMENSIONS` numbers: the sum of the vectors of the words that one
        side only has, and how far apart both sides' sums are, each word by how little it is
        matched. Both are the same whichever question comes first.
    """
    words_a, words_b = _content(a), _content(b)
    ours, theirs = list(words_a), list(words_b)
    if not ours or not theirs:
        return [0.0] * len(MEANING), np.zeros(2 * DIMENSIONS)
    left, right = _vectors(tuple(ours)), _vectors(tuple(theirs))
    near = left @ right.T
    _spelling(near, ours, theirs, left, right)
    usual = rarity.get("", 1.0)
    rare_a = np.array([rarity.get(words_a[word], usual) for word in ours])
    rare_b = np.array([rarity.get(words_b[word], usual) for word in theirs])
    match_a, match_b = near.max(1), near.max(0)
    gaps_a, gaps_b = (1 - match_a) * rare_a, (1 - match_b) * rare_b
    sum_a, sum_b = rare_a @ left, rare_b @ right
    extra_a = [place for place, word in enumerate(ours) if word not in words_b]
    extra_b = [place for place, word in enumerate(theirs) if word not in words_a]
    if extra_a and extra_b:
        apart = near[extra_a][:, extra_b]
        extras = [min(apart.max(1).min(), apart.max(0).min()), apart.max()]
    else:
        extras = [0.5 if extra_a or extra_b else 1.0] * 2
    centre = _cosine(sum_a, sum_b)
    every = _vectors(tuple(dict.fromkeys(a.words))) @ _vectors(tuple(dict.fromkeys(b.words))).T
    found = [
        *sorted((gaps_a.max(), gaps_b.max())), min(gaps_a.sum(), gaps_b.sum()), *extras, centre,
        min(every.max(1).mean(), every.max(0).mean()), centre * cosine,
    ]  # fmt: skip
    only_a = (1 - match_a[extra_a]) @ left[extra_a]
    only_b = (1 - match_b[extra_b]) @ right[extra_b]
    return found, np.concatenate([only_a + only_b, np.abs(only_a - only_b)])


def _content(question: ParsedQuestion) -> dict[str, str]:
    """The words that are no stopwords, each with its stem; all words where there are no others."""
    pairs = dict(zip(question.words, question.stems, strict=True))
    return {word: stem for word, stem in pairs.items() if word not in STOPWORDS} or pairs


def _spelling(
    near: Vector, ours: Sequence[str], theirs: Sequence[str], left: Vector, right: Vector
) -> None:
    """Puts in what vectors can't say: the same word is the same, an unknown one may be misspelled.

    `near` is changed in place.
    """
    known_a, known_b = (np.any(rows, axis=1).tolist() for rows in (left, right))
    unknown = [column for column, known in enumerate(known_b) if not known]
    place = {word: column for column, word in enumerate(theirs)}
    for row, word in enumerate(ours):
        if word in place:
            near[row, place[word]] = 1.0
        if len(word) <= 3:
            continue
        for column in unknown if known_a[row] else range(len(theirs)):
            if theirs[column] != word:
                likeness = alike(word, theirs[column])
                near[row, column] = likeness if likeness > MISSPELLED else 0.0


def likeness(one: str, other: str) -> float:
    """How near two English words are in meaning: the cosine of their vectors; 0 for unknown ones.

    Args:
        one: In small letters.
        other: The same.
    """
    return _cosine(_vector(one), _vector(other))


def is_word(word: str) -> bool:
    """Whether a word, in small letters, is among those that have a vector."""
    return word in word_vectors()[0]


def _cosine(one: Vector, two: Vector) -> float:
    return float(one @ two) / (sqrt(float(one @ one) * float(two @ two)) + 1e-9)


@lru_cache(maxsize=20_000)
def _vectors(words: tuple[str, ...]) -> Vector:
    """A row for each word, zeros for an unknown one. Nobody may change it."""
    return np.array([_vector(word) for word in words]).reshape(len(words), DIMENSIONS)


@lru_cache(maxsize=50_000)
def _vector(word: str) -> Vector:
    table, rows = word_vectors()
    row = table.get(word)
    if row is None and len(word) > 4:
        for ending, instead in _ENDINGS:
            if word.endswith(ending):
                row = table.get(word[: -len(ending)] + instead)
                if row is not None:
                    break
    return _UNKNOWN if row is None else rows[row] / 127.0
