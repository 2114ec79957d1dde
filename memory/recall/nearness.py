"""How near messages are to a question by embeddings, on the scale of word scores.

Added to the words' scores and not fused by rank: at equal weight the order of a weak embedder takes
what words had found rightly out of a small prompt. Chosen on five LoCoMo conversations with
all-MiniLM-L6-v2, each judged with weights from the other four; `docs/memory.md` has the figures.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from allotrope.memory.recall.ranking import Candidate

if TYPE_CHECKING:  # NumPy takes 0.2 s to import, and most turns recall nothing
    import numpy as np
    from numpy.typing import NDArray

_WEIGHT = 0.3
"""Of the best word score, for a message that is as near as the nearest are."""
_BESIDE = 0.3
"""A message beside a near one says some of it: an answer stands beside its question."""
_SPEAKER = 1.0
_NEAREST = 8
_MOST = 1.5


def nearness(
    question: Sequence[float],
    vectors: Sequence[Sequence[float]],
    candidates: Sequence[Candidate],
    speakers: frozenset[str],
) -> list[float]:
    """What the embeddings add to each message's score, where the best word score is one.

    A message in the middle of all adds nothing, one as near as the nearest eight 0.3.

    Args:
        question: Its vector.
        vectors: Of the messages.
        candidates: The messages.
        speakers: Who is named in the question, casefolded; what one alone says counts more.
    """
    import numpy as np

    if not candidates:
        return []
    asked, others = np.asarray(question), np.asarray(vectors)
    length = np.linalg.norm(others, axis=1) * np.linalg.norm(asked)
    cosine = (others @ asked) / np.maximum(length, 1e-12)
    middle = float(np.median(cosine))
    nearest = float(np.sort(cosine)[-_NEAREST:].mean())
    near = np.clip((cosine - middle) / max(nearest - middle, 1e-9), 0.0, _MOST)
    near = np.maximum(near, _BESIDE * _beside(near, candidates))
    if len(speakers) == 1:
        near *= 1 + _SPEAKER * np.array([one.speaker in speakers for one in candidates])
    return [float(value) for value in _WEIGHT * near]


def _beside(near: "NDArray[np.float64]", candidates: Sequence[Candidate]) -> "NDArray[np.float64]":
    """The nearer of a message's two neighbours in its session; zero where there is none."""
    import numpy as np

    place = {(one.session, one.seq): value for one, value in zip(candidates, near, strict=True)}
    return np.array(
        [
            max(place.get((one.session, one.seq + step), 0.0) for step in (-1, 1))
            for one in candidates
        ]
    )
