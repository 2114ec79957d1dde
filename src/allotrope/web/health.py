"""`/healthz` and `/status`: is the process up, and who answers now."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from allotrope.exceptions import CircuitOpenError
from allotrope.pools import PAGES
from allotrope.settings import Settings
from allotrope.stores.servers import ServerHealth
from allotrope.web.pages import page


def status_now(settings: Settings) -> dict[str, Any]:
    """The circuits, who answers now, and a sentence for each thing that is degraded."""
    from allotrope.models.degraded import state_in_words
    from allotrope.models.resilience import circuits_of
    from allotrope.models.status import status_of
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
    who = found["answers_now"]
    if who is None:
        sentences.append("No model can answer now; questions are kept in their threads.")
    elif sentences:
        on = "" if who["provider"] == "embedded" else f" on {who['provider']}"
        sentences.append(f"Answers come from {who['model']}{on}.")
    return {**found, "degraded": sentences, "model_ends": end_sentences(settings)}


async def healthz(request: Request) -> Response:
    """Whether this process can answer, and what keeps it from that: a store, or this machine.

    It says nothing else, for anybody may ask.
    """
    service = getattr(request.app.state, "service", None)
    if service is not None and (service.stopping or not service.ready):
        state = "stopping" if service.stopping else "starting"
        return JSONResponse({"status": state}, 503, {"Retry-After": "1"})
    wrong: dict[str, list[str]] = {}
    if down := await PAGES.run((await _stores(request)).down):
        wrong["down"] = [store for found in down for store in found.server.stores]
    if service is not None and (lacking := await PAGES.run(service.shortages.lacking)):
        wrong["short_of"] = lacking
    if wrong:
        return JSONResponse({"status": "unhealthy", **wrong}, 503, {"Retry-After": "1"})
    return JSONResponse({"status": "ok"})


async def _stores(request: Request) -> ServerHealth:
    state = request.app.state
    if getattr(state, "stores", None) is None:
        state.stores = ServerHealth(await settings_of(request))
    stores: ServerHealth = state.stores
    return stores


async def status(request: Request) -> Response:
    """The status as a page, or as JSON for who asks for that."""
    found = await PAGES.run(status_now, await settings_of(request))
    if "text/html" in request.headers.get("accept", ""):
        return await PAGES.run(
            page, "status.html", status_now=found, here="status", now=datetime.now(UTC)
        )
    return JSONResponse(found)


async def settings_of(request: Request) -> Settings:
    """The settings of the app; read at the first request where it was made without."""
    state = request.app.state
    if getattr(state, "settings", None) is None:
        from allotrope.settings import load_settings

        state.settings = await PAGES.run(load_settings)
    settings: Settings = state.settings
    return settings


ROUTES = [Route("/healthz", healthz)]
OPERATORS_ROUTES = [Route("/status", status)]
