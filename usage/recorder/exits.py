"""The end of the process: what it holds is kept at exit, on SIGTERM and after Ctrl-C."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

WAIT_S = 10.0
"""How long one of them may wait for its store at an ordinary end, seconds."""

_keepers: list[Callable[[float], object]] = []
_installed = False


def on_exit(keep: Callable[[float], object]) -> None:
    """Calls `keep` when the process ends normally, by SIGTERM, or by `leave`.

    A SIGTERM handler is set only in the main thread and only where the default is in place: a
    server that has its own shuts down gracefully and ends by `atexit`.

    Args:
        keep: Keeps what is open; it is told for how many seconds it may wait for its store, 0 where
            it has to put it aside at once.
    """
    global _installed
    if keep not in _keepers:
        _keepers.append(keep)
    if not _installed:
        _installed = True
        atexit.register(_keep_all, WAIT_S)
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _terminated)


def forget_exit(keep: Callable[[float], object]) -> None:
    """Takes a `keep` back whose work is done."""
    if keep in _keepers:
        _keepers.remove(keep)


def leave(code: int) -> NoReturn:
    """Ends the process at once: somebody waits for the prompt.

    What it holds is kept; no store, thread or connection is waited for, and nothing else of what
    was registered with `atexit` is run.

    Args:
        code: The exit code.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is on its way
    _keep_all(0.0)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            continue
    os._exit(code)


def _keep_all(wait_s: float) -> None:
    for keep in list(_keepers):
        keep(wait_s)


def _terminated(number: int, _frame: FrameType | None) -> None:
    _keep_all(WAIT_S)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
