"""`allotrope breaker`: an operator isolates, disables or resets a circuit."""

from typing import Annotated

import typer

from allotrope.cli.output import emit

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

Name = Annotated[
    str, typer.Argument(help="A circuit as `allotrope status` names it.", metavar="NAME")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def isolate(
    name: Name,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for the next one who looks.")
    ] = "isolated by an operator",
    as_json: AsJson = False,
) -> None:
    """Hold a circuit open: the chain goes past it until it is reset."""
    _operate("isolate", name, as_json=as_json, reason=reason)


@app.command()
def disable(name: Name, as_json: AsJson = False) -> None:
    """Let every call of a circuit pass and count nothing until it is reset."""
    _operate("disable", name, as_json=as_json)


@app.command()
def reset(name: Name, as_json: AsJson = False) -> None:
    """Close a circuit and forget its counts."""
    _operate("reset", name, as_json=as_json)


def _operate(what: str, name: str, *, as_json: bool, reason: str = "") -> None:
    from allotrope.exceptions import InputError, StoreError
    from allotrope.models.breaker.opening import circuits_in_settings, open_circuits
    from allotrope.models.breaker.permits import shown_name
    from allotrope.models.breaker.status import matching
    from allotrope.settings import load_settings

    settings = load_settings()
    circuits = open_circuits(settings)
    try:
        circuits.names()
        if circuits.sharing != "redis":
            raise StoreError(
                "There is no Redis here, so no other process would hear of it.",
                hint="Set REDIS_URL or ALLOTROPE_REDIS__EMBEDDED=true.",
            )
        found = matching(settings, circuits, name)
        if not found:
            known = sorted({*circuits_in_settings(settings), *map(shown_name, circuits.names())})
            raise InputError(
                f"No circuit is called {name!r}.", hint=f"There are {', '.join(known)}."
            )
        changed = []
        for stored in found:
            if what == "isolate":
                circuit = circuits.isolate(stored, reason=reason)
            elif what == "disable":
                circuit = circuits.disable(stored)
            else:
                circuit = circuits.reset(stored)
            changed.append({"name": shown_name(stored), "state": circuit.state})
    finally:
        circuits.close()
    if as_json:
        emit({"changed": changed})
        return
    for one in changed:
        print(f"{one['name']} is {one['state']} now.")
