"""Ends an embedded Redis that nobody uses any more, even where its last user was killed.

A program of its own, of the standard library alone: `python -I -S keeper.py FOLDER SOCKET PID
KEEPING CLIENTS`. It sleeps in the kernel until no process holds `clients.lock`, and never polls.
KEEPING is the open `keeper.lock`, held for as long as it lives; CLIENTS the open `clients.lock`.
"""

import contextlib
import fcntl
import os
import signal
import socket
import sys
import time

_WAIT_S = 10.0


def main(folder: str, socket_path: str, pid: int, clients: int) -> None:
    """Waits for the last user to go, then stops the server as that user would have."""
    while True:
        fcntl.flock(clients, fcntl.LOCK_EX)
        fcntl.flock(clients, fcntl.LOCK_UN)  # who joins needs it, and joins under the other lock
        try:
            if os.fstat(clients).st_ino != os.stat(os.path.join(folder, "clients.lock")).st_ino:
                raise FileNotFoundError
            starting = _opened(folder, "start.lock")
        except FileNotFoundError:
            _end_orphan(folder, pid)
            return
        fcntl.flock(starting, fcntl.LOCK_EX)
        if _locked(clients):
            _stop(folder, socket_path)
            return
        os.close(starting)


def _opened(folder: str, name: str) -> int:
    return os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT, 0o600)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _stop(folder: str, socket_path: str) -> None:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(_WAIT_S)
        plug.connect(socket_path)
        plug.sendall(b"SHUTDOWN\r\n")
        plug.recv(256)
    server = _opened(folder, "server.lock")
    end = time.monotonic() + _WAIT_S
    while not _locked(server) and time.monotonic() < end:
        time.sleep(0.01)


def _end_orphan(folder: str, pid: int) -> None:
    """The folder was removed: nobody can find the server any more, and it has nowhere to save."""
    with contextlib.suppress(OSError):
        # the number may be another process's by now
        where = os.readlink(f"/proc/{pid}/cwd")
        if where.removesuffix(" (deleted)") == os.path.realpath(folder):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[5]))
