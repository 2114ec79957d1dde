"""Fits the gate's score on labelled pairs of questions, with cross-validation."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
import numpy.typing as npt

from allotrope.models.cache.semantic.features import FEATURES, Learned, apart, features
from allotrope.models.cache.semantic.fitting.learners import Fit, Labels, Rows, boost, logistic
from allotrope.models.cache.semantic.gate import refusal
from allotrope.models.cache.semantic.meaning import meaning
from allotrope.models.cache.semantic.parse import parse
from allotrope.models.cache.semantic.score import TreeScorer, standardised

Places = npt.NDArray[np.intp]

RECALLS = (0.2, 0.4, 0.6)
PRECISIONS = {"strict": 0.92, "balanced": 0.87, "wide": 0.83}


@dataclass(frozen=True)
class Pair:
    """A labelled pair.

    Args:
        a: One question.
        b: The other.
        cosine: Similarity of their vectors.
        same: Whether both ask the same.
    """

    a: str
    b: str
    cosine: float
    same: bool


def word_weights(
    pairs: Sequence[Pair], *, least: int = 8, strength: float = 12.0
) -> dict[str, float]:
    """Log-odds of `same` by each word that one question has and the other hasn't, shrunk to 0.

    `quickly` more or less leaves the question the same; `difference` does not.
    """
    same: dict[str, float] = {}
    seen: dict[str, int] = {}
    near = [pair for pair in pairs if pair.cosine > 0.6] or list(pairs)
    base = min(0.99, max(0.01, sum(pair.same for pair in near) / max(1, len(near))))
    for pair in near:
        a, b = set(parse(pair.a).stems), set(parse(pair.b).stems)
        differing = a ^ b
        for word in differing:
            seen[word] = seen.get(word, 0) + 1
            same[word] = same.get(word, 0.0) + pair.same
    weights = {}
    prior = np.log(base / (1 - base))
    rare = [word for word, count in seen.items() if count < least]
    for word, count in seen.items():
        if count >= least:
            share = (same[word] + strength * base) / (count + strength)
            weights[word] = float(np.log(share / (1 - share)) - prior)
    hits = sum(same[word] for word in rare)
    count = sum(seen[word] for word in rare)
    share = (hits + strength * base) / (count + strength)
    weights[""] = float(np.log(share / (1 - share)) - prior)
    return weights


def word_rarity(pairs: Sequence[Pair]) -> dict[str, float]:
    """Inverse document frequency of the stems in all questions; labels aren't looked at."""
    texts = {text for pair in pairs for text in (pair.a, pair.b)}
    seen = Counter(stem for text in sorted(texts) for stem in set(parse(text).stems))
    size = len(texts) + 1
    rarity = {stem: float(np.log(size / (n + 1))) for stem, n in seen.items() if n > 1}
    return {**rarity, "": float(np.log(size / 1.5))}


def table(pairs: Sequence[Pair], learned: Learned) -> Rows:
    """The features of all pairs."""
    return np.array([features(parse(p.a), parse(p.b), p.cosine, learned) for p in pairs])


def fit(pairs: Sequence[Pair], how: Fit | None = None, *, also: Sequence[Pair] = ()) -> TreeScorer:
    """A scorer fitted on all pairs; its thresholds are not set yet.

    Args:
        pairs: What is said of single words is learned from these alone.
        how: How it is fitted.
        also: Pairs of another kind, such as a support desk's. Every third judge sees
            them: each is better on its own kind, and the mean is good on both.
    """
    how = how or Fit()
    labels = np.array([float(pair.same) for pair in pairs])
    learned, rows = _encoded(pairs, labels, how)
    kinds = [(rows, labels)]
    judged = [pair for pair in also if refusal(parse(pair.a), parse(pair.b)) is None]
    if judged:
        more = np.array([float(pair.same) for pair in judged])
        everything = np.concatenate([rows, table(judged, learned)]), np.append(labels, more)
        kinds = [*kinds, *kinds, everything]
    grown = [
        boost(*kind, how, how.seed + number)
        for number, kind in enumerate(list(islice(cycle(kinds), how.forests)))
    ]
    base, split, cut, leaf = zip(*grown, strict=True)
    return TreeScorer(
        float(np.mean(base)), np.concatenate(split), np.concatenate(cut),
        np.concatenate(leaf) / len(grown), _linear(kinds, how), learned, {"strict": 1.0}, {},
    )  # fmt: skip


def _encoded(pairs: Sequence[Pair], labels: Labels, how: Fit) -> tuple[Learned, Rows]:
    """What words say in all pairs, and features for which it was learned without their own pair."""
    rng = np.random.default_rng(how.seed)
    part = rng.integers(0, 5, len(pairs))
    rarity = word_rarity(pairs)
    aside = _apart(pairs, rarity)
    rows = np.empty((len(pairs), len(FEATURES)))
    for number in range(5):
        inside, outside = np.flatnonzero(part == number), np.flatnonzero(part != number)
        weights = word_weights([pairs[i] for i in outside.tolist()])
        slope = logistic(aside[outside], labels[outside], how.ridge)
        learned = Learned(weights, rarity, slope)
        rows[inside] = table([pairs[i] for i in inside.tolist()], learned)
    return Learned(word_weights(pairs), rarity, logistic(aside, labels, how.ridge)), rows


