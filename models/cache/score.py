"""The calibrated score: how likely two questions ask the same. Features, and trees over them.

The trees are evaluated with NumPy from a JSON file; `allotrope cache calibrate` fits another.
"""

import json
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from allotrope.exceptions import InputError
from allotrope.models.cache.parse import KINDS, Question

FORMAT = "allotrope-gate-1"

FEATURES = (
    "cosine", "stem_jaccard", "content_jaccard", "content_dice", "content_contained",
    "gram_jaccard", "extra_least", "extra_most", "extra_letters_least", "extra_letters_most",
    "length_least", "length_most", "length_ratio", "common_order", "same_kind", "kind_a", "kind_b",
    "same_start", "same_end", "names_both", "names_one", "negated", "closest_extra",
    "function_differ", "inversions", "sentences", "bigram_jaccard", "head_extra", "last_extra",
    "word_least", "word_most", "word_sum", "word_mean", "cosine_by_length", "numbers_differ",
    "order_ratio", "words_equal",
)  # fmt: skip


def features(
    a: Question, b: Question, cosine: float, weights: dict[str, float]
) -> npt.NDArray[np.float64]:
    """The features of a pair, the same whichever comes first; see `FEATURES`."""
    stems_a, stems_b = set(a.stems), set(b.stems)
    content_a, content_b = set(a.content), set(b.content)
    both = content_a & content_b
    extra_a, extra_b = content_a - content_b, content_b - content_a
    few, many = sorted((extra_a, extra_b), key=lambda extra: (len(extra), sum(map(len, extra))))
    short, long = sorted((len(a.words), len(b.words)))
    kinds = sorted((KINDS.index(a.kind), KINDS.index(b.kind)))
    shared = [stem for stem in a.content if stem in both]
    shared_b = [stem for stem in b.content if stem in both]
    order = SequenceMatcher(None, shared, shared_b, autojunk=False).ratio() if shared else 0.0
    functions = (stems_a ^ stems_b) - content_a - content_b
    pairs_a = set(zip(a.stems, a.stems[1:], strict=False))
    pairs_b = set(zip(b.stems, b.stems[1:], strict=False))
    words_a = sum(weights.get(word, weights.get("", 0.0)) for word in stems_a - stems_b)
    words_b = sum(weights.get(word, weights.get("", 0.0)) for word in stems_b - stems_a)
    differing = max(1, len(stems_a ^ stems_b))
    return np.array(
        [
            cosine,
            _share(stems_a & stems_b, stems_a | stems_b),
            _share(both, content_a | content_b),
            2 * len(both) / max(1, len(content_a) + len(content_b)),
            len(both) / max(1, min(len(content_a), len(content_b))),
            _share(a.grams & b.grams, a.grams | b.grams),
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
            _share(pairs_a & pairs_b, pairs_a | pairs_b),
            max(_first(a, extra_a), _first(b, extra_b)),
            _last_extra(a, extra_a) + _last_extra(b, extra_b),
            min(words_a, words_b),
            max(words_a, words_b),
            words_a + words_b,
            (words_a + words_b) / differing,
            (1 - cosine) * short,
            len(a.numbers ^ b.numbers),
            SequenceMatcher(None, a.stems, b.stems, autojunk=False).ratio(),
            sorted(a.content) == sorted(b.content),
        ],
        dtype=np.float64,
    )  # fmt: skip


def _share(part: Any, whole: Any) -> float:
    return len(part) / len(whole) if whole else 1.0


def _prefix(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    count = 0
    for first, second in zip(a, b, strict=False):
        if first != second:
            break
        count += 1
    return count


def _closest(few: set[str], many: set[str]) -> float:
    """How alike the differing words are spelled: typos and other forms come near 1."""
    if not many:
        return 1.0
    if not few:
        return 0.0
    best = [
        max(SequenceMatcher(None, word, other, autojunk=False).ratio() for other in list(many)[:8])
        for word in list(few)[:8]
    ]
    return sum(best) / len(best)


def _inversions(shared: list[str], other: list[str]) -> float:
    """Share of pairs of common words that stand the other way round."""
    place = {stem: index for index, stem in enumerate(other)}
    order = [place[stem] for stem in dict.fromkeys(shared)]
    count = len(order) * (len(order) - 1) // 2
    turned = sum(x > y for i, x in enumerate(order) for y in order[i + 1 :])
    return turned / count if count else 0.0


def _last_extra(question: Question, extra: set[str]) -> int:
    return int(bool(question.content) and question.content[-1] in extra)


def _first(question: Question, extra: set[str]) -> float:
    """How early the first differing word stands, 1 at the start, 0 when there is none."""
    for index, stem in enumerate(question.content):
        if stem in extra:
            return 1 - index / len(question.content)
    return 0.0


@dataclass(frozen=True)
class Scorer:
    """Boosted trees over `FEATURES`; every tree is complete, so all are walked at once.

    Args:
        base: The log-odds before any tree.
        split: Feature of each inner node, trees × nodes.
        cut: The value above which a node goes right.
        leaf: Log-odds of each leaf, trees × leaves.
        weights: Log-odds of single words that one question has and the other hasn't.
        thresholds: Score to reach, by name of the precision.
        measured: What cross-validation found, for people.
    """

    base: float
    split: npt.NDArray[np.int64]
    cut: npt.NDArray[np.float64]
    leaf: npt.NDArray[np.float64]
    weights: dict[str, float]
    thresholds: dict[str, float]
    measured: dict[str, Any]

    def score(self, a: Question, b: Question, cosine: float) -> float:
        """The probability that both ask the same, 0 to 1."""
        row = features(a, b, cosine, self.weights)
        return float(self.scores(row[None, :])[0])

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The same for rows of features."""
        total = np.full(len(rows), self.base)
        trees = np.arange(len(self.split))
        depth = int(np.log2(self.leaf.shape[1])) if self.leaf.size else 0
        for index, row in enumerate(rows):
            node = np.zeros(len(self.split), dtype=np.int64)
            for _ in range(depth):
                right = row[self.split[trees, node]] > self.cut[trees, node]
                node = 2 * node + 1 + right
            total[index] += self.leaf[trees, node - self.split.shape[1]].sum()
        result: npt.NDArray[np.float64] = 1 / (1 + np.exp(-total))
        return result

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
                "weights": {word: round(value, 3) for word, value in sorted(self.weights.items())},
                "thresholds": self.thresholds,
                "measured": self.measured,
            },
            separators=(",", ":"),
        )


def load_scorer(path: Path | None = None) -> Scorer:
    """The shipped scorer, or one that `allotrope cache calibrate` wrote.

    Args:
        path: The file; None takes the shipped one.

    Raises:
        InputError: The file is missing or no scorer of this version.
    """
    try:
        text = (
            files("allotrope.models.cache").joinpath("gate.json").read_text(encoding="utf-8")
            if path is None
            else path.read_text(encoding="utf-8")
        )
        body = json.loads(text)
        if body["format"] != FORMAT or body["features"] != list(FEATURES):
            raise ValueError(f"its format is {body['format']!r}")
        return Scorer(
            base=float(body["base"]),
            split=np.array(body["split"], dtype=np.int64),
            cut=np.array(body["cut"], dtype=np.float64),
            leaf=np.array(body["leaf"], dtype=np.float64),
            weights={str(k): float(v) for k, v in body["weights"].items()},
            thresholds={str(k): float(v) for k, v in body["thresholds"].items()},
            measured=dict(body["measured"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(
            f"The gate's coefficients {path or 'of the package'} can't be used: {exc}.",
            hint="Make them with `allotrope cache calibrate`.",
        ) from exc
