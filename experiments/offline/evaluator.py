"""Applies an experiment's scorers to answers, and checks beforehand that they can be applied."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from allotrope.exceptions import InputError
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Metric
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.scorers import Scorer, TextScorer, build_scorer
from allotrope.stores.errors import error_name

logger = logging.getLogger(__name__)

JUDGE = "judge"
"""The scorer kind that compares pairs of answers instead of scoring one."""


class Evaluator:
    """Scores answers by all metrics of an experiment.

    Args:
        metrics: The experiment's metrics.
        embeddings: A LangChain `Embeddings`, for the scorer of that name.

    Raises:
        InputError: A metric's scorer doesn't exist or has wrong options.
    """

    def __init__(self, metrics: Sequence[Metric], *, embeddings: Any = None) -> None:
        self._embeddings = embeddings
        self._own: dict[str, Scorer] = {}
        self._metrics: dict[str, tuple[Metric, Scorer]] = {}
        self.judged = [m for m in metrics if m.scorer and m.scorer["kind"] == JUDGE]
        for metric in metrics:
            if metric.scorer is not None and metric not in self.judged:
                try:
                    scorer = build_scorer(metric.scorer, embeddings=embeddings)
                except InputError as exc:
                    raise InputError(f"metric {metric.name}: {exc}") from exc
                self._metrics[metric.name] = metric, scorer

    def check(self, items: Sequence[Item]) -> None:
        """Makes sure that each item can be scored, before anything is spent.

        Args:
            items: The dataset.

        Raises:
            InputError: An item lacks what a scorer needs; names the item and the metric.
        """
        for item in items:
            for name in self._metrics:
                scorer = self._scorer(name, item)
                if isinstance(scorer, TextScorer):
                    if scorer.needs_expected and item.expected is None:
                        raise InputError(
                            f"metric {name}: the item {item.id!r} has no answer to compare with.",
                            hint="Give it an answer, or a scorer of its own.",
                        )
                    try:
                        scorer.score("0", item.expected or "")
                    except InputError as exc:
                        raise InputError(f"metric {name}, item {item.id!r}: {exc}") from exc

    async def scores(self, item: Item, outcome: Outcome) -> dict[str, float]:
        """All metrics of an answer; a failed answer gets each scorer's worst value.

        A scorer that fails leaves its metric out; `analysis` reports how many are missing.

        Args:
            item: The question.
            outcome: The answer.
        """
        scores = outcome.built_in()
        for name, (metric, _) in self._metrics.items():
            low, high = metric.range
            if outcome.error is not None:
                worst = low if metric.sign > 0 else high
                if worst is not None:
                    scores[name] = worst
                continue
            try:
                scores[name] = float(await self._scorer(name, item)(item, outcome))
            except Exception as exc:  # noqa: BLE001 # a scorer of somebody else may raise anything
                logger.warning("scorer of %s failed on item %s: %s", name, item.id, error_name(exc))
        return scores

    def _scorer(self, name: str, item: Item) -> Scorer:
        """The item's own scorer replaces the metric's, unless the metric is a built-in kind."""
        metric, scorer = self._metrics[name]
        if item.scorer is None or not _replaceable(metric):
            return scorer
        key = json.dumps(item.scorer, sort_keys=True)
        if key not in self._own:
            try:
                self._own[key] = build_scorer(item.scorer, embeddings=self._embeddings)
            except InputError as exc:
                raise InputError(f"item {item.id!r}: scorer: {exc}") from exc
        return self._own[key]


def _replaceable(metric: Metric) -> bool:
    scorer: Mapping[str, Any] = metric.scorer or {}
    return metric.primary or scorer.get("kind") in {"exact", "numeric", "contains-all"}
