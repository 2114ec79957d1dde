"""What the simulated providers do with a request: check it, meet its fault, answer it."""

import asyncio
import inspect
import json
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from allotrope.testing import catalog, errors, ollama_api, openai_chat, openai_responses
from allotrope.testing.embeddings import ollama_answer, openai_answer, texts_of
from allotrope.testing.errors import ErrorReply
from allotrope.testing.faults import STREAM_KINDS, Fault, FaultPlan
from allotrope.testing.http11 import Exchange, json_bytes
from allotrope.testing.plausible import plausible_reply
from allotrope.testing.replies import Api, Asked, Provider, Reply, SimRequest, ToolCall, Turn
from allotrope.testing.tokens import Counter, rule_of_four
from allotrope.testing.wire import Answer, settle

ScriptItem = str | Reply | Fault | Callable[[SimRequest], Any]
"""One scripted answer; a callable gets the request and returns (or awaits) any of the others."""

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_LINES = {"content-type": "application/x-ndjson"}
_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "cookie"})
_APIS: Mapping[str, Api] = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
    "/api/chat": "ollama",
    "/api/embed": "embeddings",
}
_EFFORT_FACTOR = {"low": 0.5, "high": 2.0}


@dataclass(kw_only=True)
class Behaviour:
    """How the simulated providers behave when nothing is planned or scripted.

    Args:
        keys: The keys OpenAI accepts; None accepts every key but none at all.
        openai_models: Alias to snapshot.
        ollama_models: Installed models and their largest context.
        clock: Seconds; injected for compressed time.
        sleep: Waits for seconds of that clock.
        counter: Tokens of a text.
        latency_s: Seconds before the first byte of every answer.
        token_delay_s: Seconds a token takes.
        reasoning_tokens: Hidden tokens of a reasoning model at medium effort.
        answer: Answers requests nobody scripted.
    """

    keys: Collection[str] | None = None
    openai_models: Mapping[str, str] = field(default_factory=lambda: dict(catalog.SNAPSHOTS))
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
    """

    def __init__(self, behaviour: Behaviour, faults: FaultPlan) -> None:
        self.behaviour = behaviour
        self.faults = faults
        self.script: dict[Provider | None, deque[ScriptItem]] = {}
        self.matchers: list[tuple[Callable[[SimRequest], bool], ScriptItem]] = []
        self.requests: list[SimRequest] = []
        self._numbers: dict[Provider, int] = {}
        self._conversations: dict[str, tuple[Turn, ...]] = {}
        self._zero = behaviour.clock()

    def reset_clock(self) -> None:
        """Starts the clock anew."""
        self._zero = self.behaviour.clock()

    def reset(self) -> None:
        """Forgets requests, scripts and faults, and starts the clock anew."""
        self.script, self.matchers, self.requests = {}, [], []
        self._numbers, self._conversations = {}, {}
        self.reset_clock()
        self.faults.clear()

    def elapsed_s(self) -> float:
        """Seconds on the clock since the start or the last reset."""
        return self.behaviour.clock() - self._zero

    async def handle(self, exchange: Exchange) -> None:
        """Answers one request, or breaks the connection as planned."""
        request, refused = self._record(exchange)
        fault = self.faults.next_for(request)
        try:
            if fault is not None and await self._met(exchange, request, fault):
                return
            if refused is not None:
                raise refused
            await self._route(exchange, request, fault)
        except ErrorReply as error:
            self._send_error(exchange, request, error)
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
                self._check(request, exchange.headers)
            except ErrorReply as exc:
                refused = exc
        return request, refused

    def _check(self, request: SimRequest, headers: Mapping[str, str]) -> None:
        if request.provider == "ollama":
            request.asked = ollama_api.read(request.body)
            return
        key = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not key:
            raise errors.missing_key()
        if self.behaviour.keys is not None and key not in self.behaviour.keys:
            raise errors.wrong_key(key)
        if request.api == "chat":
            self._known(request.model)
            if request.model.startswith("o3-pro"):
                raise errors.openai_error(
                    404,
                    "This model is only supported in v1/responses and not in v1/chat/completions.",
                    param="model",
                )
            catalog.check_messages(request.body.get("messages"))
            catalog.check_chat(request.body)
            request.asked = openai_chat.read(request.body)
        elif request.api == "responses":
            self._known(request.model)
            catalog.check_responses(request.body)
            request.asked = openai_responses.read(request.body, before=self._before(request.body))

    def _known(self, model: str) -> None:
        models = self.behaviour.openai_models
        if model not in models and model not in models.values():
            raise errors.unknown_model(model)

    def _before(self, body: Mapping[str, Any]) -> tuple[Turn, ...]:
        previous = body.get("previous_response_id")
        if previous is None:
            return ()
        if previous not in self._conversations:
            raise errors.openai_error(
                400,
                f"Previous response with id '{previous}' not found.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return self._conversations[previous]

    # -- faults ------------------------------------------------------------------------------

    async def _met(self, exchange: Exchange, request: SimRequest, fault: Fault) -> bool:
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
            self._send_error(exchange, request, error)
        elif fault.kind == "hang":
            await exchange.gone()
        elif fault.kind == "reset":
            exchange.reset()
        elif fault.kind == "malformed_json":
            self._send_malformed(exchange, request)
        else:
            if fault.kind == "slow":
                await self.behaviour.sleep(fault.seconds)
            return False
        return True

    def _send_malformed(self, exchange: Exchange, request: SimRequest) -> None:
        broken = b'{"id": "chatcmpl-broken", "choices": [{"index": 0, "mess'
        if request.stream and request.provider == "openai":
            exchange.start_stream(headers=_SSE)
            exchange.chunk(b"data: " + broken + b"\n\n")
            exchange.end_stream()
        else:
            exchange.send(200, broken, headers=_JSON)

    def _send_error(self, exchange: Exchange, request: SimRequest, error: ErrorReply) -> None:
        text = isinstance(error.body, str)
        body = str(error.body).encode() if text else json_bytes(error.body)
        head = {"content-type": "text/html"} if text else dict(_JSON)
        exchange.send(
            error.status, body, headers={**head, **self._headers(request, 0), **error.headers}
        )
        request.finished = True

    def _headers(self, request: SimRequest, tokens: int) -> dict[str, str]:
        if request.provider == "ollama":
            return {}
        return {
            "x-request-id": f"req_{uuid.uuid4().hex}",
            "openai-organization": "org-simulator",
            "openai-processing-ms": "1",
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-limit-tokens": "30000000",
            "x-ratelimit-remaining-requests": str(max(0, 10_000 - request.number % 10_000)),
            "x-ratelimit-remaining-tokens": str(30_000_000 - tokens),
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-reset-tokens": "0s",
        }

    # -- answers -----------------------------------------------------------------------------

    async def _route(self, exchange: Exchange, request: SimRequest, fault: Fault | None) -> None:
        if exchange.method == "POST" and request.api in ("chat", "responses", "ollama"):
            await self._answer(exchange, request, fault)
        elif exchange.method == "POST" and request.api == "embeddings":
            self._send_json(exchange, request, self._embeddings(request))
        elif request.provider == "ollama":
            await self._ollama_other(exchange, request)
        elif exchange.method == "GET" and exchange.path.startswith("/v1/models"):
            self._send_json(exchange, request, self._models(exchange.path))
        else:
            raise errors.openai_error(
                404, f"Invalid URL ({exchange.method} {exchange.path})", code="unknown_url"
            )

    async def _answer(self, exchange: Exchange, request: SimRequest, fault: Fault | None) -> None:
        if request.provider == "ollama":
            self._installed(request.model)
        reply = await self._reply(request)
        if isinstance(reply, Fault):
            fault = reply
            if await self._met(exchange, request, fault):
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
        if request.api == "responses" and request.body.get("store", True):
            said = Turn(
                "assistant", answer.text, tool_call_ids=tuple(c[0] for c in answer.tool_calls)
            )
            self._conversations[f"resp_{answer.id}"] = (*request.asked.turns, said)
        if pause:
            await self.behaviour.sleep(pause)
        if request.stream:
            await self._send_stream(exchange, request, answer, fault, per_token)
        else:
            if per_token:
                await self.behaviour.sleep(per_token * max(1, len(answer.pieces)))
            await self._send_plain(exchange, request, answer, fault)

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
        behaviour, model, hidden = self.behaviour, request.model, 0
        if request.provider == "openai":
            model = behaviour.openai_models.get(model, model)
            if catalog.is_reasoning(model):
                factor = _EFFORT_FACTOR.get(request.asked.effort or "", 1.0)
                hidden = int(behaviour.reasoning_tokens * factor)
        answer = settle(
            reply,
            request.asked,
            model=model,
            created=int(time.time()),
            counter=behaviour.counter,
            reasoning_tokens=hidden,
        )
        if request.provider == "ollama":
            options = request.body.get("options") or {}
            room = int(options.get("num_ctx") or catalog.OLLAMA_DEFAULT_NUM_CTX)
            return replace(answer, input_tokens=min(answer.input_tokens, room))
        limit = catalog.window(model)
        if answer.input_tokens > limit and reply.input_tokens is None:
            param = "input" if request.api == "responses" else "messages"
            variant = 2 if request.api == "responses" else 0
            raise errors.context_overflow(
                limit=limit, tokens=answer.input_tokens, variant=variant, param=param
            )
        return answer

    async def _send_plain(
        self, exchange: Exchange, request: SimRequest, answer: Answer, fault: Fault | None
    ) -> None:
        if request.api == "chat":
            body = openai_chat.plain(answer)
        elif request.api == "responses":
            body = openai_responses.plain(answer, request.body)
        else:
            body = ollama_api.plain(answer)
        headers = {**_JSON, **self._headers(request, answer.input_tokens)}
        if fault is None or fault.kind not in STREAM_KINDS:
            exchange.send(200, body, headers=headers)
            request.finished = True
        elif fault.kind == "sse_error":
            raise ErrorReply(500, errors.mid_stream_error(request.provider))
        else:
            exchange.send(200, body[: len(body) // 2], headers=headers, declared=len(body))
            await self._break(exchange, fault)

    async def _send_stream(
        self,
        exchange: Exchange,
        request: SimRequest,
        answer: Answer,
        fault: Fault | None,
        per_token: float,
    ) -> None:
        if request.api == "chat":
            options = request.body.get("stream_options") or {}
            wanted = bool(options.get("include_usage"))
            opening, events, closing = openai_chat.stream(answer, include_usage=wanted)
        elif request.api == "responses":
            opening, events, closing = openai_responses.stream(answer, request.body)
        else:
            opening, events, closing = ollama_api.stream(answer)
        broken = fault is not None and fault.kind in STREAM_KINDS
        if fault is not None and broken:
            events, closing = events[: fault.after_tokens], b""
        kind = _LINES if request.provider == "ollama" else _SSE
        exchange.start_stream(headers={**kind, **self._headers(request, answer.input_tokens)})
        if per_token:
            exchange.chunk(opening)
            for event in events:
                await self.behaviour.sleep(per_token)
                if exchange.client_left:
                    return
                exchange.chunk(event)
            exchange.chunk(closing)
        else:
            exchange.chunk(opening + b"".join(events) + closing)
        if fault is not None and broken:
            await self._break(exchange, fault, request)
            return
        exchange.end_stream()
        request.finished = True

    async def _break(
        self, exchange: Exchange, fault: Fault, request: SimRequest | None = None
    ) -> None:
        if fault.kind == "stall":
            await exchange.gone()
        elif fault.kind == "cut":
            exchange.cut()
        elif fault.kind == "reset_mid_stream":
            await asyncio.sleep(0.01)  # real time: what was written must leave before the reset
            exchange.reset()
        elif request is not None:
            if request.api == "responses":
                exchange.chunk(openai_responses.error_event())
            else:
                line = json_bytes(errors.mid_stream_error(request.provider))
                exchange.chunk(
                    line + b"\n" if request.provider == "ollama" else b"data: " + line + b"\n\n"
                )
            exchange.end_stream()

    # -- everything but chat -----------------------------------------------------------------

    def _send_json(self, exchange: Exchange, request: SimRequest, body: bytes) -> None:
        exchange.send(200, body, headers={**_JSON, **self._headers(request, 0)})
        request.finished = True

    def _models(self, path: str) -> bytes:
        models = self.behaviour.openai_models
        names = sorted({*models, *models.values(), *catalog.EMBEDDERS})
        wanted = path.removeprefix("/v1/models").strip("/")
        cards = [
            {"id": name, "object": "model", "created": 1_744_761_600, "owned_by": "system"}
            for name in names
        ]
        if not wanted:
            return json_bytes({"object": "list", "data": cards})
        for card in cards:
            if card["id"] == wanted:
                return json_bytes(card)
        raise errors.unknown_model(wanted)

    def _embeddings(self, request: SimRequest) -> bytes:
        texts = texts_of(request.body)
        tokens = sum(self.behaviour.counter(text) for text in texts)
        if request.provider == "ollama":
            self._installed(request.model)
            return ollama_answer(request.model, texts, tokens)
        return openai_answer(request.model, request.body, texts, tokens)

    async def _ollama_other(self, exchange: Exchange, request: SimRequest) -> None:
        models = self.behaviour.ollama_models
        name = ollama_api.full_name(str(request.body.get("model") or request.body.get("name", "")))
        if exchange.path in ("/", "/api/version"):
            plain = exchange.path == "/"
            body = b"Ollama is running" if plain else json_bytes({"version": "0.12.6"})
            self._send_json(exchange, request, body)
        elif exchange.path == "/api/tags":
            self._send_json(exchange, request, ollama_api.tags(models))
        elif exchange.path == "/api/ps":
            self._send_json(exchange, request, json_bytes({"models": []}))
        elif exchange.path == "/api/show":
            self._send_json(exchange, request, ollama_api.show(name, self._installed(name)))
        elif exchange.path == "/api/pull":
            models[name] = 131_072
            exchange.start_stream(headers=_LINES)
            for line in ollama_api.pull(name):
                exchange.chunk(line)
            exchange.end_stream()
            request.finished = True
        else:
            raise ErrorReply(404, "404 page not found")

    def _installed(self, model: str) -> int:
        name = ollama_api.full_name(model)
        if name not in self.behaviour.ollama_models:
            raise ErrorReply(404, {"error": f"model '{model}' not found"})
        return self.behaviour.ollama_models[name]


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
