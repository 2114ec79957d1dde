"""The apps: `allotrope serve`, `allotrope dashboard`, and the pages inside LangGraph's server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from allotrope.settings import Settings
from allotrope.web import dashboard, health, pages, prometheus
from allotrope.web.access import Access


def serve_app(settings: Settings, *, host: str) -> Starlette:
    """Everything: the endpoint, the chat page, metrics and status.

    Args:
        settings: Of the process.
        host: The address we listen on, for the check of host names.
    """
    from allotrope.web import chat_api, openai_api
    from allotrope.web.service import Service

    service = Service(settings)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(service.aclose)
            warming = asyncio.create_task(service.warm())  # requests may come meanwhile, and wait
            stack.push_async_callback(_ended, warming)
            if settings.serve.reports:
                stack.enter_context(_scheduled(settings))
            yield

    app = Starlette(
        routes=[*openai_api.ROUTES, *chat_api.ROUTES, *_common(settings)],
        middleware=[Middleware(Access, settings=settings.serve, host=host)],
        lifespan=life,
    )
    app.state.settings = settings
    app.state.service = service
    return app


def dashboard_app(settings: Settings, *, host: str) -> Starlette:
    """The dashboard alone, with metrics and status.

    Args:
        settings: Of the process.
        host: The address we listen on, for the check of host names.
    """
    app = Starlette(
        routes=[Route("/", dashboard.home), *_common(settings)],
        middleware=[Middleware(Access, settings=settings.serve, host=host)],
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
    app = Starlette(
        routes=_common(settings),
        middleware=[
            Middleware(Access, settings=settings.serve, host="127.0.0.1", own_paths=OWN_PATHS)
        ],
    )
    app.state.settings = settings
    return app


def _common(settings: Settings) -> list[Route]:
    return [
        *dashboard.ROUTES,
        *prometheus.ROUTES,
        *health.ROUTES,
        *pages.login_routes(settings.serve),
        Route("/static/{name}", pages.static),
    ]


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


@contextlib.contextmanager
def _scheduled(settings: Settings):  # type: ignore[no-untyped-def]  # APScheduler has no types
    from apscheduler.schedulers.background import BackgroundScheduler

    from allotrope.usage.schedule import add_jobs

    scheduler = BackgroundScheduler(timezone="UTC")
    add_jobs(scheduler, settings)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)
