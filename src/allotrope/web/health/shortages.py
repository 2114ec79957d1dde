"""What this machine itself lacks: disk, file descriptors, memory, time.

That is no provider's failure and no unforeseen one: whoever asks is told, and `/healthz` says it.
"""

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from allotrope.exceptions import StoreError
from allotrope.settings import Settings
from allotrope.stores.lacks import lack_of
from allotrope.web.errors import RequestError, is_of_a_store

logger = logging.getLogger(__name__)

REMEMBERED_S = 10.0
"""So long after an error `/healthz` shows what was lacking, seconds."""

LEAST_BYTES = 1_000_000
"""With less free space than that the disk counts as full."""

LEAST_DESCRIPTORS = 8
"""With fewer left a turn may not find those that it needs."""

SAID_EVERY_S = 30.0
"""A lack that goes on is logged that often, seconds."""

SENTENCES = {
    "disk": "This server's disk is full: your message or its answer couldn't be kept. Send it "
    "again later; whoever runs the server must free space.",
    "descriptors": "This server has no file descriptors left: too much is open at once. Send your "
    "message again in a moment; whoever runs the server can raise the limit (ulimit -n).",
    "memory": "This server has no memory left. Send your message again in a moment.",
    "database": "The database has no room or no connections left. Send your message again later; "
    "whoever runs it must look at it.",
    "time": "This server stood still for a while. Send your message again.",
}
"""What people are told, by what is lacking."""


class ShortageError(RequestError):
    """A turn that failed since this machine lacks something.

    Args:
        lack: A key of `SENTENCES`.
    """

    def __init__(self, lack: str) -> None:
        super().__init__(
            SENTENCES[lack], status=503, code=f"server_short_of_{lack}", retry_after_s=10
        )


class Shortages:
    """What this process lacks, and lacked a moment ago.

    Args:
        settings: Where the data folder is.
        now: Monotonic clock, seconds.
    """

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._noted: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def note(self, lack: str, detail: str = "") -> None:
        """Remembers a lack, and logs it once in a while.

        Args:
            lack: A key of `SENTENCES`.
            detail: What the log says besides.
        """
        now = self._noted[lack] = self._now()
        if now - self._said.get(lack, -SAID_EVERY_S) >= SAID_EVERY_S:
            self._said[lack] = now
            logger.error("this server is short of %s%s", lack, f": {detail}" if detail else "")

    def explained(self, exc: Exception) -> Exception:
        """The error as people are told it: what is lacking, where something is.

        A store that can't be used doesn't always say why; then what is lacking now is why.
        """
        lack = lack_of(exc)
        if lack is None and is_of_a_store(exc):
            lack = next(iter(self._looked()), None)
        if lack is None:
            return exc
        self.note(lack)
        return ShortageError(lack)

    def lacking(self) -> list[str]:
        """What is lacking now or was a moment ago; reads the disk, so ask in a thread."""
        since = self._now() - REMEMBERED_S
        recent = {lack for lack, at in self._noted.items() if at >= since}
        return sorted(recent | set(self._looked()))

    def _looked(self) -> Iterator[str]:
        if _free_descriptors() < LEAST_DESCRIPTORS:
            yield "descriptors"
        if _free_bytes(self._settings) < LEAST_BYTES:
            yield "disk"

    def heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's handler: a server without descriptors says so once, not a thousandfold.

        Before Python 3.13 asyncio calls it for each connection that may wait, every second.
        """
        exc = context.get("exception")
        lack = lack_of(exc) if isinstance(exc, OSError) else None
        if lack is None:
            loop.default_exception_handler(context)
        else:
            self.note(lack, "connections wait")


def _free_bytes(settings: Settings) -> int:
    from allotrope.stores.folders import data_folder

    try:
        folder: Path = data_folder(settings)
        found = os.statvfs(folder)
    except (OSError, StoreError, AttributeError):  # Windows has no statvfs
        return LEAST_BYTES
    return found.f_bavail * found.f_frsize


def _free_descriptors() -> int:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return limit - len(os.listdir("/proc/self/fd"))
    except OSError as exc:
        return 0 if exc.errno in (errno.EMFILE, errno.ENFILE) else LEAST_DESCRIPTORS
    except ImportError:
        return LEAST_DESCRIPTORS
