"""`allotrope drill`: play an outage against the settings and see what users would see."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allotrope.cli.output import emit

if TYPE_CHECKING:
    from allotrope.drill.result import Drill

app = typer.Typer(add_completion=False)


@app.command()
def drill(
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", "-s", help="Only this one; may be repeated."),
    ] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the scenarios and end.")] = False,
    users: Annotated[int, typer.Option(min=1, max=200, help="Users at once.")] = 10,
    speed: Annotated[
        float, typer.Option(min=1.0, max=60.0, help="How many times as fast the clock runs.")
    ] = 10.0,
    png: Annotated[Path | None, typer.Option(help="Draw the runs into this PNG.")] = None,
    html: Annotated[Path | None, typer.Option(help="Draw the runs into this page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Plays scripted outages of a simulated OpenAI against your settings.

    Your chain, timeouts, breaker and retries are used; your keys, data, Redis and budgets are not.
    The clock runs faster; all figures are in the seconds your settings mean.
    """
    from allotrope.drill.outages import SCENARIOS
    from allotrope.drill.outages import scenario as find

    if list_them:
        _print_list()
        return
    chosen = [find(name) for name in scenario] if scenario else list(SCENARIOS)
    drills = _play(chosen, users=users, speed=speed, quiet=as_json)
    if png is not None:
        from allotrope.drill.picture import write_png

        write_png(drills, png)
    if html is not None:
        from allotrope.drill.picture import write_html

        write_html(drills, html)
    if as_json:
        from allotrope.drill.advice import advice
        from allotrope.settings import load_settings

        settings = load_settings()
        runs = [{**one.as_dict(), "advice": advice(one, settings)} for one in drills]
        emit({"speed": speed, "users": users, "drills": runs})
        return
    _print_table(drills)
    for path in (png, html):
        if path is not None:
            print(f"The picture is in {path}.")


def _play(chosen: list, *, users: int, speed: float, quiet: bool) -> "list[Drill]":  # type: ignore[type-arg]  # Scenario is imported late
    import asyncio
    import contextlib

    from rich.console import Console

    from allotrope.drill.run import drill as play
    from allotrope.drill.run import simulated_models
    from allotrope.drill.stage import Crowd, Stage
    from allotrope.settings import load_settings

    settings = load_settings()
    logging.getLogger("allotrope").setLevel(logging.ERROR)  # the outage is staged
    console = Console(stderr=True)
    if settings.embedded.enabled and not settings.ollama.enabled and speed > 1 and not quiet:
        console.print(
            "[yellow]The embedded model answers for real: at --speed "
            f"{speed:g} it looks {speed:g} times as slow as it is.[/]",
            highlight=False,
        )
    drills = []
    stage = Stage(speed=speed, **simulated_models(settings))
    with stage.simulator:
        for scenario in chosen:
            note = f"{scenario.name}: {scenario.title} …"
            shown = contextlib.nullcontext() if quiet else console.status(note)
            with shown:
                drills.append(
                    asyncio.run(play(settings, scenario, stage, crowd=Crowd(users=users)))
                )
    return drills


def _print_list() -> None:
    from rich.console import Console
    from rich.table import Table

    from allotrope.drill.outages import SCENARIOS

    table = Table("scenario", "what happens")
    for scenario in SCENARIOS:
        table.add_row(scenario.name, scenario.title)
    Console().print(table)


def _print_table(drills: "list[Drill]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from allotrope.drill.advice import advice
    from allotrope.drill.picture import strip
    from allotrope.settings import load_settings

    console, settings = Console(), load_settings()
    table = Table(
        title="Outage drill, seconds as your settings mean them",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
    )
    table.add_column("scenario", no_wrap=True)
    for column in (
        "answered",
        "by\nfallback",
        "first\nafter",
        "wasted",
        "wait\np50/p99",
        "back\nafter",
        "lost/\ndouble",
    ):
        table.add_column(column, justify="right")
    for one in drills:
        f = one.figures()
        served = sum(turn.by_fallback for turn in one.turns)
        later = f.wasted - f.wasted_before_open
        table.add_row(
            one.scenario.name,
            f"{f.answered}/{f.turns}",
            str(served),
            _seconds(f.first_fallback_s),
            f"{f.wasted_before_open} + {later}" if f.opened else str(f.wasted),
            f"{_seconds(f.waited_p50_s)}/{_seconds(f.waited_p99_s)}",
            _seconds(f.recovered_s),
            f"{f.lost}/{f.duplicated}",
        )
    console.print(table)
    console.print(
        "wasted: requests that got no answer before the circuit opened + after it (probes)\n\n"
        "Second by second: o OpenAI, l Ollama, e embedded, b several, x no answer, . nobody asked"
    )
    for one in drills:
        line = f"{one.scenario.name:<22} {strip(one, seconds=60)}"
        console.print(line, highlight=False, soft_wrap=True)
        for change in one.changes:
            why = f" ({change.reason})" if change.reason else ""
            what = f"{change.at_s:.1f} s: {change.circuit} {change.state}{why}"
            console.print(f"[dim]{'':<22} {what}[/]", highlight=False)
    for one in drills:
        for sentence in advice(one, settings):
            console.print(f"[yellow]{one.scenario.name}:[/] {sentence}", highlight=False)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
