"""Embeddings for recall, where a setting names a model; recall goes on without them if it fails."""

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from allotrope.exceptions import SettingsError
from allotrope.stores.errors import error_name
from allotrope.support.providers import embedding_options

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from allotrope.settings import Settings

logger = logging.getLogger(__name__)

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Texts to vectors, one each."""

_KEEP = 8192
_TIMEOUT_S = 10.0
_REST_S = 60.0
_LONGEST = 2_000
"""Characters of a text that are embedded: models take 256 to 8,192 tokens."""


class Vectors:
    """Vectors of texts, each asked for once; a model that fails is left alone for a minute.

    Args:
        embed: Asks the model.
        clock: Seconds, monotonic.
    """

    def __init__(self, embed: Embed, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._embed = embed
        self._clock = clock
        self._kept: OrderedDict[bytes, Sequence[float]] = OrderedDict()
        self._rests_until = 0.0
        self._lock = Lock()

    def of(self, texts: Sequence[str]) -> list[Sequence[float]] | None:
        """A vector for each text, or None while the model can't be had. Never raises."""
        if self._clock() < self._rests_until:
            return None
        cut = [text[:_LONGEST] or " " for text in texts]
        keys = [
            hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest() for text in cut
        ]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: text for key, text in zip(keys, cut, strict=True) if key not in known}
        try:
            new = list(self._embed(list(missing.values()))) if missing else []
            if len({len(vector) for vector in [*known.values(), *new]}) > 1:
                raise ValueError("vectors of different lengths")
            known |= dict(zip(missing, new, strict=True))
        except Exception as exc:  # noqa: BLE001 - whatever the embedder raises, words alone will do
            logger.warning("recall goes on without embeddings: %s", error_name(exc))
            self._rests_until = self._clock() + _REST_S
            return None
        with self._lock:
            for key in keys:
                self._kept[key] = known[key]
                self._kept.move_to_end(key)
            while len(self._kept) > _KEEP:
                self._kept.popitem(last=False)
        return [known[key] for key in keys]


def open_embed(settings: "Settings") -> Embed | None:
    """The embedder that `memory.embeddings` names, made at its first use; None where unset.

    Args:
        settings: The name, as LangChain's `init_embeddings` takes it, and OpenAI's key and address.
    """
    name = settings.memory.embeddings
    if name is None:
        return None
    made: list[Embeddings] = []
    lock = Lock()

    def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        with lock:
            if not made:
                made.append(_embeddings(name, settings))
        return made[0].embed_documents(list(texts))

    return embed


def _embeddings(name: str, settings: "Settings") -> "Embeddings":
    from langchain.embeddings import init_embeddings

    options = embedding_options(name, settings, _TIMEOUT_S)
    try:
        return init_embeddings(name, **options)
    except (ImportError, ValueError) as exc:
        raise SettingsError(
            f"memory.embeddings is {name!r}, which can't be opened: {exc}",
            hint="Write it as openai:text-embedding-3-small, and install that provider's package.",
        ) from exc
