"""The simulator's answers to embedding requests, as OpenAI and Ollama give them."""

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from allotrope.testing import errors
from allotrope.testing.content import catalog
from allotrope.testing.content.tokens import embed
from allotrope.testing.http.http11 import json_bytes


def texts_of(body: Mapping[str, Any]) -> list[str]:
    """The texts of a request: one, several, or one given as tokens.

    Args:
        body: The request's JSON.
    """
    given = body.get("input", "")
    if isinstance(given, list) and given and isinstance(given[0], int):
        given = [given]
    return [str(item) for item in (given if isinstance(given, list) else [given])]


def ollama_answer(model: str, texts: Sequence[str], tokens: int) -> bytes:
    """What Ollama's `/api/embed` answers.

    Args:
        model: The model asked for.
        texts: To embed.
        tokens: Of all texts.
    """
    return json_bytes(
        {
            "model": model,
            "embeddings": [embed(text, 768) for text in texts],
            "total_duration": 1_000_000,
            "load_duration": 1_000_000,
            "prompt_eval_count": tokens,
        }
    )


def openai_answer(model: str, body: Mapping[str, Any], texts: Sequence[str], tokens: int) -> bytes:
    """What OpenAI's `/embeddings` answers.

    Args:
        model: The model asked for.
        body: The request's JSON: dimensions and encoding.
        texts: To embed.
        tokens: Of all texts.

    Raises:
        ErrorReply: The model makes no embeddings.
    """
    if model not in catalog.EMBEDDERS:
        raise errors.unknown_model(model)
    size = int(body.get("dimensions") or catalog.EMBEDDERS[model])
    data: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        vector: Any = embed(text, size)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_bytes({"object": "list", "data": data, "model": model, "usage": usage})
