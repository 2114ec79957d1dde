"""`allotrope feedback RUN SCORE`: score the answer of a run."""

from typing import Annotated

import typer

from allotrope.cli.output import emit

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(context_settings={"ignore_unknown_options": True})
def feedback(
    run_id: Annotated[str, typer.Argument(help="The run's id (`--json` shows it).", metavar="RUN")],
    score: Annotated[float, typer.Argument(help="0 (bad) to 1 (good).", metavar="SCORE")],
    metric: Annotated[str, typer.Option("--metric", help="What the score is of.")] = "score",
    note: Annotated[str, typer.Option("--note", help="A remark, up to 500 characters.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score the answer of a run; a second score of the same metric replaces the first."""
    from allotrope.experiments.online.feedback import check_score
    from allotrope.settings import load_settings
    from allotrope.usage.ledger.ledger import open_ledger

    settings = load_settings()
    check_score(settings, metric, score)
    with open_ledger(settings) as ledger:
        ledger.record_feedback(run_id, score, metric=metric, note=note)
    if as_json:
        emit({"run": run_id, "metric": metric, "score": score})
    else:
        print(f"Kept: {metric} {score:g} for run {run_id}.")
