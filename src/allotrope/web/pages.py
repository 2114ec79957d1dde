"""HTML pages: the templates and the static files."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from allotrope.support.pools import PAGES
from allotrope.support.providers import in_process

FOLDER = Path(__file__).parent


@cache
def environment() -> Environment:
    """The templates; every value is escaped."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["in_process"] = in_process
    return made


def page(name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as a page."""
    return HTMLResponse(fragment(name, **values), status)


def fragment(name: str, **values: Any) -> str:
    """A template as a part of a page."""
    return environment().get_template(name).render(**values)


async def plotly(request: Request) -> Response:
    """plotly.js from its wheel; the other static files are our own."""
    script = await PAGES.run(_plotly)
    if script is None:
        return PlainTextResponse("There is no such file.", 404)
    return FileResponse(script, media_type="text/javascript; charset=utf-8")


def _plotly() -> Path | None:
    from importlib.util import find_spec

    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


STATIC: list[BaseRoute] = [
    Route("/static/plotly.min.js", plotly),
    Mount("/static", StaticFiles(directory=FOLDER / "static")),
]
"""What pages load; anybody may have it."""
