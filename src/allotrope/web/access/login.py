"""The login page: a token or a key for a session."""

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from allotrope.exceptions import AllotropeError
from allotrope.identity.keys import parts_of
from allotrope.web.access.access import local_path, set_session
from allotrope.web.access.credentials import Credentials
from allotrope.web.errors import problem_of
from allotrope.web.pages import page


def login_routes(credentials: Credentials) -> list[Route]:
    """The login page. Wrong tokens are limited to ten a minute.

    Args:
        credentials: Tells whose a token is.
    """

    async def login(request: Request) -> Response:
        after = local_path(request.query_params.get("next", "/"))
        if credentials.anybody:
            return RedirectResponse(after, 303)
        if request.method != "POST":
            return page("login.html", wrong=False, after=after)
        text = dict(parse_qsl(await _small_body(request))).get("token", "").strip()
        address = request.client.host if request.client else "local"
        try:
            found = await credentials.owner(text, address)
        except AllotropeError as exc:
            problem = problem_of(exc)
            return PlainTextResponse(problem.message, problem.status)
        kept = parts_of(text) is not None or credentials.is_token(text)
        if found is None or not kept:  # a signed token is for programs: it ends too soon
            return page("login.html", wrong=True, after=after, status=403)
        return set_session(RedirectResponse(after, 303), credentials.session(text), request)

    return [Route("/login", login, methods=["GET", "POST"])]


async def _small_body(request: Request) -> str:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > 10_000:
            return ""
    return bytes(body).decode("utf-8", "replace")
