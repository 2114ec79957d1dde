"""What all chat models of the chain have in common: breaker, retries, clear errors, provenance."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from pydantic import PrivateAttr

from allotrope.contracts import STAMP, Provenance, Succession
from allotrope.exceptions import ProviderError
from allotrope.models.call.attempts import (
    Opened,
    Within,
    aclose,
    announce,
    asynchronous,
    linked,
    next_chunk,
    noticed,
)
from allotrope.models.call.cancelled import one_call, reported
from allotrope.models.call.guard import Call, Guard
from allotrope.models.call.replies import check_reply
from allotrope.models.call.streams import CleanStream
from allotrope.models.providers.content import asent, plain
from allotrope.models.waiting.queue import CallQueue
from allotrope.support.compat.langchain import CallByCall
from allotrope.support.loop_thread import SYNC_CALLS
from allotrope.support.pools import TURNS

if TYPE_CHECKING:
    from allotrope.models.catalogue.lifecycle import Lifecycles


class GuardedChatModel(CallByCall):
    """Mixin in front of a LangChain chat model: `class OpenAIChat(GuardedChatModel, ChatOpenAI)`.

    Every request asks the circuit breaker first, is retried by our one loop, and ends in an error
    of `allotrope.exceptions` or in a reply that can be used and is stamped with where it came from.
    A stream yields nothing before its first visible text, so that until then retries and
    `.with_fallbacks` are invisible; after it, a break is announced as a `restart`.

    Attributes:
        provider: `openai`, `ollama` or `embedded`.
    """

    provider: str = "unknown"
    _guard: Guard = PrivateAttr(default_factory=Guard)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """No: breaker, cache and client aren't data; build the model from the settings again."""
        return False

    def guard_with(self, guard: Guard) -> None:
        """Puts breaker, retries and timeouts in front of this model; without it there are none."""
        self._guard = guard

    def ensure_ready(self) -> None:
        """Brings up what the model needs before its first call. Does nothing by default."""

    def prepare(
        self, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> tuple[list[BaseMessage], dict[str, Any]]:
        """Adapts messages and arguments to what this provider takes.

        By default what only another model can read is left out of the messages.
        """
        return [plain(message) for message in messages], kwargs

    def judged(self, error: ProviderError, cause: BaseException) -> ProviderError:
        """What a classified error means for this model; the same error by default.

        Args:
            error: One of our classes.
            cause: What the client raised.
        """
        return error

    @property
    def lifecycles(self) -> "Lifecycles | None":
        """Who serves of a line of models, and what was learnt of them; None for other models."""
        return None

    def serves(self) -> bool:
        """Whether this model answers now; of a line of successors only one does."""
        return True

    def succession(self) -> Succession | None:
        """In whose place this model answers; None where it is the one that was asked for."""
        return None

    def name_of_model(self) -> str:
        """The model asked for."""
        name = getattr(self, "model_name", None) or getattr(self, "model", None)
        return str(name or "unknown")

    def slot(self) -> CallQueue | None:
        """The queue before this model, where it answers one request at a time; None here."""
        return None

    def lets_pass(self) -> Literal["closed", "due"] | None:
        """Whether its circuits would let a call pass now (`Circuits.lets_pass`)."""
        return self._guard.circuits.lets_pass(
            self.provider, self.name_of_model(), deployment=self._guard.deployment
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        manager = asynchronous(run_manager)
        work = GuardedChatModel._agenerate(self, messages, stop, manager, **kwargs)
        return SYNC_CALLS.run(work)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = Call(self._guard, self, messages, tools=bool(kwargs.get("tools")))
        inner = super()._agenerate

        async def once() -> ChatResult:
            permit = await call.aadmit()
            call.watch.begin(asyncio.get_running_loop())
            try:
                await self._aensure_ready()
                ready, arguments = await asent(self.prepare, await call.arequest(), kwargs)
                async with Within(self._guard.limits.total_s, call, "total"):
                    result = await inner(ready, stop=stop, run_manager=run_manager, **arguments)
                call.heard()
                self._check(result, arguments)
            except BaseException as exc:  # noqa: BLE001 - the breaker hears of every end
                call.watch.end()
                raise linked(await call.afailed(exc, permit), exc)  # noqa: B904 - linked there
            await permit.asucceed(first_token_s=call.seconds_to_first_token())
            return result

        try:
            result = await self._guard.retries.acall(
                once, deadline=call.deadline, on_retry=call.retried, may_retry=call.may_retry
            )
        except ProviderError as exc:
            raise linked(call.gives_up(exc), exc)  # noqa: B904 - linked there
        return self._stamped(result, call)

    def around_call(self) -> AbstractContextManager[None]:
        """Each call of a batch may be cancelled by itself."""
        return one_call()

    async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
        """LangChain's own; its handlers also hear of a call that is cancelled."""
        return await reported(super().agenerate(*args, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        work: Any = GuardedChatModel._astream(self, messages, stop, **kwargs)
        for chunk in SYNC_CALLS.iterate(work):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = Call(self._guard, self, messages, streamed=True, tools=bool(kwargs.get("tools")))
        inner = super()._astream

        async def begin() -> Opened:
            permit = await call.aadmit()
            call.watch.begin(asyncio.get_running_loop())
            since = time.perf_counter()
            source: AsyncIterator[ChatGenerationChunk] | None = None
            try:
                await self._aensure_ready()
                ready, arguments = await asent(self.prepare, await call.arequest(), kwargs)
                source = inner(ready, stop=stop, **arguments)
                clean = CleanStream(self, call, arguments)
                head: list[ChatGenerationChunk] = []
                while not head:
                    chunk = await next_chunk(source, call, since)
                    if chunk is None:
                        head, source = clean.end(), None
                        break
                    noticed(call, chunk)
                    head = clean.take(chunk)
            except BaseException as exc:  # noqa: BLE001 - the breaker hears of every end
                call.watch.end()
                await aclose(source)
                raise linked(await call.afailed(exc, permit), exc)  # noqa: B904 - linked there
            call.watch.end()
            return Opened(permit, clean, head, source, since)

        try:
            opened = await self._guard.retries.acall(
                begin, deadline=call.deadline, on_retry=call.retried, may_retry=call.may_retry
            )
        except ProviderError as exc:
            raise linked(call.gives_up(exc), exc)  # noqa: B904 - linked there
        permit, source = opened.permit, opened.source
        chunks = opened.head
        try:
            while True:
                for chunk in chunks:
                    await announce(run_manager, chunk)
                    yield chunk
                if source is None:
                    break
                try:
                    following = await next_chunk(source, call, opened.since)
                    if following is None:
                        source = None
                        chunks = opened.clean.end()
                    else:
                        chunks = opened.clean.take(following)
                except BaseException as exc:  # noqa: BLE001 - the breaker hears of every end
                    await aclose(source)
                    source = None
                    error = await call.afailed(exc, permit)
                    chunks = self._broke(call, opened.clean, error, exc)
            await permit.asucceed(first_token_s=call.seconds_to_first_token())
        finally:
            permit.agive_back()
            await aclose(source)

    def _broke(
        self, call: Call, clean: CleanStream, error: BaseException, cause: BaseException
    ) -> list[ChatGenerationChunk]:
        """A stream died after it spoke: keep what was said, or void it and go up with the error."""
        if not isinstance(error, ProviderError):
            raise linked(error, cause)
        if self._guard.keep_partial:
            return [clean.incomplete(error)]
        call.broke(error)
        raise linked(call.gives_up(error), cause)

    def _check(self, result: ChatResult, arguments: dict[str, Any]) -> None:
        for generation in result.generations:
            name = self.name_of_model()
            check_reply(generation.message, arguments, provider=self.provider, model=name)

    async def _aensure_ready(self) -> None:
        if type(self).ensure_ready is not GuardedChatModel.ensure_ready:
            await TURNS.run(self.ensure_ready)

    def _stamped(self, result: ChatResult, call: Call) -> ChatResult:
        call.spoke()
        for generation in result.generations:
            metadata = generation.message.response_metadata
            reported = metadata.get("model_name") or (result.llm_output or {}).get("model_name")
            metadata[STAMP] = self.stamp(call, reported)
        return result

    def stamp(self, call: Call, reported: str | None, *, streamed: bool = False) -> Provenance:
        """The provenance of a reply, as docs/contracts.md has it.

        Args:
            call: How the reply came about.
            reported: The model's name as the provider reports it.
            streamed: Whether the time to the first token is known.
        """
        first = call.seconds_to_first_token() if streamed else None
        return {
            "provider": self.provider,
            "model": reported or self.name_of_model(),
            "cached": None,
            "degraded": call.degraded(reported),
            "succession": self.succession(),
            "repairs": list(call.repairs),
            "attempts": call.attempts,
            "failover": [
                {"provider": e.provider, "model": e.model, "error": type(e).__name__}
                for e in call.trail
            ],
            "latency_ms": round((time.perf_counter() - call.started) * 1000, 3),
            "ttft_ms": None if first is None else round(first * 1000, 3),
        }
