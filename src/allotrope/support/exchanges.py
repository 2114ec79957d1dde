"""A deadline for the whole of an HTTP exchange, where a client's own timeouts are per read.

A server that sends a byte a second keeps within every read timeout for ever. `limit` bounds name
look-up apart, connecting, headers and body of one exchange together; a stream's body counts until
it is read to its end.
"""

import contextlib
import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, TypeVar

from allotrope.support.compat.httpx import transports_of, wrap_body, wrap_network

T = TypeVar("T")

_here = threading.local()


def limit(client: T, total_s: float, *, once: bool = False) -> T:
    """Gives every exchange of a client so many seconds in all.

    Args:
        client: An `httpx.Client` or `httpx2.Client`, before its first request.
        total_s: Seconds from the request to the last byte of the answer.
        once: Whether its connections are used for one exchange only. They are then shut at the
            deadline by a timer, which ends what trickles below the client too: a handshake, or
            one record of TLS.

    Returns:
        The client.
    """
    for transport in transports_of(client):
        limit_transport(transport, total_s, once=once)
    return client


def limit_transport(transport: T, total_s: float, *, once: bool = False) -> T:
    """As `limit`, for one transport of a client.

    Args:
        transport: An `HTTPTransport` of `httpx` or `httpx2`, before its first request.
        total_s: As for `limit`.
        once: As for `limit`.
    """
    given: Any = transport
    if wrap_network(given, lambda inner: _Backend(inner, once=once)):
        given.handle_request = _limited(given.handle_request, total_s)
    return transport


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine.

    Args:
        host: As an address of the web has it; IPv6 in brackets or without.
    """
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def shut_after(connected: socket.socket, seconds: float) -> Iterator[None]:
    """Shuts a connection after so many seconds; what waits on it then ends.

    Args:
        connected: The socket.
        seconds: From now.
    """
    timer = _timer(connected, seconds)
    try:
        yield
    finally:
        timer.cancel()


def _timer(connected: socket.socket, seconds: float) -> threading.Timer:
    def shut() -> None:
        with contextlib.suppress(OSError):  # closed meanwhile
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(seconds, 0.0), shut)
    timer.daemon = True
    timer.name = "allotrope-deadline"
    timer.start()
    return timer


@contextlib.contextmanager
def _until(due: float) -> Iterator[None]:
    before = getattr(_here, "due", None)
    _here.due = due
    try:
        yield
    finally:
        _here.due = before


def _limited(handle: Any, total_s: float) -> Any:
    def handle_request(request: Any) -> Any:
        due = time.monotonic() + total_s
        with _until(due):
            response = handle(request)
        wrap_body(response, lambda inner: _Body(inner, due))
        return response

    return handle_request


class _Body:
    """A body whose reads know when the exchange is due."""

    def __init__(self, inner: Any, due: float) -> None:
        self._inner = inner
        self._due = due

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._inner)
        while True:
            with _until(self._due):
                part = next(parts, None)
            if part is None:
                return
            yield part

    def close(self) -> None:
        if hasattr(self._inner, "close"):
            self._inner.close()


class _Backend:
    """A network backend whose streams end at the deadline of the thread that reads them."""

    def __init__(self, inner: Any, *, once: bool) -> None:
        self._inner = inner
        self._once = once

    def connect_tcp(self, *args: Any, **kwargs: Any) -> "_Stream":
        if "timeout" in kwargs:
            kwargs["timeout"] = _left(self._inner, kwargs["timeout"])
        made = self._inner.connect_tcp(*args, **kwargs)
        due = getattr(_here, "due", None)
        timer = None
        if self._once and due is not None:
            timer = _timer(made.get_extra_info("socket"), due - time.monotonic())
        return _Stream(made, timer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Stream:
    """A connection, read and written within the time that is left."""

    def __init__(self, inner: Any, timer: threading.Timer | None) -> None:
        self._inner = inner
        self._timer = timer

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            found: bytes = self._inner.read(max_bytes, timeout=_left(self._inner, timeout))
        except Exception:
            _left(self._inner, None)  # what the timer shut is late, and not broken
            raise
        if not found:
            _left(self._inner, None)
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout=_left(self._inner, timeout))

    def start_tls(self, *args: Any, **kwargs: Any) -> "_Stream":
        if "timeout" in kwargs:
            kwargs["timeout"] = _left(self._inner, kwargs["timeout"])
        try:
            return _Stream(self._inner.start_tls(*args, **kwargs), self._timer)
        except Exception:
            _left(self._inner, None)
            raise

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(inner: Any, timeout: float | None) -> float | None:
    """The shorter of a timeout and what is left; raises the library's own error when late."""
    due = getattr(_here, "due", None)
    if due is None:
        return timeout
    left = due - time.monotonic()
    if left <= 0:
        library = sys.modules[type(inner).__module__.partition(".")[0]]
        raise library.ReadTimeout("the whole exchange took too long")
    return float(left if timeout is None else min(timeout, left))
