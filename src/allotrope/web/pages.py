"""HTML pages: the templates and the static files."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from allotrope.support.pools import PAGES
from allotrope.support.providers import in_process

FOLDER = Path(__file__).parent
STATIC = {
    "allotrope.css": "text/css; charset=utf-8",
    "chat.css": "text/css; charset=utf-8",
    "dashboard.css": "text/css; charset=utf-8",
    "plotly.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "grafana.json": "application/json",
    "dashboard.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "answer.js": "text/javascript; charset=utf-8",
    "chat.js": "text/javascript; charset=utf-8",
    "markdown.js": "text/javascript; charset=utf-8",
    "meter.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Our own files, and what they are."""


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


async def static(request: Request) -> Response:
    """One of our files, or plotly.js from its wheel."""
    name = request.path_params["name"]
    if name == "plotly.min.js":
        script = await PAGES.run(_plotly)
        if script is not None:
            return FileResponse(script, media_type="text/javascript; charset=utf-8")
    if name in STATIC:
        return FileResponse(FOLDER / "static" / name, media_type=STATIC[name])
    return PlainTextResponse("There is no such file.", 404)


def _plotly() -> Path | None:
    from importlib.util import find_spec

    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"
