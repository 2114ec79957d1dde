"""The dashboard's pages: the overview, the calls behind its numbers, and what is live."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from allotrope.exceptions import AllotropeError, InputError, StoreError
from allotrope.settings import Settings
from allotrope.support.pools import PAGES
from allotrope.usage.budgets.periods import span
from allotrope.usage.ledger.ledger import Ledger, open_ledger
from allotrope.usage.queries import browse
from allotrope.usage.queries.sums import Window
from allotrope.web.dashboard.data import BudgetLine
from allotrope.web.dashboard.figures import said, short
from allotrope.web.dashboard.filters import (
    FILTERS,
    GROUPS,
    NAMELESS,
    PERIODS,
    ROW_FILTERS,
    View,
    read_view,
)
from allotrope.web.dashboard.overview import gather
from allotrope.web.health.checks import settings_of, status_now
from allotrope.web.pages import fragment, page

ROWS_A_PAGE = 50
ADVICE_S = 300.0
"""Seconds that recommendations are kept: their rules read single calls of 30 days."""

Handler = Callable[[Request], Awaitable[Response]]


def _told(handler: Handler) -> Handler:
    """A handler whose errors become a page with a plain sentence."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except AllotropeError as exc:
            error, status = exc, 400 if isinstance(exc, InputError) else 503
        except SQLAlchemyError as exc:
            cause = str(getattr(exc, "orig", None) or type(exc).__name__).splitlines()[0]
            error = StoreError(
                f"The usage ledger can't be read: {cause}.", hint="Run `allotrope doctor`."
            )
            status = 503
        return await PAGES.run(page, "problem.html", status=status, error=str(error))

    return answered


@_told
async def overview(request: Request) -> Response:
    """`GET /dashboard`."""
    now = datetime.now(UTC)
    settings = await settings_of(request)
    view = read_view(request.query_params, now=now)

    def budget_link(line: BudgetLine) -> str:
        period = span(line.period, now)
        whom = {line.scope: line.name} if line.name else {}
        if "user" in whom:
            whom["user_name"] = whom.pop("user")
        return View(Window(period.start, period.end), period="", where=whom).rows()

    def with_filter(name: str, value: str) -> str:
        return replace(view, where={**view.where, name: value}).address("/dashboard")

    def rendered() -> Response:
        facts = gather(settings, view, now=now)
        return page(
            "dashboard.html", here="dashboard", facts=facts, view=view, now=now, said=said,
            short=short, periods=PERIODS, groups=GROUPS, filters=FILTERS, nameless=NAMELESS,
            pairs=lambda names: [(name, name) for name in names], budget_link=budget_link,
            with_filter=with_filter, status_now=status_now(settings),
        )  # fmt: skip

    return await PAGES.run(rendered)


@_told
async def rows(request: Request) -> Response:
    """`GET /dashboard/rows`: the calls behind a number."""
    settings = await settings_of(request)
    now = datetime.now(UTC)
    view = read_view(request.query_params, now=now, known=ROW_FILTERS)
    kept = settings.usage.retention_days
    oldest = now - timedelta(days=kept) if kept else None
    before, after = (request.query_params.get(name, "") for name in ("before", "after"))

    def with_filter(name: str, value: str) -> str:
        return replace(view, where={**view.where, name: value}).address("/dashboard/rows")

    def rendered() -> Response:
        with open_ledger(settings) as ledger:
            found = browse.page(ledger, view.pick, limit=ROWS_A_PAGE, before=before, after=after)
            sums = browse.summary(ledger, view.pick)
        return page(
            "rows.html", here="rows", view=view, found=found, sums=sums, said=said, exact=_exact,
            every=replace(view, only="", fill=None).address("/dashboard/rows"),
            with_filter=with_filter,
            retention=kept if oldest and view.window.start < oldest else None,
        )  # fmt: skip

    return await PAGES.run(rendered)


def _exact(usd: Decimal) -> str:
    """A call's cost, which may be far below a cent."""
    return f"${usd:.6f}".rstrip("0").rstrip(".") if usd < 1 else said(usd, "usd")


@_told
async def rows_csv(request: Request) -> Response:
    """`GET /dashboard/rows.csv`: all of them."""
    settings = await settings_of(request)
    view = read_view(request.query_params, now=datetime.now(UTC), known=ROW_FILTERS)
    view.pick.conditions()
    ledger = await PAGES.run(open_ledger, settings)
    return StreamingResponse(
        _csv(ledger, view),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="calls.csv"'},
    )


async def _csv(ledger: Ledger, view: View) -> AsyncIterator[str]:
    from allotrope.usage.queries.export import csv_texts

    texts: Iterator[str] = csv_texts(browse.batches(ledger, view.pick))
    try:
        while (text := await PAGES.run(next, texts, None)) is not None:
            yield text
    finally:
        await PAGES.run(ledger.close)


@_told
async def live(request: Request) -> Response:
    """`GET /dashboard/live`: who answers now, the circuits, what today cost."""
    settings = await settings_of(request)
    return JSONResponse(await PAGES.run(_live, settings))


def _live(settings: Settings) -> dict[str, Any]:
    from allotrope.usage.queries import sums as queries

    found = status_now(settings)
    with open_ledger(settings) as ledger:
        today = queries.totals(ledger, queries.last_days(1))
    return {
        "degraded": bool(found["degraded"]),
        "sentence": fragment("answers.html", status_now=found).strip(),
        "circuits": fragment("circuits.html", circuits=found["circuits"]),
        "today": {"cost": said(today.cost, "usd"), "calls": today.calls},
        "at": datetime.now(UTC).strftime("%H:%M:%S"),
    }


@_told
async def advice(request: Request) -> Response:
    """`GET /dashboard/advice`: recommendations and experiments, which take longer to find."""
    settings = await settings_of(request)
    state = request.app.state
    kept = getattr(state, "advice", None)
    if kept is None or time.monotonic() - kept[0] > ADVICE_S:
        kept = (time.monotonic(), await PAGES.run(_recommended, settings))
        state.advice = kept
    template = "advice_body.html" if "fragment" in request.query_params else "advice.html"

    def rendered() -> Response:
        from allotrope.web.dashboard.trials import trials

        found = trials(settings)
        return page(template, here="advice", recommended=kept[1], trials=found, said=said)

    return await PAGES.run(rendered)


def _recommended(settings: Settings) -> Any:
    from allotrope.usage.advice.advice import advise

    with open_ledger(settings) as ledger:
        return advise(settings, ledger)


@_told
async def models(request: Request) -> Response:
    """`GET /dashboard/models`: who serves, until when, who comes next, and what that costs."""
    settings = await settings_of(request)

    def rendered() -> Response:
        from allotrope.succession.costs import usd
        from allotrope.succession.overview import models_overview

        return page("models.html", here="models", found=models_overview(settings), usd=usd)

    return await PAGES.run(rendered)


async def home(request: Request) -> Response:
    """`GET /` where there is no chat page."""
    return RedirectResponse("/dashboard")


ROUTES = [
    Route("/dashboard", overview),
    Route("/dashboard/rows", rows),
    Route("/dashboard/rows.csv", rows_csv),
    Route("/dashboard/live", live),
    Route("/dashboard/models", models),
    Route("/dashboard/advice", advice),
]
