"""What the gate's score is fitted with: boosted trees and logistic regression. NumPy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]
Labels = npt.NDArray[np.float64]

BINS = 48


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


def logistic(rows: Rows, labels: Labels, ridge: float) -> Rows:
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


def boost(rows: Rows, labels: Labels, how: Fit, seed: int) -> tuple[float, Any, Any, Any]:
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
