"""Locks on files, between processes."""

from contextlib import suppress
from typing import IO


def lock(file: IO[bytes], *, wait: bool = True) -> None:
    """Holds a file alone until it is closed. On Windows nothing is locked: run one process there.

    Args:
        file: Open.
        wait: Whether to wait for who holds it.

    Raises:
        BlockingIOError: Another process holds it, and we don't wait.
    """
    with suppress(ImportError):  # Windows has no fcntl
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
