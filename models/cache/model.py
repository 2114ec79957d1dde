"""`CachingChatModel`: puts the cache in front of any LangChain chat model, streams included.

    class CachedChatOpenAI(CachingChatModel, ChatOpenAI): ...

It sits above the guard: a hit is served while the circuit is open.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial
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

from allotrope.contracts import STAMP, Configurable
from allotrope.exceptions import ProviderError
from allotrope.models.cache import policy
from allotrope.models.cache.answers import CacheCall, Hit
from allotrope.models.cache.asker import Asker, LeadingCall
from allotrope.models.cache.keys import UncacheableError, canonical_request, digest
from allotrope.models.cache.redis_cache import RedisCache, fresh
from allotrope.models.cache.semantic.rules.material import asked as taken_apart
from allotrope.models.call.attempts import announce, asynchronous
from allotrope.models.failures.degraded import degraded
from allotrope.models.failures.trail import takes_over, trail_of_run
from allotrope.models.providers.content import text_length
from allotrope.support.loop_thread import SYNC_CALLS
from allotrope.support.pools import TURNS, beside_loop

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
        metadata = _metadata_of(run_manager)
        call = self._call(messages, stop, kwargs, metadata)
        if call is not None:  # what is kept needs no loop, and comes sooner without one
            hit = self.asker.kept(call)
            if hit is not None:
                return self._result(hit, started)
        work = self._answered(messages, stop, asynchronous(run_manager), call, started, **kwargs)
        return SYNC_CALLS.run(work)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        started = time.perf_counter()
        metadata = _metadata_of(run_manager)
        call = await self._acall(messages, stop, kwargs, metadata)
        return await self._answered(messages, stop, run_manager, call, started, **kwargs)

    async def _answered(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        call: CacheCall | None,
        started: float,
        /,
        **kwargs: Any,
    ) -> ChatResult:
        found = await self._ask(call)
        if isinstance(found, Hit):
            return self._result(found, started)
        inner: Any = super()._agenerate
        if _is_langchains(inner):  # it would call our `_generate`, and that would call us
            manager = None if run_manager is None else run_manager.get_sync()
            plain = super()._generate  # type: ignore[safe-super]  # the mixed-in model
            inner = partial(TURNS.run, partial(plain, run_manager=manager))
        else:
            inner = partial(inner, run_manager=run_manager)
        try:
            result: ChatResult = await inner(messages, stop=stop, **kwargs)
        except BaseException as exc:
            if found is not None:
                await found.drop(exc)
            raise
        if found is not None:
            await found.keep(_complete(result))
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        metadata = _metadata_of(run_manager)
        for chunk in SYNC_CALLS.iterate(self._chunks(messages, stop, None, metadata, **kwargs)):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        metadata = _metadata_of(run_manager)
        stream = self._chunks(messages, stop, run_manager, metadata, **kwargs)
        streams = ensure_config().get("configurable", {}).get(Configurable.STREAMS)
        if streams is not None:  # LangChain leaves what a closed stream held to the collector
            streams.push_async_callback(stream.aclose)
        return stream

    async def _chunks(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        metadata: Mapping[str, Any] | None,
        /,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk]:
        started = time.perf_counter()
        found = await self._ask(await self._acall(messages, stop, kwargs, metadata))
        if isinstance(found, Hit):
            for chunk in self._replay(found, started):
                await announce(run_manager, chunk)
                yield chunk
            return
        chunks: list[ChatGenerationChunk] = []
        inner = super()._astream
        source: Any
        if _is_langchains(inner):  # as in `_answered`
            source = _stepped(super()._stream(messages, stop=stop, **kwargs))
        else:
            source = inner(messages, stop=stop, run_manager=run_manager, **kwargs)
        try:
            async with aclosing(source):
                async for chunk in source:
                    if found is None:
                        yield chunk
                    else:
                        chunks.append(_copied(chunk))
                        with found.reader_has_it():
                            yield chunk
        except BaseException as exc:
            if found is not None:
                await found.drop(exc)
            raise
        if found is not None:
            await found.keep(_joined(chunks))

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

    async def _ask(self, call: CacheCall | None) -> Hit | LeadingCall | None:
        """What the cache says to a call; what the call waited for failed for this run, too."""
        try:
            return None if call is None else cast("Hit | LeadingCall", await self.asker.ask(call))
        except ProviderError as exc:
            trail_of_run().append(exc)
            raise

    async def _acall(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        metadata: Mapping[str, Any] | None,
    ) -> CacheCall | None:
        """The same as `_call`; a long prompt is written down in a thread."""
        if self.asker is None:
            return None
        long = text_length(messages)
        return await beside_loop(long, self._call, messages, stop, kwargs, metadata)

    def _call(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        metadata: Mapping[str, Any] | None,
    ) -> CacheCall | None:
        """The call as the cache knows it; None when the cache has no say in it."""
        asker: Asker | None = self.asker
        if asker is None:
            return None
        answers = asker.answers
        around = ensure_config()
        metadata = _metadata.get() or metadata
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
            asked = taken_apart(messages[-1].content)
            question = asked.question
            about = {**form["messages"][-1], "content": None, "material": asked.lines}
            frame = [*form["messages"][:-1], about]
            space = digest({**form, "messages": frame, "prompt": request.prompt})
        return CacheCall(
            part=answers.partition(request),
            digest=key,
            request=request,
            ttl_s=policy.lifetime(
                request,
                answers.settings,
                volatile=policy.time_dependent(messages)
                or policy.provider_reads(
                    [*tools, *(getattr(self, "tools", None) or ())],
                    model=str(form["model"]),
                    arguments={**kwargs, **form["parameters"]},
                ),
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
        trail = trail_of_run()
        takes_over(trail, provider=str(stamp["provider"]), model=str(stamp["model"]))
        return {
            **stamp,
            "succession": getattr(self, "succession", lambda: None)(),
            "repairs": [],
            "cached": hit.tier,
            **({} if hit.why is None else {"semantic": hit.why}),
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


def _metadata_of(
    manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
) -> Mapping[str, Any] | None:
    return None if manager is None else manager.metadata


def _is_langchains(method: Any) -> bool:
    """Whether a model has no async method of its own: LangChain's calls the sync one in a thread.

    Args:
        method: `_agenerate` or `_astream` of the mixed-in model.
    """
    own = getattr(method, "__func__", None)
    return own in (BaseChatModel._agenerate, BaseChatModel._astream)


async def _stepped(
    chunks: Iterator[ChatGenerationChunk],
) -> AsyncGenerator[ChatGenerationChunk]:
    """The chunks of a model that streams in threads only."""
    while (chunk := await TURNS.run(next, chunks, None)) is not None:
        yield chunk


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
    whole = chunks[0] + chunks[1:]  # all at once: one by one, each would copy what came before
    message = message_chunk_to_message(whole.message)
    message.response_metadata = {
        **(whole.generation_info or {}),
        **message.response_metadata,
    }
    return [ChatGeneration(message=message)]
