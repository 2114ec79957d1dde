"""The check of the token and the router look at the same path, whatever a request says."""

import http.client
from urllib.parse import urlsplit

import pytest

from allotrope.testing import ProviderSimulator

TOKEN = "a-token-of-enough-characters"


def raw(base: str, target: str, *, host: str = "127.0.0.1", method: str = "GET") -> tuple[int, str]:
    """A request as no client sends it; no token."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.putrequest(method, target, skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


@pytest.fixture
def guarded(serve) -> str:  # type: ignore[no-untyped-def]
    return str(serve(token=TOKEN))


HOSTS = ("x/static/", "x/static/x?", "127.0.0.1/healthz#", "x/login?", "x@y/static/", "x\\static\\")


def test_a_host_header_moves_no_path(guarded: str, simulator: ProviderSimulator) -> None:
    for host in HOSTS:
        status, said = raw(guarded, "/v1/models", host=host)
        assert status in (400, 401), host
        assert "assistant" not in said, host


TARGETS = (
    "//v1/models",
    "/static/../v1/models",
    "/static/%2e%2e/v1/models",
    "/static/..%2fv1/models",
    "/static//v1/models",
    "/healthz/../v1/models",
    "/healthz%2f..%2fv1%2fmodels",
    "/healthz;/v1/models",
    "/v1/models;/healthz",
    "/login/../api/threads",
    "/loginx",
    "/v1/models?/static/",
    "/v1/models#/static/",
    "/%76%31/models",
    "/v1%2fmodels",
    "/./v1/models",
    "/static/x/../../api/threads",
    "/healthz\\..\\api\\threads",
    "http://127.0.0.1/static/../v1/models",
)


def test_no_spelling_of_a_path_gets_past_the_token(
    guarded: str, simulator: ProviderSimulator
) -> None:
    for target in TARGETS:
        for method in ("GET", "HEAD", "OPTIONS"):
            status, said = raw(guarded, target, method=method)
            assert status in (400, 401, 404, 405), (method, target)
            assert "assistant" not in said, (method, target)


def test_what_is_open_is_open(guarded: str, simulator: ProviderSimulator) -> None:
    for target in ("/healthz", "/login", "/static/allotrope.css"):
        assert raw(guarded, target)[0] in (200, 503)


@pytest.mark.parametrize("origin", ["http://[", "http://a\u2100b".encode().decode("latin-1"), "["])
def test_an_origin_that_is_no_address_is_refused(guarded: str, origin: str) -> None:
    parts = urlsplit(guarded)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(
            "POST", "/login", headers={"Origin": origin, "Content-Length": "0"}, body=b""
        )
        assert connection.getresponse().status == 403
    finally:
        connection.close()


def test_a_host_that_is_no_name_is_refused(serve, simulator: ProviderSimulator) -> None:  # type: ignore[no-untyped-def]
    open_to_all = str(serve(no_token=True))
    for host in ("[", "[::1", "a]b"):
        assert raw(open_to_all, "/v1/models", host=host)[0] in (400, 421), host
