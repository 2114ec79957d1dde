"""Flushing at the end of the process: at exit, and on SIGTERM where nobody else handles it."""

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

_closers: list[Callable[[], object]] = []
_installed = False


def on_exit(close: Callable[[], object]) -> None:
    """Calls `close` when the process ends normally or by SIGTERM.

    A SIGTERM handler is set only in the main thread and only where the default is in place: a
    server that has its own shuts down gracefully and ends by `atexit`.
    """
    global _installed
    if close not in _closers:
        _closers.append(close)
    if not _installed:
        _installed = True
        atexit.register(_close_all)
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _terminated)


def forget_exit(close: Callable[[], object]) -> None:
    """Takes a `close` back that was already called."""
    if close in _closers:
        _closers.remove(close)


def _close_all() -> None:
    for close in list(_closers):
        close()


def _terminated(number: int, _frame: FrameType | None) -> None:
    _close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
