"""Reads labelled pairs of questions from files, with the cosine of their vectors."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from allotrope.exceptions import InputError
from allotrope.models.cache.semantic.fitting.calibrate import Pair

Vectors = dict[str, npt.NDArray[np.float32]]


def read_pairs(paths: Sequence[Path], vectors: Path | None) -> list[Pair]:
    """The pairs of several files.

    Args:
        paths: JSONL of `{"a", "b", "same"}`; a line may have the `cosine`, too.
        vectors: npz with `texts` and `vectors`, for lines without a cosine; None embeds them with
            the model of the settings.

    Raises:
        InputError: A line is no pair, or a text has no vector.
    """
    rows = list(_rows(paths))
    lacking = sorted({text for row in rows if row[3] is None for text in row[:2]})
    table = _embedded(lacking) if vectors is None else _read(vectors)
    pairs = []
    for a, b, same, cosine in rows:
        if cosine is None:
            try:
                cosine = float(table[a] @ table[b])
            except KeyError as exc:
                raise InputError(f"{vectors} has no vector for {exc}.") from exc
        pairs.append(Pair(a, b, cosine, same))
    return pairs


def _rows(paths: Sequence[Path]) -> Iterator[tuple[str, str, bool, float | None]]:
    for file in paths:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise InputError(f"{file} can't be read: {exc}.") from exc
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row: dict[str, Any] = json.loads(line)
                cosine = None if row.get("cosine") is None else float(row["cosine"])
                yield str(row["a"]), str(row["b"]), bool(row["same"]), cosine
            except (ValueError, KeyError, TypeError, AttributeError) as exc:
                raise InputError(f'{file}, line {number}, is no {{"a", "b", "same"}}.') from exc


def _embedded(texts: list[str]) -> Vectors:
    """Vectors by the embeddings of the settings; nothing is asked for no text."""
    if not texts:
        return {}
    from allotrope.models.cache.factory import open_embeddings
    from allotrope.settings import load_settings

    return _units(texts, np.asarray(open_embeddings(load_settings()).embed_documents(texts)))


def _read(file: Path) -> Vectors:
    try:
        with np.load(file, allow_pickle=False) as data:
            return _units([str(text) for text in data["texts"]], data["vectors"])
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(f"{file} is no npz with `texts` and `vectors`: {exc}.") from exc


def _units(texts: Sequence[str], given: npt.NDArray[Any]) -> Vectors:
    table = given.astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True) + 1e-9
    return dict(zip(texts, table, strict=True))
