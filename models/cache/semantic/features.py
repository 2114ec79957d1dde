"""What the score looks at: the features of a pair of questions."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from allotrope.models.cache.semantic.differences import Differences, differences
from allotrope.models.cache.semantic.meaning import MEANING, meaning
from allotrope.models.cache.semantic.parse import KINDS, ParsedQuestion
from allotrope.models.cache.semantic.phrasing import PHRASING, alike, phrasing

Words = Mapping[str, float]
"""A number per stem; of unknown stems under the empty string."""

FEATURES = (
    "cosine", "stem_jaccard", "content_jaccard", "content_dice", "content_contained",
    "gram_jaccard", "extra_least", "extra_most", "extra_letters_least", "extra_letters_most",
    "length_least", "length_most", "length_ratio", "common_order", "same_kind", "kind_a", "kind_b",
    "same_start", "same_end", "names_both", "names_one", "negated", "closest_extra",
    "function_differ", "inversions", "sentences", "bigram_jaccard", "head_extra", "last_extra",
    "word_least", "word_most", "word_sum", "word_mean", "cosine_by_length", "numbers_differ",
    "order_ratio", "words_equal",
    "rare_share", "rare_least", "rare_most", "rarest_least", "rarest_most", "rare_common",
    "rarest_common", "rare_part_least", "rare_part_most", "rare_cosine", "rarest_found",
    "gram4_dice", "gram2_dice", "joined_gram3_dice", "missing_names_least", "missing_names_most",
    "weighty_names_least", "weighty_names_most", "missing_numbers_least", "missing_numbers_most",
    "numbers_both", "negations_differ", "negated_most", "kinds_differ", "opposed",
    "blocks_swapped", "roles_swapped", "same_first", "same_first_two", "same_last_content",
    "same_first_content", "letters_differ", "site_named", "cosine_by_rare", "distance_by_rare",
    "distance_by_length", *MEANING, "difference", *PHRASING,
)  # fmt: skip

LINEAR = FEATURES.index("frame_same")
"""So many features, from the first, are those of the linear part of the score."""


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
    weights, rarity = learned.weights, learned.rarity
    stems_a, stems_b = a.stem_set, b.stem_set
    content_a, content_b = a.content_set, b.content_set
    both = content_a & content_b
    extra_a, extra_b = content_a - content_b, content_b - content_a
    few, many = sorted((extra_a, extra_b), key=lambda extra: (len(extra), sum(map(len, extra))))
    short, long = sorted((len(a.words), len(b.words)))
    kinds = sorted((KINDS.index(a.kind), KINDS.index(b.kind)))
    shared = [stem for stem in a.content if stem in both]
    shared_b = [stem for stem in b.content if stem in both]
    order = float(shared == shared_b) if shared else 0.0
    if shared and not order:
        order = SequenceMatcher(None, shared, shared_b, autojunk=False).ratio()
    matched = SequenceMatcher(None, a.stems, b.stems, autojunk=False)
    functions = (stems_a ^ stems_b) - content_a - content_b
    words_a = sum(weights.get(word, weights.get("", 0.0)) for word in stems_a - stems_b)
    words_b = sum(weights.get(word, weights.get("", 0.0)) for word in stems_b - stems_a)
    differing = max(1, len(stems_a ^ stems_b))
    near, direction = meaning(a, b, cosine, rarity)
    return np.array(
        [
            cosine,
            _jaccard(stems_a, stems_b),
            _jaccard(content_a, content_b),
            2 * len(both) / max(1, len(content_a) + len(content_b)),
            len(both) / max(1, min(len(content_a), len(content_b))),
            _jaccard(a.grams, b.grams),
            len(few),
            len(many),
            sum(map(len, few)),
            sum(map(len, many)),
            short,
            long,
            short / max(1, long),
            order,
            a.kind == b.kind,
            kinds[0],
            kinds[1],
            _prefix(a.stems, b.stems),
            _prefix(a.stems[::-1], b.stems[::-1]),
            len(a.names & b.names),
            len(a.names ^ b.names),
            min(a.negations, b.negations),
            _closest(few, many),
            len(functions),
            _inversions(shared, shared_b),
            min(a.text.count("?"), b.text.count("?")),
            _jaccard(a.pairs, b.pairs),
            max(_first(a, extra_a), _first(b, extra_b)),
            _last_extra(a, extra_a) + _last_extra(b, extra_b),
            min(words_a, words_b),
            max(words_a, words_b),
            words_a + words_b,
            (words_a + words_b) / differing,
            (1 - cosine) * short,
            len(a.numbers ^ b.numbers),
            matched.ratio(),
            sorted(a.content) == sorted(b.content),
            *_by_rarity(a, b, rarity),
            *_by_letters(a, b),
            *_by_rule(a, b, found or differences(a, b)),
            a.words[:1] == b.words[:1],
            a.stems[:2] == b.stems[:2],
            a.content[-1:] == b.content[-1:],
            a.content[:1] == b.content[:1],
            abs(len(a.text) - len(b.text)),
            ("quora" in a.words) + ("quora" in b.words),
            *_by_distance(a, b, cosine, rarity),
            *near,
            _difference(apart(cosine, direction), learned.slope),
            *phrasing(a, b, rarity, matched),
        ],
        dtype=np.float64,
    )  # fmt: skip


def apart(cosine: float, direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What `Learned.slope` weighs: the cosine, scaled to lie among the rest, and the direction."""
    return np.append(10 * cosine, direction)


