"""`allotrope models`: who serves which role, until when, and who comes next."""

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from allotrope.cli.models.canary import canary
from allotrope.cli.models.trial import trial
from allotrope.cli.output import emit

if TYPE_CHECKING:
    from allotrope.succession.promotion import RoleChange

app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    help="Show which model serves which role, until when, and who comes next.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Model = Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")]
By = Annotated[str | None, typer.Option("--by", help="Your name, for the history.", metavar="NAME")]


@app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """Show which model serves which role, until when, and who comes next."""
    if context.invoked_subcommand is not None:
        return
    from allotrope.settings import load_settings
    from allotrope.succession.overview import models_overview

    found = models_overview(load_settings())
    if as_json:
        emit(found.to_json())
        return
    from allotrope.cli.models.table import show

    show(found)


@app.command()
def refresh(as_json: Json = False) -> None:
    """Ask the provider for its list of models and their announced ends now."""
    from allotrope.settings import load_settings
    from allotrope.succession.refreshing import refresh as ask

    found = ask(load_settings())
    if as_json:
        emit(found.to_json())
        return
    facts = found.to_json()
    typer.echo(
        f"The provider lists {facts['models']} models, {facts['announced_ends']} with an end."
    )
    for name in found.missing:
        typer.echo(f"It doesn't list {name}, which you use.")
    for sentence in found.sentences:
        typer.echo(sentence)


@app.command()
def forget(model: Model, as_json: Json = False) -> None:
    """Forget what was learnt of a model: refusals, and what it doesn't take."""
    from allotrope.models.catalogue.lifecycle import lifecycles_of
    from allotrope.settings import load_settings

    found = lifecycles_of(load_settings()).notes.forget(model)
    if as_json:
        emit({"model": model, "forgotten": found})
    else:
        typer.echo(f"Forgot {model}." if found else f"Nothing was learnt of {model}.")


@app.command()
def promote(
    role: Annotated[str, typer.Argument(help="primary, economical, judge …", metavar="ROLE")],
    to: Annotated[str | None, typer.Argument(help="The model it gets.", metavar="MODEL")] = None,
    back: Annotated[bool, typer.Option("--undo", help="Take the latest promotion back.")] = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Give a role another model, or take that back."""
    from allotrope.exceptions import InputError
    from allotrope.settings import load_settings
    from allotrope.succession import promotion

    if (to is None) != back:
        raise InputError(
            "A model or --undo is needed, and not both.",
            hint=f"`allotrope models promote {role} MODEL`.",
        )
    settings, who = load_settings(), by or getpass.getuser()
    if to is None:
        change = promotion.undo(settings, role, by=who)
    else:
        change = promotion.promote(settings, role, to, by=who)
    if as_json:
        emit(change.to_json())
        return
    typer.echo(f"{role} has the model {change.after} now; it was {change.before}.")
    typer.echo(_in_cost(change))


app.command()(canary)
app.command()(trial)


def _in_cost(change: "RoleChange") -> str:
    from allotrope.succession.costs import usd

    costs = change.costs
    turn = "A nominal turn" if not costs.turn.turns else "A mean turn"
    if costs.turn_now is None or costs.turn_then is None:
        unknown = change.before if costs.turn_now is None else change.after
        return (
            f"What changes in cost isn't known: nobody knows the price of {unknown}. "
            "Set ALLOTROPE_USAGE__PRICES."
        )
    more = f" ({costs.turn_then / costs.turn_now - 1:+.0%})" if costs.turn_now else ""
    return f"{turn} cost {usd(costs.turn_now)} and costs {usd(costs.turn_then)} now{more}."
