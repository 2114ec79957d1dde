"""The keys that a server has looked up: in memory, and never older than three seconds."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from allotrope.identity.key_store import KeyStore
from allotrope.identity.keys import Key
from allotrope.settings import Settings
from allotrope.support.pools import KEYS

RENEWED_AFTER_S = 1.0
"""What is older is looked up once more, while the request goes on with what is known, seconds."""

OLDEST_S = 3.0
"""What is older isn't believed any more: a revocation holds after so many seconds everywhere."""

MOST = 10_000
"""Ids remembered; those asked for least recently are forgotten."""


class KnownKeys:
    """Looks keys up for a server. Nothing is opened before the first.

    Args:
        settings: Where the keys are.
        now: Monotonic clock, seconds.
    """

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.monotonic) -> None:
        self._store = KeyStore(settings)
        self._now = now
        self._known: OrderedDict[str, tuple[Key | None, float]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Key | None]] = {}

    def knows(self, id: str) -> bool:
        """Whether an id was that of a key when it was last looked up."""
        found = self._known.get(id)
        return found is not None and found[0] is not None

    async def get(self, id: str) -> Key | None:
        """A key as it was at most three seconds ago, or None.

        Args:
            id: Of the key.

        Raises:
            StoreError: The keys can't be reached, and what is known is too old.
        """
        found = self._known.get(id)
        age = OLDEST_S if found is None else self._now() - found[1]
        if found is not None and age < RENEWED_AFTER_S:
            return found[0]
        task = self._asking.get(id)
        if task is None:
            task = asyncio.create_task(self._ask(id))
            self._asking[id] = task
            task.add_done_callback(lambda done: self._asked(id, done))
        if found is not None and age < OLDEST_S:
            return found[0]
        return await asyncio.shield(task)

    def close(self) -> None:
        """Closes the store; a later call opens it anew."""
        self._store.close()

    async def _ask(self, id: str) -> Key | None:
        at = self._now()  # what changes while we look is newer than what we see
        key = await KEYS.run(self._store.get, id)
        self._known.pop(id, None)
        self._known[id] = (key, at)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return key

    def _asked(self, id: str, task: "asyncio.Task[Key | None]") -> None:
        self._asking.pop(id, None)
        if not task.cancelled():
            task.exception()  # whoever waits gets it; who doesn't, asks again when it is too old
