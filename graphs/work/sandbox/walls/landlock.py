"""Landlock: a process gives up all files but some, for itself and all that it starts.

A kernel's own means, for every user and in most containers: Linux 6.2 has what is needed here.
Standard library only: the launcher imports it by its folder.
"""

import ctypes
import os
import struct
import sys

_CREATE, _ADD, _RESTRICT = 444, 445, 446
LEAST, SIGNALS = 3, 6
"""Versions: from 3 on truncating is watched over; from 6 on signals stay inside."""

EXECUTE, WRITE, READ, LIST, TRUNCATE = 1, 2, 4, 8, 1 << 14
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights on files each version knows; a right is a bit."""
_MAKE_DEVICES = 1 << 6 | 1 << 11
_ONE_FILE = EXECUTE | WRITE | READ | TRUNCATE


def version() -> int:
    """The kernel's version of Landlock; 0 where it has none or it is switched off."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)))


def restrict(
    *, readable: "list[str]", named: "list[str]", devices: "list[str]", writable: "list[str]"
) -> None:
    """Leaves this process some files; `no_new_privs` must be set.

    Args:
        readable: Files and folders to read and execute.
        named: Folders of which only the names may be listed.
        devices: Files to read and write.
        writable: Folders to do anything in.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    number = version()
    every = (1 << _RIGHTS[min(number, 5)]) - 1
    network = 3 if number >= 4 else 0  # bind and connect by TCP
    scoped = 3 if number >= SIGNALS else 0  # abstract sockets, signals
    asked = struct.pack("QQQ", every, network, scoped)
    size = 24 if number >= 6 else 16 if number >= 4 else 8
    rules = libc.syscall(_CREATE, ctypes.c_char_p(asked), ctypes.c_size_t(size), 0)
    if rules < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    wanted = [(path, READ | LIST | EXECUTE) for path in readable]
    wanted += [(path, LIST) for path in named]
    wanted += [(path, READ | WRITE) for path in devices]
    wanted += [(path, every & ~_MAKE_DEVICES) for path in writable]
    for path, rights in wanted:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if not os.path.isdir(path):
            rights &= _ONE_FILE
        rule = struct.pack("=Qi", rights, handle)
        failed = libc.syscall(_ADD, rules, 1, ctypes.c_char_p(rule), 0)
        code = ctypes.get_errno()
        os.close(handle)
        if failed:
            raise OSError(code, f"landlock: {path}: {os.strerror(code)}")
    failed = libc.syscall(_RESTRICT, rules, 0)
    code = ctypes.get_errno()
    os.close(rules)
    if failed:
        raise OSError(code, f"landlock: {os.strerror(code)}")