def _apart(pairs: Sequence[Pair], rarity: Mapping[str, float]) -> Rows:
    """The cosine of each pair and the direction of what it differs in."""
    return np.array(
        [apart(p.cosine, meaning(parse(p.a), parse(p.b), p.cosine, rarity)[1]) for p in pairs]
    )


def _linear(kinds: Sequence[tuple[Rows, Labels]], how: Fit) -> Rows:
    """The linear part, a mean over kinds of pairs; see `TreeScorer.linear`."""
    rows = kinds[-1][0]
    mean, scale = rows.mean(0), rows.std(0)
    scale[scale < 1e-9] = 1.0
    slopes = [logistic(standardised(seen, mean, scale), y, how.ridge) for seen, y in kinds]
    return np.stack([np.append(0.0, mean), np.append(1.0, scale), np.mean(slopes, axis=0)])


def held_out(
    pairs: Sequence[Pair],
    how: Fit | None = None,
    *,
    folds: int = 5,
    also: Sequence[Pair] = (),
) -> Iterator[tuple[Places, TreeScorer]]:
    """The places of each fold's pairs, and a scorer fitted on all others.

    Pairs that share a question stay in one fold.

    Args:
        pairs: What is divided.
        how: How each is fitted.
        folds: How many.
        also: Pairs of another kind that every scorer is fitted on, too; none of them is judged.
    """
    how = how or Fit()
    group = _groups(pairs)
    if len(set(group)) < 2 * folds:  # everything hangs together: split it all the same
        group = list(range(len(pairs)))
    rng = np.random.default_rng(how.seed)
    fold_of = {name: int(rng.integers(0, folds)) for name in sorted(set(group))}
    fold = np.array([fold_of[name] for name in group])
    for number in range(folds):
        rest = [pairs[i] for i in np.flatnonzero(fold != number).tolist()]
        yield np.flatnonzero(fold == number), fit(rest, how, also=also)


def validated(pairs: Sequence[Pair], folds: Iterable[tuple[Places, TreeScorer]]) -> Labels:
    """Scores of all pairs by scorers that never saw them; what the hard rules refuse gets -1.

    Args:
        pairs: All of them.
        folds: What `held_out` gave for them.
    """
    scores = np.zeros(len(pairs))
    for inside, scorer in folds:
        held = [pairs[i] for i in inside.tolist()]
        scores[inside] = scorer.scores(table(held, scorer.learned))
    refused = np.array([refusal(parse(p.a), parse(p.b)) is not None for p in pairs])
    scores[refused] = -1.0
    return scores


def _groups(pairs: Sequence[Pair]) -> list[int]:
    """A number per pair; pairs linked by a common question have the same."""
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        while parent.setdefault(text, text) != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    for pair in pairs:
        parent[root(pair.a)] = root(pair.b)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(pair.a), len(numbers)) for pair in pairs]


def precision_at(scores: Labels, labels: Labels, recall: float) -> tuple[float, float]:
    """Precision where so much of the same pairs is found, and the score there."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(labels[order])
    place = int(np.searchsorted(found, recall * labels.sum()))
    place = min(place, len(order) - 1)
    return float(found[place] / (place + 1)), float(scores[order[place]])


def thresholds(scores: Labels, labels: Labels) -> dict[str, float]:
    """The lowest score that keeps each precision, by its name; 1 where none does."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(labels[order]) / np.arange(1, len(order) + 1)
    result = {}
    for name, wanted in PRECISIONS.items():
        fine = np.flatnonzero((found >= wanted) & (np.arange(len(order)) >= 30))
        result[name] = round(float(scores[order[fine[-1]]]), 4) if len(fine) else 1.0
    return result


BANDS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
"""Where bands of scores begin."""


def bands(scores: Labels, labels: Labels) -> list[dict[str, float]]:
    """How often the pairs of each band of scores were the same."""
    found = []
    for low, high in zip(BANDS, (*BANDS[1:], 2.0), strict=True):
        inside = (scores >= low) & (scores < high)
        if inside.sum() >= 20:
            precision = round(float(labels[inside].mean()), 3)
            found.append({"from": low, "pairs": int(inside.sum()), "precision": precision})
    return found


def calibrate(
    pairs: Sequence[Pair],
    how: Fit | None = None,
    *,
    folds: int = 5,
    also: Sequence[Pair] = (),
) -> TreeScorer:
    """A scorer with thresholds from cross-validation.

    Args:
        pairs: Labelled; a few thousand make a good fit, two hundred are the least.
        how: How the trees are grown.
        folds: Of the cross-validation.
        also: Pairs of another kind; see `fit`. The thresholds and what is measured come from
            `pairs` alone.
    """
    labels = np.array([float(pair.same) for pair in pairs])
    scores = validated(pairs, held_out(pairs, how, folds=folds, also=also))
    scorer = fit(pairs, how, also=also)
    cosines = np.array([pair.cosine for pair in pairs])
    measured = {
        "pairs": len(pairs),
        "also": len(also),
        "folds": folds,
        "precision": {str(r): round(precision_at(scores, labels, r)[0], 4) for r in RECALLS},
        "precision_by_cosine": {
            str(r): round(precision_at(cosines, labels, r)[0], 4) for r in RECALLS
        },
        "bands": bands(scores, labels),
        "refused_same": round(float((labels * (scores < 0)).sum() / max(1, labels.sum())), 4),
    }
    return replace(scorer, thresholds=thresholds(scores, labels), measured=measured)
