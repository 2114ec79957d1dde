"""`allotrope models canary`: a share of the conversations gets another model."""

import getpass
from typing import Annotated

import typer

from allotrope.cli.output import emit


def canary(
    role: Annotated[str, typer.Argument(help="primary, economical, judge …", metavar="ROLE")],
    to: Annotated[str | None, typer.Argument(help="The model to try.", metavar="MODEL")] = None,
    share: Annotated[
        str | None, typer.Option("--share", help="Of the conversations: 5%.", metavar="SHARE")
    ] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option("--agent", help="Only of this agent; may be given again.", metavar="NAME"),
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Everybody has today's model again.")
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", help="Your name, for the history.", metavar="NAME")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Give a share of the conversations another model, or end that."""
    from allotrope.exceptions import InputError
    from allotrope.settings import load_settings
    from allotrope.succession import canary as canaries

    if (to is None or share is None) if not stop else (to is not None or share is not None):
        raise InputError(
            "A canary needs a model and a share; --stop takes neither.",
            hint=f"`allotrope models canary {role} MODEL --share 5%`, and later --stop.",
        )
    settings, who, only = load_settings(), by or getpass.getuser(), agents or ()
    if to is None or share is None:
        found = canaries.stop_canary(settings, role, agents=only, by=who)
    else:
        found = canaries.start_canary(
            settings, role, to, share=canaries.share_of(share), agents=only, by=who
        )
    if as_json:
        told = {"stopped" if stop else "started": [one.to_json() for one in found]}
        emit(told, indent=2)
        return
    for one in found:
        if not stop:
            typer.echo(f"{one.sentence}.")
            continue
        typer.echo(
            f"{one.agent} tries {one.model} no more; what was measured is kept (allotrope "
            f"experiment status {one.experiment})."
        )
    if not stop:
        typer.echo(
            "More failures, twice the cost or twice the time stop it: `allotrope serve` looks "
            "every minute, `allotrope experiment watch` when you ask."
        )
