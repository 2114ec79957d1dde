"""Clients that are slow on purpose: a request must have come within its seconds, head and body."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from allotrope.web.errors import Problem, RequestError, problem_of

LONGEST_HEAD = 65_536
"""Bytes that a request line and its headers may have."""

MOST_HEADERS = 100
"""Headers that a request may have."""

_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_LONG = _LATE.replace(b"408 Request Timeout", b"431 Request Header Fields Too Large")


def bounded_protocol(base: type[Any], *, seconds: float) -> type[Any]:
    """uvicorn's HTTP protocol, which cuts off a client that doesn't finish its headers.

    Args:
        base: `AutoHTTPProtocol`.
        seconds: For the headers of a request, from its first byte (of a connection's first one:
            from when it stands).
    """

    class Bounded(base):  # type: ignore[misc]
        _head_timer: asyncio.TimerHandle | None = None
        _head_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._begin_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self._in_head():
                self._end_head()
                return
            self._begin_head()
            self._head_bytes += len(data)
            if self._head_bytes > LONGEST_HEAD:
                self._cut(_LONG)

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_head()
            super().connection_lost(exc)

        def _in_head(self) -> bool:
            """Whether the next thing to come is the rest of a request's head."""
            return self.cycle is None or self.cycle.response_complete

        def _begin_head(self) -> None:
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(seconds, self._late)

        def _end_head(self) -> None:
            self._head_bytes = 0
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _late(self) -> None:
            if self._in_head():
                self._cut(_LATE)

        def _cut(self, answer: bytes) -> None:
            self._end_head()
            if not self.transport.is_closing():
                self.transport.write(answer)
                self.transport.close()

    return Bounded


class Unhurried:
    """Refuses a request whose body takes too long, or that has too many headers.

    Args:
        app: What answers.
        seconds: For the whole body, from when the headers are there.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if len(scope["headers"]) > MOST_HEADERS:
            problem = Problem(431, f"A request has at most {MOST_HEADERS} headers.")
            await problem.response()(scope, receive, send)
            return
        due = asyncio.get_running_loop().time() + self.seconds
        whole = late = started = False

        async def in_time() -> Message:
            nonlocal whole, late
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                late = True
                raise self._too_late() from None
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            if late and message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": [*message.get("headers", ()), (b"connection", b"close")],
                }
            await send(message)

        try:
            await self.app(scope, in_time, noted)
        except RequestError as exc:
            if not late or started:
                raise
            await problem_of(exc).response()(scope, receive, noted)

    def _too_late(self) -> RequestError:
        return RequestError(
            f"The request's body didn't come within {self.seconds:g} seconds.", status=408
        )
