"""Fits the gate's score on labelled pairs of questions, with cross-validation. NumPy only."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from allotrope.models.cache.features import FEATURES, LINEAR, Learned, features
from allotrope.models.cache.gate import refusal
from allotrope.models.cache.meaning import meaning
from allotrope.models.cache.parse import parse
from allotrope.models.cache.score import Scorer, standardised

Rows = npt.NDArray[np.float64]
Labels = npt.NDArray[np.float64]

BINS = 48
RECALLS = (0.2, 0.4, 0.6)
PRECISIONS = {"strict": 0.92, "balanced": 0.87, "wide": 0.82}


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


@dataclass(frozen=True)
class Fit:
    """How the trees are grown.

    Args:
        forests: How many differently seeded forests are averaged.
        trees: How many in each.
        depth: Of each.
        rate: Learning rate.
        leaf: Least weight (hessian) of a leaf; less where there are few pairs.
        shrink: L2 penalty on leaf values.
        rows: Share of the pairs each tree sees.
        columns: Share of the features each tree sees.
        ridge: L2 penalty on the coefficients of the linear part and of the words' directions.
        seed: Of the random choices.
    """

    forests: int = 3
    trees: int = 300
    depth: int = 3
    rate: float = 0.05
    leaf: float = 20.0
    shrink: float = 8.0
    rows: float = 0.7
    columns: float = 0.3
    ridge: float = 20.0
    seed: int = 7


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


def fit(pairs: Sequence[Pair], how: Fit | None = None) -> Scorer:
    """A scorer fitted on all pairs; its thresholds are not set yet."""
    how = how or Fit()
    labels = np.array([float(pair.same) for pair in pairs])
    learned, rows = _encoded(pairs, labels, how)
    grown = [_boost(rows, labels, how, how.seed + number) for number in range(how.forests)]
    base, split, cut, leaf = zip(*grown, strict=True)
    return Scorer(
        base[0], np.concatenate(split), np.concatenate(cut), np.concatenate(leaf) / how.forests,
        _linear(rows, labels, how), learned, {"strict": 1.0}, {},
    )  # fmt: skip


def _encoded(pairs: Sequence[Pair], labels: Labels, how: Fit) -> tuple[Learned, Rows]:
    """What words say in all pairs, and features for which it was learned without their own pair."""
    rng = np.random.default_rng(how.seed)
    part = rng.integers(0, 5, len(pairs))
    rarity = word_rarity(pairs)
    apart = _apart(pairs, rarity)
    rows = np.empty((len(pairs), len(FEATURES)))
    for number in range(5):
        inside, outside = np.flatnonzero(part == number), np.flatnonzero(part != number)
        weights = word_weights([pairs[i] for i in outside.tolist()])
        slope = _logistic(apart[outside], labels[outside], how.ridge)
        learned = Learned(weights, rarity, slope)
        rows[inside] = table([pairs[i] for i in inside.tolist()], learned)
    return Learned(word_weights(pairs), rarity, _logistic(apart, labels, how.ridge)), rows


def _apart(pairs: Sequence[Pair], rarity: Mapping[str, float]) -> Rows:
    """The cosine of each pair and the direction of what it differs in."""
    return np.array(
        [
            np.append(10 * p.cosine, meaning(parse(p.a), parse(p.b), p.cosine, rarity)[1])
            for p in pairs
        ]
    )


def _linear(rows: Rows, labels: Labels, how: Fit) -> Rows:
    """The linear part; see `Scorer.linear`."""
    mean, scale = rows[:, :LINEAR].mean(0), rows[:, :LINEAR].std(0)
    scale[scale < 1e-9] = 1.0
    slope = _logistic(standardised(rows, mean, scale), labels, how.ridge)
    return np.stack([np.append(0.0, mean), np.append(1.0, scale), slope])


def _logistic(rows: Rows, labels: Labels, ridge: float) -> Rows:
    """Logistic regression with an L2 penalty, by Newton's method; the intercept comes first."""
    ready = np.hstack([np.ones((len(rows), 1)), rows])
    penalty = np.full(ready.shape[1], ridge)
    penalty[0] = 1e-6
    slope = np.zeros(ready.shape[1])
    for _ in range(25):
        chance = 1 / (1 + np.exp(-np.clip(ready @ slope, -30, 30)))
        grad = ready.T @ (labels - chance) - penalty * slope
        curve = (ready.T * (chance * (1 - chance))) @ ready + np.diag(penalty)
        step = np.linalg.solve(curve, grad)
        slope += step
        if float(np.abs(step).max()) < 1e-6:
            break
    return slope


