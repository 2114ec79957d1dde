"""The OpenAPI document names what the server has, and no more."""

from typing import Any

import httpx
from starlette.routing import Route

from allotrope.settings import Settings
from allotrope.web.apps import serve_app
from allotrope.web.openapi import document

PAGES = ("/", "/dashboard", "/status", "/healthz", "/login", "/static", "/openapi.json")
METRICS = ("/metrics", "/allotrope/metrics")


def test_it_names_every_address_of_the_api() -> None:
    app = serve_app(Settings.model_validate({}), host="127.0.0.1")
    routes = [one for one in app.routes if isinstance(one, Route)]
    api = {
        (route.path.replace(":path", ""), method.lower())
        for route in routes
        for method in (route.methods or ())
        if method != "HEAD"
        and route.path not in METRICS
        and not (route.path == "/" or route.path.startswith(PAGES[1:]))
    }
    named = {(path, method) for path, one in document()["paths"].items() for method in one}
    assert named == api


def test_anybody_may_read_it(serve: Any) -> None:
    found = httpx.get(f"{serve(token='t' * 20)}/openapi.json", timeout=30).json()
    assert found["openapi"].startswith("3.1")
    body = found["components"]["schemas"]["ChatRequest"]
    assert body["required"] == ["model", "messages"]
