"""The chat page and what it asks for: threads, their messages, a turn as a stream of events."""

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from allotrope.agents import registry
from allotrope.agents.turns.text import check_text, check_thread_id
from allotrope.contracts import Event
from allotrope.exceptions import AllotropeError
from allotrope.identity.principal import Principal
from allotrope.settings import Settings
from allotrope.succession.sentences import in_place_of
from allotrope.support.pools import PAGES, TURNS
from allotrope.web.access.access import principal_of
from allotrope.web.errors import RequestError, problem_of
from allotrope.web.openai.api import check_agent, for_client, read_json, refused, thread_of
from allotrope.web.pages import page
from allotrope.web.service import Service

MOST_THREADS = 100
TITLE_CHARACTERS = 60


class TurnRequest(BaseModel):
    """What the page sends for a turn; without text, the question that waits is answered."""

    model_config = ConfigDict(extra="forbid")
    agent: str = "assistant"
    text: str | None = None
    thread_id: str | None = None


async def chat_page(request: Request) -> Response:
    """`GET /`."""
    specs = await PAGES.run(lambda: [registry.find(name) for name in registry.names()])
    specs = [spec for spec in specs if principal_of(request).may_ask(spec.name)]
    settings = request.app.state.service.settings
    serving = await PAGES.run(_serving, settings)
    return page("chat.html", agents=specs, heartbeat_s=settings.serve.heartbeat_s, serving=serving)


def _serving(settings: Settings) -> tuple[str, str] | None:
    """The first model asked for, and the one that serves; None where OpenAI isn't asked."""
    from allotrope.models.breaker.status import serving_now

    if not settings.openai.enabled or settings.openai.api_key is None:
        return None
    return serving_now(settings)


async def turn(request: Request) -> Response:
    """`POST /api/turns`: a turn as JSON events, one a line; the first names the thread."""
    service: Service = request.app.state.service
    who = principal_of(request)
    try:
        try:
            asked = await read_json(request, check=TurnRequest.model_validate)
        except ValidationError as exc:
            raise RequestError("The body needs agent, text and thread_id.") from exc
        await TURNS.run(registry.find, asked.agent)
        check_agent(service, who, asked.agent)
        if asked.text is not None:
            check_text(asked.text)
        elif asked.thread_id is None:
            raise RequestError("There is neither a text nor a thread.", param="text")
        thread = thread_of(who, asked.thread_id or f"web-{asked.agent}-{uuid.uuid4().hex}")
        service.check_room()
    except Exception as exc:  # noqa: BLE001  # the page gets every error in one form
        return refused(exc)
    return StreamingResponse(
        _events(service, who, asked, thread),
        media_type="application/x-ndjson",
        headers={"X-Accel-Buffering": "no"},
    )


async def stop(request: Request) -> Response:
    """`POST /api/threads/ID/stop`: ends the turn; its stream says what became of it."""
    service: Service = request.app.state.service
    try:
        who = principal_of(request)
        name = thread_of(who, request.path_params["thread"])
    except AllotropeError as exc:
        return refused(exc)
    return JSONResponse({"stopped": service.stop(service.tenant_of(who), name)})


async def _events(
    service: Service, who: Principal, asked: TurnRequest, thread: str
) -> AsyncIterator[str]:
    yield _line({"type": "thread", "thread_id": who.name(thread)})
    stream = service.events(asked.agent, asked.text, thread=thread, context=who.context())
    try:
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield _line(_for_page(for_client(who, event)))
    except Exception as exc:  # noqa: BLE001  # the status is sent; the error goes into the stream
        if not isinstance(exc, AllotropeError):
            refused(exc)
        problem = problem_of(exc)
        error = {"type": "error", "message": problem.message, "code": problem.code}
        yield _line({**error, "retry_after_s": problem.retry_after_s})


def _for_page(event: dict[str, Any]) -> dict[str, Any]:
    """An event as the page shows it: the context as the meter does, a succession as a sentence."""
    if event["type"] == Event.CONTEXT:
        return {"type": Event.CONTEXT, **meter(event)}
    if event["type"] == Event.REPLY:
        return {**event, "succession": _told(event["succession"])}
    return event


def _told(succession: dict[str, str] | None) -> dict[str, str] | None:
    return succession and {**succession, "message": in_place_of(succession)}


