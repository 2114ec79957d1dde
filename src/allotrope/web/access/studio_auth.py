"""Who may call LangGraph's server (`make studio`, `langgraph up`): `"auth": {"path": "…:auth"}`.

The same credentials are good as in `allotrope serve`. Where none are asked for, only the person who
runs the server may call, from this machine; and of web pages only Studio's and our own: other pages
are refused on reads too. Tenant, user, agents, tools and budget come from the credential: what a
client writes into a run's context may not name another.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from langgraph_sdk import Auth
from starlette.requests import HTTPConnection

from allotrope.exceptions import AllotropeError
from allotrope.identity.local_peer import is_another_user
from allotrope.identity.principal import Principal
from allotrope.settings import load_settings
from allotrope.support.exchanges import is_loopback
from allotrope.web.access.access import is_known_host, is_same_origin
from allotrope.web.access.credentials import Credentials
from allotrope.web.access.proxies import Proxies
from allotrope.web.errors import problem_of

STUDIO_ORIGINS = ("https://smith.langchain.com", "https://eu.smith.langchain.com")
"""Where LangGraph Studio's page comes from. `langgraph.json` names the same under `http.cors`."""

OWNER = "allotrope_owner"
"""In a thread's metadata: whose it is."""

auth = Auth()


class StudioDoor:
    """Lets requests to LangGraph's server in. Made when the first comes."""

    def __init__(self) -> None:
        self.settings = load_settings()
        self.credentials = Credentials(self.settings)
        self.proxies = Proxies(self.settings.serve.trusted_proxies)
        self.names = {name.lower() for name in self.settings.serve.allowed_hosts}

    async def principal(self, scope: dict[str, Any]) -> Principal:
        """Who calls.

        Raises:
            HTTPException: 401, 403 or 429, with a sentence.
        """
        connection = HTTPConnection(self.proxies.seen(scope))
        if connection.headers.get("origin") not in STUDIO_ORIGINS and not is_same_origin(
            connection.headers
        ):
            raise _refused(403, "Pages of other sites may not call this server.")
        address = connection.client.host if connection.client else "local"
        try:
            found = await self.credentials.principal(connection, address)
        except AllotropeError as exc:
            problem = problem_of(exc)
            raise _refused(problem.status, problem.message) from exc
        if found is None:
            raise _refused(401, "The token is missing or wrong: send Authorization: Bearer TOKEN.")
        if self.credentials.anybody:
            self._check_neighbour(connection)
        return found

    def _check_neighbour(self, connection: HTTPConnection) -> None:
        """Without credentials: the person who runs the server, by a name of this machine."""
        client = connection.client
        if client is not None and not is_loopback(client.host):
            raise _refused(403, "Without ALLOTROPE_SERVE__TOKEN only this machine may call.")
        if not is_known_host(connection.headers, self.names):
            raise _refused(
                403,
                "This server doesn't go by that name. Add it to ALLOTROPE_SERVE__ALLOWED_HOSTS.",
            )
        if client is not None and is_another_user(client.host, client.port):
            raise _refused(
                403, "This server is another user's; its ALLOTROPE_SERVE__TOKEN would let you in."
            )


@cache
def _door() -> StudioDoor:
    return StudioDoor()


def _refused(status: int, sentence: str) -> Exception:
    return Auth.exceptions.HTTPException(status_code=status, detail=sentence)


@auth.authenticate
async def authenticate(scope: dict[str, Any]) -> Any:
    """Lets a request in, or says why not.

    Args:
        scope: The ASGI scope of the request.

    Returns:
        The caller as the graphs see it, under `runtime.server_info.user`.

    Raises:
        HTTPException: 401, 403 or 429, with a sentence.
    """
    door = _door()
    who = await door.principal(scope)
    found: dict[str, Any] = {
        "identity": who.id,
        "is_authenticated": True,
        "operator": who.operator,
        "tenant": who.tenant or door.settings.tenant,
        **who.context(),
    }
    return found if who.agents is None else {**found, "agents": sorted(who.agents)}


@auth.on
async def bind(ctx: Auth.types.AuthContext, value: Any) -> Any:
    """Refuses what names another tenant or user, and shows each caller its own threads.

    Args:
        ctx: Who asks, and for what.
        value: The request's fields.

    Returns:
        What the caller sees of threads; None where it sees all.

    Raises:
        HTTPException: 403; the sentence names the field.
    """
    who = ctx.user
    for name in ("tenant", "user", "allowance"):
        own = who[name] if name in who else None  # noqa: SIM401  # BaseUser has no `get`
        for claimed in _claims(value, name):
            if own is not None and claimed not in ("", None, own):
                raise _refused(
                    403,
                    f"This run belongs to the {name} {own!r}; its context may not name another.",
                )
    if who["operator"]:
        return None
    if ctx.resource == "threads":
        owner = f"{who['tenant']}/{who['user']}"
        if ctx.action in ("create", "create_run", "update"):
            value.setdefault("metadata", {})[OWNER] = owner
        return {OWNER: owner}
    if ctx.resource == "assistants" and ctx.action in ("read", "search"):
        return None
    raise _refused(403, "This takes the operator's token, or an operator's key.")


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