def _boost(rows: Rows, labels: Labels, how: Fit, seed: int) -> tuple[float, Any, Any, Any]:
    """Gradient boosting with complete trees on binned features."""
    rng = np.random.default_rng(seed)
    edges = [np.unique(np.quantile(column, np.linspace(0, 1, BINS)[1:-1])) for column in rows.T]
    bins = np.stack(
        [np.searchsorted(at, column) for at, column in zip(edges, rows.T, strict=True)], axis=1
    )
    count, width = rows.shape
    inner, leaves = 2**how.depth - 1, 2**how.depth
    share = float(np.clip(labels.mean(), 0.01, 0.99))
    base = float(np.log(share / (1 - share)))
    margin = np.full(count, base)
    split = np.zeros((how.trees, inner), dtype=np.int64)
    cut = np.full((how.trees, inner), np.inf)
    leaf = np.zeros((how.trees, leaves))
    for tree in range(how.trees):
        chance = 1 / (1 + np.exp(-margin))
        grad, hess = labels - chance, chance * (1 - chance)
        seen = rng.random(count) < how.rows
        grad, hess = np.where(seen, grad, 0.0), np.where(seen, hess, 0.0)
        columns = np.sort(rng.choice(width, max(1, int(width * how.columns)), replace=False))
        node = np.zeros(count, dtype=np.int64)
        for level in range(how.depth):
            _grow(bins, edges, grad, hess, node, columns, level, how, split[tree], cut[tree])
            inside = node + 2**level - 1
            right = rows[np.arange(count), split[tree, inside]] > cut[tree, inside]
            node = 2 * node + right
        sums = np.bincount(node, grad, leaves), np.bincount(node, hess, leaves)
        leaf[tree] = how.rate * sums[0] / (sums[1] + how.shrink)
        margin += leaf[tree, node]
    return base, split, cut, leaf


def _grow(
    bins: Any, edges: Any, grad: Rows, hess: Rows, node: Any, columns: Any, level: int, how: Fit,
    split: Any, cut: Any,
) -> None:  # fmt: skip
    """Finds the best split of every node of one level."""
    nodes, wide = 2**level, len(columns)
    place = (node[:, None] * wide + np.arange(wide)) * BINS + bins[:, columns]
    size = nodes * wide * BINS
    g = np.bincount(place.ravel(), np.repeat(grad, wide), size).reshape(nodes, wide, BINS)
    h = np.bincount(place.ravel(), np.repeat(hess, wide), size).reshape(nodes, wide, BINS)
    g_left, h_left = g.cumsum(2), h.cumsum(2)
    g_all, h_all = g_left[..., -1:], h_left[..., -1:]
    gain = (
        g_left**2 / (h_left + how.shrink)
        + (g_all - g_left) ** 2 / (h_all - h_left + how.shrink)
        - g_all**2 / (h_all + how.shrink)
    )
    least = min(how.leaf, len(node) / 300)
    gain[(h_left < least) | (h_all - h_left < least)] = -1.0
    for number in range(nodes):
        best = int(gain[number].argmax())
        column, at = columns[best // BINS], best % BINS
        if gain[number].flat[best] > 1e-6 and at < len(edges[column]):
            split[2**level - 1 + number] = column
            cut[2**level - 1 + number] = edges[column][at]


def cross_validate(
    pairs: Sequence[Pair],
    how: Fit | None = None,
    *,
    folds: int = 5,
    told: Callable[[int], None] = lambda _: None,
) -> Labels:
    """Scores of all pairs by scorers that never saw them; what the hard rules refuse gets -1.

    Pairs that share a question stay in one fold.
    """  # fmt: skip
    how = how or Fit()
    group = _groups(pairs)
    if len(set(group)) < 2 * folds:  # everything hangs together: split it all the same
        group = list(range(len(pairs)))
    rng = np.random.default_rng(how.seed)
    fold_of = {name: int(rng.integers(0, folds)) for name in sorted(set(group))}
    fold = np.array([fold_of[name] for name in group])
    scores = np.zeros(len(pairs))
    for number in range(folds):
        inside = np.flatnonzero(fold == number)
        scorer = fit([pairs[i] for i in np.flatnonzero(fold != number).tolist()], how)
        held = [pairs[i] for i in inside.tolist()]
        scores[inside] = scorer.scores(table(held, scorer.learned))
        told(number)
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


def calibrate(pairs: Sequence[Pair], how: Fit | None = None, *, folds: int = 5) -> Scorer:
    """A scorer with thresholds from cross-validation.

    Args:
        pairs: Labelled; a few thousand make a good fit, two hundred are the least.
        how: How the trees are grown.
        folds: Of the cross-validation.
    """
    labels = np.array([float(pair.same) for pair in pairs])
    scores = cross_validate(pairs, how, folds=folds)
    scorer = fit(pairs, how)
    cosines = np.array([pair.cosine for pair in pairs])
    measured = {
        "pairs": len(pairs),
        "folds": folds,
        "precision": {str(r): round(precision_at(scores, labels, r)[0], 4) for r in RECALLS},
        "precision_by_cosine": {
            str(r): round(precision_at(cosines, labels, r)[0], 4) for r in RECALLS
        },
        "refused_same": round(float((labels * (scores < 0)).sum() / max(1, labels.sum())), 4),
    }
    return Scorer(
        scorer.base, scorer.split, scorer.cut, scorer.leaf, scorer.linear, scorer.learned,
        thresholds(scores, labels), measured,
    )  # fmt: skip