def meter(audit: dict[str, Any]) -> dict[str, Any]:
    """What fills the window, in tokens."""
    from allotrope.memory.context.meter import meter_of

    found = meter_of(audit)
    return {
        "used": found.used,
        "room": found.room,
        "shares": [{"kind": share.kind, "tokens": share.tokens} for share in found.shares],
        "left_out": audit.get("left_out_messages", 0),
    }


async def threads(request: Request) -> Response:
    """`GET /api/threads`: the latest threads, with a title."""
    service: Service = request.app.state.service
    try:
        who = principal_of(request)
        memory = await service.memory()
        tenant = service.tenant_of(who)
        return JSONResponse({"threads": await PAGES.run(_threads, memory, tenant, who)})
    except Exception as exc:  # noqa: BLE001  # the page gets every error in one form
        return refused(exc)


def _threads(memory: Any, tenant: str, who: Principal) -> list[dict[str, Any]]:
    found = []
    for kept in [one for one in memory.archive.threads(tenant) if who.owns(one)][:MOST_THREADS]:
        facts = memory.archive.thread(tenant, kept)
        if facts is None or not facts.messages:
            continue
        name = who.name(kept)
        first = memory.archive.at_positions(facts, range(min(4, facts.messages)))
        title = next((item.text for item in first if item.role == "human"), name)
        found.append(
            {
                "thread_id": name,
                "agent": agent_of(name),
                "title": " ".join(title.split())[:TITLE_CHARACTERS],
                "messages": facts.messages,
                "last_at": facts.last_at.isoformat() if facts.last_at else None,
            }
        )
    return found


def agent_of(thread: str) -> str:
    """The agent that a thread of ours belongs to; `assistant` where a client named the thread."""
    prefix, _, rest = thread.partition("-")
    name = rest.partition("-")[0]
    return name if prefix in ("web", "v1") and name in registry.names() else "assistant"


async def thread(request: Request) -> Response:
    """`GET /api/threads/ID`: every message, the context meter, and what waits for an answer."""
    service: Service = request.app.state.service
    try:
        who = principal_of(request)
        name = check_thread_id(request.path_params["thread"])
        place = thread_of(who, name)
        state = await service.state(agent_of(name), place, context=who.context())
        memory = await service.memory()
        kept = await PAGES.run(memory.archive.export, service.tenant_of(who), place)
    except Exception as exc:  # noqa: BLE001  # the page gets every error in one form
        return refused(exc)
    return await PAGES.run(_thread_page, name, kept, state)


def _thread_page(name: str, kept: list[dict[str, Any]], state: Mapping[str, Any]) -> Response:
    shown = _from_archive(kept)
    ids = {message["id"] for message in shown}
    shown += [m for m in map(_live, state.get("messages", ())) if m and m["id"] not in ids]
    if not shown:
        return refused(RequestError(f"There is no thread {name!r}.", status=404))
    audit = state.get("audit")
    return JSONResponse(
        {
            "thread_id": name,
            "agent": agent_of(name),
            "messages": shown,
            "context": meter(audit) if audit else None,
            "waits": bool(state["next"]),
        }
    )


def _from_archive(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from langchain_core.messages import messages_from_dict

    read = [(row["at"], messages_from_dict([row])[0]) for row in kept]
    return [{**shown, "at": at} for at, message in read if (shown := _live(message))]


def _live(message: Any) -> dict[str, Any] | None:
    """A message as the page shows it; tools' traffic and summaries stay inside."""
    if message.type not in ("human", "ai") or not message.text.strip():
        return None
    from allotrope.graphs.work.answers import origin

    found = {"id": message.id, "role": "user", "text": message.text, "from": None}
    if message.type == "ai":
        came = origin(message)
        names = ("provider", "model", "cached", "degraded", "repairs", "stopped", "truncated")
        shown = {name: came.get(name) for name in names}
        shown["succession"] = _told(came.get("succession"))
        found |= {"role": "assistant", "from": shown}
    return found


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, default=str) + "\n"


ROUTES = [
    Route("/", chat_page),
    Route("/api/turns", turn, methods=["POST"]),
    Route("/api/threads", threads),
    Route("/api/threads/{thread}", thread),
    Route("/api/threads/{thread}/stop", stop, methods=["POST"]),
]
