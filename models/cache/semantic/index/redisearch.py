"""Vectors searched by Redis itself (Redis 8, RediSearch ≥ 2.4) with `redisvl`'s schema and queries.

`redisvl` (the extra `redisearch`) says what is created and asked; the commands go through the
cache's own steps, so that sync, async, timeouts and the breaker are those of everything else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from redisvl.query import VectorQuery
from redisvl.query.filter import Tag
from redisvl.schema import IndexSchema

from allotrope.models.cache.semantic.index.mirror import Neighbour, Vector
from allotrope.models.cache.semantic.index.vectors import Space
from allotrope.models.cache.storage.commands import Steps

MISSING = ("no such index", "unknown index name", "index not found")
"""What servers say when an index isn't there, in lower case; the wording changed over time."""


class RedisSearchIndex:
    """One HNSW index per size of vector; each question is a hash that expires with its answer.

    Args:
        prefix: Before every key.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}cache:s"

    def search(self, space: Space, vector: Vector, count: int) -> Steps[Sequence[Neighbour] | None]:
        """Asks for the nearest of the space."""
        query = VectorQuery(
            _packed(vector),
            "vector",
            ["digest", "question"],
            Tag("space") == _tag(space),
            num_results=count,
        )
        name = self._name(space.dims)
        (reply,) = yield [
            ("FT.SEARCH", name, *query.get_args(), "PARAMS", 2, "vector", _packed(vector))
        ]
        if isinstance(reply, Exception):
            if not any(words in str(reply).lower() for words in MISSING):
                return None
            yield [self._create(space.dims)]
            return ()
        found = []
        for fields in _documents(reply):
            try:
                found.append(
                    Neighbour(
                        digest=fields[b"digest"].decode(),
                        question=fields[b"question"].decode(),
                        cosine=1 - float(fields[b"vector_distance"]),
                    )
                )
            except (KeyError, ValueError):
                continue  # garbage under our keys
        return found

    def add(
        self, space: Space, digest: str, question: str, vector: Vector, ttl_s: float
    ) -> Steps[None]:
        """Writes the question's hash; Redis indexes it."""
        key = self._key(space, digest)
        values = {
            "space": _tag(space),
            "digest": digest,
            "question": question,
            "vector": _packed(vector),
        }
        yield [
            self._create(space.dims),  # says "Index already exists" all but once
            ("UNLINK", key),
            ("HSET", key, *(part for item in values.items() for part in item)),
            ("PEXPIRE", key, max(1, int(ttl_s * 1000))),
        ]

    def forget(self, space: Space, digest: str) -> Steps[None]:
        """Removes the question's hash."""
        yield [("UNLINK", self._key(space, digest))]

    def _name(self, dims: int) -> str:
        return f"{self._prefix}:{dims}"

    def _key(self, space: Space, digest: str) -> str:
        return f"{self._name(space.dims)}:{{{space.part.id}}}:{_tag(space)}:{digest}"

    def _create(self, dims: int) -> tuple[Any, ...]:
        schema = IndexSchema.from_dict(
            {
                "index": {"name": self._name(dims), "prefix": self._name(dims)},
                "fields": [
                    {"name": "space", "type": "tag"},
                    {
                        "name": "vector",
                        "type": "vector",
                        "attrs": {
                            "dims": dims,
                            "algorithm": "hnsw",
                            "distance_metric": "cosine",
                            "datatype": "float32",
                        },
                    },
                ],
            }
        )
        fields = [
            getattr(argument, "value", argument)
            for field in schema.fields.values()
            for argument in field.as_redis_field().redis_args()
        ]
        name = self._name(dims)
        return ("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, f"{name}:", "SCHEMA", *fields)


def _tag(space: Space) -> str:
    return f"{space.part.id}{space.name}"


def _packed(vector: Vector) -> bytes:
    return vector.astype(np.float32).tobytes()


def _documents(reply: Any) -> list[dict[bytes, bytes]]:
    """The fields of the documents found: RESP3 gives dicts, RESP2 one flat list."""
    if isinstance(reply, dict):
        results = reply.get(b"results") or reply.get("results") or ()
        return [
            one.get(b"extra_attributes") or one.get("extra_attributes") or {} for one in results
        ]
    if not isinstance(reply, list):
        return []
    return [
        dict(zip(fields[::2], fields[1::2], strict=False))
        for fields in reply[2::2]
        if isinstance(fields, list)
    ]
