"""Switches the cache off for a while when its store fails, so that no turn waits for it again."""

import logging
import threading
import time
from collections.abc import Callable

from allotrope.stores.errors import error_name

logger = logging.getLogger("allotrope.cache")


class StoreBreaker:
    """Closed until `failures` in a row, then open for `open_s` seconds, then one more try.

    Args:
        failures: Failures in a row that open it.
        open_s: Seconds it stays open.
        clock: Seconds; monotonic.
    """

    def __init__(
        self, *, failures: int = 3, open_s: float = 10.0, clock: Callable[[], float] | None = None
    ) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock or time.monotonic
        self._lock = threading.Lock()
        self._failed = 0
        self._until = float("-inf")
        self._told = False
        self.errors = 0

    def allows(self) -> bool:
        """Whether the store may be asked now."""
        return self._clock() >= self._until

    def succeeded(self) -> None:
        """The store answered."""
        if self._failed or self._told:
            with self._lock:
                if self._told:
                    logger.warning("The answer cache works again.")
                self._failed, self._told = 0, False

    def failed(self, exc: BaseException) -> None:
        """The store failed; said once per outage, by class and never with content."""
        with self._lock:
            self.errors += 1
            self._failed += 1
            if self._failed >= self._limit:
                self._until = self._clock() + self._open_s
            if not self._told:
                self._told = True
                logger.warning(
                    "The answer cache can't be used (%s); every question is asked anew meanwhile.",
                    error_name(exc),
                )
