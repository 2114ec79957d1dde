"""Tokens of images and files, by the formulas OpenAI publishes (guide "Images and vision")."""

import base64
import binascii
import math
import struct
from collections.abc import Mapping
from typing import Any

UNKNOWN_SIZE = (2048, 768)
"""Pixels assumed when the image is only a link: the dearest case of the tile formula."""
PAGE_TOKENS = 1_105
"""A page of a PDF, counted as one high-detail image of 768 x 1,024 plus its text."""
AUDIO_TOKENS_PER_KB = 1
"""Audio in a compressed format: about 10 tokens a second at 80 kbit/s."""


def image_tokens(width: int, height: int, *, detail: str = "auto", model: str = "o3") -> int:
    """Tokens of one image.

    Args:
        width: Pixels.
        height: Pixels.
        detail: `low`, `high` or `auto` (counted as high).
        model: The model's name: o-series tiles cost 75 + 150 each, gpt-4o and gpt-4.1 85 + 170;
            the mini and nano models count patches of 32 pixels, at most 1,536.
    """
    width, height = max(1, width), max(1, height)
    patches = {"o4-mini": 1.72, "gpt-4.1-mini": 1.62, "gpt-4.1-nano": 2.46, "gpt-5-mini": 1.62}
    for name, factor in patches.items():
        if model.startswith(name):
            return math.ceil(_patches(width, height) * factor)
    base, tile = (75, 150) if model.startswith(("o1", "o3")) else (85, 170)
    if detail == "low":
        return base
    shrink = min(1.0, 2048 / max(width, height))
    width, height = int(width * shrink), int(height * shrink)
    shrink = min(1.0, 768 / max(1, min(width, height)))
    width, height = int(width * shrink), int(height * shrink)
    return base + tile * math.ceil(max(1, width) / 512) * math.ceil(max(1, height) / 512)


def _patches(width: int, height: int) -> int:
    count = math.ceil(width / 32) * math.ceil(height / 32)
    if count <= 1536:
        return count
    shrink = math.sqrt(32 * 32 * 1536 / (width * height))
    across, down = width * shrink / 32, height * shrink / 32
    shrink *= min(math.floor(across) / across, math.floor(down) / down)
    return min(1536, math.ceil(width * shrink / 32) * math.ceil(height * shrink / 32))


def part_tokens(part: Mapping[str, Any], *, model: str = "o3") -> int | None:
    """Tokens of one content part that isn't text, or None for a kind we don't know.

    Args:
        part: A content part of a message, in OpenAI's or LangChain's form.
        model: The model's name.
    """
    kind = part.get("type")
    if kind in ("image_url", "image", "input_image"):
        link = part.get("image_url", part.get("url", ""))
        detail = part.get("detail", "auto")
        if isinstance(link, Mapping):
            detail, link = link.get("detail", detail), link.get("url", "")
        data = part.get("base64") or part.get("data") or _data_of(str(link))
        width, height = pixel_size(_decoded(data, 64_000)) or UNKNOWN_SIZE
        return image_tokens(width, height, detail=str(detail), model=model)
    if kind in ("input_audio", "audio"):
        inner = part.get("input_audio")
        data = inner.get("data", "") if isinstance(inner, Mapping) else part.get("base64", "")
        return math.ceil(len(str(data)) * 3 / 4 / 1024) * AUDIO_TOKENS_PER_KB
    if kind in ("file", "input_file"):
        inner = part.get("file")
        data = inner.get("file_data", "") if isinstance(inner, Mapping) else part.get("base64", "")
        raw = _decoded(_data_of(str(data)) or str(data), None)
        pages = raw.count(b"/Type /Page") + raw.count(b"/Type/Page")
        pages -= raw.count(b"/Type /Pages") + raw.count(b"/Type/Pages")
        return PAGE_TOKENS * max(1, pages)
    return None


def _data_of(link: str) -> str:
    return link.partition(",")[2] if link.startswith("data:") else ""


def _decoded(data: Any, limit: int | None) -> bytes:
    text = str(data or "")[: None if limit is None else limit // 4 * 4]
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return b""


def pixel_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the first bytes of a PNG, GIF, JPEG or WebP; None when unknown."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return int(width), int(height)
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        width, height = struct.unpack("<HH", data[6:10])
        return int(width), int(height)
    if data[:4] == b"RIFF" and data[8:15] == b"WEBPVP8" and len(data) >= 30:
        return _webp_size(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[15:16] == b"X":
        width = int.from_bytes(data[24:27], "little") + 1
        return width, int.from_bytes(data[27:30], "little") + 1
    if data[15:16] == b"L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return int(width) & 0x3FFF, int(height) & 0x3FFF


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return int(width), int(height)
        at += 2 + length
    return None
