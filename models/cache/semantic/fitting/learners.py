"""What the gate's score is fitted with: scikit-learn. It is needed to fit, never to score.

What it finds is turned into plain arrays, which `score.TreeScorer` walks with NumPy.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from allotrope.exceptions import SettingsError
from allotrope.support.extras import install

Rows = npt.NDArray[np.float64]
Labels = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """How the trees are grown; the names in brackets are scikit-learn's.

    Args:
        forests: How many differently seeded forests are averaged; every third
            sees pairs of another kind, too.
        trees: How many in each (`n_estimators`).
        depth: Of each (`max_depth`).
        rate: Learning rate (`learning_rate`).
        leaf: Fewest pairs in a leaf (`min_samples_leaf`); fewer where there are few pairs.
        rows: Share of the pairs each tree sees (`subsample`).
        columns: Share of the features each split sees (`max_features`).
        ridge: L2 penalty on the coefficients of the linear part and of the words' directions (1/C).
        seed: Of the random choices.
    """

    forests: int = 3
    trees: int = 300
    depth: int = 3
    rate: float = 0.05
    leaf: int = 20
    rows: float = 0.7
    columns: float = 0.3
    ridge: float = 50.0
    seed: int = 7


def _sklearn() -> tuple[Any, Any]:
    try:
        from sklearn.ensemble import GradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
    except ImportError as exc:
        raise SettingsError(
            "Fitting the semantic gate needs scikit-learn.", hint=install("calibrate")
        ) from exc
    return GradientBoostingClassifier, LogisticRegression


def logistic(rows: Rows, labels: Labels, ridge: float) -> Rows:
    """Logistic regression with an L2 penalty; the intercept comes first.

    Raises:
        SettingsError: scikit-learn is missing.
    """
    if len(set(labels.tolist())) < 2:
        return np.zeros(rows.shape[1] + 1)
    _, regression = _sklearn()
    fitted = regression(C=1 / ridge, max_iter=500).fit(rows, labels)
    found: Rows = np.append(fitted.intercept_, fitted.coef_[0])
    return found


def boost(rows: Rows, labels: Labels, how: Fit, seed: int) -> tuple[float, Any, Any, Any]:
    """Gradient boosting, written down as complete trees.

    Returns:
        The log-odds before any tree; feature and cut of each inner node, trees × nodes; the
        log-odds of each leaf, trees × leaves.

    Raises:
        SettingsError: scikit-learn is missing.
    """
    boosting, _ = _sklearn()
    fitted = boosting(
        n_estimators=how.trees,
        max_depth=how.depth,
        learning_rate=how.rate,
        min_samples_leaf=max(1, min(how.leaf, len(rows) // 50)),
        subsample=how.rows,
        max_features=how.columns,
        random_state=seed,
    ).fit(rows, labels)
    share = float(labels.mean())
    inner, leaves = 2**how.depth - 1, 2**how.depth
    split = np.zeros((how.trees, inner), dtype=np.int64)
    cut = np.full((how.trees, inner), np.inf)
    leaf = np.zeros((how.trees, leaves))
    for number, grown in enumerate(fitted.estimators_[:, 0]):
        _complete(grown.tree_, 0, 0, split[number], cut[number], leaf[number], inner)
    return float(np.log(share / (1 - share))), split, cut, how.rate * leaf


def _complete(
    tree: Any, node: int, place: int, split: Any, cut: Any, leaf: Any, inner: int
) -> None:
    """Writes a node and what is below it; a leaf that comes early has its value on the left."""
    ends = tree.children_left[node] < 0
    if place >= inner:
        leaf[place - inner] = tree.value[node].ravel()[0]
        return
    if not ends:
        split[place], cut[place] = tree.feature[node], tree.threshold[node]
    left, right = (node, node) if ends else (tree.children_left[node], tree.children_right[node])
    _complete(tree, left, 2 * place + 1, split, cut, leaf, inner)
    _complete(tree, right, 2 * place + 2, split, cut, leaf, inner)
