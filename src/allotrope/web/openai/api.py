"""`/v1/chat/completions` and `/v1/models`: the agents for any client of OpenAI's API."""

import contextlib
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from allotrope.agents.turns.text import check_thread_id
from allotrope.contracts import Event
from allotrope.exceptions import AllotropeError, ThreadMovedOnError
from allotrope.identity.principal import Principal
from allotrope.stores.errors import error_name
from allotrope.support.pools import beside_loop
from allotrope.web.access.access import principal_of
from allotrope.web.chat.sharing import Sharing
from allotrope.web.chat.turns import Events
from allotrope.web.errors import RequestError, problem_of
from allotrope.web.openai.housekeeping import Housekeeping, is_housekeeping
from allotrope.web.openai.request import ChatRequest, as_messages, read_request
from allotrope.web.openai.shapes import Chunks, completion
from allotrope.web.service import Service

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_NAMED = 40
"""Names in the header."""

MOST_TOLD = 1_000
"""Names of parameters that the log remembers to have said."""

MOST_BYTES = 20_000_000
"""Longest body of a request."""

MOST_VALUES = 100_000
"""Commas and brackets in a body. Python reads a body in one go, in which no thread of this process
does anything else: with 20 million of them that takes seconds, with so many some 50 ms."""

DEEPEST = 100
"""Most levels of lists and objects in a request; a deep JSON schema of a tool has some twenty."""

THREAD_HEADER = "x-allotrope-thread"

IGNORED_HEADER = "X-Allotrope-Ignored"
"""Names the parameters of a request that have no effect."""

AGAIN_S = 600.0
"""Who asks within so many seconds what was just answered wants another answer, seconds."""


async def read_json(request: Request, *, check: Callable[[Any], T]) -> T:
    """The JSON of a request, as the request that it is; read in a thread where it is long.

    Args:
        request: Whose body.
        check: Makes something of the JSON, or raises an error.

    Raises:
        RequestError: It is too long, or no JSON.
    """
    body = bytearray()
    values = 0
    async for part in request.stream():
        body += part
        values += sum(map(part.count, (b",", b"[", b"{")))
        if len(body) > MOST_BYTES:
            raise RequestError(f"The body is longer than {MOST_BYTES:,} bytes.", status=413)
        if values > MOST_VALUES:
            raise RequestError(
                f"The body has more than {MOST_VALUES:,} commas and brackets.", status=413
            )
    return await beside_loop(len(body), lambda: check(_parsed(bytes(body))))


def _parsed(body: bytes) -> Any:
    try:
        found = json.loads(body.decode("utf-8"))
    except ValueError as exc:
        raise RequestError(f"The body is no JSON: {exc}.") from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    if is_deeper(found, DEEPEST):
        raise _too_deep()
    return found


def is_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects are nested in more than `most` levels. Doesn't recurse itself."""
    level = [value]
    for _ in range(most):
        level = [
            part
            for one in level
            if isinstance(one, dict | list)
            for part in (one.values() if isinstance(one, dict) else one)
            if isinstance(part, dict | list)
        ]
        if not level:
            return False
    return True


def _too_deep() -> RequestError:
    return RequestError(f"The body is nested in more than {DEEPEST} levels.")


