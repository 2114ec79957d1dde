"""What the score looks at: the features of a pair of questions.

They are half of those that were tried: the fifty that a boosted forest and a logistic regression
both lean on most. The other half brought nothing in cross-validation.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from allotrope.models.cache.semantic.differences import Differences, missing_names
from allotrope.models.cache.semantic.meaning import MEANING, meaning
from allotrope.models.cache.semantic.parse import ParsedQuestion
from allotrope.models.cache.semantic.phrasing import PHRASING, alike, phrasing

Words = Mapping[str, float]
"""A number per stem; of unknown stems under the empty string."""

WORDS = (
    "stem_jaccard", "content_jaccard", "content_dice", "gram_jaccard", "bigram_jaccard",
    "gram4_dice", "extra_most", "length_least", "common_order", "order_ratio", "closest_extra",
    "head_extra", "last_extra", "same_last_content", "missing_names_least",
    "missing_numbers_least", "numbers_both", "site_named",
)  # fmt: skip
LEARNED = ("word_most", "word_sum", "word_mean", "difference")
RARITY = (
    "rare_share", "rarest_least", "rarest_most", "rarest_common", "rare_part_least",
    "rare_part_most", "rare_cosine",
)  # fmt: skip
DISTANCE = ("cosine", "cosine_by_length", "cosine_by_rare", "distance_by_rare",
            "distance_by_length")  # fmt: skip
FEATURES = (*DISTANCE, *WORDS, *LEARNED, *RARITY, *MEANING, *PHRASING)


@dataclass(frozen=True)
class Learned:
    """What single words say, fitted on questions.

    Args:
        weights: What a differing word says, in log-odds; of unknown words under `""`.
        rarity: Inverse document frequency of stems; of unknown ones under `""`.
        slope: Log-odds by the cosine and by what the questions differ in: an intercept, the cosine,
            and the direction of `meaning.meaning`.
    """

    weights: Words
    rarity: Words
    slope: npt.NDArray[np.float64]


def features(
    a: ParsedQuestion,
    b: ParsedQuestion,
    cosine: float,
    learned: Learned,
    found: Differences | None = None,
) -> npt.NDArray[np.float64]:
    """The features of a pair, the same whichever comes first; see `FEATURES`.

    Args:
        a: One question.
        b: The other.
        cosine: Similarity of their vectors.
        learned: What single words say.
        found: What they differ in by rule, where it is known already.
    """
    matched = SequenceMatcher(None, a.stems, b.stems, autojunk=False)
    near, direction = meaning(a, b, cosine, learned.rarity)
    values = [
        *_by_distance(a, b, cosine, learned.rarity),
        *_by_words(a, b, matched, found),
        *_by_weights(a, b, learned.weights),
        _difference(apart(cosine, direction), learned.slope),
        *_by_rarity(a, b, learned.rarity),
        *near,
        *phrasing(a, b, learned.rarity, matched),
    ]
    return np.array(values, dtype=np.float64)


def apart(cosine: float, direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What `Learned.slope` weighs: the cosine, scaled to lie among the rest, and the direction."""
    return np.append(10 * cosine, direction)


def _difference(apart: npt.NDArray[np.float64], slope: npt.NDArray[np.float64]) -> float:
    """Log-odds of `same` by the cosine and by what the questions differ in."""
    return float(slope[0] + slope[1:] @ apart)


def _by_words(
    a: ParsedQuestion,
    b: ParsedQuestion,
    matched: "SequenceMatcher[str]",
    found: Differences | None,
) -> list[float]:
    """The features named in `WORDS`."""
    content_a, content_b = a.content_set, b.content_set
    both = content_a & content_b
    extra_a, extra_b = content_a - content_b, content_b - content_a
    few, many = sorted((extra_a, extra_b), key=lambda extra: (len(extra), sum(map(len, extra))))
    shared = [stem for stem in a.content if stem in both]
    shared_b = [stem for stem in b.content if stem in both]
    order = float(shared == shared_b) if shared else 0.0
    if shared and not order:
        order = SequenceMatcher(None, shared, shared_b, autojunk=False).ratio()
    names = found.names if found else (missing_names(a, b), missing_names(b, a))
    return [
        _jaccard(a.stem_set, b.stem_set), _jaccard(content_a, content_b),
        2 * len(both) / max(1, len(content_a) + len(content_b)), _jaccard(a.grams, b.grams),
        _jaccard(a.pairs, b.pairs), _fours(a, b), len(many), min(len(a.words), len(b.words)),
        order, matched.ratio(), _closest(few, many), max(_first(a, extra_a), _first(b, extra_b)),
        _last_extra(a, extra_a) + _last_extra(b, extra_b), a.content[-1:] == b.content[-1:],
        min(map(len, names)), min(len(a.numbers - b.numbers), len(b.numbers - a.numbers)),
        len(a.numbers & b.numbers), ("quora" in a.words) + ("quora" in b.words),
    ]  # fmt: skip


