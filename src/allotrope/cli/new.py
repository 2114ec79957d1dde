"""`allotrope new agent NAME`: the files of a new agent, ready to run and tested."""

from pathlib import Path
from typing import Annotated

import typer

from allotrope.cli.output import emit

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Scaffold a new agent."
)


@app.callback()
def new() -> None:
    """Scaffold a new agent."""


@app.command()
def agent(
    name: Annotated[str, typer.Argument(help="What it will be called.", metavar="NAME")],
    summary: Annotated[
        str | None, typer.Option("--summary", help="What it does, one sentence.", metavar="TEXT")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write spec, graph, prompt and test of a new agent, and register it.

    In a clone of Allotrope it becomes one of the clone's agents; elsewhere a package of its own in
    a new folder NAME_agent. Nothing is overwritten.
    """
    from allotrope.operations.scaffold import plan, write

    where = Path.cwd()
    scaffold = plan(name, summary=summary, where=where)
    written = write(scaffold)
    if as_json:
        facts = {
            "agent": scaffold.name,
            "folder": str(scaffold.folder),
            "in_clone": scaffold.clone,
            "created": list(scaffold.created),
            "changed": list(scaffold.changed),
            "next": list(scaffold.next_steps),
        }
        emit(facts)
        return
    for path in written:
        relative = path.relative_to(scaffold.folder)
        print(f"{'new    ' if str(relative) in scaffold.created else 'changed'}  {relative}")
    print("\nNow try:")
    for command in scaffold.next_steps:
        print(f"  {command}")