class ApiTurn:
    """One request on its way through an agent.

    Args:
        service: The agents.
        request: What was asked.
        headers: Of the request: they may name a thread, and say that no kept answer will do.
        principal: Who asks.
        address: From where.
    """

    def __init__(
        self,
        service: Service,
        request: ChatRequest,
        headers: Headers,
        *,
        principal: Principal,
        address: str,
    ) -> None:
        self.request = request
        self._service = service
        self._directive = _directive(headers)
        self._principal = principal
        chat = headers.get("x-openwebui-chat-id", "")
        # a credential that tells people apart counts wherever they are; else the address helps
        self._whose = (
            (service.tenant_of(principal), principal.user, request.user, chat)
            if principal.user is not None
            else (principal.id, request.user, chat, address)
        )
        self._before, self._text = request.conversation()
        named = headers.get(THREAD_HEADER) or request.allotrope.thread_id
        self.named = None if named is None else thread_of(principal, named)

    async def _key(self, *more: tuple[str, str]) -> str:
        turns = [*self._before, *more]
        long = self.request.length + sum(len(text) for _, text in more)
        return await beside_loop(long, Sharing.key, self.request.model, self._whose, turns)

    async def _thread(self) -> tuple[str, bool]:
        """The thread that the client's history stands in, or a new one; whether it was found.

        It is kept under the history with the question, too: whoever asks once more, since the
        answer never came, finds the thread again.
        """
        if self.named is not None:
            return self.named, False
        sharing = self._service.sharing
        asked = await self._key(("user", self._text))
        known = await sharing.take(asked)
        if known is None and self._before:
            known = await sharing.goes_on(await self._key())
        thread = known or self._new_thread()
        await sharing.put(asked, thread)
        return thread, known is not None

    def _new_thread(self) -> str:
        return self._principal.thread(f"v1-{self.request.model}-{uuid.uuid4().hex}")

    async def events(self) -> Events:
        """The events of the turn; the conversation is recognised next time."""
        options = self.request.allotrope
        own = self._principal.context(self.request.user, options.tools_allowed)
        context = {**options.context(), **own}
        if "cache" not in context and (directive := await self._wanted()):
            context["cache"] = directive
        thread, found = await self._thread()
        try:
            async with contextlib.aclosing(self._asked(thread, context, found)) as events:
                async for event in events:
                    yield event
        except ThreadMovedOnError:  # nothing was asked yet: another caller said the same, and more
            async with contextlib.aclosing(self._asked(self._new_thread(), context)) as events:
                async for event in events:
                    yield event

    async def _asked(
        self, thread: str, context: dict[str, Any], recognised: bool = False
    ) -> Events:
        before = await beside_loop(self.request.length, as_messages, self._before)
        stream = self._service.events(
            self.request.model,
            self._text,
            thread=thread,
            context=context,
            before=before,
            recognised=recognised,
        )
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                if event["type"] == Event.REPLY and self.named is None:
                    await self._service.sharing.put(await self._answered(), str(time.time()))
                    asked = ("user", self._text)
                    await self._service.sharing.take(await self._key(asked))
                    key = await self._key(asked, ("assistant", event["answer"]))
                    await self._service.sharing.ends(key, thread)
                yield for_client(self._principal, event)

    async def _wanted(self) -> str | None:
        """What the client says to the cache: by a header, or by asking once more.

        "Regenerate" in a chat interface sends the same conversation again, and nothing else. What
        a person reads is streamed; programs that repeat a question get the answer that was kept.
        """
        if self._directive is not None or self.named is not None or not self.request.stream:
            return self._directive
        answered_at = await self._service.sharing.take(await self._answered())
        again = answered_at is not None and time.time() - float(answered_at) < AGAIN_S
        return "no-cache" if again else None

    async def _answered(self) -> str:
        return f"answered:{await self._key(('user', self._text))}"


def _directive(headers: Headers) -> str | None:
    """`no-cache` or `no-store` of HTTP's own header; the cache has the same words."""
    asked = {word.strip().lower() for word in headers.get("cache-control", "").split(",")}
    return ", ".join(word for word in ("no-cache", "no-store") if word in asked) or None


async def completions(request: Request) -> Response:
    """`POST /v1/chat/completions`."""
    service: Service = request.app.state.service
    who = principal_of(request)
    try:
        asked = await read_json(request, check=read_request)
        check_agent(service, who, asked.model)
        turn: ApiTurn | Housekeeping
        if await beside_loop(asked.length, is_housekeeping, asked):
            turn = Housekeeping(service, asked, who)
        else:
            address = request.client.host if request.client else ""
            turn = await beside_loop(
                asked.length,
                ApiTurn,
                service,
                asked,
                request.headers,
                principal=who,
                address=address,
            )
        headers = _ignored(asked.ignored)
        if asked.stream:
            return await _streamed(turn, headers)
        reply: dict[str, Any] | None = None
        async with contextlib.aclosing(turn.events()) as events:
            async for event in events:
                if event["type"] == Event.REPLY:
                    reply = event
        if reply is None:
            raise RequestError("The turn was stopped.", status=409, code="stopped")
    except Exception as exc:  # noqa: BLE001  # the client gets every error in OpenAI's form
        return refused(exc)
    return JSONResponse(
        completion(reply, model=asked.model, ignored=asked.ignored), headers=headers
    )


_told: set[str] = set()


def _ignored(names: Sequence[str]) -> dict[str, str]:
    """The header that names what is ignored; the log says it once for each name."""
    new = [name for name in names if name not in _told]
    if new and len(_told) < MOST_TOLD:
        _told.update(new)
        logger.info("parameters of requests that the agents ignore: %s", ", ".join(new))
    shown = [name for name in names if name.isascii() and name.isidentifier()]
    return {IGNORED_HEADER: ", ".join(shown[:MOST_NAMED])} if shown else {}


def refused(exc: Exception) -> Response:
    """The answer to a request that failed; what nobody foresaw is logged by its class."""
    if not isinstance(exc, AllotropeError):
        logger.error("a request failed with %s", error_name(exc))
    return problem_of(exc).response()


