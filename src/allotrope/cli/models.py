"""`allotrope models`: who serves which role, until when, and who comes next."""

import json
from typing import Annotated, Any

import typer

app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    help="Show which model serves which role, until when, and who comes next.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Model = Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")]


@app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """Show which model serves which role, until when, and who comes next."""
    if context.invoked_subcommand is not None:
        return
    from allotrope.models.catalogue.roles import models_by_role
    from allotrope.settings import load_settings

    found = models_by_role(load_settings())
    if as_json:
        _json(found)
        return
    for role, model in found.items():
        typer.echo(f"{role:12} {model}")


@app.command()
def forget(model: Model, as_json: Json = False) -> None:
    """Forget what was learnt of a model: refusals, and what it doesn't take."""
    from allotrope.models.catalogue.lifecycle import lifecycles_of
    from allotrope.settings import load_settings

    found = lifecycles_of(load_settings()).notes.forget(model)
    if as_json:
        _json({"model": model, "forgotten": found})
    else:
        typer.echo(f"Forgot {model}." if found else f"Nothing was learnt of {model}.")


def _json(data: Any) -> None:
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))
