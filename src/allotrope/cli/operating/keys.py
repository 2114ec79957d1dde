"""`allotrope keys`: who may call the server, and what they may do."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import answer, emit

if TYPE_CHECKING:
    from allotrope.identity.key_store import KeyStore
    from allotrope.identity.keys import Key

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make, list, revoke and rotate the keys of the server's callers.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Id = Annotated[str, typer.Argument(help="The key's id (`allotrope keys list`).", metavar="ID")]

_LENGTH = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_HIDDEN = ("digest", "former_digest")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.", metavar="NAME")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Whose data it sees.")] = "",
    user: Annotated[str, typer.Option("--user", help="Who has it; default: the key itself.")] = "",
    agents: Annotated[
        list[str] | None, typer.Option("--agent", help="An agent it may ask; default: all.")
    ] = None,
    tools: Annotated[
        list[str] | None, typer.Option("--tool", help="A tool agents may use; default: all.")
    ] = None,
    usd: Annotated[str | None, typer.Option("--usd", help="Budget in USD.")] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", help="Budget in tokens.", min=1)] = None,
    period: Annotated[
        str, typer.Option("--per", help="Of the budget: day, week or month.")
    ] = "month",
    requests_per_minute: Annotated[
        int | None, typer.Option("--requests-per-minute", help="Turns it may begin.", min=1)
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="In 12h, 30d …, or a day (2027-01-31, UTC).")
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="It sees everything: dashboard, metrics.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed once and can't be shown again."""
    from allotrope.agents import registry
    from allotrope.exceptions import InputError
    from allotrope.identity.keys import Key

    for agent in agents or ():
        registry.find(agent)
    if period not in ("day", "week", "month"):
        raise InputError(f"{period!r} is no period.", hint="Use day, week or month.")
    wanted = Key(
        id="",
        digest="",
        name=name,
        tenant=tenant,
        user=user,
        agents=tuple(agents) if agents else None,
        tools=tuple(tools) if tools else None,
        usd=_usd(usd),
        tokens=tokens,
        period=period,
        requests_per_minute=requests_per_minute,
        operator=operator,
        expires_at=None if expires is None else _moment(expires),
    )
    with _store() as store:
        made, text = store.create(wanted)
    _give(made, text, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every key and what it may do, without its secret."""
    with _store() as store:
        keys = store.all()
    if as_json:
        emit({"keys": [_shown(key) for key in keys]})
        return
    if not keys:
        typer.echo("There are no keys.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "name", "tenant", "user", "agents", "budget", "state", "expires")
    table.columns[0].no_wrap = True
    for key in keys:
        budget = f"${key.usd}" if key.usd is not None else f"{key.tokens:,}" if key.tokens else ""
        table.add_row(
            key.id,
            key.name,
            key.tenant or "-",
            "operator" if key.operator else key.user or "-",
            "all" if key.agents is None else ", ".join(key.agents),
            f"{budget} a {key.period}" if budget else "-",
            key.state(),
            "-" if key.expires_at is None else _day(key.expires_at),
        )
    Console().print(table)


@app.command()
def revoke(id: Id, as_json: Json = False) -> None:
    """End a key. Servers refuse it within three seconds."""
    with _store() as store:
        key = store.revoke(id)
    answer(_shown(key), f"Revoked: {key.id} {key.name}".rstrip(), as_json=as_json)


@app.command()
def rotate(
    id: Id,
    grace: Annotated[
        str | None, typer.Option("--grace", help="How long the old secret is good still: 1h …")
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a key another secret; threads, budget and limits stay."""
    with _store() as store:
        key, text = store.rotate(id, grace_s=0.0 if grace is None else _seconds(grace))
    _give(key, text, as_json)


@app.command()
def token(
    port: Annotated[
        int | None, typer.Option("--port", help="Of which server; default: the latest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the token that a running server on this machine made for its own user."""
    from allotrope.identity.local_token import find_token

    found = find_token(port)
    answer({"url": found.url, "token": found.token}, found.token, as_json=as_json)


def _store() -> "KeyStore":
    from allotrope.identity.key_store import KeyStore
    from allotrope.settings import load_settings

    return KeyStore(load_settings())


def _give(key: "Key", text: str, as_json: bool) -> None:
    if as_json:
        emit({**_shown(key), "key": text})
        return
    typer.echo(text)
    typer.echo(f"This is shown once. Its id is {key.id}.", err=True)


def _shown(key: "Key") -> dict[str, Any]:
    facts = {name: value for name, value in asdict(key).items() if name not in _HIDDEN}
    for name in ("made_at", "expires_at", "revoked_at", "former_until"):
        at = facts[name]
        facts[name] = datetime.fromtimestamp(at, UTC).isoformat() if at else None
    return {**facts, "usd": None if key.usd is None else str(key.usd), "state": key.state()}


def _usd(text: str | None) -> Decimal | None:
    from decimal import InvalidOperation

    from allotrope.exceptions import InputError

    if text is None:
        return None
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal(0)
    if not (usd.is_finite() and Decimal("0.000001") <= usd <= 10**9):
        raise InputError(f"{text!r} is no amount in USD.", hint="Use a number such as 25 or 0.50.")
    return usd


def _seconds(text: str) -> float:
    from allotrope.exceptions import InputError

    found = _LENGTH.fullmatch(text)
    if found is None:
        raise InputError(f"{text!r} is no length of time.", hint="Use 30m, 12h or 30d.")
    return float(int(found[1]) * _UNITS[found[2]])


def _moment(text: str) -> float:
    """Seconds since 1970 of a length from now, or of the end of a day (UTC)."""
    from allotrope.exceptions import InputError

    if _LENGTH.fullmatch(text):
        return datetime.now(UTC).timestamp() + _seconds(text)
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as exc:
        raise InputError(
            f"{text!r} is no day and no length of time.", hint="Use 30d or 2027-01-31."
        ) from exc
    return (day + timedelta(days=1)).timestamp()


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
