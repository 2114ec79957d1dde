"""Who may call: the token, the host names, where a browser comes from, and how often."""

import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from allotrope.exceptions import SettingsError
from allotrope.settings.serve import ServeSettings
from allotrope.web.errors import Problem

COOKIE = "allotrope_session"
OPEN_PATHS = ("/healthz", "/login")
"""What anybody may ask for, with the files under `/static/`: no data is behind it."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere."""

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with "no-referrer" browsers send our own forms as "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine."""
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def path_of(scope: Scope) -> str:
    """The path that the router looks at: never what `request.url` makes of the header `Host`.

    Args:
        scope: Of the request.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def is_open(path: str) -> bool:
    """Whether anybody may ask for a path: exactly those named, and single files of ours."""
    folder, _, name = path.rpartition("/")
    return path in OPEN_PATHS or (folder == "/static" and name not in ("", ".", ".."))


def check_exposure(settings: ServeSettings, host: str) -> None:
    """Refuses to listen where others can reach us without a token.

    Raises:
        SettingsError: The address isn't loopback and there is no token.
    """
    if settings.token is None and not is_loopback(host):
        raise SettingsError(
            f"{host} can be reached by others, and no token is set.",
            hint="Set ALLOTROPE_SERVE__TOKEN (16 characters or more), or listen on 127.0.0.1.",
        )


def session_of(token: str) -> str:
    """What a browser keeps after login: derived from the token, but not the token."""
    return hmac.new(token.encode(), b"allotrope web session", hashlib.sha256).hexdigest()


@dataclass
class RateLimit:
    """A token bucket per client: a minute's worth at once, then evenly.

    Args:
        per_minute: Requests per minute; None never refuses.
        now: Monotonic clock, seconds.
    """

    per_minute: int | None
    now: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait_s(self, client: str) -> float:
        """Takes one request of a client; 0 when it may pass, else seconds to wait."""
        if self.per_minute is None:
            return 0.0
        now = self.now()
        left, at = self._buckets.pop(client, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - at) * self.per_minute / 60)
        wait = 0.0 if left >= 1 else (1 - left) * 60 / self.per_minute
        self._buckets[client] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > 10_000:
            self._buckets.popitem(last=False)
        return wait


class Access:
    """ASGI middleware: refuses who may not call, and puts the security headers on every answer.

    Args:
        app: What is behind it.
        settings: Token, hosts and limits.
        host: The address we listen on.
        own_paths: Only paths that begin so are guarded; empty: all. For apps mounted beside
            others, which have their own doors.
    """

    def __init__(
        self, app: ASGIApp, *, settings: ServeSettings, host: str, own_paths: tuple[str, ...] = ()
    ) -> None:
        self.app = app
        self.token = settings.token.get_secret_value() if settings.token else None
        self.names = {name.lower() for name in (host, *settings.allowed_hosts)}
        self.own_paths = own_paths
        self.limit = RateLimit(settings.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request pass or answers it."""
        elsewhere = self.own_paths and not scope.get("path", "").startswith(self.own_paths)
        if scope["type"] == "websocket" and not elsewhere:
            raise RuntimeError("There are no web sockets here.")
        if scope["type"] != "http" or elsewhere:
            await self.app(scope, receive, send)
            return
        headed = _with_headers(send, cacheable=path_of(scope).startswith("/static/"))
        refusal = self._refusal(Request(scope))
        await (refusal or self.app)(scope, receive, headed)

    def _refusal(self, request: Request) -> Response | None:
        if self.token is None and not self._known_host(request.headers):
            return Problem(
                421,
                "This server doesn't go by that name. Add it to ALLOTROPE_SERVE__ALLOWED_HOSTS.",
            ).response()
        if self.token is None and self.own_paths and not _from_here(request):
            return Problem(
                403, "These pages are for this machine only until ALLOTROPE_SERVE__TOKEN is set."
            ).response()
        if request.method not in ("GET", "HEAD", "OPTIONS") and not _same_origin(request.headers):
            return Problem(403, "Pages of other sites may not do that.").response()
        path = path_of(request.scope)
        if is_open(path):
            return None
        who = self.authenticated(request)
        if who is None:
            if "text/html" in request.headers.get("accept", ""):
                asked = request.scope.get("query_string", b"").decode("latin-1")
                query = f"?{asked}" if asked else ""
                return RedirectResponse(f"/login?next={quote(local_path(path + query))}", 303)
            response = Problem(
                401,
                "The token is missing or wrong: send it as Authorization: Bearer TOKEN.",
                code="invalid_api_key",
            ).response()
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if request.method == "POST" and (wait := self.limit.wait_s(who)):
            return Problem(
                429,
                f"Too many requests; try again in {wait:.0f} s.",
                type="rate_limit_error",
                code="rate_limit_exceeded",
                retry_after_s=wait,
            ).response()
        return None

    def authenticated(self, request: HTTPConnection) -> str | None:
        """Who calls, for the rate limit; None where the token is missing or wrong."""
        address = request.client.host if request.client else "local"
        if self.token is None:
            return address
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and equal_secrets(shown.strip(), self.token):
            return address
        cookie = request.cookies.get(COOKIE, "")
        return address if equal_secrets(cookie, session_of(self.token)) else None

    def _known_host(self, headers: Headers) -> bool:
        """Another name that points here is a page's trick to read us (DNS rebinding)."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        return is_loopback(host) or host.lower() in self.names


def equal_secrets(shown: str, right: str) -> bool:
    """Whether what was shown is right, in a time that doesn't tell how much of it is."""
    return hmac.compare_digest(shown.encode(), right.encode())


def _from_here(request: Request) -> bool:
    return request.client is None or is_loopback(request.client.host)


def _same_origin(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def local_path(path: str) -> str:
    """A path of ours, never an address elsewhere."""
    return path if path.startswith("/") and not path.startswith("//") and "\\" not in path else "/"


def _with_headers(send: Send, *, cacheable: bool) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "max-age=3600" if cacheable else "no-store")
        await send(message)

    return headed
