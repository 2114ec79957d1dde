"""The vectors of single English words that lie in the package (docs/decisions/0402)."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # NumPy takes 0.2 s to import
    import numpy as np
    from numpy.typing import NDArray


@cache
def word_vectors() -> "tuple[dict[str, int], NDArray[np.int8]]":
    """Word to row, the most frequent word first, and the vectors in steps of 1/127; read once."""
    import numpy as np

    with (
        files("allotrope.stores").joinpath("word_vectors.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as data,
    ):
        words = data["words"].tobytes().decode("ascii").split("\n")
        return {word: row for row, word in enumerate(words)}, data["vectors"]
