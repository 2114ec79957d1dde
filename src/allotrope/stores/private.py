"""Files that only their owner may read, wherever the folder is."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def private_opener(path: str, flags: int) -> int:
    """The `opener` of `open(...)` for a file that only its owner may read."""
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)


def make_private(path: Path | str) -> None:
    """Makes a missing file, empty, for its owner only; what is there stays as it is.

    SQLite makes its files readable to everybody, and gives `-wal` and `-shm` the database's mode.
    A database that is there isn't opened: closing it would take away the locks of this process's
    own connections, and so corrupt it (sqlite.org/howtocorrupt.html, 2.2).

    Args:
        path: The file; `:memory:` is none. Where it can't be made, who opens it next says so.
    """
    if str(path) == ":memory:" or os.path.exists(path):
        return
    with suppress(OSError):
        handle, fresh = tempfile.mkstemp(dir=Path(path).parent, prefix=".new-")
        try:
            os.close(handle)  # before it has the name under which others open it
            os.link(fresh, path)
        finally:
            os.unlink(fresh)
