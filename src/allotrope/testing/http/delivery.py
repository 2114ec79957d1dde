"""Putting answers, errors and broken answers on the wire."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from allotrope.testing import errors, ollama_api
from allotrope.testing.content.replies import SimRequest
from allotrope.testing.errors import ErrorReply
from allotrope.testing.faults import STREAM_KINDS, Fault
from allotrope.testing.http.http11 import Exchange, json_bytes
from allotrope.testing.http.wire import Answer
from allotrope.testing.openai import chat as openai_chat
from allotrope.testing.openai import responses as openai_responses

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_LINES = {"content-type": "application/x-ndjson"}


class Delivery:
    """One request's way back to the client.

    Args:
        exchange: The connection's side.
        request: The request; it is marked as finished when its answer was sent to the end.
        date: The `Date` header.
        sleep: Waits for seconds of the simulator's clock.
    """

    def __init__(
        self,
        exchange: Exchange,
        request: SimRequest,
        *,
        date: str,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._date = date
        self._sleep = sleep

    def json(self, body: bytes) -> None:
        """An answer in JSON."""
        self._exchange.send(200, body, headers={**_JSON, **self._headers(0)})
        self._request.finished = True

    def lines(self, lines: list[bytes]) -> None:
        """An answer in lines of JSON, as Ollama streams them."""
        self._exchange.start_stream(headers=_LINES)
        for line in lines:
            self._exchange.chunk(line)
        self._exchange.end_stream()
        self._request.finished = True

    def error(self, error: ErrorReply) -> None:
        """An error with its own body and headers."""
        text = isinstance(error.body, str)
        body = str(error.body).encode() if text else json_bytes(error.body)
        head = {"content-type": "text/html"} if text else dict(_JSON)
        headers = {**head, **self._headers(0), **error.headers}
        self._exchange.send(error.status, body, headers=headers)
        self._request.finished = True

    def malformed(self) -> None:
        """200 with a body that is no JSON."""
        broken = b'{"id": "chatcmpl-broken", "choices": [{"index": 0, "mess'
        if self._request.stream and self._request.provider == "openai":
            self._exchange.start_stream(headers=_SSE)
            self._exchange.chunk(b"data: " + broken + b"\n\n")
            self._exchange.end_stream()
        else:
            self._exchange.send(200, broken, headers=_JSON)

    async def answer(self, answer: Answer, fault: Fault | None, per_token_s: float) -> None:
        """A model's answer, streamed or plain, broken where a fault says so.

        Args:
            answer: The answer.
            fault: A fault that begins after some tokens, or any other, or None.
            per_token_s: Seconds a token takes.
        """
        broken = fault if fault is not None and fault.kind in STREAM_KINDS else None
        if self._request.stream:
            await self._stream(answer, broken, per_token_s)
            return
        if per_token_s:
            await self._sleep(per_token_s * max(1, len(answer.pieces)))
        await self._plain(answer, broken)

    async def _plain(self, answer: Answer, fault: Fault | None) -> None:
        request = self._request
        if request.api == "chat":
            body = openai_chat.plain(answer)
        elif request.api == "responses":
            body = openai_responses.plain(answer, request.body)
        else:
            body = ollama_api.plain(answer)
        headers = {**_JSON, **self._headers(answer.input_tokens)}
        if fault is None:
            self._exchange.send(200, body, headers=headers)
            request.finished = True
        elif fault.kind == "sse_error":
            raise ErrorReply(500, errors.mid_stream_error(request.provider))
        else:
            half = body[: len(body) // 2]
            self._exchange.send(200, half, headers=headers, declared=len(body))
            await self._break(fault)

    async def _stream(self, answer: Answer, fault: Fault | None, per_token_s: float) -> None:
        request, exchange = self._request, self._exchange
        if request.api == "chat":
            options = request.body.get("stream_options") or {}
            wanted = bool(options.get("include_usage"))
            opening, events, closing = openai_chat.stream(answer, include_usage=wanted)
        elif request.api == "responses":
            opening, events, closing = openai_responses.stream(answer, request.body)
        else:
            opening, events, closing = ollama_api.stream(answer)
        if fault is not None:
            events, closing = events[: fault.after_tokens], b""
        kind = _LINES if request.provider == "ollama" else _SSE
        exchange.start_stream(headers={**kind, **self._headers(answer.input_tokens)})
        if per_token_s:
            exchange.chunk(opening)
            for event in events:
                await self._sleep(per_token_s)
                if exchange.client_left:
                    return
                exchange.chunk(event)
            exchange.chunk(closing)
        else:
            exchange.chunk(opening + b"".join(events) + closing)
        if fault is not None:
            await self._break(fault)
            return
        exchange.end_stream()
        request.finished = True

    async def _break(self, fault: Fault) -> None:
        exchange, request = self._exchange, self._request
        if fault.kind == "stall":
            await exchange.gone()
        elif fault.kind == "cut":
            exchange.cut()
        elif fault.kind == "reset_mid_stream":
            await asyncio.sleep(0.01)  # real time: what was written must leave before the reset
            exchange.reset()
        else:
            if request.api == "responses":
                exchange.chunk(openai_responses.error_event())
            else:
                line = json_bytes(errors.mid_stream_error(request.provider))
                ollama = request.provider == "ollama"
                exchange.chunk(line + b"\n" if ollama else b"data: " + line + b"\n\n")
            exchange.end_stream()

    def _headers(self, tokens: int) -> dict[str, str]:
        if self._request.provider == "ollama":
            return {}
        return {
            "date": self._date,
            "x-request-id": f"req_{uuid.uuid4().hex}",
            "openai-organization": "org-simulator",
            "openai-processing-ms": "1",
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-limit-tokens": "30000000",
            "x-ratelimit-remaining-requests": str(max(0, 10_000 - self._request.number % 10_000)),
            "x-ratelimit-remaining-tokens": str(30_000_000 - tokens),
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-reset-tokens": "0s",
        }
