"""Which user of this machine a connection over loopback comes from."""

import os
from ipaddress import ip_address
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""The kernel's lists of connections, Linux only: local address, …, uid (proc_net_tcp.rst)."""


def is_another_user(host: str, port: int) -> bool:
    """Whether a connection's other end belongs to another user of this machine.

    Root may be anybody. Where the system doesn't tell (macOS, Windows), nobody is another.

    Args:
        host: The client's address.
        port: The client's port.
    """
    uid = user_of(host, port)
    return uid is not None and uid not in (0, os.getuid())


def user_of(host: str, port: int) -> int | None:
    """The uid of who opened a connection from an address of this machine, or None.

    Args:
        host: The client's address.
        port: The client's port.
    """
    try:
        wanted = {_as_listed(host, port)}
    except ValueError:
        return None
    if "." in host:
        wanted.add(_as_listed(f"::ffff:{host}", port))
    for table in TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 7 and fields[1] in wanted:
                return int(fields[7])
    return None


def _as_listed(host: str, port: int) -> str:
    """`127.0.0.1`, 80 is `0100007F:0050`: words of four bytes, each in the machine's order."""
    packed = ip_address(host.partition("%")[0]).packed
    words = [int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed), 4)]
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
