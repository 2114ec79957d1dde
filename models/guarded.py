"""What all chat models of the chain have in common: clear errors, provenance, clean streams."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables.config import ensure_config

from allotrope.exceptions import ProviderError
from allotrope.models.errors import classify

TRAIL = "__allotrope_trail"
"""Key in `configurable` of the list that collects the failures of a chain's run."""

STAMP = "allotrope"
"""Key in `response_metadata` of the provenance (docs/contracts.md)."""


class GuardedChatModel(BaseChatModel):
    """Mixin in front of a LangChain chat model: `class OpenAIChat(GuardedChatModel, ChatOpenAI)`.

    Provider errors become `allotrope.exceptions`, every reply is stamped with where it came from,
    and a stream yields nothing before its first visible content, so that `.with_fallbacks` can
    still take over from a stream that dies before it said anything.

    Attributes:
        provider: `openai`, `ollama` or `embedded`.
    """

    provider: str = "unknown"

    def ensure_ready(self) -> None:
        """Brings up what the model needs before its first call. Does nothing by default."""

    def prepare(
        self, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> tuple[list[BaseMessage], dict[str, Any]]:
        """Adapts messages and arguments to what this provider takes; unchanged by default."""
        return messages, kwargs

    def name_of_model(self) -> str:
        """The model asked for."""
        name = getattr(self, "model_name", None) or getattr(self, "model", None)
        return str(name or "unknown")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        trail, started = _trail(), time.perf_counter()
        try:
            self.ensure_ready()
            messages, kwargs = self.prepare(messages, kwargs)
            result: ChatResult = super()._generate(  # type: ignore[safe-super]  # the mixed-in model
                messages, stop=stop, run_manager=run_manager, **kwargs
            )
        except Exception as exc:
            raise self._failed(exc, trail) from exc
        return self._stamped(result, trail, started)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        trail, started = _trail(), time.perf_counter()
        try:
            await self._aensure_ready()
            messages, kwargs = self.prepare(messages, kwargs)
            result = await super()._agenerate(
                messages, stop=stop, run_manager=run_manager, **kwargs
            )
        except Exception as exc:
            raise self._failed(exc, trail) from exc
        return self._stamped(result, trail, started)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        clean = _CleanStream(self, _trail())
        try:
            self.ensure_ready()
            messages, kwargs = self.prepare(messages, kwargs)
            for chunk in super()._stream(messages, stop=stop, **kwargs):
                for ready in clean.take(chunk):
                    _announce(run_manager, ready)
                    yield ready
        except Exception as exc:
            raise self._failed(exc, clean.trail) from exc
        for ready in clean.rest():
            _announce(run_manager, ready)
            yield ready

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        clean = _CleanStream(self, _trail())
        try:
            await self._aensure_ready()
            messages, kwargs = self.prepare(messages, kwargs)
            async for chunk in super()._astream(messages, stop=stop, **kwargs):
                for ready in clean.take(chunk):
                    await _aannounce(run_manager, ready)
                    yield ready
        except Exception as exc:
            raise self._failed(exc, clean.trail) from exc
        for ready in clean.rest():
            await _aannounce(run_manager, ready)
            yield ready

    async def _aensure_ready(self) -> None:
        if type(self).ensure_ready is GuardedChatModel.ensure_ready:
            return
        import asyncio

        await asyncio.to_thread(self.ensure_ready)

    def _failed(self, exc: Exception, trail: list[ProviderError]) -> Exception:
        error = classify(exc, provider=self.provider, model=self.name_of_model())
        trail.append(error)
        return error

    def _stamped(
        self, result: ChatResult, trail: list[ProviderError], started: float
    ) -> ChatResult:
        for generation in result.generations:
            metadata = generation.message.response_metadata
            reported = metadata.get("model_name") or (result.llm_output or {}).get("model_name")
            metadata[STAMP] = self.stamp(trail, reported, started)
        return result

    def stamp(
        self,
        trail: list[ProviderError],
        reported: str | None,
        started: float,
        first_token: float | None = None,
    ) -> dict[str, Any]:
        """The provenance of a reply, as docs/contracts.md has it.

        Args:
            trail: What failed before in this run of the chain.
            reported: The model's name as the provider reports it.
            started: `time.perf_counter()` when the call began.
            first_token: The same when the first content came, for streams.
        """
        now = time.perf_counter()
        return {
            "provider": self.provider,
            "model": reported or self.name_of_model(),
            "cached": None,
            "degraded": None,
            "attempts": 1,
            "failover": [
                {"provider": e.provider, "model": e.model, "error": type(e).__name__} for e in trail
            ],
            "latency_ms": round((now - started) * 1000, 3),
            "ttft_ms": None if first_token is None else round((first_token - started) * 1000, 3),
        }


class _CleanStream:
    """Holds back a stream's empty head and stamps its end."""

    def __init__(self, model: GuardedChatModel, trail: list[ProviderError]) -> None:
        self.trail = trail
        self._model = model
        self._held: list[ChatGenerationChunk] = []
        self._started = time.perf_counter()
        self._first: float | None = None
        self._reported: str | None = None
        self._stamped = False

    def take(self, chunk: ChatGenerationChunk) -> list[ChatGenerationChunk]:
        info = chunk.generation_info or {}
        self._reported = (
            info.get("model_name")
            or chunk.message.response_metadata.get("model_name")
            or self._reported
        )
        if getattr(chunk.message, "chunk_position", None) == "last":
            self._stamp(chunk)
        if self._first is None:
            if not _visible(chunk):
                self._held.append(chunk)
                return []
            self._first = time.perf_counter()
            held, self._held = self._held, []
            return [*held, chunk]
        return [chunk]

    def rest(self) -> list[ChatGenerationChunk]:
        rest, self._held = self._held, []
        if not self._stamped:
            last = ChatGenerationChunk(message=AIMessageChunk(content=""))
            self._stamp(last)
            rest.append(last)
        return rest

    def _stamp(self, chunk: ChatGenerationChunk) -> None:
        self._stamped = True
        chunk.message.response_metadata = {
            **chunk.message.response_metadata,
            STAMP: self._model.stamp(self.trail, self._reported, self._started, self._first),
        }


def _visible(chunk: ChatGenerationChunk) -> bool:
    message = chunk.message
    return bool(message.content) or bool(getattr(message, "tool_call_chunks", None))


def _announce(manager: CallbackManagerForLLMRun | None, chunk: ChatGenerationChunk) -> None:
    if manager is not None:
        manager.on_llm_new_token(chunk.text, chunk=chunk)


async def _aannounce(
    manager: AsyncCallbackManagerForLLMRun | None, chunk: ChatGenerationChunk
) -> None:
    if manager is not None:
        await manager.on_llm_new_token(chunk.text, chunk=chunk)


def _trail() -> list[ProviderError]:
    found = ensure_config().get("configurable", {}).get(TRAIL)
    return found if isinstance(found, list) else []
