"""One attempt at a reply: its parts, its limits, and its clean end."""

import asyncio
from collections.abc import AsyncIterator
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


async def aclose(source: AsyncIterator[ChatGenerationChunk] | None) -> None:
    """Ends a stream early, where there is one."""
    end = getattr(source, "aclose", None)
    if end is not None:
        await end()


async def announce(
    manager: AsyncCallbackManagerForLLMRun | None, chunk: ChatGenerationChunk
) -> None:
    """Tells the callbacks of a chunk."""
    if manager is not None:
        await manager.on_llm_new_token(chunk.text, chunk=chunk)


def asynchronous(
    manager: CallbackManagerForLLMRun | None,
) -> AsyncCallbackManagerForLLMRun | None:
    """The callbacks of a sync call, for the coroutine that does its work."""
    if manager is None:
        return None
    return AsyncCallbackManagerForLLMRun(
        run_id=manager.run_id,
        handlers=manager.handlers,
        inheritable_handlers=manager.inheritable_handlers,
        parent_run_id=manager.parent_run_id,
        tags=manager.tags,
        inheritable_tags=manager.inheritable_tags,
        metadata=manager.metadata,
        inheritable_metadata=manager.inheritable_metadata,
    )
