"""Scorers: how right an answer is, from 0 to 1, and the registry by which files name them."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from allotrope.exceptions import InputError
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline import text_scorers
from allotrope.experiments.offline.outcome import Outcome

ENTRY_POINTS = "allotrope.scorers"


class Scorer(Protocol):
    """Gives an answer a score."""

    async def __call__(self, item: Item, outcome: Outcome) -> float:
        """The score, from 0 (wrong) to 1 (right).

        Args:
            item: The question with its expected answer.
            outcome: An answer without error.
        """
        ...


ScorerFactory = Callable[..., Scorer]
"""Makes a scorer from the options of an experiment file; an `embeddings` option is handed in."""


@dataclass(frozen=True)
class TextScorer:
    """A scorer made of a pure function of answer and expected answer.

    Args:
        score: The function.
        needs_expected: Whether an item without an expected answer can't be scored.
        kind: Its name, for complaints.
    """

    score: Callable[[str, str], float]
    needs_expected: bool
    kind: str

    async def __call__(self, item: Item, outcome: Outcome) -> float:
        """Scores the text of the answer."""
        if self.needs_expected and item.expected is None:
            raise InputError(
                f"The item {item.id!r} has no answer, so {self.kind} can't score it.",
                hint="Give it an answer, or a scorer that needs none.",
            )
        return self.score(outcome.answer, item.expected or "")


class EmbeddingScorer:
    """Cosine similarity of answer and expected answer, from 0 to 1.

    Args:
        embeddings: A LangChain `Embeddings`.
    """

    def __init__(self, *, embeddings: Any) -> None:
        if not hasattr(embeddings, "aembed_documents"):
            raise InputError("The scorer embedding needs a LangChain Embeddings object.")
        self._embeddings = embeddings

    async def __call__(self, item: Item, outcome: Outcome) -> float:
        """Compares the two vectors; opposite directions count as 0."""
        import numpy as np

        texts = [outcome.answer or " ", item.expected or " "]
        a, b = np.asarray(await self._embeddings.aembed_documents(texts), dtype=np.float64)
        norm = float(np.linalg.norm(a) * np.linalg.norm(b))
        return min(1.0, max(0.0, float(a @ b) / norm)) if norm else 0.0


def _text(
    kind: str, make: Callable[..., Callable[[str, str], float]], *, needs_expected: bool = True
) -> ScorerFactory:
    def factory(**options: Any) -> Scorer:
        return TextScorer(make(**options), needs_expected, kind)

    factory.__signature__ = inspect.signature(make)  # type: ignore[attr-defined] # for complaints
    return factory


def factories() -> dict[str, ScorerFactory]:
    """All scorers by kind: ours, then those of installed packages (entry point group above)."""
    from importlib.metadata import entry_points

    found: dict[str, ScorerFactory] = {
        "exact": _text("exact", text_scorers.exact),
        "regex": _text("regex", text_scorers.regex, needs_expected=False),
        "numeric": _text("numeric", text_scorers.numeric),
        "json-schema": _text("json-schema", text_scorers.json_schema, needs_expected=False),
        "contains-all": _text("contains-all", text_scorers.contains_all, needs_expected=False),
        "rouge-l": _text("rouge-l", text_scorers.rouge_l),
        "embedding": EmbeddingScorer,
    }
    for point in entry_points(group=ENTRY_POINTS):
        found.setdefault(point.name, _deferred(point))
    return found


def _deferred(point: Any) -> ScorerFactory:
    def factory(**options: Any) -> Scorer:
        try:
            loaded = point.load()
        except Exception as exc:
            raise InputError(
                f"The scorer {point.name!r} ({point.value}) can't be loaded: {exc}"
            ) from exc
        scorer: Scorer = loaded(**options)
        return scorer

    return factory


def check_scorers(experiment: Experiment) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Finds scorers that don't exist or that can't be made: fields and complaints.

    Args:
        experiment: Its metrics count; the scorer `judge` needs no check.
    """
    for index, metric in enumerate(experiment.metrics):
        if metric.scorer is None or metric.scorer["kind"] == "judge":
            continue
        try:
            build_scorer(metric.scorer, embeddings=_Nowhere())
        except InputError as exc:
            yield ("metrics", index, "scorer"), str(exc).rstrip(".")


class _Nowhere:
    """Stands for embeddings where scorers are only checked."""

    aembed_documents = None


def build_scorer(spec: Mapping[str, Any], *, embeddings: Any = None) -> Scorer:
    """The scorer that a file asks for.

    Args:
        spec: `kind` and its options.
        embeddings: Handed to scorers that have an `embeddings` option.

    Raises:
        InputError: No such scorer, or an option it doesn't have or can't use.
    """
    options = {key: value for key, value in spec.items() if key != "kind"}
    kind = spec.get("kind")
    known = factories()
    factory = known.get(kind) if isinstance(kind, str) else None
    if factory is None:
        raise InputError(f"There is no scorer {kind!r}; there are {', '.join(sorted(known))}.")
    names = inspect.signature(factory).parameters
    if "embeddings" in names:
        if embeddings is None:
            raise InputError(
                f"The scorer {kind} needs embeddings.",
                hint="Name them in the file (embeddings: openai:text-embedding-3-small) or in "
                "ALLOTROPE_CACHE__SEMANTIC__EMBEDDINGS, or hand a LangChain Embeddings object to "
                "the runner (embeddings=…).",
            )
        options["embeddings"] = embeddings
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in names.values())
    if not open_ended and (wrong := sorted(options.keys() - names.keys())):
        there = ", ".join(name for name in names if name != "embeddings") or "none"
        raise InputError(f"The scorer {kind} has no option {', '.join(wrong)}; it has {there}.")
    try:
        return factory(**options)
    except TypeError as exc:
        raise InputError(f"The scorer {kind} can't be made: {exc}.") from exc
