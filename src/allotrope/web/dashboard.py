"""The dashboard's pages."""

from starlette.routing import Route

ROUTES: list[Route] = []
