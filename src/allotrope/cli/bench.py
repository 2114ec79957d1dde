"""`allotrope bench quality`: how good an agent's answers to a dataset are."""

import asyncio
import json
import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask an agent every question of a dataset, score the answers, compare with earlier runs."""
    from allotrope.exceptions import InputError
    from allotrope.experiments.analysis import analyse
    from allotrope.experiments.dataset import load_dataset
    from allotrope.experiments.quality import append_history, as_experiment, entries
    from allotrope.experiments.store import open_store
    from allotrope.experiments.subjects import VariantCheck
    from allotrope.settings import load_settings
    from allotrope.trials import answers

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
        print(json.dumps({"results": rows, "earlier": [asdict(e) for e in alike]}))
        return
    _show(f"{agent} on {dataset.name}", new)
    if alike:
        _show("Earlier", alike)
    for row in analysis.comparisons:
        if row.metric == "quality":
            print(
                f"{row.variant}: {row.fixed.estimate:+.3f} against default, p = {row.p_fixed:.3g}"
            )
    print(f"answers: {results}")


def _show(title: str, entries: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("variant", "model", "n", "quality", "95 %", "USD", "USD per right", "s each"):
        table.add_column(name)
    for e in entries:
        each = e.cost_per_correct_usd or "–"
        table.add_row(
            e.variant, ", ".join(e.models), str(e.n), f"{e.quality:.3f}",
            f"{e.low:.3f} to {e.high:.3f}", e.cost_usd, each, f"{e.latency_ms / 1000:.1f}",
        )  # fmt: skip
    Console().print(table)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
