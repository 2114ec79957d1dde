"""A thread that looks for changes every few seconds, and ends with what it looks after."""

import logging
import threading
import weakref
from typing import Protocol


class Refreshable(Protocol):
    """Something that can look at its files again."""

    def refresh(self) -> bool:
        """Looks; returns whether anything changed."""


class Watcher(threading.Thread):
    """Calls `refresh` in the background.

    It holds its target weakly: when nobody else does, the thread ends.

    Args:
        target: What is refreshed.
        every_s: Seconds between two looks.
        name: The thread's name; also the logger's, with dots for dashes.
    """

    def __init__(self, target: Refreshable, every_s: float, *, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._stopped = threading.Event()
        self._target = weakref.ref(target, lambda _: self._stopped.set())
        self._every_s = every_s

    def stop(self) -> None:
        """Ends the thread at its next look."""
        self._stopped.set()

    def run(self) -> None:
        """Looks until stopped or alone."""
        while not self._stopped.wait(self._every_s):
            target = self._target()
            if target is None:
                return
            try:
                target.refresh()
            except Exception:  # a watcher that dies would silently end all reloads
                logging.getLogger(self.name.replace("-", ".")).exception("Looking again failed.")
            del target
