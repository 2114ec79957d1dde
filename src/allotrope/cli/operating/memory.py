"""`allotrope memory`: long-term facts, and deleting threads for good."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import emit

if TYPE_CHECKING:
    from allotrope.memory.facts import LongTermFacts
    from allotrope.settings import Settings

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True)

User = Annotated[str, typer.Option("--user", help="Whose facts.", metavar="ID")]
Tenant = Annotated[
    str | None, typer.Option("--tenant", help="Whose data; default: the settings'.", metavar="ID")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@contextmanager
def _facts() -> "Iterator[tuple[Settings, LongTermFacts]]":
    from allotrope.memory.opening import open_facts
    from allotrope.settings import load_settings

    settings = load_settings()
    facts = open_facts(settings)
    try:
        yield settings, facts
    finally:
        facts.close()


@app.command("list")
def list_(user: User, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List what is kept about a user."""
    with _facts() as (settings, facts):
        known = facts.known(tenant=tenant or settings.tenant, user=user)
    if as_json:
        emit({"user": user, "facts": known})
        return
    for key, fact in known.items():
        print(f"{key}  {fact}")
    if not known:
        print(f"Nothing is kept about {user}.")


@app.command()
def forget(
    key: Annotated[str, typer.Argument(help="A fact's key, or all.", metavar="KEY")],
    user: User,
    tenant: Tenant = None,
) -> None:
    """Forget one fact of a user, or all."""
    with _facts() as (settings, facts):
        facts.forget(key, tenant=tenant or settings.tenant, user=user)
    print("Forgotten.")


@app.command()
def export(
    thread: Annotated[
        str | None, typer.Argument(help="The conversation.", metavar="THREAD")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="The facts of a user instead.", metavar="ID")
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Print every message of a thread, or every fact about a user, as JSON lines."""
    from allotrope.exceptions import InputError

    if (thread is None) == (user is None):
        raise InputError(
            "Export takes a thread or a user.",
            hint="allotrope memory export THREAD, or allotrope memory export --user ID",
        )
    rows = _messages(str(thread), tenant) if user is None else _facts_of(user, tenant)
    for row in rows:
        emit(row)


def _facts_of(user: str, tenant: str | None) -> "list[dict[str, Any]]":
    with _facts() as (settings, facts):
        known = facts.known(tenant=tenant or settings.tenant, user=user)
    return [{"user": user, "key": key, "fact": fact} for key, fact in known.items()]


def _messages(thread: str, tenant: str | None) -> "list[dict[str, Any]]":
    from allotrope.exceptions import InputError
    from allotrope.memory.opening import open_archive
    from allotrope.settings import load_settings

    settings = load_settings()
    archive = open_archive(settings)
    try:
        rows = archive.export(tenant or settings.tenant, thread)
    finally:
        archive.close()
    if not rows:
        raise InputError(f"There is no thread {thread!r}.")
    return rows


@app.command()
def delete(
    thread: Annotated[str, typer.Argument(help="The conversation.", metavar="THREAD")],
    tenant: Tenant = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a thread: archive, summary, checkpoints and cached answers."""
    from allotrope.exceptions import InputError
    from allotrope.operations.deletion import delete_thread
    from allotrope.settings import load_settings

    settings = load_settings()
    if not yes:
        typer.confirm(f"Delete thread {thread} for good?", abort=True)
    gone = delete_thread(settings, thread, tenant=tenant or settings.tenant)
    if not gone:
        raise InputError(f"There is no thread {thread!r}.")
    cached = (
        "cached answers expire by themselves"
        if gone.answers is None
        else f"{gone.answers} cached answers"
    )
    print(f"Deleted {gone.messages} messages ({cached}).")
