"""How near messages are to a question in meaning, on the scale of word scores.

By the vectors of its single words (in the package, English), and by embeddings of whole messages
where there are any. Added to the words' scores and not fused by rank: at equal weight the order of
a weak embedder takes what words had found rightly out of a small prompt. Chosen on three LoCoMo
conversations, with all-MiniLM-L6-v2 as the embedder; `docs/memory.md` has the figures of the two
others.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from allotrope.memory.recall.ranking import Candidate, Floats
from allotrope.memory.recall.words import base_form
from allotrope.stores.word_vectors import word_vectors

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
_AROUND = 0.2
"""Of its neighbours' cosines: what a message is about may stand in the one before."""
_SESSION, _SESSION_NEAREST = 0.06, 30
_WORDS = 0.1
_ALIKE = 0.45
"""Cosine from which two words are taken to speak of the same: dessert, cake."""


def nearness(
    question: Sequence[float],
    vectors: Sequence[Sequence[float]],
    candidates: Sequence[Candidate],
    speakers: frozenset[str],
) -> list[float]:
    """What the embeddings add to each message's score, where the best word score is one.

    A message in the middle of all adds nothing, one as near as the nearest eight 0.3; its
    neighbours and its session count a little.

    Args:
        question: Its vector.
        vectors: Of the messages.
        candidates: The messages, in the order of the thread.
        speakers: Who is named in the question, casefolded; what one alone says counts more.
    """
    import numpy as np

    if not candidates:
        return []
    asked, others = np.asarray(question), np.asarray(vectors)
    length = np.maximum(np.linalg.norm(others, axis=1) * np.linalg.norm(asked), 1e-12)
    cosine = (others @ asked) / length
    before, after = _beside(cosine, candidates)
    near = _risen(cosine + _AROUND * (before + after), _NEAREST)
    names, of = np.unique([one.session for one in candidates], return_inverse=True)
    together = np.zeros((len(names), others.shape[1]))
    np.add.at(together, of, others)
    whole = np.linalg.norm(together, axis=1) * np.linalg.norm(asked)
    session = _risen(((together @ asked) / np.maximum(whole, 1e-12))[of], _SESSION_NEAREST)
    value = _WEIGHT * _spread(near, candidates, speakers) + _SESSION * session
    return [float(one) for one in value]


def likeness(
    asked: Mapping[str, float], candidates: Sequence[Candidate], speakers: frozenset[str]
) -> list[float]:
    """What words of like meaning add to each message's score, where the best word score is one.

    Each word of the question finds the message's word that is nearest to it.

    Args:
        asked: Base forms of the question's words, with their rarity in the thread.
        candidates: The messages, in the order of the thread.
        speakers: As for `nearness`.
    """
    import numpy as np

    if not candidates:
        return []
    place, rows = _by_base()
    known = [word for word in asked if word in place]
    found = np.zeros(len(candidates))
    if known:
        said = [[place[word] for word in one.words if word in place] for one in candidates]
        starts = np.cumsum([0, *(len(one) + 1 for one in said[:-1])])
        # row -1 is the one of no word, so that no message is empty
        flat = np.array([row for one in said for row in (*one, -1)])
        used, at = np.unique(flat, return_inverse=True)
        table = rows[used].astype(np.float32) / 127.0
        table[used == -1] = 0.0
        near = rows[[place[word] for word in known]].astype(np.float32) / 127.0 @ table.T
        near = np.where(near > _ALIKE, near, 0.0)[:, at]
        best = np.maximum.reduceat(near, starts, axis=1)
        for word, nearest in zip(known, best, strict=True):
            has = np.array([word in one.words for one in candidates])
            found += asked[word] * np.where(has, 1.0, nearest)
    for word in asked.keys() - set(known):
        found += asked[word] * np.array([word in one.words for one in candidates])
    value = _WORDS * _spread(_risen(found, _NEAREST), candidates, speakers)
    return [float(one) for one in value]


@lru_cache(maxsize=1)
def _by_base() -> "tuple[dict[str, int], NDArray[np.int8]]":
    """The vectors by base form; of several words the most frequent, which stands first."""
    words, vectors = word_vectors()
    place: dict[str, int] = {}
    for word, row in words.items():
        place.setdefault(base_form(word), row)
    return place, vectors


def _risen(values: Floats, nearest: int) -> Floats:
    """Zero for the middle and less, one for what is as near as the nearest."""
    import numpy as np

    middle = float(np.median(values))
    top = float(np.sort(values)[-nearest:].mean())
    return np.clip((values - middle) / max(top - middle, 1e-9), 0.0, _MOST)


def _spread(near: Floats, candidates: Sequence[Candidate], speakers: frozenset[str]) -> Floats:
    """A message beside a near one is near too, and so is what the one says who is named."""
    import numpy as np

    value: Floats = np.maximum(near, _BESIDE * np.maximum(*_beside(near, candidates)))
    if len(speakers) == 1:
        value = value * (1 + _SPEAKER * np.array([one.speaker in speakers for one in candidates]))
    return value


def _beside(values: Floats, candidates: Sequence[Candidate]) -> tuple[Floats, Floats]:
    """The values of each message's neighbours in its session; zero where there is none."""
    import numpy as np

    place = {(one.session, one.seq): value for one, value in zip(candidates, values, strict=True)}
    before, after = (
        np.array([place.get((one.session, one.seq + step), 0.0) for one in candidates])
        for step in (-1, 1)
    )
    return before, after
