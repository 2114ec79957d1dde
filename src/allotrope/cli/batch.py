"""`allotrope batch AGENT IN OUT`: an agent over a JSONL file."""

import asyncio
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allotrope.cli.ask import AgentName
from allotrope.cli.output import emit

if TYPE_CHECKING:
    from allotrope.agents.batch import BatchLine, Tally

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def batch(
    agent: AgentName,
    source: Annotated[
        Path, typer.Argument(metavar="IN", help='JSONL: {"text": …, "id"?, "thread"?, "context"?}.')
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="JSONL; answered items are skipped next time.")
    ],
    at_once: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, help="Items under way at once.")
    ] = 8,
    max_cost: Annotated[
        str | None, typer.Option("--max-cost", metavar="USD", help="Stop asking once spent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tally as JSON.")] = False,
) -> None:
    """Run an agent over a JSONL file; stopped in the middle, the same command goes on."""
    from allotrope.agents.registry import find

    find(agent)
    from allotrope.agents.batch import check_apart, read_items

    cap = _usd(max_cost)
    check_apart(source, out)
    items = list(read_items(source))
    tally = asyncio.run(_run(agent, items, out, at_once=at_once, cap=cap))
    if as_json:
        emit({**tally.__dict__, "cost_usd": f"{tally.cost_usd:.6f}"})
    else:
        print(
            f"{tally.answered} answered, {tally.skipped} had an answer, {tally.failed} failed, "
            f"{tally.left} left at the cost cap; {tally.cost_usd:.6f} USD."
        )
    if tally.failed or tally.left:
        sys.exit(1)


def _usd(text: str | None) -> Decimal | None:
    from allotrope.exceptions import InputError

    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise InputError(f"--max-cost is {text!r}, which is no amount in USD.")
    return amount


async def _run(
    agent: str, items: "list[BatchLine]", out: Path, *, at_once: int, cap: Decimal | None
) -> "Tally":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from allotrope.agents.agent import build_agent
    from allotrope.agents.batch import Tally, run_batch

    columns = (TextColumn(agent), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[x]}"))
    console = Console(stderr=True)
    async with build_agent(agent) as ready:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(agent, total=len(items), x="")

            def told(tally: Tally) -> None:
                done = tally.skipped + tally.answered + tally.failed
                spent = f"{tally.failed} failed, {tally.cost_usd:.4f} USD"
                progress.update(task, completed=done, x=spent)

            return await run_batch(ready, items, out, at_once=at_once, max_cost_usd=cap, told=told)
