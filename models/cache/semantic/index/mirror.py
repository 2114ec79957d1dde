"""A bounded mirror of one space's questions in this process, searched with NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbour:
    """A neighbour of a question.

    Args:
        digest: The exact key of its answer.
        question: Its text.
        cosine: Similarity of the two vectors, -1 to 1.
    """

    digest: str
    question: str
    cosine: float


class Mirror:
    """The questions of a space, newest at the end.

    Args:
        limit: Questions kept; the oldest go first.
    """

    def __init__(self, *, limit: int) -> None:
        self.cursor = "-"
        self._limit = limit
        self._rows: list[tuple[str, str] | None] = []
        self._at: dict[str, int] = {}
        self._vectors: Vector = np.empty((0, 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._at)

    def add(self, digest: str, question: str, vector: Vector) -> None:
        """Adds a question, or puts its newer vector in the place of the old."""
        if self._vectors.shape[1] != len(vector):
            self._vectors = np.zeros((64, len(vector)), dtype=np.float32)
            self._rows, self._at = [], {}
        if digest in self._at:
            self._vectors[self._at[digest]] = vector
            return
        if len(self._rows) >= self._limit + self._limit // 4:
            self._compact()
        if len(self._rows) >= len(self._vectors):
            grown = np.zeros((2 * len(self._vectors), len(vector)), dtype=np.float32)
            grown[: len(self._rows)] = self._vectors[: len(self._rows)]
            self._vectors = grown
        self._vectors[len(self._rows)] = vector
        self._at[digest] = len(self._rows)
        self._rows.append((digest, question))

    def remove(self, digest: str) -> None:
        """Forgets a question whose answer is gone."""
        place = self._at.pop(digest, None)
        if place is not None:
            self._rows[place] = None
            self._vectors[place] = 0.0

    def _compact(self) -> None:
        kept = [place for place, row in enumerate(self._rows) if row is not None]
        kept = kept[-self._limit :]
        self._vectors[: len(kept)] = self._vectors[kept]
        self._rows = [self._rows[place] for place in kept]
        self._at = {row[0]: place for place, row in enumerate(self._rows) if row is not None}

    def search(self, vector: Vector, count: int) -> Sequence[Neighbour]:
        """The nearest questions, nearest first.

        Args:
            vector: Of unit length.
            count: How many at most.
        """
        used = len(self._rows)
        if used == 0 or self._vectors.shape[1] != len(vector):
            return ()
        # einsum, not BLAS: its threads wait for each other on a busy machine (12 ms against 2)
        cosines = np.einsum("ij,j->i", self._vectors[:used], vector)
        if used > count:
            nearest = np.argpartition(cosines, used - count)[used - count :]
        else:
            nearest = np.arange(used)
        nearest = nearest[np.argsort(-cosines[nearest])]
        found = []
        for place in nearest:
            row = self._rows[place]
            if row is not None:
                found.append(Neighbour(row[0], row[1], float(cosines[place])))
        return found


def unit(values: Sequence[float] | npt.NDArray[np.floating]) -> Vector | None:
    """A vector of unit length; None when there is no direction in it."""
    vector = np.asarray(values, dtype=np.float32)
    length = float(np.linalg.norm(vector)) if vector.ndim == 1 and vector.size else 0.0
    if not np.isfinite(length) or length < 1e-9:
        return None
    return vector / np.float32(length)
