"""A small HTTP/1.1 server on asyncio with a hand on the socket: it can hang, reset and cut.

Not a general web server: loopback, JSON requests, keep-alive, chunked streams. It exists because a
simulator of outages must break connections in ways that frameworks prevent, and must add little
time of its own.
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

_MAX_HEADER = 64 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Exchange:
    """One request and the way to answer it."""

    __slots__ = ("_protocol", "body", "headers", "method", "path", "started", "status")

    def __init__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, protocol: "Protocol"
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.status: int | None = None
        self.started = False
        self._protocol = protocol

    def send(
        self, status: int, body: bytes, *, headers: Mapping[str, str], declared: int | None = None
    ) -> None:
        """A whole answer at once.

        Args:
            status: HTTP status.
            body: The bytes that are sent.
            headers: Extra headers.
            declared: Content-Length where it shall differ from what is sent.
        """
        length = len(body) if declared is None else declared
        self._write(_head(status, {**headers, "content-length": str(length)}) + body, status)

    def start_stream(self, *, headers: Mapping[str, str]) -> None:
        """The head of a chunked answer."""
        self._write(_head(200, {**headers, "transfer-encoding": "chunked"}), 200)

    def chunk(self, data: bytes) -> None:
        """A piece of a chunked answer."""
        if data:
            self._protocol.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self) -> None:
        """The end of a chunked answer."""
        self._protocol.write(b"0\r\n\r\n")

    def reset(self) -> None:
        """Breaks the connection with a TCP reset."""
        self._protocol.reset()

    def cut(self) -> None:
        """Closes the connection in the middle of the answer, after what was written."""
        self._protocol.close()

    async def gone(self) -> None:
        """Waits until the client hangs up."""
        await self._protocol.lost.wait()

    @property
    def client_left(self) -> bool:
        """Whether the connection is lost."""
        return self._protocol.lost.is_set()

    def _write(self, data: bytes, status: int) -> None:
        self.started, self.status = True, status
        self._protocol.write(data)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Protocol(asyncio.Protocol):
    """One connection. Requests are answered one after the other."""

    def __init__(
        self, handle: Callable[[Exchange], Awaitable[None]], connections: set["Protocol"]
    ) -> None:
        self._handle = handle
        self._connections = connections
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's call: a client connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's call: the connection ended."""
        self.lost.set()
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """asyncio's call: bytes came in."""
        self._buffer += data
        if self._task is None:
            self._next()

    def write(self, data: bytes) -> None:
        """Sends bytes, unless the connection is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Closes after what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Closes with a TCP reset: SO_LINGER 0."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def stop(self) -> None:
        """Ends the connection and the work on it."""
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        try:
            exchange = self._parse()
        except ValueError:
            self.write(_head(400, {"content-length": "0", "connection": "close"}))
            self.close()
            return
        if exchange is not None:
            self._task = asyncio.get_running_loop().create_task(self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._handle(exchange)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001  # a script's mistake must reach the test as a reply
            if exchange.started:
                self.close()
            else:
                body = json.dumps({"error": {"message": f"simulator: {exc!r}"}}).encode()
                exchange.send(500, body, headers={"content-type": "application/json"})
        finally:
            self._task = None
        if self._buffer and not self.lost.is_set():
            self._next()

    def _parse(self) -> Exchange | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEADER:
                raise ValueError("header too large")
            return None
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        start = end + 4
        if headers.get("transfer-encoding", "").lower() == "chunked":
            parsed = _chunked(self._buffer, start)
            if parsed is None:
                return None
            body, used = parsed
        else:
            used = start + int(headers.get("content-length", "0"))
            if len(self._buffer) < used:
                return None
            body = bytes(self._buffer[start:used])
        del self._buffer[:used]
        return Exchange(method, target.partition("?")[0], headers, body, self)


def _chunked(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while True:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(bytes(buffer[at:line_end]).split(b";")[0], 16)
        at = line_end + 2
        if len(buffer) < at + size + 2:
            return None
        body += buffer[at : at + size]
        at += size + 2
        if size == 0:
            return bytes(body), at


def json_bytes(value: Any) -> bytes:
    """Compact JSON as UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
