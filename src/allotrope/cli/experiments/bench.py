"""`allotrope bench quality`: how good an agent's answers to a dataset are."""

import asyncio
import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from allotrope.cli.output import emit

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def bench() -> None:
    """Measure the quality of answers over a dataset."""


@app.command()
def quality(
    dataset: Annotated[
        Path, typer.Option("--dataset", help="JSONL with question and answer.", metavar="FILE")
    ],
    agent: Annotated[str, typer.Option("--agent", help="Which agent.")] = "assistant",
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--variants", "--variant", help="A profile, or name:key=value,… ; may be repeated."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only that many.")] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Answers per item.")] = 1,
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=1)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the report to it too.", metavar="FILE.md")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask an agent every question of a dataset, score the answers, compare with earlier runs."""
    from allotrope.exceptions import InputError
    from allotrope.experiments.analysis import analyse
    from allotrope.experiments.dataset import load_dataset
    from allotrope.experiments.offline.quality import (
        append_history,
        as_experiment,
        entries,
        markdown,
        sentences,
    )
    from allotrope.experiments.offline.subjects import VariantCheck
    from allotrope.experiments.offline.trials import answers
    from allotrope.experiments.store import open_store
    from allotrope.settings import load_settings

    settings = load_settings()
    items = load_dataset(dataset, limit=limit, salt="bench")
    experiment = as_experiment(
        dataset, items, agent=agent, variants=variants or (), repeats=repeats
    )
    for field, said in VariantCheck(settings)(experiment):
        place = experiment.variants[int(field[1])].name if len(field) > 1 else field[0]
        raise InputError(f"{place}: {said}.")
    folder = open_store(settings).folder.parent / "bench"
    results = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl"
    run = asyncio.run(
        answers(
            experiment,
            items,
            settings,
            results,
            name="bench",
            concurrency=concurrency,
            quiet=as_json,
        )
    )
    analysis = analyse(experiment, run)
    new = entries(experiment, analysis, run)
    old = append_history(folder / "history.jsonl", new)
    alike = [e for e in old if (e.dataset, e.agent) == (dataset.name, agent)][-5:]
    if as_json:
        rows = [{k: _finite(v) for k, v in asdict(entry).items()} for entry in new]
        emit({"results": rows, "earlier": [asdict(e) for e in alike]})
        return
    below = sentences(experiment, analysis, run)
    _show(f"{agent} on {dataset.name}", new)
    if alike:
        _show("Earlier", alike)
    for sentence in below:
        print(sentence)
    if out is not None:
        try:
            out.write_text(markdown(f"{agent} on {dataset.name}", new, alike, below), "utf-8")
        except OSError as exc:
            raise InputError(f"{out} can't be written: {exc.strerror}.") from exc
    print(f"answers: {results}")


def _show(title: str, entries: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from allotrope.experiments.offline.quality import COLUMNS

    table = Table(*COLUMNS, title=title, title_justify="left")
    for entry in entries:
        table.add_row(*entry.cells())
    Console().print(table)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
