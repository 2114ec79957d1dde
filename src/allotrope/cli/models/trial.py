"""`allotrope models trial`: ask two models the same questions, and see what changes."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from allotrope.cli.output import emit


def trial(
    before: Annotated[str, typer.Argument(help="The model that answers now.", metavar="FROM")],
    after: Annotated[str, typer.Argument(help="The model to try.", metavar="TO")],
    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset", help="JSONL with questions; default: twelve of ours.", metavar="FILE"
        ),
    ] = None,
    from_archive: Annotated[
        int | None,
        typer.Option(
            "--from-archive", min=2, help="Your own latest N questions instead.", metavar="N"
        ),
    ] = None,
    agent: Annotated[str, typer.Option("--agent", help="Which agent.")] = "assistant",
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", min=0.000001, help="Most it may cost.")
    ] = None,
    judge: Annotated[
        bool | None,
        typer.Option(
            "--judge/--no-judge",
            help="Whether a model compares answers where none is known to be right. Default: for "
            "datasets, not for your own questions.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the report to it too.", metavar="FILE.md")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask two models the same questions: quality, cost, time, tokens, failures, form.

    A model is one of OpenAI's, ollama:NAME, embedded, or the path of a GGUF file.
    """
    from allotrope.exceptions import InputError
    from allotrope.settings import load_settings
    from allotrope.succession.trials.measures import measured
    from allotrope.succession.trials.report import document, markdown
    from allotrope.succession.trials.trial import plan_trial, run_trial

    settings = load_settings()
    plan = plan_trial(
        settings, before, after, dataset=dataset, from_archive=from_archive, agent=agent,
        max_usd=max_usd, judge=judge,
    )  # fmt: skip
    if plan.private:
        typer.echo(f"Asking {plan.before} and {plan.after} {plan.source}.", err=True)
    run = asyncio.run(run_trial(settings, plan, quiet=as_json))
    analysis = measured(plan.experiment, plan.items, run)
    text = markdown(settings, plan, analysis, run)
    if out is not None:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise InputError(f"{out} can't be written: {exc.strerror}.") from exc
    if as_json:
        emit(document(plan, analysis, run), indent=2)
        return
    if not sys.stdout.isatty():
        typer.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
