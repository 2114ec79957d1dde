"""Who may call: the token, the host names, where a browser comes from, and how often."""

from collections.abc import Collection
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from allotrope.exceptions import AllotropeError, SettingsError
from allotrope.identity.principal import Principal
from allotrope.settings import Settings
from allotrope.settings.serve import ServeSettings
from allotrope.support.exchanges import is_loopback
from allotrope.web.access.credentials import COOKIE, SESSION_S, Credentials
from allotrope.web.access.limits import RateLimit, SharedLimits
from allotrope.web.access.proxies import Proxies
from allotrope.web.errors import Problem, problem_of
from allotrope.web.pages import page

OPEN_PATHS = ("/healthz", "/login", "/openapi.json")
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
        SettingsError: The address isn't loopback, and there is neither a token nor an issuer of
            signed tokens.
    """
    if settings.no_token and not is_loopback(host):
        raise SettingsError(
            f"{host} can be reached by others: no_token is for loopback only.",
            hint="Set ALLOTROPE_SERVE__TOKEN instead, or listen on 127.0.0.1.",
        )
    if settings.token is None and settings.jwt is None and not is_loopback(host):
        raise SettingsError(
            f"{host} can be reached by others, and no token is set.",
            hint="Set ALLOTROPE_SERVE__TOKEN (16 characters or more), or listen on 127.0.0.1.",
        )


class Access:
    """ASGI middleware: finds out who calls, refuses who may not, and puts on the security headers.

    What lies behind it reads the caller from `principal_of(request)`, the client's address from
    `request.client` and the scheme from `request.url`, as the trusted proxies tell them.

    Args:
        app: What is behind it.
        settings: Hosts, proxies and limits.
        credentials: Tells who calls.
        host: The address we listen on.
        limits: Counts what each credential begins; whoever gives it closes it.
        own_paths: Only paths that begin so are guarded; empty: all. For apps mounted beside
            others, which have their own doors.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        credentials: Credentials,
        host: str,
        limits: SharedLimits | None = None,
        own_paths: tuple[str, ...] = (),
    ) -> None:
        serve = settings.serve
        self.app = app
        self.credentials = credentials
        self.names = {name.lower() for name in (host, *serve.allowed_hosts)}
        self.own_paths = own_paths
        self.proxies = Proxies(serve.trusted_proxies)
        self.per_minute = serve.requests_per_minute
        self.by_address = RateLimit(serve.requests_per_minute)
        self.by_credential = limits or SharedLimits(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request pass or answers it."""
        elsewhere = self.own_paths and not scope.get("path", "").startswith(self.own_paths)
        if scope["type"] == "websocket" and not elsewhere:
            await send({"type": "websocket.close", "code": 1008, "reason": "No web sockets here."})
            return
        if scope["type"] != "http" or elsewhere:
            await self.app(scope, receive, send)
            return
        seen: Scope = {**self.proxies.seen(scope), "state": {**scope.get("state", {})}}
        headed = _with_headers(send, cacheable=path_of(seen).startswith("/static/"))
        try:
            refusal = await self._refusal(Request(seen))
        except AllotropeError as exc:
            refusal = problem_of(exc).response()
        await (refusal or self.app)(seen, receive, headed)

    async def _refusal(self, request: Request) -> Response | None:
        anybody = self.credentials.anybody
        if anybody and not is_known_host(request.headers, self.names):
            return Problem(
                421,
                "This server doesn't go by that name. Add it to ALLOTROPE_SERVE__ALLOWED_HOSTS.",
            ).response()
        if anybody and self.own_paths and not _from_here(request):
            return Problem(
                403, "These pages are for this machine only until ALLOTROPE_SERVE__TOKEN is set."
            ).response()
        if request.method not in ("GET", "HEAD", "OPTIONS") and not is_same_origin(request.headers):
            return Problem(403, "Pages of other sites may not do that.").response()
        path = path_of(request.scope)
        if is_open(path):
            return None
        address = request.client.host if request.client else "local"
        if not anybody and "token" in request.query_params and _takes_token(request, path):
            return await self._entered(request, path, address)
        who = await self.credentials.principal(request, address)
        if who is None:
            return _unknown(request, path)
        request.scope["state"]["principal"] = who
        return None if request.method != "POST" else await self._too_often(who, address)

    async def _entered(self, request: Request, path: str, address: str) -> Response:
        """Takes the server's token from an address, once: the browser keeps a session instead.

        Keys are taken by the form alone, so that no link logs a person in as somebody else.
        """
        text = request.query_params["token"]
        await self.credentials.owner(text, address)  # counts wrong ones
        if not self.credentials.is_token(text):
            return RedirectResponse(f"/login?next={quote(local_path(path))}", 303)
        # a page and no redirect: a cookie that is SameSite=Strict isn't sent on after one from
        # outside, such as the page in the private folder that --open opens
        rest = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
        after = local_path(path) + (f"?{urlencode(rest)}" if rest else "")
        response = page("entered.html", after=after)
        response.headers["referrer-policy"] = "no-referrer"
        return set_session(response, self.credentials.session(text), request)

    async def _too_often(self, who: Principal, address: str) -> Response | None:
        if who.user is None:
            wait = self.by_address.wait_s(address)
        else:
            limit = who.requests_per_minute or self.per_minute
            wait = 0.0 if limit is None else await self.by_credential.wait_s(who.id, limit)
        if not wait:
            return None
        return Problem(
            429,
            f"Too many requests; try again in {wait:.0f} s.",
            type="rate_limit_error",
            code="rate_limit_exceeded",
            retry_after_s=wait,
        ).response()


def principal_of(request: HTTPConnection) -> Principal:
    """Who sent a request that `Access` let pass.

    Args:
        request: The request.
    """
    found: Principal = request.scope["state"]["principal"]
    return found


def operators_only(route: Route) -> Route:
    """A route for operators: what it shows is of all tenants.

    Args:
        route: What is behind it.
    """

    async def guarded(request: Request) -> Response:
        if not principal_of(request).operator:
            return Problem(
                403,
                "This shows all tenants and users: it takes the operator's token, or an operator's "
                "key.",
            ).response()
        answer: Response = await route.endpoint(request)
        return answer

    return Route(route.path, guarded, methods=[*(route.methods or ())], name=route.name)


def set_session(response: Response, session: str, request: Request) -> Response:
    """Gives a browser its session: no script reads it, and no page of another site sends it.

    Args:
        response: Which takes it along.
        session: Of `Credentials.session`.
        request: Whose scheme says whether there is TLS.
    """
    response.set_cookie(
        COOKIE,
        session,
        httponly=True,
        samesite="strict",
        secure=request.scope.get("scheme") == "https",
        max_age=SESSION_S,
    )
    return response


def _takes_token(request: Request, path: str) -> bool:
    """Whether it is a page that a browser goes to; programs send a header."""
    return (
        request.method == "GET"
        and (path == "/" or path.startswith(("/dashboard", "/status")))
        and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
    )


def _unknown(request: Request, path: str) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        asked = request.scope.get("query_string", b"").decode("latin-1")
        query = f"?{asked}" if asked and "token" not in request.query_params else ""
        return RedirectResponse(f"/login?next={quote(local_path(path + query))}", 303)
    response = Problem(
        401,
        "The token is missing or wrong: send it as Authorization: Bearer TOKEN.",
        code="invalid_api_key",
    ).response()
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _from_here(request: Request) -> bool:
    return request.client is None or is_loopback(request.client.host)


def is_known_host(headers: Headers, names: Collection[str]) -> bool:
    """Whether a request calls us by a name of ours: another that points here is a page's trick.

    Args:
        headers: Of the request; browsers put the name they looked up into `Host` (DNS rebinding).
        names: Those we go by besides loopback's, in lower case.
    """
    parts = _parts(f"//{headers.get('host', '')}")
    host = (parts and parts.hostname) or ""
    return is_loopback(host) or host.lower() in names


def is_same_origin(headers: Headers) -> bool:
    """Whether a request comes from a page of our own, or from no page.

    Args:
        headers: Of the request.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    parts = _parts(origin)
    if parts is None:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == headers.get("host")


def _parts(address: str) -> SplitResult | None:
    """An address taken apart, or None where it is none: `http://[`."""
    try:
        return urlsplit(address)
    except ValueError:
        return None


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