async def _streamed(turn: ApiTurn | Housekeeping, headers: dict[str, str]) -> Response:
    """A stream; what fails before the first word still gets its HTTP status."""
    events = turn.events()
    early: list[dict[str, Any]] = []
    try:
        async for event in events:
            early.append(event)
            if event["type"] in (Event.TOKEN, Event.REPLY, Event.TOOL, Event.STEP, Event.BEAT):
                break
    except BaseException:
        await events.aclose()
        raise
    return StreamingResponse(
        _sse(turn, early, events),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no", **headers},
    )


async def _sse(
    turn: ApiTurn | Housekeeping, early: list[dict[str, Any]], rest: Events
) -> AsyncIterator[str]:
    chunks = Chunks(f"chatcmpl-{uuid.uuid4()}", turn.request.model)
    said = ""
    yield _line(chunks.text("", first=True))
    try:
        async with contextlib.aclosing(rest):
            async for event in _joined(early, rest):
                kind = event["type"]
                if kind == "token":
                    said += event["text"]
                    yield _line(chunks.text(event["text"]))
                elif kind == "restart":
                    yield _line(chunks.note(event))
                    if said:  # what a client has shown can't be taken back, so say it
                        yield _line(chunks.text("\n\n(The answer broke off; it begins again.)\n\n"))
                    said = ""
                elif kind == "reply":
                    if not said.rstrip().endswith(event["answer"].rstrip()):
                        gap = "\n\n" if said else ""
                        yield _line(chunks.text(gap + event["answer"]))
                    yield _line(chunks.end(event, turn.request.ignored))
                    options = turn.request.stream_options
                    if options is not None and options.include_usage:
                        yield _line(chunks.usage(event))
                elif kind == "beat":
                    yield ": still working\n\n"  # a comment: every client passes over it
                elif kind in ("tool", "step", "degraded", "notice"):
                    yield _line(chunks.note(event))
    except Exception as exc:  # noqa: BLE001  # the status is sent; the error goes into the stream
        if not isinstance(exc, AllotropeError):
            logger.error("a stream failed with %s", error_name(exc))
        yield _line(problem_of(exc).body())
    yield "data: [DONE]\n\n"


async def _joined(early: list[dict[str, Any]], rest: Events) -> AsyncIterator[dict[str, Any]]:
    for event in early:
        yield event
    async for event in rest:
        yield event


def _line(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


async def models(request: Request) -> Response:
    """`GET /v1/models`: the agents."""
    service: Service = request.app.state.service
    may = filter(principal_of(request).may_ask, service.names)
    names = sorted(may, key=lambda name: name != FIRST)
    return JSONResponse({"object": "list", "data": [_model(name) for name in names]})


async def model(request: Request) -> Response:
    """`GET /v1/models/NAME`."""
    service: Service = request.app.state.service
    name = request.path_params["name"]
    try:
        check_agent(service, principal_of(request), name)
    except AllotropeError as exc:
        return refused(exc)
    return JSONResponse(_model(name))


def check_agent(service: Service, principal: Principal, name: str) -> None:
    """Refuses an agent that there isn't, or that a caller may not ask; both sound the same.

    Raises:
        RequestError: 404, in OpenAI's form.
    """
    may = [one for one in service.names if principal.may_ask(one)]
    if name not in may:
        raise RequestError(
            f"There is no model {name[:60]!r}; the agents are {', '.join(may) or 'none'}.",
            param="model",
            status=404,
            code="model_not_found",
        )


def thread_of(principal: Principal, name: str) -> str:
    """The id under which a caller's thread is kept.

    Args:
        principal: Whose.
        name: What the caller calls it.

    Raises:
        InputError: That can't be the id of a thread.
    """
    return check_thread_id(principal.thread(check_thread_id(name)))


def for_client(principal: Principal, event: dict[str, Any]) -> dict[str, Any]:
    """An event with threads as the client calls them.

    Args:
        principal: Who asked.
        event: Of the turn.
    """
    if not principal.space or event["type"] != Event.REPLY:
        return event
    named = principal.name(event["thread_id"])
    answer = event["answer"].replace(event["thread_id"], named)
    return {**event, "thread_id": named, "answer": answer}


FIRST = "assistant"
"""Listed first: clients that nobody has told anything take the first."""

_CREATED = 1_767_225_600  # 2026-01-01; agents have no date of their own


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "allotrope"}


ROUTES = [
    Route("/v1/chat/completions", completions, methods=["POST"]),
    Route("/v1/models", models),
    Route("/v1/models/{name:path}", model),
]
