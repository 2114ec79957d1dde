"""The calibrated score: how likely two questions ask the same, by features of both.

It is a mean of two judges that err differently, boosted trees and a logistic regression. They are
evaluated with NumPy from a JSON file; `allotrope cache calibrate` fits another.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from allotrope.exceptions import InputError
from allotrope.models.cache.semantic.differences import Differences
from allotrope.models.cache.semantic.features import FEATURES, Learned, features
from allotrope.models.cache.semantic.parse import ParsedQuestion
from allotrope.models.cache.semantic.rules import language
from allotrope.stores.word_vectors import word_vectors

FORMAT = "allotrope-gate-5"

LINEAR_SHARE = 1 / 3
"""How much of the score the linear part has; the trees have the rest."""

MOST_DEVIATIONS = 6.0
"""How far from its mean a feature counts in the linear part."""


@dataclass(frozen=True)
class TreeScorer:
    """Boosted trees over `FEATURES`; every tree is complete, so all are walked at once.

    Args:
        base: The log-odds before any tree.
        split: Feature of each inner node, trees × nodes.
        cut: The value above which a node goes right.
        leaf: Log-odds of each leaf, trees × leaves.
        linear: A row of means, of scales, and of coefficients, the first the intercept.
        learned: What single words say, fitted on the same questions.
        thresholds: Score to reach, by name of the precision.
        measured: What cross-validation found, for people.
    """

    base: float
    split: npt.NDArray[np.int64]
    cut: npt.NDArray[np.float64]
    leaf: npt.NDArray[np.float64]
    linear: npt.NDArray[np.float64]
    learned: Learned
    thresholds: dict[str, float]
    measured: dict[str, Any]

    def score(
        self, a: ParsedQuestion, b: ParsedQuestion, cosine: float, found: Differences | None = None
    ) -> float:
        """The probability that both ask the same, 0 to 1."""
        row = features(a, b, cosine, self.learned, found)
        return float(self.scores(row[None, :])[0])

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The same for rows of features."""
        total = np.full(len(rows), self.base)
        count, inner = self.split.shape
        leaves = self.leaf.shape[1] if self.leaf.size else 1
        first, first_leaf = np.arange(count) * inner, np.arange(count) * leaves - inner
        split, cut, leaf = self.split.ravel(), self.cut.ravel(), self.leaf.ravel()
        for index, row in enumerate(rows):
            node = np.zeros(count, dtype=np.int64)
            for _ in range(leaves.bit_length() - 1):
                at = first + node
                node = 2 * node + 1 + (row[split[at]] > cut[at])
            total[index] += leaf[first_leaf + node].sum()
        total += LINEAR_SHARE * (self._line(rows) - total)
        result: npt.NDArray[np.float64] = 1 / (1 + np.exp(-total))
        return result

    def _line(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The log-odds of the linear part."""
        mean, scale, slope = self.linear
        ready = standardised(rows, mean[1:], scale[1:])
        result: npt.NDArray[np.float64] = slope[0] + ready @ slope[1:]
        return result

    def precision_of(self, score: float) -> float | None:
        """How often pairs of such a score were the same, in cross-validation; None if unknown."""
        found = None
        for band in self.measured.get("bands", ()):
            if score >= band["from"]:
                found = float(band["precision"])
        return found

    def dump(self) -> str:
        """The scorer as JSON."""
        return json.dumps(
            {
                "format": FORMAT,
                "features": list(FEATURES),
                "base": round(self.base, 6),
                "split": self.split.tolist(),
                "cut": [[round(value, 5) for value in tree] for tree in self.cut.tolist()],
                "leaf": [[round(value, 5) for value in tree] for tree in self.leaf.tolist()],
                "linear": [[round(value, 5) for value in row] for row in self.linear.tolist()],
                "weights": {word: round(w, 3) for word, w in sorted(self.learned.weights.items())},
                "rarity": {word: round(w, 2) for word, w in sorted(self.learned.rarity.items())},
                "slope": [round(value, 5) for value in self.learned.slope.tolist()],
                "thresholds": self.thresholds,
                "measured": self.measured,
            },
            separators=(",", ":"),
        )


def standardised(
    rows: npt.NDArray[np.float64], mean: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The features around 0, none farther than `MOST_DEVIATIONS` away."""
    far = MOST_DEVIATIONS
    result: npt.NDArray[np.float64] = np.clip((rows - mean) / scale, -far, far)
    return result


def load_scorer(path: Path | None = None) -> TreeScorer:
    """The shipped scorer, or one that `allotrope cache calibrate` wrote.

    Args:
        path: The file; None takes the shipped one.

    Raises:
        InputError: The file is missing or no scorer of this version.
    """
    word_vectors()  # from here on no file is read: the gate may run on an event loop
    language.warm()
    try:
        text = (
            files("allotrope.models.cache").joinpath("gate.json").read_text(encoding="utf-8")
            if path is None
            else path.read_text(encoding="utf-8")
        )
        body = json.loads(text)
        if body["format"] != FORMAT or body["features"] != list(FEATURES):
            raise ValueError(f"its format is {body['format']!r}")
        return TreeScorer(
            base=float(body["base"]),
            split=np.array(body["split"], dtype=np.int64),
            cut=np.array(body["cut"], dtype=np.float64),
            leaf=np.array(body["leaf"], dtype=np.float64),
            linear=np.array(body["linear"], dtype=np.float64),
            learned=Learned(
                weights={str(k): float(v) for k, v in body["weights"].items()},
                rarity={str(k): float(v) for k, v in body["rarity"].items()},
                slope=np.array(body["slope"], dtype=np.float64),
            ),
            thresholds={str(k): float(v) for k, v in body["thresholds"].items()},
            measured=dict(body["measured"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(
            f"The gate's coefficients {path or 'of the package'} can't be used: {exc}.",
            hint="Make them with `allotrope cache calibrate`.",
        ) from exc
