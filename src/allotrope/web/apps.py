"""The apps: `allotrope serve`, `allotrope dashboard`, and the pages inside LangGraph's server."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from allotrope.settings import Settings
from allotrope.support.pools import TOOLS, UPKEEP
from allotrope.support.tasks import ended
from allotrope.web import pages, prometheus
from allotrope.web.access.access import Access, operators_only, path_of
from allotrope.web.access.credentials import Credentials
from allotrope.web.access.limits import SharedLimits
from allotrope.web.access.login import login_routes
from allotrope.web.access.slow import Unhurried
from allotrope.web.dashboard import pages as dashboard
from allotrope.web.errors import unknown_url, wrong_method
from allotrope.web.health import checks as health


def serve_app(settings: Settings, *, host: str) -> Starlette:
    """Everything: the endpoint, the chat page, metrics and status.

    Args:
        settings: Of the process.
        host: The address we listen on, for the check of host names.
    """
    from allotrope.web import openapi
    from allotrope.web.chat import api as chat_api
    from allotrope.web.openai import api as openai_api
    from allotrope.web.service import Service

    settings = with_allowances(settings)
    service = Service(settings)
    credentials, limits = Credentials(settings), SharedLimits(settings)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(service.shortages.heard)
        loop.set_default_executor(TOOLS.for_a_loop())
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(service.heartbeat.stop)
            stack.push_async_callback(service.aclose)
            stack.push_async_callback(UPKEEP.run, credentials.close)
            stack.push_async_callback(limits.aclose)
            warming = asyncio.create_task(service.warm())  # requests may come meanwhile, and wait
            stack.push_async_callback(ended, warming)
            if settings.experiments.watch_s is not None:
                watching = asyncio.create_task(_watched(settings, settings.experiments.watch_s))
                stack.push_async_callback(ended, watching)
            telling = asyncio.create_task(_told_of_ends(settings))
            stack.push_async_callback(ended, telling)
            if settings.serve.reports:
                stack.enter_context(_scheduled(settings))
            yield

    app = Starlette(
        routes=[*openai_api.ROUTES, *chat_api.ROUTES, *openapi.ROUTES, *_common(credentials)],
        middleware=[
            Middleware(Unhurried, seconds=settings.serve.request_s),
            Middleware(
                Access, settings=settings, credentials=credentials, host=host, limits=limits
            ),
        ],
        lifespan=life,
        exception_handlers={404: _unknown_url, 405: _wrong_method},
    )
    app.state.settings = settings
    app.state.service = service
    return app


async def _unknown_url(request: Request, exc: Exception) -> Response:
    return unknown_url(request.method, path_of(request.scope)[:200]).response()


async def _wrong_method(request: Request, exc: Exception) -> Response:
    response = wrong_method(request.method, path_of(request.scope)).response()
    response.headers.update(getattr(exc, "headers", None) or {})
    return response


async def _watched(settings: Settings, every_s: float) -> None:
    """Enforces the guard-rails of online experiments for as long as the server runs."""
    while True:
        await asyncio.sleep(every_s)
        await UPKEEP.run(_watch, settings)


def _watch(settings: Settings) -> None:
    """One look; nothing is imported where there is no folder of experiments."""
    from allotrope.experiments.online.turns import TurnExperiments

    if not TurnExperiments(settings).present:
        return
    from allotrope.experiments.online.watch import watch_once

    try:
        watch_once(settings)
    except Exception:  # the next look must come, whatever this one met
        logging.getLogger("allotrope.experiments").exception("Watching experiments failed.")


async def _told_of_ends(settings: Settings) -> None:
    """Tells the notifiers of models that end, for as long as the server runs."""
    from allotrope.models.catalogue import daily

    await asyncio.sleep(daily.DELAY_S)
    while True:
        await UPKEEP.run(_tell_of_ends, settings)
        await asyncio.sleep(daily.RETRY_S)


def _tell_of_ends(settings: Settings) -> None:
    from allotrope.succession.ends import tell_of_ends

    try:
        tell_of_ends(settings)
    except Exception as exc:  # noqa: BLE001  # the next look must come, whatever this one met
        logging.getLogger("allotrope.succession").warning(
            "Nobody could be told of models that end: %s", exc
        )


def dashboard_app(settings: Settings, *, host: str) -> Starlette:
    """The dashboard alone, with metrics and status.

    Args:
        settings: Of the process.
        host: The address we listen on, for the check of host names.
    """
    credentials = Credentials(settings)
    app = Starlette(
        routes=[Route("/", dashboard.home), *_common(credentials)],
        middleware=[
            Middleware(Unhurried, seconds=settings.serve.request_s),
            Middleware(Access, settings=settings, credentials=credentials, host=host),
        ],
    )
    app.state.settings = settings
    return app


OWN_PATHS = ("/dashboard", "/status", "/healthz", "/allotrope/", "/login", "/static/")
"""What is ours inside LangGraph's Agent Server."""


def mounted_app(settings: Settings) -> Starlette:
    """The same pages for LangGraph's Agent Server, beside its own routes (`http.app`).

    The server says nobody on which address it listens: without a token, only requests from this
    machine are answered.
    """
    credentials = Credentials(settings)
    app = Starlette(
        routes=_common(credentials),
        middleware=[
            Middleware(
                Access,
                settings=settings,
                credentials=credentials,
                host="127.0.0.1",
                own_paths=OWN_PATHS,
            )
        ],
    )
    app.state.settings = settings
    return app


def with_allowances(settings: Settings) -> Settings:
    """Settings of a server: keys can have budgets, where the settings have none."""
    return settings.with_section("usage", allowances=True)


def _common(credentials: Credentials) -> list[BaseRoute]:
    return [
        *map(operators_only, (*dashboard.ROUTES, *prometheus.ROUTES, *health.OPERATORS_ROUTES)),
        *health.ROUTES,
        *login_routes(credentials),
        *pages.STATIC,
    ]


@contextlib.contextmanager
def _scheduled(settings: Settings):  # type: ignore[no-untyped-def]  # APScheduler has no types
    from apscheduler.schedulers.background import BackgroundScheduler

    from allotrope.succession.ends import end_sentences
    from allotrope.usage.reports.schedule import add_jobs

    scheduler = BackgroundScheduler(timezone="UTC")
    add_jobs(scheduler, settings, notices=partial(end_sentences, settings))
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)
