"""What the simulated providers do with a request: check it, meet its fault, answer it."""

import asyncio
import inspect
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from allotrope.testing import errors, ollama_api
from allotrope.testing.content import catalog
from allotrope.testing.content.embeddings import ollama_answer, openai_answer, texts_of
from allotrope.testing.content.plausible import plausible_reply
from allotrope.testing.content.replies import Api, Asked, Provider, Reply, SimRequest, ToolCall
from allotrope.testing.content.tokens import Counter, rule_of_four
from allotrope.testing.errors import ErrorReply
from allotrope.testing.faults import Fault, FaultPlan
from allotrope.testing.http import control
from allotrope.testing.http.delivery import Delivery
from allotrope.testing.http.http11 import Exchange, json_bytes
from allotrope.testing.http.wire import Answer, settle
from allotrope.testing.openai.server import OpenAIServer

ScriptItem = str | Reply | Fault | Callable[[SimRequest], Any]
"""One scripted answer; a callable gets the request and returns (or awaits) any of the others."""

_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "cookie"})
_APIS: Mapping[str, Api] = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
    "/api/chat": "ollama",
    "/api/embed": "embeddings",
}


@dataclass(kw_only=True)
class Behaviour:
    """How the simulated providers behave when nothing is planned or scripted.

    Args:
        ollama_models: Installed models and their largest context.
        clock: Seconds; injected for compressed time.
        sleep: Waits for seconds of that clock.
        counter: Tokens of a text.
        latency_s: Seconds before the first byte of every answer.
        token_delay_s: Seconds a token takes.
        reasoning_tokens: Hidden tokens of a reasoning model at medium effort.
        answer: Answers requests nobody scripted.
    """

    ollama_models: dict[str, int] = field(default_factory=lambda: dict(catalog.OLLAMA_MODELS))
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    counter: Counter = rule_of_four
    latency_s: float = 0.0
    token_delay_s: float = 0.0
    reasoning_tokens: int = 64
    answer: Callable[[SimRequest], Any] = field(
        default=lambda request: plausible_reply(request.asked)
    )


