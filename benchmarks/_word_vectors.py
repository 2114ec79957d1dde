"""Makes `stores/word_vectors.npz`, the vectors of single words of the gate and of recall.

The words are the whole words of all-MiniLM-L6-v2's vocabulary (Apache-2.0), each embedded alone by
that model; what is common to all of them (the mean and the first principal component) is taken
out, the next 48 principal components are kept, brought to unit length and rounded to 1/127.

python benchmarks/_word_vectors.py vocabulary.txt words.npz

`vocabulary.txt` is the model's `vocab.txt`, `words.npz` has the arrays `texts` and `vectors`, like
the vectors of `benchmarks/cache.py`, made by any implementation of that model.
"""

import re
import sys
from pathlib import Path

import numpy as np

from allotrope.models.cache.semantic.meaning import DIMENSIONS

COMMON = 1
"""Principal components that are taken out: they say how usual a word is, not what it means."""


def main(vocabulary: Path, vectors: Path) -> None:
    """Writes the file of the package."""
    wanted = vocabulary.read_text(encoding="utf-8").splitlines()
    with np.load(vectors, allow_pickle=False) as data:
        place = {str(text): row for row, text in enumerate(data["texts"])}
        table = data["vectors"].astype(np.float32)
    words = [word for word in wanted if re.fullmatch("[a-z]{2,}", word) and word in place]
    rows = table[[place[word] for word in words]]
    rows = rows - rows.mean(0)
    axes = np.linalg.svd(rows, full_matrices=False)[2][COMMON : COMMON + DIMENSIONS]
    small = rows @ axes.T
    small /= np.linalg.norm(small, axis=1, keepdims=True) + 1e-9
    target = Path(__file__).parents[1] / "src" / "allotrope" / "stores" / "word_vectors.npz"
    np.savez_compressed(
        target,
        words=np.frombuffer("\n".join(words).encode("ascii"), dtype=np.uint8),
        vectors=np.round(small * 127).astype(np.int8),
    )
    print(f"{len(words):,} words, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
