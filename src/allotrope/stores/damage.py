"""Store files that can't be read any more: moved aside, begun anew from what is known, said once.

Nothing is deleted: `NAME` becomes `NAME.damaged-<time>`, beside it.
"""

import contextlib
import heapq
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

Identity = tuple[int, int]
"""Device and inode: which file it is, whatever its name."""

_CORRUPT = ("malformed", "not a database", "database corruption", "file is encrypted")
"""SQLite's wordings for SQLITE_CORRUPT and SQLITE_NOTADB (sqlite.org/rescode.html), for errors
that come without their code."""
_PROBES = 5_000
_LEAST_ROW_BYTES = 32
_LAST = 2**63 - 1


def is_damaged(exc: BaseException) -> bool:
    """Whether an error of SQLite, or SQLAlchemy's around it, says that the file itself is broken.

    A file that is locked, full, read-only or missing isn't.

    Args:
        exc: The error.
    """
    cause = getattr(exc, "orig", None) or exc
    if not isinstance(cause, sqlite3.DatabaseError):
        return False
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return any(word in str(cause) for word in _CORRUPT)


def identity(path: Path | str) -> Identity | None:
    """Which file has that name now; None where there is none.

    Args:
        path: The file.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """One process at a time opens or replaces a store file of a folder. Not on Windows.

    Args:
        folder: It exists.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def move_aside(path: Path, *, opened: Identity | None = None) -> Path | None:
    """Renames a damaged file; a SQLite file with its log and shared memory. Close it first.

    Args:
        path: The file.
        opened: Which file was found damaged; where another process has put a new one in its place,
            that one stays.

    Returns:
        The new path, or None where another process was first.
    """
    if opened is not None and identity(path) != opened:
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return None
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


def say(what: str, path: Path, aside: Path, *, instead: str) -> str:
    """Tells once, in the log, what was damaged and what became of it.

    Args:
        what: What the file holds: "The archive".
        path: Its name.
        aside: Where it is now.
        instead: One or two sentences: what was saved, what wasn't, what happens now.

    Returns:
        The sentences.
    """
    told = f"{what} {path} was damaged. It was moved to {aside.name} in the same folder. {instead}"
    logger.error("%s", told)
    return told


def read_json(
    path: Path, parse: Callable[[bytes], T], *, what: str, instead: str, missing: Callable[[], T]
) -> T:
    """A JSON file of the runtime's own; a damaged one is moved aside and said.

    Not for files that people write: their typing mistakes are theirs to mend.

    Args:
        path: The file.
        parse: Bytes to the document; a `ValueError` (pydantic's, JSON's, Unicode's) means damage.
        what: What the file holds: "The state of the experiment warm".
        instead: What happens without it.
        missing: The document where there is no file (any more).

    Raises:
        OSError: It can't be read for another reason.
    """
    before = identity(path)
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return missing()
    except ValueError:
        with folder_lock(path.parent):
            aside = move_aside(path, opened=before)
        if aside is not None:
            say(what, path, aside, instead=instead)
            return missing()
    # another process has put a new one there
    try:
        return parse(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return missing()


def json_object(data: bytes) -> dict[str, object]:
    """What `read_json` takes for a plain JSON object.

    Raises:
        ValueError: It is none.
    """
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def readable_rows(path: Path, table: str) -> Iterator[sqlite3.Row]:
    """The rows of a table of a damaged SQLite file that can still be read, in any order.

    Broken pages are gone round: from both ends, then from the middle of what is left, the largest
    gap first.

    Args:
        path: The file that was moved aside.
        table: One of our own, with row ids.

    Yields:
        Rows with `salvaged_row`, the row id, and the table's columns.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return
    with closing(connection):
        connection.row_factory = sqlite3.Row
        low = yield from _read(connection, table, -1, _LAST)
        if low is None:
            return
        high = yield from _read(connection, table, low, _LAST, back=True)
        if high is None:
            return
        # where the last page is broken, nobody knows how many rows there were
        high = min(high, low + path.stat().st_size // _LEAST_ROW_BYTES + 1)
        gaps = [(low - high, low, high)]
        for _ in range(_PROBES):
            if not gaps:
                return
            _, low, high = heapq.heappop(gaps)
            middle = (low + high) // 2
            before = yield from _read(connection, table, low, middle + 1, back=True)
            after = yield from _read(connection, table, middle, high)
            for begin, end in ((low, before), (after, high)):
                if begin is not None and end is not None and end - begin > 1:
                    heapq.heappush(gaps, (begin - end, begin, end))


def _read(
    connection: sqlite3.Connection, table: str, low: int, high: int, *, back: bool = False
) -> Generator[sqlite3.Row, None, int | None]:
    """Rows between two row ids, both left out; returns where an error stopped it, else None."""
    at = high if back else low
    # by row id, by no index: an index may be the part that is broken
    sql = (
        f'SELECT rowid AS salvaged_row, * FROM "{table}" NOT INDEXED'  # noqa: S608 - a name of ours
        f" WHERE rowid > ? AND rowid < ? ORDER BY rowid{' DESC' if back else ''} LIMIT ?"
    )
    # the second time for the row before the error: Python reads one ahead and drops it
    for limit in (-1, 1):
        try:
            bounds = (low, at) if back else (at, high)
            for row in connection.execute(sql, (*bounds, limit)):
                at = row["salvaged_row"]
                yield row
        except sqlite3.Error:
            continue
        if limit < 0:
            return None
    return at