class Engine:
    """The providers behind the sockets.

    Args:
        behaviour: What they do by themselves.
        faults: What goes wrong.
        openai: OpenAI's models and what it keeps.
    """

    def __init__(self, behaviour: Behaviour, faults: FaultPlan, openai: OpenAIServer) -> None:
        self.behaviour = behaviour
        self.faults = faults
        self.openai = openai
        self.script: dict[Provider | None, deque[ScriptItem]] = {}
        self.matchers: list[tuple[Callable[[SimRequest], bool], ScriptItem]] = []
        self.requests: list[SimRequest] = []
        self._numbers: dict[Provider, int] = {}
        self._zero = behaviour.clock()

    def reset_clock(self) -> None:
        """Starts the clock anew."""
        self._zero = self.behaviour.clock()

    def reset(self) -> None:
        """Forgets requests, scripts, faults and retirements, and starts the clock anew."""
        self.script, self.matchers, self.requests = {}, [], []
        self._numbers = {}
        self.openai.reset()
        self.reset_clock()
        self.faults.clear()

    def elapsed_s(self) -> float:
        """Seconds on the clock since the start or the last reset."""
        return self.behaviour.clock() - self._zero

    async def handle(self, exchange: Exchange) -> None:
        """Answers one request, or breaks the connection as planned."""
        if exchange.path.startswith(control.PREFIX):
            control.answer(exchange, self.openai.lifecycles, self.requests, self.elapsed_s())
            return
        request, refused = self._record(exchange)
        date = self.openai.lifecycles.date_header(request.at)
        out = Delivery(exchange, request, date=date, sleep=self.behaviour.sleep)
        fault = self.faults.next_for(request)
        try:
            if fault is not None and await self._met(exchange, out, request, fault):
                return
            if refused is not None:
                raise refused
            await self._route(exchange, out, request, fault)
        except ErrorReply as error:
            out.error(error)
        finally:
            request.status = exchange.status
            request.client_left = exchange.client_left and not request.finished

    # -- recording ---------------------------------------------------------------------------

    def _record(self, exchange: Exchange) -> tuple[SimRequest, ErrorReply | None]:
        path = exchange.path
        provider: Provider = "openai" if path.startswith("/v1") else "ollama"
        number = self._numbers[provider] = self._numbers.get(provider, 0) + 1
        refused: ErrorReply | None = None
        body: Any = {}
        if exchange.body:
            try:
                body = json.loads(exchange.body)
            except ValueError:
                refused = errors.openai_error(400, "We could not parse the JSON body.")
            if not isinstance(body, dict):
                body, refused = {}, errors.openai_error(400, "The body must be a JSON object.")
        request = SimRequest(
            number=number,
            at=self.elapsed_s(),
            provider=provider,
            api=_APIS.get(path, "other"),
            path=path,
            model=str(body.get("model", "")),
            headers={k: v for k, v in exchange.headers.items() if k not in _SECRET_HEADERS},
            body=body,
        )
        self.requests.append(request)
        if refused is None:
            try:
                if provider == "ollama":
                    request.asked = ollama_api.read(body)
                else:
                    self.openai.check(request, exchange.headers)
            except ErrorReply as exc:
                refused = exc
        return request, refused

    # -- faults ------------------------------------------------------------------------------

    async def _met(
        self, exchange: Exchange, out: Delivery, request: SimRequest, fault: Fault
    ) -> bool:
        """Meets a fault that comes before the answer; True when that was all."""
        request.fault = fault.kind
        error = errors.by_kind(
            fault.kind,
            provider=request.provider,
            model=request.model,
            retry_after=fault.retry_after_header,
            variant=fault.variant,
        )
        if error is not None:
            out.error(error)
        elif fault.kind == "hang":
            await exchange.gone()
        elif fault.kind == "reset":
            exchange.reset()
        elif fault.kind == "malformed_json":
            out.malformed()
        else:
            if fault.kind == "slow":
                await self.behaviour.sleep(fault.seconds)
            return False
        return True

    # -- answers -----------------------------------------------------------------------------

    async def _route(
        self, exchange: Exchange, out: Delivery, request: SimRequest, fault: Fault | None
    ) -> None:
        if exchange.method == "POST" and request.api in ("chat", "responses", "ollama"):
            await self._answer(exchange, out, request, fault)
        elif exchange.method == "POST" and request.api == "embeddings":
            out.json(self._embeddings(request))
        elif request.provider == "ollama":
            found = ollama_api.other(exchange.path, request.body, self.behaviour.ollama_models)
            out.json(found) if isinstance(found, bytes) else out.lines(found)
        elif exchange.method == "GET" and exchange.path.startswith("/v1/models"):
            out.json(json_bytes(self.openai.listing(exchange.path, request.at)))
        else:
            raise errors.openai_error(
                404, f"Invalid URL ({exchange.method} {exchange.path})", code="unknown_url"
            )

    async def _answer(
        self, exchange: Exchange, out: Delivery, request: SimRequest, fault: Fault | None
    ) -> None:
        if request.provider == "ollama":
            ollama_api.installed(request.model, self.behaviour.ollama_models)
            ollama_api.check_tools(request.model, request.body)
        reply = await self._reply(request)
        if isinstance(reply, Fault):
            fault = reply
            if await self._met(exchange, out, request, fault):
                return
            reply = plausible_reply(request.asked)
        if fault is not None:
            reply = _spoiled(reply, fault, request.asked)
        answer = self._settle(request, reply)
        pause = self.behaviour.latency_s + reply.delay_s
        per_token = self.behaviour.token_delay_s
        if reply.token_delay_s is not None:
            per_token = reply.token_delay_s
        if fault is not None and fault.kind == "slow_stream":
            per_token = fault.seconds
        request.usage = answer.usage
        self.openai.keep(request, answer)
        if pause:
            await self.behaviour.sleep(pause)
        await out.answer(answer, fault, per_token)

    async def _reply(self, request: SimRequest) -> Reply | Fault:
        item: Any = None
        for matches, planned in self.matchers:
            if matches(request):
                item = planned
                break
        else:
            for queue in (self.script.get(request.provider), self.script.get(None)):
                if queue:
                    item = queue.popleft()
                    break
            else:
                item = self.behaviour.answer
        while callable(item):
            item = item(request)
            if inspect.isawaitable(item):
                item = await item
        return item if isinstance(item, Reply | Fault) else Reply(str(item))

    def _settle(self, request: SimRequest, reply: Reply) -> Answer:
        asked, counter, created = request.asked, self.behaviour.counter, int(time.time())
        if request.provider == "ollama":
            answer = settle(reply, asked, model=request.model, created=created, counter=counter)
            options = request.body.get("options") or {}
            room = int(options.get("num_ctx") or catalog.OLLAMA_DEFAULT_NUM_CTX)
            return replace(answer, input_tokens=min(answer.input_tokens, room))
        return self.openai.settle(
            request,
            reply,
            created=created,
            counter=counter,
            reasoning_tokens=self.behaviour.reasoning_tokens,
        )

    def _embeddings(self, request: SimRequest) -> bytes:
        texts = texts_of(request.body)
        tokens = sum(self.behaviour.counter(text) for text in texts)
        if request.provider == "ollama":
            ollama_api.installed(request.model, self.behaviour.ollama_models)
            return ollama_answer(request.model, texts, tokens)
        return openai_answer(request.model, request.body, texts, tokens)


def _spoiled(reply: Reply, fault: Fault, asked: Asked) -> Reply:
    """The reply as a fault of its content leaves it."""
    if fault.kind == "empty":
        return replace(reply, text="", tool_calls=())
    if fault.kind == "content_filter":
        return replace(reply, text="", tool_calls=(), finish_reason="content_filter")
    if fault.kind == "broken_tool_call":
        name = asked.tools[0].name if asked.tools else "broken"
        return replace(reply, text="", tool_calls=(ToolCall(name, '{"unfinished": '),))
    return reply
