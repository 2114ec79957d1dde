"""The root of the command line: names and one-line helps; a command's module loads when it runs."""

import importlib
import sys
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS: dict[str, str] = {
    "agents": "List the agents, show one's graph and what a turn may cost.",
    "ask": "Ask an agent one question.",
    "batch": "Run an agent over a JSONL file.",
    "bench": "Measure the quality of answers over a dataset.",
    "breaker": "Isolate or reset a circuit.",
    "cache": "Look into the answer cache, clear it, calibrate it.",
    "chat": "Talk with an agent, turn by turn.",
    "context": "Show what fills a thread's context window.",
    "dashboard": "Open the usage dashboard.",
    "doctor": "Check keys, endpoints, stores and models, and say what to do.",
    "drill": "Play an outage against your settings and see what users would see.",
    "experiment": "Run and judge A/B tests of profiles and prompts.",
    "feedback": "Score the answer of a run.",
    "keys": "Make, list, revoke and rotate the keys of the server's callers.",
    "memory": "List, export or forget long-term facts; delete threads.",
    "models": "Show which model serves which role, until when, and who comes next.",
    "new": "Scaffold a new agent.",
    "profiles": "List, check and explain parameter profiles.",
    "prompts": "List, render, compare and promote prompt templates.",
    "report": "Spend and savings of a day, week or month.",
    "serve": "Serve the agents over an OpenAI-compatible API, with a chat page.",
    "status": "Show the circuits and who answers now.",
    "trust": "Let this folder's .env set what sends keys or runs code.",
    "usage": "Look into the ledger and export it.",
}
"""Command to help. Its module has a typer app called `app`; see `_module`."""

_FOLDERS = {
    "experiments": ("bench", "drill", "experiment"),
    "operating": ("breaker", "cache", "context", "keys", "memory", "profiles", "prompts"),
    "usage": ("feedback", "report"),
}


def _module(name: str) -> str:
    """The module of a command; `models` and `usage` are folders of their own."""
    if name in ("models", "usage"):
        return f"allotrope.cli.{name}.app"
    folders = [folder for folder, names in _FOLDERS.items() if name in names]
    return ".".join(("allotrope.cli", *folders, name))


EXIT_CODES = (
    "Ends with 0 when it did what was asked, 1 when a check or a run failed, 2 when the input or a "
    "setting can't be used, 3 when no model may or can answer, 4 when "
    "the thread is busy, 130 after Ctrl-C."
)
"""What a command's exit code says; docs/configure.md has it as a table."""


class LazyGroup(TyperGroup):
    """A group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands that are there."""
        return [name for name in COMMANDS if find_spec(_module(name))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A light stand-in with name and help, enough for the list of commands."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, short_help=COMMANDS[cmd_name])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or name is None:
            return name, command, rest
        loaded = typer.main.get_command(importlib.import_module(_module(name)).app)
        loaded.name = name
        return name, loaded, rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    # the list of commands is plain text: rich would take longer to import than all the rest
    rich_markup_mode=None,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"allotrope {version('allotrope')}")
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_tell_version),
    ] = False,
) -> None:
    """LangChain/LangGraph agents on OpenAI o3 that stay cheap, fast and up."""
    from allotrope.exceptions import SettingsError
    from allotrope.operations.logs import configure
    from allotrope.settings import load_settings

    try:
        configure(load_settings().log)
    except SettingsError:
        return  # the command will say it, or, like doctor, explain it


def main() -> None:
    """Runs the command line; a user's mistake ends in one line on stderr, never in a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as exc:
        from allotrope.exceptions import AllotropeError
        from allotrope.support.extras import lacking

        told = exc if isinstance(exc, AllotropeError) else None
        if isinstance(exc, ModuleNotFoundError):
            told = lacking(exc)
        if told is None:
            raise
        print(f"allotrope: {told}", file=sys.stderr)
        sys.exit(told.exit_code)
