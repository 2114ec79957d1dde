"""Who may call LangGraph's server (`make studio`, `langgraph up`): `"auth": {"path": "…:auth"}`.

Without a token only this machine may, and of web pages only Studio's and our own; other pages are
refused on reads too. With `ALLOTROPE_SERVE__TOKEN` the token is asked for. Tenant and user come
from the credential: what a client writes into a run's context may not name another one.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from langgraph_sdk import Auth

from allotrope.settings import Settings, load_settings
from allotrope.web.access import equal_secrets, is_loopback

STUDIO_ORIGINS = ("https://smith.langchain.com", "https://eu.smith.langchain.com")
"""Where LangGraph Studio's page comes from. `langgraph.json` names the same under `http.cors`."""

OPERATOR = "operator"
"""The identity of who holds the server's own token, or sits at this machine without one."""

auth = Auth()


@cache
def _settings() -> Settings:
    return load_settings()


def _refused(status: int, sentence: str) -> Exception:
    return Auth.exceptions.HTTPException(status_code=status, detail=sentence)


@auth.authenticate
async def authenticate(scope: dict[str, Any]) -> Any:
    """Lets a request in, or says why not.

    Args:
        scope: The ASGI scope of the request.

    Raises:
        HTTPException: 401 or 403, with a sentence.
    """
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    _check_page(headers)
    settings = _settings()
    token = settings.serve.token
    if token is None:
        client = scope.get("client")
        if client is not None and not is_loopback(client[0]):
            raise _refused(403, "Without ALLOTROPE_SERVE__TOKEN only this machine may call.")
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not is_loopback(host) and host.lower() not in settings.serve.allowed_hosts:
            raise _refused(
                403,
                "This server doesn't go by that name. Add it to ALLOTROPE_SERVE__ALLOWED_HOSTS.",
            )
    else:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not equal_secrets(shown.strip(), token.get_secret_value()):
            raise _refused(401, "The token is missing or wrong: send Authorization: Bearer TOKEN.")
    return _who(OPERATOR, tenant=settings.tenant)


def _who(identity: str, *, tenant: str, user: str | None = None) -> Any:
    """The authenticated user as the graphs see it, under `runtime.server_info.user`."""
    found = {"identity": identity, "is_authenticated": True, "tenant": tenant}
    return found if user is None else {**found, "user": user}


def _check_page(headers: Mapping[str, str]) -> None:
    """Refuses what pages of other sites send, reads too."""
    origin = headers.get("origin")
    if origin in STUDIO_ORIGINS:
        return
    if origin is not None and (
        urlsplit(origin).scheme not in ("http", "https")
        or urlsplit(origin).netloc != headers.get("host")
    ):
        raise _refused(403, "Pages of other sites may not call this server.")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise _refused(403, "Pages of other sites may not call this server.")


@auth.on
async def bind(ctx: Auth.types.AuthContext, value: Any) -> None:
    """Refuses a run, an assistant or a schedule that names another tenant or user.

    Args:
        ctx: Who asks, and for what.
        value: The request's fields.

    Raises:
        HTTPException: 403; the sentence names the field.
    """
    who = ctx.user
    for name in ("tenant", "user"):
        own = who[name] if name in who else None  # noqa: SIM401  # BaseUser has no `get`
        for claimed in _claims(value, name):
            if own is not None and claimed not in ("", None, own):
                raise _refused(
                    403,
                    f"This run belongs to the {name} {own!r}; its context may not name another.",
                )


def _claims(value: Any, name: str) -> Iterator[Any]:
    """What a request's context or configuration says of one field, wherever it stands."""
    if not isinstance(value, Mapping):
        return
    for part in ("context", "configurable"):
        inner = value.get(part)
        if isinstance(inner, Mapping) and name in inner:
            yield inner[name]
    for part in ("config", "kwargs", "payload"):
        yield from _claims(value.get(part), name)
