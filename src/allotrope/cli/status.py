"""`allotrope status`: the circuits, and who answers now."""

from time import sleep as pause
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import emit
from allotrope.support.providers import in_process

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(pretty_exceptions_enable=False)

COLOURS = {
    "closed": "green",
    "open": "red",
    "half_open": "yellow",
    "isolated": "magenta",
    "disabled": "cyan",
}


@app.command()
def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every second until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with --watch one a line.")
    ] = False,
) -> None:
    """Show the circuits and who answers now."""
    from rich.console import Console
    from rich.live import Live

    from allotrope.models.breaker.opening import open_circuits
    from allotrope.models.breaker.status import status_of as circuits_now
    from allotrope.settings import load_settings
    from allotrope.succession.ends import end_sentences

    settings = load_settings()
    circuits = open_circuits(settings)

    def look() -> dict[str, Any]:
        return {**circuits_now(settings, circuits), "model_ends": end_sentences(settings)}

    try:
        if not watch:
            found = look()
            if as_json:
                emit(found)
            else:
                Console().print(table_of(found))
            return
        if as_json:
            while True:
                emit(look())
                pause(1.0)
        with Live(table_of(look()), console=Console()) as live:
            while True:
                pause(1.0)
                live.update(table_of(look()))
    finally:
        circuits.close()


def table_of(found: dict[str, Any]) -> "RenderableType":
    """The status as a table with the sentence of who answers under it."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("circuit", "state", "calls", "failed", "next probe", "last error"):
        table.add_column(title, overflow="fold")
    for row in found["circuits"]:
        colour = COLOURS[row["state"]]
        last = row["errors"][0] if row["errors"] else None
        table.add_row(
            escape(row["name"] if row["of_these_settings"] else row["stored_as"]),
            f"[{colour}]{row['state']}[/]",
            str(row["calls"]),
            f"{row['failure_rate']:.0%}" if row["calls"] else "–",
            "–" if row["next_probe_s"] is None else f"in {row['next_probe_s']:.0f} s",
            "–" if last is None else f"{last['error']}, {last['ago_s']:.0f} s ago",
        )
    return Group(table, Text("\n".join([sentence_of(found), *found["model_ends"]])))


def sentence_of(found: dict[str, Any]) -> str:
    """Who answers now and how far the state reaches, in words."""
    who = found["answers_now"]
    if who is None:
        first = "Nobody can answer now."
    elif in_process(who["provider"]):
        first = f"Answers now: {who['model']}."
    else:
        ended = found["succession"]
        place = f", in place of {ended['from']}" if ended else ""
        first = f"Answers now: {who['model']} on {who['provider']}{place}."
    if not found["breaker"]:
        return f"{first} The circuit breaker is off (ALLOTROPE_RESILIENCE__BREAKER)."
    reach = {
        "redis": "The circuits are shared over Redis.",
        "local": "The circuits are this process's own: there is no Redis to share them.",
        "lost": "Redis doesn't answer; each process has circuits of its own until it does.",
    }
    return f"{first} {reach[found['sharing']]}"
