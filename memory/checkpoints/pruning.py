"""What the savers of checkpoints share: how values are read back, and which checkpoints go when."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

_PRUNE_EVERY = 20

Statements = list[tuple[str, Sequence[Any]]]
"""SQL with its values, in the order they are run."""


def serializer() -> JsonPlusSerializer:
    """Reads back messages and plain types only."""
    return JsonPlusSerializer(allowed_msgpack_modules=None)


class Pruning:
    """When a thread's oldest checkpoints go: they hold nothing that the newest doesn't.

    Args:
        keep: Checkpoints of a thread that stay, for time travel.
        statements: What takes the others out of a database, for `(thread, namespace)` and `keep`.
    """

    def __init__(self, keep: int, statements: Callable[[tuple[str, str], int], Statements]) -> None:
        self._keep = keep
        self._statements = statements
        self._puts: Counter[tuple[str, str]] = Counter()

    def due(self, config: RunnableConfig) -> Statements:
        """What to run after a checkpoint was saved; mostly nothing."""
        place = config["configurable"]
        key = (str(place["thread_id"]), str(place.get("checkpoint_ns", "")))
        self._puts[key] += 1
        if self._puts[key] % _PRUNE_EVERY:
            return []
        if len(self._puts) > 10_000:
            self._puts.clear()
        return self._statements(key, self._keep)
