"""What a machine itself lacked, going by an error: disk, file descriptors, memory, a database."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

from allotrope.exceptions import AllotropeError, StoreError

_BY_ERRNO = {
    errno.ENOSPC: "disk",
    errno.EDQUOT: "disk",
    errno.EMFILE: "descriptors",
    errno.ENFILE: "descriptors",
    errno.ENOMEM: "memory",
}
_SQLITE = {"SQLITE_FULL": "disk", "SQLITE_NOMEM": "memory"}
_SQLSTATE_CLASS = "53"  # PostgreSQL: insufficient resources

_TOLD = {
    "disk": ("The disk is full", "Free some space"),
    "descriptors": ("No file descriptors are left", "Close what is open, or raise `ulimit -n`"),
    "memory": ("No memory is left", "End what needs it"),
    "database": ("The database has no room or no connections left", "Whoever runs it must look"),
}
"""What people are told, and what to do first."""


def lack_of(exc: BaseException) -> str | None:
    """What was lacking, going by an error, its causes, and what it was made of; None: nothing."""
    for one in _chain(exc):
        if isinstance(one, MemoryError):
            return "memory"
        number = getattr(one, "errno", None)
        if isinstance(one, OSError) and number in _BY_ERRNO:
            return _BY_ERRNO[number]
        found = _SQLITE.get(getattr(one, "sqlite_errorname", ""))
        if found is not None:
            return found
        if str(getattr(one, "sqlstate", None) or "").startswith(_SQLSTATE_CLASS):
            return "database"
    return None


def _chain(exc: BaseException) -> Iterator[BaseException]:
    waiting: list[Any] = [exc]
    for _ in range(32):
        if not waiting:
            return
        one = waiting.pop(0)
        yield one
        more = (
            one.__cause__,
            one.__context__,
            getattr(one, "orig", None),  # SQLAlchemy's wraps the driver's
            *getattr(one, "causes", ()),
            *getattr(one, "exceptions", ()),
        )
        waiting += [inner for inner in more if isinstance(inner, BaseException)]


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Says it in a sentence where a turn failed since this machine lacks something.

    Raises:
        StoreError: It does.
    """
    try:
        yield
    except AllotropeError:
        raise
    except Exception as exc:
        lack = lack_of(exc)
        if lack is None:
            raise
        what, act = _TOLD[lack]
        raise StoreError(
            f"{what}: the question or its answer couldn't be kept.",
            hint=f"{act}, then ask the same again; it doesn't stand in the thread twice.",
        ) from exc
