"""Where the vectors of a space lie and who searches them: in this process, or in Redis itself."""

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from allotrope.models.cache.semantic.index.mirror import Mirror, Neighbour, Vector, unit
from allotrope.models.cache.storage import commands as store
from allotrope.models.cache.storage.codec import Codec, UnreadableEntryError
from allotrope.models.cache.storage.commands import Partition, Steps

logger = logging.getLogger("allotrope.cache")

PAGE = 1000
"""Questions read at once when a mirror catches up."""

SPACES = 64
"""Mirrors kept in a process; the least recently used go first."""


@dataclass(frozen=True)
class Space:
    """Questions that may answer each other; see `semantic`.

    Args:
        part: The partition it belongs to.
        name: Safe in a key.
        dims: Of its vectors.
    """

    part: Partition
    name: str
    dims: int

    @property
    def key(self) -> str:
        """The key of its log of vectors."""
        return self.part.key("v", self.name)


class VectorIndex(Protocol):
    """Keeps the vectors of questions and finds the nearest; steps on the store, like all of it."""

    def search(self, space: Space, vector: Vector, count: int) -> Steps[Sequence[Neighbour] | None]:
        """The nearest questions, nearest first; None when they can't be looked at."""
        ...

    def add(
        self, space: Space, digest: str, question: str, vector: Vector, ttl_s: float
    ) -> Steps[None]:
        """Makes a question findable."""
        ...

    def forget(self, space: Space, digest: str) -> Steps[None]:
        """Takes a question out whose answer is gone."""
        ...


class MirrorIndex:
    """Vectors lie in a log in Redis and are mirrored in this process, incrementally and bounded.

    Args:
        codec: Seals what is written.
        limit: Questions kept per space.
    """

    def __init__(self, codec: Codec, *, limit: int) -> None:
        self._codec = codec
        self._limit = limit
        self._lock = threading.Lock()
        self._mirrors: OrderedDict[str, Mirror] = OrderedDict()

    def search(self, space: Space, vector: Vector, count: int) -> Steps[Sequence[Neighbour] | None]:
        """Catches up with the log, then searches the mirror."""
        key, mirror = space.key, self._mirror(space.key)
        while True:
            start = "-" if mirror.cursor == "-" else f"({mirror.cursor}"
            (page,) = yield [("XRANGE", key, start, "+", "COUNT", PAGE)]
            if isinstance(page, Exception):
                if "WRONGTYPE" in str(page):
                    yield [("UNLINK", key)]
                return None
            with self._lock:
                for name, fields in page:
                    self._take(mirror, fields)
                    mirror.cursor = name.decode()
            if len(page) < PAGE:
                break
        with self._lock:
            return mirror.search(vector, count)

    def add(
        self, space: Space, digest: str, question: str, vector: Vector, ttl_s: float
    ) -> Steps[None]:
        """Appends to the log."""
        body = json.dumps([digest, question]).encode()
        packed = self._codec.seal(
            len(body).to_bytes(4, "big") + body + vector.astype(np.float16).tobytes()
        )
        yield [
            ("XADD", space.key, "MAXLEN", "~", self._limit, "*", "p", packed),
            ("EXPIRE", space.key, store.AUX_TTL_S),
        ]

    def forget(self, space: Space, digest: str) -> Steps[None]:
        """Takes it out of this process's mirror; the log is trimmed by its length."""
        mirror = self._mirror(space.key)
        with self._lock:
            mirror.remove(digest)
        yield from ()

    def _mirror(self, key: str) -> Mirror:
        with self._lock:
            mirror = self._mirrors.get(key)
            if mirror is None:
                mirror = self._mirrors[key] = Mirror(limit=self._limit)
                if len(self._mirrors) > SPACES:
                    self._mirrors.popitem(last=False)
            self._mirrors.move_to_end(key)
            return mirror

    def _take(self, mirror: Mirror, fields: Any) -> None:
        """Puts one item of the space's log into the mirror; garbage is passed over."""
        parts = list(fields.values()) if isinstance(fields, dict) else fields[1::2]
        try:
            data = self._codec.unseal(parts[0])
            size = int.from_bytes(data[:4], "big")
            digest, question = json.loads(data[4 : 4 + size])
            vector = unit(np.frombuffer(data[4 + size :], dtype=np.float16))
        except (UnreadableEntryError, ValueError, IndexError, TypeError):
            return
        if vector is not None and isinstance(digest, str) and isinstance(question, str):
            mirror.add(digest, question, vector)


class ChosenIndex:
    """Redis's own search where the server has it, else the mirror; asked once, with the first use.

    Args:
        mirror: The search in this process.
        in_redis: Makes the search in Redis, or None where that can't be used.
    """

    def __init__(self, mirror: MirrorIndex, in_redis: Callable[[], VectorIndex | None]) -> None:
        self._mirror = mirror
        self._in_redis = in_redis
        self._chosen: VectorIndex | None = None

    def search(self, space: Space, vector: Vector, count: int) -> Steps[Sequence[Neighbour] | None]:
        """As the chosen index does."""
        index = yield from self._index()
        found = yield from index.search(space, vector, count)
        if found is None:
            self._chosen = None  # another server may stand there now: look again
        return found

    def add(
        self, space: Space, digest: str, question: str, vector: Vector, ttl_s: float
    ) -> Steps[None]:
        """As the chosen index does."""
        index = yield from self._index()
        yield from index.add(space, digest, question, vector, ttl_s)

    def forget(self, space: Space, digest: str) -> Steps[None]:
        """As the chosen index does."""
        index = yield from self._index()
        yield from index.forget(space, digest)

    def _index(self) -> Steps[VectorIndex]:
        if self._chosen is None:
            modules, indexes = yield [("MODULE", "LIST"), ("FT._LIST",)]
            searches = not isinstance(indexes, Exception) or b"search" in _flat(modules)
            index = self._in_redis() if searches else None
            if index is not None:
                logger.info("The semantic cache is searched by Redis itself.")
            self._chosen = index or self._mirror
        return self._chosen


def _flat(reply: Any) -> set[Any]:
    """All texts of a nested reply."""
    if isinstance(reply, dict):
        return {text for item in reply.items() for part in item for text in _flat(part)}
    if isinstance(reply, list | tuple):
        return {text for part in reply for text in _flat(part)}
    if isinstance(reply, str):
        return {reply.encode()}
    return {reply} if isinstance(reply, bytes) else set()
