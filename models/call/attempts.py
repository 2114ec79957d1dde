"""One attempt at a reply: its parts, its limits, and its clean end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.outputs import ChatGenerationChunk

from allotrope.models.breaker.permits import Permit
from allotrope.models.call.guard import Call
from allotrope.models.call.streams import CleanStream


@dataclass
class Opened:
    """A stream that has begun to speak, or has ended well."""

    permit: Permit
    clean: CleanStream
    head: list[ChatGenerationChunk]
    source: Iterator[ChatGenerationChunk] | None
    since: float


@dataclass
class AsyncOpened:
    """The same for coroutines."""

    permit: Permit
    clean: CleanStream
    head: list[ChatGenerationChunk]
    source: AsyncIterator[ChatGenerationChunk] | None
    since: float


def linked(error: BaseException, cause: BaseException) -> BaseException:
    """The error with its cause, unless they are one."""
    if error is not cause:
        error.__cause__ = cause
    return error


class Within:
    """`asyncio.timeout` whose error names the limit, and that can be shortened from outside.

    Args:
        seconds: The limit; None: none.
        call: Whose.
        code: The limit's name: `first_token`, `idle` or `total`.
    """

    def __init__(self, seconds: float | None, call: Call, code: str) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._call = call
        self._code = code

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._call.watch.enter(self._timeout)

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._call.watch.leave()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as exc:
            raise self._call.too_slow(self._code) from exc


async def next_chunk(
    source: AsyncIterator[ChatGenerationChunk], call: Call, since: float
) -> ChatGenerationChunk | None:
    """The next chunk within the limits of a stream; None at its end."""
    seconds, code = call.seconds_left(since)
    async with Within(seconds, call, code):
        return await anext(source, None)


def noticed(call: Call, chunk: ChatGenerationChunk) -> None:
    """The provider is alive: it sent text, or a part of a call of a tool."""
    if chunk.text or getattr(chunk.message, "tool_call_chunks", None):
        call.heard()


def in_time(call: Call, since: float) -> None:
    """A sync stream can't be interrupted; it is ended at the first chunk after its total limit."""
    seconds, code = call.seconds_left(since)
    if code == "total" and seconds == 0.0:
        raise call.too_slow(code)


def first_chunks(
    source: Iterator[ChatGenerationChunk],
    clean: CleanStream,
    call: Call,
    since: float,
    left: Callable[[], bool],
) -> list[ChatGenerationChunk]:
    """What a stream says first; all of it where it says nothing before its end.

    Args:
        source: The stream.
        clean: Holds back what isn't to be seen yet.
        call: Whose stream it is.
        since: `time.perf_counter()` when it was asked for.
        left: Whether nobody waits for it any more.
    """
    for chunk in source:
        if left():
            return []
        in_time(call, since)
        noticed(call, chunk)
        head = clean.take(chunk)
        if head:
            return head
    return [] if left() else clean.end()


def close(source: Iterator[ChatGenerationChunk] | None) -> None:
    """Ends a stream early, where there is one.

    One that a thread left behind still reads can't be closed from here; that thread does it.
    """
    end = getattr(source, "close", None)
    if end is not None:
        with contextlib.suppress(ValueError):  # generator already executing
            end()


async def aclose(source: AsyncIterator[ChatGenerationChunk] | None) -> None:
    """The same for coroutines."""
    end = getattr(source, "aclose", None)
    if end is not None:
        await end()


def announce(manager: CallbackManagerForLLMRun | None, chunk: ChatGenerationChunk) -> None:
    """Tells the callbacks of a chunk."""
    if manager is not None:
        manager.on_llm_new_token(chunk.text, chunk=chunk)


async def aannounce(
    manager: AsyncCallbackManagerForLLMRun | None, chunk: ChatGenerationChunk
) -> None:
    """The same for coroutines."""
    if manager is not None:
        await manager.on_llm_new_token(chunk.text, chunk=chunk)