def _difference(apart: npt.NDArray[np.float64], slope: npt.NDArray[np.float64]) -> float:
    """Log-odds of `same` by the cosine and by what the questions differ in."""
    return float(slope[0] + slope[1:] @ apart)


def _jaccard(a: Set[Any], b: Set[Any]) -> float:
    both = len(a & b)
    whole = len(a) + len(b) - both
    return both / whole if whole else 1.0


def _prefix(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    count = 0
    for first, second in zip(a, b, strict=False):
        if first != second:
            break
        count += 1
    return count


def _closest(few: frozenset[str], many: frozenset[str]) -> float:
    """How alike the differing words are spelled: typos and other forms come near 1."""
    if not many:
        return 1.0
    if not few:
        return 0.0
    best = [max(alike(word, other) for other in sorted(many)[:8]) for word in sorted(few)[:8]]
    return sum(best) / len(best)


def _inversions(shared: list[str], other: list[str]) -> float:
    """Share of pairs of common words that stand the other way round."""
    place = {stem: index for index, stem in enumerate(other)}
    order = [place[stem] for stem in dict.fromkeys(shared)]
    count = len(order) * (len(order) - 1) // 2
    turned = sum(x > y for i, x in enumerate(order) for y in order[i + 1 :])
    return turned / count if count else 0.0


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
    sums = sorted((sum(extra_a), sum(extra_b)))
    peaks = sorted((max(extra_a, default=0.0), max(extra_b, default=0.0)))
    both = sum(common)
    parts = sorted(sum(extra) / (both + sum(extra) + 1e-9) for extra in (extra_a, extra_b))
    length = sum(weigh[s] ** 2 for s in ours) * sum(weigh[s] ** 2 for s in theirs)
    heads = [max(sorted(stems), key=weigh.__getitem__, default="") for stems in (ours, theirs)]
    return [
        both / (both + sum(sums) + 1e-9), *sums, *peaks, both, max(common, default=0.0), *parts,
        sum(value**2 for value in common) / (float(np.sqrt(length)) + 1e-9),
        (heads[0] in theirs) + (heads[1] in ours),
    ]  # fmt: skip


def _by_distance(a: ParsedQuestion, b: ParsedQuestion, cosine: float, rarity: Words) -> list[float]:
    usual = rarity.get("", 1.0)
    ours, theirs = a.content_set, b.content_set
    both = sum(rarity.get(stem, usual) for stem in ours & theirs)
    one = sum(rarity.get(stem, usual) for stem in ours - theirs)
    two = sum(rarity.get(stem, usual) for stem in theirs - ours)
    far = 1 - cosine
    return [
        cosine * both / (both + one + two + 1e-9),
        far * max(one, two),
        far * (len(a.words) + len(b.words)),
    ]


def _by_letters(a: ParsedQuestion, b: ParsedQuestion) -> list[float]:
    shares = []
    for ours, theirs in zip(a.pieces, b.pieces, strict=True):
        both = sum(min(times, theirs[run]) for run, times in ours.items() if run in theirs)
        shares.append(2 * both / max(1, ours.total() + theirs.total()))
    return shares


def _by_rule(a: ParsedQuestion, b: ParsedQuestion, found: Differences) -> list[float]:
    """What the hard rules look at, in numbers."""
    names = sorted(map(len, found.names))
    weighty = sorted(map(len, found.weighty))
    numbers = sorted((len(a.numbers - b.numbers), len(b.numbers - a.numbers)))
    return [
        *names, *weighty, *numbers, len(a.numbers & b.numbers), abs(a.negations - b.negations),
        max(a.negations, b.negations), found.kinds, found.opposed, found.blocks, found.roles,
    ]  # fmt: skip
