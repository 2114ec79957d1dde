"""Streams: nothing before the first visible text, provenance at the end, restarts that add up."""

from collections.abc import Mapping
from typing import Any, Protocol

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessageChunk,
    message_chunk_to_message,
)
from langchain_core.outputs import ChatGenerationChunk

from allotrope.contracts import STAMP, Provenance
from allotrope.exceptions import ProviderError
from allotrope.models.call.guard import Call
from allotrope.models.call.replies import check_arguments, check_reply
from allotrope.models.failures.degraded import cut_short


class Stamping(Protocol):
    """What a stream needs of its model."""

    provider: str

    def name_of_model(self) -> str:
        """The model asked for."""

    def stamp(self, call: Call, reported: str | None, *, streamed: bool = False) -> Provenance:
        """The provenance."""


class CleanStream:
    """Holds back a stream's head until it says something, checks it at its end, stamps it.

    Calls of tools are held back too, until text or the end: one that turns out broken can then be
    asked for again without anybody having seen it.

    Args:
        model: Whose stream it is.
        call: The call it answers.
        arguments: The call's arguments, to check the reply against.
    """

    def __init__(self, model: Stamping, call: Call, arguments: Mapping[str, Any]) -> None:
        self._model = model
        self._call = call
        self._arguments = arguments
        self._held: list[ChatGenerationChunk] = []
        self._whole: BaseMessageChunk | None = None
        self._parts: list[BaseMessageChunk] = []
        self._reported: str | None = None
        self._last: ChatGenerationChunk | None = None
        self._begun = False
        self.ended = False

    def take(self, chunk: ChatGenerationChunk) -> list[ChatGenerationChunk]:
        """What may be passed on now that this chunk came."""
        info = chunk.generation_info or {}
        self._reported = (
            info.get("model_name")
            or chunk.message.response_metadata.get("model_name")
            or self._reported
        )
        if isinstance(chunk.message, BaseMessageChunk):
            self._parts.append(chunk.message)
        if getattr(chunk.message, "chunk_position", None) == "last":
            self._last = chunk  # kept for the stamp, until all is known
            return []
        if self._last is not None:
            # a part after the "last" one, such as the usage: its order doesn't matter
            return [chunk] if self._begun else self._hold(chunk)
        if self._begun:
            return [chunk]
        if not chunk.text.strip():
            return self._hold(chunk)
        self._begun = True
        self._call.spoke()
        held, self._held = self._held, []
        return [*held, chunk]

    def end(self) -> list[ChatGenerationChunk]:
        """What is left when the stream has ended well.

        Raises:
            MalformedReplyError: What came can't be used.
            ContentRefusedError: The provider's filter cut it.
        """
        self.ended = True
        whole = self._together()
        provider, name = self._model.provider, self._model.name_of_model()
        for part in getattr(whole, "tool_call_chunks", None) or ():
            # LangChain mends cut-off JSON, and a tool would run with half its arguments
            check_arguments(part["args"], tool=part["name"], provider=provider, model=name)
        message = message_chunk_to_message(whole) if whole is not None else AIMessage("")
        check_reply(message, self._arguments, provider=provider, model=name)
        self._call.spoke()
        last = self._last or ChatGenerationChunk(message=AIMessageChunk(content=""))
        self._stamp(last, self._model.stamp(self._call, self._reported, streamed=True))
        held, self._held = self._held, []
        return [*held, last]

    def incomplete(self, error: ProviderError) -> ChatGenerationChunk:
        """The end of a stream that broke and is kept as it is."""
        chunk = ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))
        stamp = self._model.stamp(self._call, self._reported, streamed=True)
        self._stamp(chunk, {**stamp, "degraded": cut_short(error)})
        return chunk

    def _hold(self, chunk: ChatGenerationChunk) -> list[ChatGenerationChunk]:
        self._held.append(chunk)
        return []

    def _together(self) -> BaseMessageChunk | None:
        if not self._parts:
            return None
        first, *others = self._parts
        return first + others if others else first

    def _stamp(self, chunk: ChatGenerationChunk, stamp: Provenance) -> None:
        chunk.message.response_metadata = {**chunk.message.response_metadata, STAMP: stamp}


class StreamRestart(AIMessageChunk):
    """Says that all text streamed so far is void; the answer begins anew with another model.

    Adding chunks up over it, as everybody does, drops what came before: `"Par" + restart + "Lyon"`
    is `"Lyon"`.
    """

    def __radd__(self, other: Any) -> AIMessageChunk:
        """What came before is void."""
        return self

    def __add__(self, other: Any) -> BaseMessageChunk:  # type: ignore[override]  # it is nothing but its end
        """What comes after stands alone."""
        if isinstance(other, AIMessageChunk):
            return other
        if isinstance(other, list) and other:
            first, *rest = other
            whole: BaseMessageChunk = first
            for chunk in rest:
                whole = whole + chunk
            return whole
        return self
