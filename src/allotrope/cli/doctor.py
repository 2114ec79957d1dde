"""`allotrope doctor`: is everything there, and what to do if not."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from allotrope.cli.output import emit

if TYPE_CHECKING:
    from allotrope.settings import Settings

app = typer.Typer(pretty_exceptions_enable=False)

MARKS = {
    "ok": "[green]✓[/green]",
    "warning": "[yellow]![/yellow]",
    "error": "[red]✗[/red]",
    "off": "·",
}


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    pull: Annotated[
        bool, typer.Option("--pull", help="Fetch the Ollama model of the settings first.")
    ] = False,
) -> None:
    """Check keys, endpoints, stores and models, and say what to do."""
    from allotrope.operations.doctor import examine
    from allotrope.settings import load_settings

    settings = load_settings()
    if pull:
        pull_model(settings)
    findings = []
    if as_json:
        findings = list(examine(settings))
        document = {
            "ok": all(finding.state != "error" for finding in findings),
            "findings": [finding.as_dict() for finding in findings],
        }
        emit(document)
    else:
        from rich.console import Console
        from rich.markup import escape

        console = Console(highlight=False, soft_wrap=True)
        for finding in examine(settings):
            findings.append(finding)
            console.print(f"{MARKS[finding.state]} {finding.part}: {escape(finding.told)}")
            if finding.advice:
                console.print(f"    {escape(finding.advice)}", style="dim")
    if any(finding.state == "error" for finding in findings):
        sys.exit(1)


def pull_model(settings: "Settings") -> None:
    """Fetches the Ollama model of the settings, with a progress bar.

    Raises:
        StoreError: Ollama doesn't answer or has no such model.
    """
    import ollama
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from allotrope.exceptions import StoreError

    name, host = settings.ollama.model, settings.ollama.host
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    try:
        with Progress(*columns) as progress:
            tasks: dict[str, object] = {}
            for step in ollama.Client(host=host).pull(name, stream=True):
                title = f"{name}: {step.status}"
                if title not in tasks:
                    tasks[title] = progress.add_task(title, total=step.total)
                progress.update(
                    tasks[title],  # type: ignore[arg-type]  # what add_task gave
                    completed=step.completed or 0,
                    total=step.total,
                )
    except (ollama.ResponseError, ConnectionError) as exc:
        raise StoreError(
            f"Ollama at {host} couldn't fetch {name}: {exc}.",
            hint="Is it running (`ollama serve`), and is the name right?",
        ) from exc
