"""`/healthz` and `/status`: is the process up, and who answers now."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from allotrope.exceptions import CircuitOpenError, PoolFullError
from allotrope.settings import Settings
from allotrope.stores.servers import ServerHealth
from allotrope.support.pools import HEALTH, STATUS, pools
from allotrope.support.providers import in_process
from allotrope.web.pages import page

if TYPE_CHECKING:
    from allotrope.web.service import Service


PATIENCE_S = 1.0
"""What `/healthz` waits for a store or a disk, seconds; then it says that they are slow."""

T = TypeVar("T")


def status_now(settings: Settings) -> dict[str, Any]:
    """The circuits, who answers now, and a sentence for each thing that is degraded."""
    from allotrope.models.breaker.opening import circuits_of
    from allotrope.models.breaker.status import status_of
    from allotrope.models.failures.degraded import state_in_words
    from allotrope.succession.ends import end_sentences

    found = status_of(settings, circuits_of(settings))
    sentences = []
    for row in found["circuits"]:
        if row["state"] in ("closed", "disabled") or not row["of_these_settings"]:
            continue
        provider, _, model = row["name"].partition("/")
        error = CircuitOpenError(
            "",
            provider=provider,
            model=model or "this model",
            code="isolated" if row["state"] == "isolated" else row["reason"],
            retry_after_s=row["next_probe_s"],
        )
        sentences.append(f"{state_in_words(error)} (circuit {row['name']}).")
    if found["breaker"] and found["sharing"] == "lost":
        sentences.append(
            "Redis doesn't answer; each process has circuits of its own until it does."
        )
    for store in ServerHealth(settings).down():
        sentences.append(
            f"PostgreSQL ({', '.join(store.server.stores)}) can't be used: {store.reason}."
        )
    use = {pool.name: pool.use() for pool in pools()}
    for pool in pools():
        if use[pool.name].full:
            sentences.append(f"As much of one kind waits as may, or for too long: {pool.does}.")
    who = found["answers_now"]
    if who is None:
        sentences.append("No model can answer now; questions are kept in their threads.")
    elif sentences:
        on = "" if in_process(who["provider"]) else f" on {who['provider']}"
        sentences.append(f"Answers come from {who['model']}{on}.")
    return {
        **found,
        "degraded": sentences,
        "model_ends": end_sentences(settings),
        "pools": {name: asdict(one) for name, one in use.items()},
    }


async def healthz(request: Request) -> Response:
    """Whether this process can answer, and what keeps it from that.

    That is a store, this machine, an event loop that is late, or work of one kind that is too much.
    It answers within `PATIENCE_S` itself. It says nothing else, for anybody may ask.
    """
    service = getattr(request.app.state, "service", None)
    if service is not None and (service.stopping or not service.ready):
        state = "stopping" if service.stopping else "starting"
        return JSONResponse({"status": state}, 503, {"Retry-After": "1"})
    wrong = await _wrong(await _stores(request), service)
    if wrong:
        return JSONResponse({"status": "unhealthy", **wrong}, 503, {"Retry-After": "1"})
    return JSONResponse({"status": "ok"})


async def _wrong(stores: ServerHealth, service: "Service | None") -> dict[str, list[str]]:
    """What keeps this process from answering, by the kind of reason."""
    down = asyncio.create_task(_within_patience(stores.down))
    lacking: list[str] | None = []
    if service is not None:
        service.heartbeat.look()
        lacking = await _within_patience(service.shortages.lacking)
    found = await down
    slow = [name for name, one in (("stores", found), ("disk", lacking)) if one is None]
    wrong = {
        "down": [name for one in found or stores.known for name in one.server.stores],
        "short_of": lacking or [],
        "full": [pool.name for pool in pools() if pool.use().full],
        "slow": slow,
    }
    return {reason: names for reason, names in wrong.items() if names}


async def _within_patience(look: Callable[[], T]) -> T | None:
    """What a look finds, or None where it takes too long; it goes on then."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await HEALTH.run(look)
    except (TimeoutError, PoolFullError):
        return None


async def _stores(request: Request) -> ServerHealth:
    state = request.app.state
    if getattr(state, "stores", None) is None:
        state.stores = ServerHealth(await settings_of(request))
    stores: ServerHealth = state.stores
    return stores


async def status(request: Request) -> Response:
    """The status as a page, or as JSON for who asks for that."""
    found = await STATUS.run(status_now, await settings_of(request))
    service = getattr(request.app.state, "service", None)
    if service is not None:
        found["loop_lag_s"] = round(service.heartbeat.lag_s(), 3)
    if "text/html" in request.headers.get("accept", ""):
        return await STATUS.run(
            page, "status.html", status_now=found, here="status", now=datetime.now(UTC)
        )
    return JSONResponse(found)


async def settings_of(request: Request) -> Settings:
    """The settings of the app; read at the first request where it was made without."""
    state = request.app.state
    if getattr(state, "settings", None) is None:
        from allotrope.settings import load_settings

        state.settings = await STATUS.run(load_settings)
    settings: Settings = state.settings
    return settings


ROUTES = [Route("/healthz", healthz)]
OPERATORS_ROUTES = [Route("/status", status)]
