"""Files that are made or written whole, for their owner alone unless somebody says otherwise."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def private_opener(path: str, flags: int) -> int:
    """The `opener` of `open(...)` for a file that only its owner may read."""
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)


def make_private(path: Path | str, content: bytes = b"") -> None:
    """Makes a missing file for its owner only; what is there stays as it is.

    SQLite makes its files readable to everybody, and gives `-wal` and `-shm` the database's mode.
    A database that is there isn't opened: closing it would take away the locks of this process's
    own connections, and so corrupt it (sqlite.org/howtocorrupt.html, 2.2).

    Args:
        path: The file; `:memory:` is none. Where it can't be made, who opens it next says so.
        content: What stands in it once it has its name.
    """
    if str(path) == ":memory:" or os.path.exists(path):
        return
    with suppress(OSError):
        handle, fresh = tempfile.mkstemp(dir=Path(path).parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)  # before it has the name under which others open it
            os.link(fresh, path)
        finally:
            os.unlink(fresh)


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o600, sync: bool = False) -> None:
    """Writes a file beside its place and renames it: readers see the old text or the new one.

    Args:
        path: The file; its folder is there.
        content: All of it; text as UTF-8.
        mode: Who may read it.
        sync: Whether it is on the disk before it is renamed.

    Raises:
        OSError: It can't be written; what was there stays.
    """
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(draft, mode)
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
