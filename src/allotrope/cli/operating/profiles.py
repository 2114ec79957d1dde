"""`allotrope profiles`: the parameter profiles, and what each means for a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import emit

if TYPE_CHECKING:
    from allotrope.models.profiles.library import ProfileLibrary
    from allotrope.models.profiles.parameters import ParameterPlan
    from allotrope.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="List, check and explain parameter profiles.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Agent = Annotated[
    str | None, typer.Option("--agent", help="As this agent type gets it.", metavar="AGENT")
]
Provider = Annotated[
    str, typer.Option("--provider", help="openai, ollama or embedded.", metavar="PROVIDER")
]


@contextmanager
def _profiles() -> "Iterator[tuple[Settings, ProfileLibrary]]":
    from allotrope.models.profiles.library import open_profiles
    from allotrope.settings import load_settings

    settings = load_settings().with_section("profiles", reload_s=None)
    yield settings, open_profiles(settings)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All profiles in a table, and which agent uses which."""
    from allotrope.agents import registry

    with _profiles() as (settings, library):
        profiles = [library.get(name) for name in library.names()]
        problems = dict(library.problems())
        agents = {
            name: library.get(agent=name, own=registry.find(name).profile).name
            for name in registry.names()
        }
    if as_json:
        emit(
            {
                "default": settings.profiles.default,
                "agents": agents,
                "profiles": [p.model_dump(mode="json", exclude_none=True) for p in profiles],
                "problems": problems,
            }
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "model", "effort", "max output", "temperature", "description")
    for profile in profiles:
        mark = " *" if profile.name == settings.profiles.default else ""
        table.add_row(
            profile.name + mark,
            profile.model or settings.openai.model,
            profile.reasoning_effort or "-",
            "-" if profile.max_output_tokens is None else f"{profile.max_output_tokens:,}",
            "-" if profile.temperature is None else str(profile.temperature),
            profile.description,
        )
    Console().print(table)
    typer.echo("Agents: " + ", ".join(f"{name} {profile}" for name, profile in agents.items()))
    for problem in problems.values():
        typer.echo(f"allotrope: {problem}", err=True)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Which profile.", metavar="NAME")],
    agent: Agent = None,
    as_json: Json = False,
) -> None:
    """A profile with everything inherited, and what it means for each model of the chain."""
    with _profiles() as (settings, library):
        profile = library.get(name, agent=agent)
        path = library.path(name)
    plans = _plans(settings, library, name, agent)
    if as_json:
        emit({"path": str(path), "profile": profile.model_dump(mode="json"),
               "plans": [_plan(plan) for plan in plans]})  # fmt: skip
        return
    import yaml

    typer.echo(f"# {path}")
    data = profile.model_dump(mode="json", exclude_none=True)
    typer.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100))
    for plan in plans:
        _print_plan(plan)


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which; default: all.", metavar="[NAME]...")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Default: the model of profile or settings.")
    ] = None,
    provider: Provider = "openai",
    as_json: Json = False,
) -> None:
    """Whether profiles load and their models take them; exit code 1 when not."""
    from allotrope.models.profiles.parameters import plan_for

    _known(provider)
    with _profiles() as (settings, library):
        profiles = [library.get(name) for name in names or library.names()]
        problems = {} if names else dict(library.problems())
    plans = [plan_for(p, model or p.model or settings.openai.model, provider) for p in profiles]
    failed = bool(problems) or any(plan.refused for plan in plans)
    if as_json:
        emit({"ok": not failed, "problems": problems, "plans": [_plan(plan) for plan in plans]})
    else:
        for problem in problems.values():
            typer.secho(problem, fg=typer.colors.RED)
        for plan in plans:
            _print_plan(plan)
    if failed:
        raise typer.Exit(1)


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")],
    provider: Provider = "openai",
    as_json: Json = False,
) -> None:
    """What a model accepts, and what each profile means for it."""
    from allotrope.models.profiles.parameters import plan_for
    from allotrope.models.providers.capabilities import capabilities_of

    _known(provider)
    can = capabilities_of(model, provider=provider)
    with _profiles() as (_, library):
        plans = [plan_for(library.get(name), model, provider) for name in library.names()]
    facts: dict[str, Any] = {
        "model": model,
        "provider": provider,
        "known_as": can.known_as,
        "family": can.family,
        "reasoning": can.reasoning,
        "max_input_tokens": can.max_input_tokens,
        "max_output_tokens": can.max_output_tokens,
        "accepts": sorted(can.accepts),
        "accepts_only_at_effort_none": sorted(can.at_effort_none),
        "efforts": list(can.efforts),
        "service_tiers": list(can.tiers),
        "tools": can.tools,
        "structured_output": can.structured_output,
        "deprecated": can.deprecated,
    }
    if as_json:
        emit({**facts, "plans": [_plan(plan) for plan in plans]})
        return
    for key, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else shown
        typer.echo(f"{key.replace('_', ' '):28} {'unknown' if shown is None else shown or '-'}")
    if can.family == "unknown" and can.known_as is None:
        typer.echo(
            "We know nothing of this model, so it is sent nothing that some model refuses. "
            "List what it takes under `assume` in a profile."
        )
    typer.echo("")
    for plan in plans:
        _print_plan(plan)


def _plans(
    settings: "Settings", library: "ProfileLibrary", name: str, agent: str | None
) -> "list[ParameterPlan]":
    from allotrope.models.profiles.parameters import chain_plans

    return list(chain_plans(library.get(name, agent=agent), settings).values())


def _plan(plan: "ParameterPlan") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "profile": plan.profile,
        "model": plan.model,
        "provider": plan.provider,
        "arguments": dict(plan.arguments),
        "notes": [asdict(note) for note in plan.notes],
        "usable": not plan.refused,
    }


def _print_plan(plan: "ParameterPlan") -> None:
    typer.secho(f"{plan.profile} on {plan.model} ({plan.provider})", bold=True)
    colours = {"refused": typer.colors.RED, "sent": typer.colors.GREEN}
    for note in plan.notes:
        line = f"  {note.outcome:10} {note.parameter} = {note.value}"
        typer.secho(line, fg=colours.get(note.outcome, typer.colors.YELLOW), nl=not note.why)
        if note.why:
            typer.echo(f": {note.why}")


def _known(provider: str) -> None:
    from allotrope.exceptions import ProfileError
    from allotrope.support.providers import PROVIDERS

    if provider not in PROVIDERS:
        raise ProfileError(
            f"{provider!r} is no provider.", hint=f"There are {', '.join(PROVIDERS)}."
        )
