"""A private part of the standard library's `smtplib`."""

import contextlib
import smtplib
import socket
import time

from allotrope.support.exchanges import shut_after


class BoundedSMTP(smtplib.SMTP):
    """An SMTP connection that is shut at a deadline, whatever trickles in.

    Reason: the constructor connects and reads the greeting, and takes no socket. Without it: a
    server that sends a byte a second holds an alert for ever.

    Args:
        host: The server's name.
        port: Its port.
        timeout: Seconds for the whole of it, from now.
        ends: What takes the deadline away.
    """

    def __init__(self, host: str, port: int, *, timeout: float, ends: contextlib.ExitStack) -> None:
        self._due = time.monotonic() + timeout
        self._ends = ends
        super().__init__(host, port, timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._ends.enter_context(shut_after(made, self._due - time.monotonic()))
        return made
