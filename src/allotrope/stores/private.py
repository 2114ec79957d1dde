"""Files that only their owner may read, wherever the folder is."""

import os
from contextlib import suppress
from pathlib import Path


def private_opener(path: str, flags: int) -> int:
    """The `opener` of `open(...)` for a file that only its owner may read."""
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)


def make_private(path: Path | str) -> None:
    """Makes a missing file, empty, for its owner only; what is there stays as it is.

    SQLite makes its files readable to everybody, and gives `-wal` and `-shm` the database's mode.

    Args:
        path: The file; `:memory:` is none. Where it can't be made, who opens it next says so.
    """
    if str(path) == ":memory:":
        return
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
