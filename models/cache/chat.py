"""`CachingChatModel`: puts the cache in front of any LangChain chat model, streams included.

    class CachedChatOpenAI(CachingChatModel, ChatOpenAI): ...

It sits above the guard: a hit is served while the circuit is open.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, cast

from langchain_core.caches import BaseCache
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    message_chunk_to_message,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import Field

from allotrope.exceptions import ProviderError
from allotrope.models.cache import policy
from allotrope.models.cache.answers import Call, Hit
from allotrope.models.cache.asker import Ask, Asker
from allotrope.models.cache.keys import UncacheableError, canonical_request, digest
from allotrope.models.cache.redis_cache import RedisCache, fresh
from allotrope.models.degraded import degraded

STAMP = "allotrope"
PIECE = 24
"""Characters of one replayed chunk, about five tokens."""

_metadata: ContextVar[Mapping[str, Any] | None] = ContextVar("allotrope_metadata", default=None)
"""The run's metadata for `_stream`, which LangChain gives no run manager."""


class CachingChatModel(BaseChatModel):
    """Mixin: `class CachedChatOpenAI(CachingChatModel, ChatOpenAI)`, `CachedChatOpenAI(asker=…)`.

    Attributes:
        asker: The cache; None asks anew every time.
    """

    asker: Any = Field(default=None, exclude=True, repr=False)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        started = time.perf_counter()
        call = self._call(messages, stop, kwargs, run_manager)
        if call is None:
            return super()._generate(  # type: ignore[safe-super]  # the mixed-in model
                messages, stop=stop, run_manager=run_manager, **kwargs
            )
        found = self.asker.ask(call)
        if isinstance(found, Hit):
            return self._result(found, started)
        try:
            result = super()._generate(  # type: ignore[safe-super]  # the mixed-in model
                messages, stop=stop, run_manager=run_manager, **kwargs
            )
        except BaseException as exc:
            found.drop(exc)
            raise
        found.keep(_complete(result))
        return result

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        started = time.perf_counter()
        call = self._call(messages, stop, kwargs, run_manager)
        if call is None:
            return await super()._agenerate(messages, stop=stop, run_manager=run_manager, **kwargs)
        found = await self.asker.aask(call)
        if isinstance(found, Hit):
            return self._result(found, started)
        try:
            result = await super()._agenerate(
                messages, stop=stop, run_manager=run_manager, **kwargs
            )
        except BaseException as exc:
            await found.adrop(exc)
            raise
        await found.akeep(_complete(result))
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        started = time.perf_counter()
        call = self._call(messages, stop, kwargs, run_manager)
        found = None if call is None else self.asker.ask(call)
        if isinstance(found, Hit):
            for chunk in self._replay(found, started):
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
            return
        chunks: list[ChatGenerationChunk] = []
        try:
            for chunk in super()._stream(messages, stop=stop, run_manager=run_manager, **kwargs):
                if found is not None:
                    chunks.append(_copied(chunk))
                yield chunk
        except BaseException as exc:
            if isinstance(found, Ask):
                found.drop(exc)
            raise
        if isinstance(found, Ask):
            found.keep(_joined(chunks))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        started = time.perf_counter()
        call = self._call(messages, stop, kwargs, run_manager)
        found = None if call is None else await self.asker.aask(call)
        if isinstance(found, Hit):
            for chunk in self._replay(found, started):
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
            return
        chunks: list[ChatGenerationChunk] = []
        try:
            async for chunk in super()._astream(
                messages, stop=stop, run_manager=run_manager, **kwargs
            ):
                if found is not None:
                    chunks.append(_copied(chunk))
                yield chunk
        except BaseException as exc:
            if isinstance(found, Ask):
                await found.adrop(exc)
            raise
        if isinstance(found, Ask):
            await found.akeep(_joined(chunks))

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Streams like any chat model; an answer from the cache is replayed in chunks."""
        chunks = super().stream(input, config, stop=stop, **kwargs)
        token = _metadata.set(ensure_config(config).get("metadata"))
        try:
            first = next(chunks, None)
        finally:
            _metadata.reset(token)
        if first is not None:
            yield first
            yield from chunks

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """The same as `stream`, asynchronously."""
        chunks = super().astream(input, config, stop=stop, **kwargs)
        token = _metadata.set(ensure_config(config).get("metadata"))
        try:
            first = await anext(chunks, None)
        finally:
            _metadata.reset(token)
        if first is not None:
            yield first
            async for chunk in chunks:
                yield chunk

    def _call(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
    ) -> Call | None:
        """The call as the cache knows it; None when the cache has no say in it."""
        asker: Asker | None = self.asker
        if asker is None:
            return None
        answers = asker.answers
        around = ensure_config()
        metadata = _metadata.get() or (run_manager.metadata if run_manager else None)
        directives = around.get("configurable", {}).get(policy.DIRECTIVES)
        request = policy.request_of(
            {
                policy.DIRECTIVES: directives,
                **around.get("metadata", {}),
                **(metadata or {}),
            },
            tenant=answers.tenant,
            settings=answers.settings,
        )
        if not (request.read or request.write):
            return None
        try:
            form = canonical_request(self, messages, stop=stop, arguments=kwargs)
            key = digest(form)
        except UncacheableError:
            return None
        tools = kwargs.get("tools") or ()
        question, space = "", ""
        semantic = asker.semantic is not None and bool(messages) and messages[-1].type == "human"
        if (
            semantic
            and request.semantic
            and isinstance(messages[-1].content, str)
            and not kwargs.get("response_format")
            and not policy.reads_the_world(tools, answers.settings.volatile_tools)
        ):
            question = messages[-1].content
            frame = [*form["messages"][:-1], {**form["messages"][-1], "content": None}]
            space = digest({**form, "messages": frame, "prompt": request.prompt})
        return Call(
            part=answers.partition(request),
            digest=key,
            request=request,
            ttl_s=policy.lifetime(
                request,
                answers.settings,
                volatile=policy.time_dependent(messages),
                chance=answers.chance(),
            ),
            model=form["model"],
            question=question,
            space=space,
        )

    def _stamp_hit(self, hit: Hit, message: AIMessage, started: float) -> dict[str, Any]:
        """The provenance of a hit: who answered then, how it failed over now, what it saves."""
        then = message.response_metadata.get(STAMP)
        stamp = dict(then) if isinstance(then, dict) else {"provider": "", "model": hit.entry.model}
        trail = _failures()
        return {
            **stamp,
            "cached": hit.tier,
            "saved": dict(hit.entry.saved),
            "attempts": 0,
            "degraded": degraded(trail, provider=str(stamp["provider"]), model=str(stamp["model"])),
            "failover": [
                {"provider": e.provider, "model": e.model, "error": type(e).__name__} for e in trail
            ],
            "latency_ms": round((time.perf_counter() - started) * 1000, 3),
            "ttft_ms": None,
        }

    def _result(self, hit: Hit, started: float) -> ChatResult:
        generations = []
        for kept in hit.entry.generations:
            generation = cast("ChatGeneration", fresh(kept))
            message = cast("AIMessage", generation.message)
            message.response_metadata[STAMP] = self._stamp_hit(hit, message, started)
            generations.append(generation)
        return ChatResult(generations=generations)

    def _replay(self, hit: Hit, started: float) -> Iterator[ChatGenerationChunk]:
        """A kept answer in chunks; the last one carries metadata, usage and provenance."""
        generation = self._result(hit, started).generations[0]
        message = cast("AIMessage", generation.message)
        if isinstance(message.content, str):
            for piece in pieces(message.content):
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            rest: Any = ""
        else:
            rest = message.content
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content=rest,
                additional_kwargs=message.additional_kwargs,
                response_metadata=message.response_metadata,
                usage_metadata=message.usage_metadata,
                tool_call_chunks=[
                    {
                        "name": tool["name"],
                        "args": _json(tool["args"]),
                        "id": tool["id"],
                        "index": index,
                        "type": "tool_call_chunk",
                    }
                    for index, tool in enumerate(message.tool_calls)
                ],
                chunk_position="last",
            )
        )


def attach(model: BaseChatModel, cache: BaseCache | None) -> None:
    """Gives a model its cache: ours above the guard, any other LangChain cache in its own place.

    Args:
        model: A chat model; with `CachingChatModel` mixed in it gets ours in full.
        cache: The cache, or None for no cache at all.
    """
    if isinstance(cache, RedisCache) and isinstance(model, CachingChatModel):
        model.asker = cache.asker
        model.cache = False
    else:
        model.cache = cache if cache is not None else False


def pieces(text: str) -> Iterator[str]:
    """Text in pieces of about `PIECE` characters that end at spaces; joined they are the text."""
    start = 0
    while start < len(text):
        end = min(len(text), start + PIECE)
        space = text.rfind(" ", start, end)
        if end < len(text) and space > start:
            end = space
        yield text[start:end]
        start = end


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _complete(result: ChatResult) -> list[ChatGeneration]:
    """The generations with what LangChain would add to them after `_generate`."""
    generations = []
    for generation in result.generations:
        message = generation.message.model_copy()
        message.response_metadata = {
            **(result.llm_output or {} if len(result.generations) == 1 else {}),
            **(generation.generation_info or {}),
            **message.response_metadata,
        }
        generations.append(ChatGeneration(message=message))
    return generations


def _copied(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    """A copy taken before LangChain writes ids and metadata into the chunk."""
    return ChatGenerationChunk(
        message=chunk.message.model_copy(), generation_info=chunk.generation_info
    )


def _joined(chunks: list[ChatGenerationChunk]) -> list[ChatGeneration]:
    if not chunks:
        return []
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    message = message_chunk_to_message(whole.message)
    message.response_metadata = {
        **(whole.generation_info or {}),
        **message.response_metadata,
    }
    return [ChatGeneration(message=message)]


def _failures() -> list[ProviderError]:
    """What failed before in this run of the chain (see `guard`)."""
    from allotrope.run_keys import TRAIL

    trail = ensure_config().get("configurable", {}).get(TRAIL)
    return list(trail) if isinstance(trail, list) else []