def _by_weights(a: ParsedQuestion, b: ParsedQuestion, weights: Words) -> list[float]:
    """What the differing words say, as far as it was learned."""
    usual = weights.get("", 0.0)
    ours = sum(weights.get(word, usual) for word in a.stem_set - b.stem_set)
    theirs = sum(weights.get(word, usual) for word in b.stem_set - a.stem_set)
    differing = max(1, len(a.stem_set ^ b.stem_set))
    return [max(ours, theirs), ours + theirs, (ours + theirs) / differing]


def _jaccard(a: Set[Any], b: Set[Any]) -> float:
    both = len(a & b)
    whole = len(a) + len(b) - both
    return both / whole if whole else 1.0


def _closest(few: frozenset[str], many: frozenset[str]) -> float:
    """How alike the differing words are spelled: typos and other forms come near 1."""
    if not many:
        return 1.0
    if not few:
        return 0.0
    best = [max(alike(word, other) for other in sorted(many)[:8]) for word in sorted(few)[:8]]
    return sum(best) / len(best)


def _last_extra(question: ParsedQuestion, extra: frozenset[str]) -> int:
    return int(bool(question.content) and question.content[-1] in extra)


def _first(question: ParsedQuestion, extra: frozenset[str]) -> float:
    """How early the first differing word stands, 1 at the start, 0 when there is none."""
    for index, stem in enumerate(question.content):
        if stem in extra:
            return 1 - index / len(question.content)
    return 0.0


def _by_rarity(a: ParsedQuestion, b: ParsedQuestion, rarity: Words) -> list[float]:
    """How much of what is rare both say, and how rare the words are that only one says."""
    usual = rarity.get("", 1.0)
    ours, theirs = a.content_set, b.content_set
    weigh = {stem: rarity.get(stem, usual) for stem in ours | theirs}
    common = [weigh[stem] for stem in ours & theirs]
    extra_a = [weigh[stem] for stem in ours - theirs]
    extra_b = [weigh[stem] for stem in theirs - ours]
    both = sum(common)
    peaks = sorted((max(extra_a, default=0.0), max(extra_b, default=0.0)))
    parts = sorted(sum(extra) / (both + sum(extra) + 1e-9) for extra in (extra_a, extra_b))
    length = sum(weigh[s] ** 2 for s in ours) * sum(weigh[s] ** 2 for s in theirs)
    return [
        both / (both + sum(extra_a) + sum(extra_b) + 1e-9), *peaks, max(common, default=0.0),
        *parts, sum(value**2 for value in common) / (float(np.sqrt(length)) + 1e-9),
    ]  # fmt: skip


def _by_distance(a: ParsedQuestion, b: ParsedQuestion, cosine: float, rarity: Words) -> list[float]:
    """The cosine, alone and by how much the questions say."""
    usual = rarity.get("", 1.0)
    ours, theirs = a.content_set, b.content_set
    both = sum(rarity.get(stem, usual) for stem in ours & theirs)
    one = sum(rarity.get(stem, usual) for stem in ours - theirs)
    two = sum(rarity.get(stem, usual) for stem in theirs - ours)
    far = 1 - cosine
    return [
        cosine, far * min(len(a.words), len(b.words)), cosine * both / (both + one + two + 1e-9),
        far * max(one, two), far * (len(a.words) + len(b.words)),
    ]  # fmt: skip


def _fours(a: ParsedQuestion, b: ParsedQuestion) -> float:
    """How many runs of four letters both have."""
    ours, theirs = a.fours, b.fours
    both = sum(min(times, theirs[run]) for run, times in ours.items() if run in theirs)
    return 2 * both / max(1, ours.total() + theirs.total())
