"""Running offline experiments from a terminal: the agent, the judge, the embeddings, the bar."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from allotrope.experiments.dataset import Item, load_dataset
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.judge import live_template
from allotrope.experiments.offline.results import Run
from allotrope.experiments.offline.runner import OfflineRunner, Progress
from allotrope.experiments.offline.subjects import AgentSubject, agent_judge
from allotrope.experiments.store import ExperimentStore
from allotrope.settings import Settings
from allotrope.support.pools import TURNS

logger = logging.getLogger(__name__)


async def run_offline(
    experiment: Experiment,
    store: ExperimentStore,
    settings: Settings,
    *,
    concurrency: int | None,
    retry_errors: bool,
    by: str,
    quiet: bool,
    fresh: bool = False,
) -> Run:
    """Runs an offline experiment, or goes on with it, and notes its end.

    Args:
        experiment: The definition.
        store: Where it is kept.
        settings: Models, and the concurrency where none is given.
        concurrency: Answers at a time.
        retry_errors: Whether failed answers are asked for again.
        by: Who runs it.
        quiet: Whether to show no progress.
        fresh: Whether earlier results are set aside.
    """
    dataset = experiment.dataset
    assert dataset is not None
    items = load_dataset(dataset.path, limit=dataset.limit, salt=experiment.name)
    store.start(experiment, by=by, fresh=fresh)
    results = await answers(
        experiment, items, settings, store.results_path(experiment.name), name=experiment.name,
        concurrency=concurrency, retry_errors=retry_errors, quiet=quiet,
    )  # fmt: skip
    store.end(experiment.name, by="rule", what=results.events[-1]["reason"])
    _tell_the_ledger(experiment, results, settings)
    return results


def _tell_the_ledger(experiment: Experiment, results: Run, settings: Settings) -> None:
    """Keeps what was found about models; without a ledger the results are there all the same."""
    from allotrope.exceptions import StoreError
    from allotrope.experiments.analysis import analyse
    from allotrope.experiments.findings import record
    from allotrope.usage.ledger.ledger import open_ledger

    try:
        with open_ledger(settings) as ledger:
            record(experiment, results, analyse(experiment, results), ledger)
    except StoreError as exc:
        logger.warning("What %s found is not in the ledger: %s", experiment.name, exc)


async def answers(
    experiment: Experiment,
    items: Sequence[Item],
    settings: Settings,
    path: Path,
    *,
    name: str,
    concurrency: int | None = None,
    retry_errors: bool = False,
    quiet: bool = False,
    subject: AgentSubject | None = None,
) -> Run:
    """Asks the experiment's agent every item in every variant.

    Args:
        experiment: The definition.
        items: In the order in which they are asked.
        settings: Models, and the concurrency where none is given.
        path: The results file.
        name: What the ledger calls the variants' experiment.
        concurrency: Answers at a time.
        retry_errors: Whether failed answers are asked for again.
        quiet: Whether to show no progress.
        subject: Who answers; default: the experiment's agent with these settings. It is closed.
    """
    from allotrope.agents.agent import build_agent

    template = await TURNS.run(live_template, settings)
    subject = subject or AgentSubject(
        experiment.agent, settings, build=build_agent, experiment=name
    )
    async with subject:
        with progress_bar(quiet) as on_progress:
            return await OfflineRunner(
                experiment, items, subject, path,
                concurrency=concurrency or settings.experiments.concurrency,
                embeddings=embeddings_for(experiment, items, settings),
                judge=agent_judge(subject, template), judge_template=template,
                on_progress=on_progress, retry_errors=retry_errors,
            ).run()  # fmt: skip


def embeddings_for(experiment: Experiment, items: Sequence[Item], settings: Settings) -> Any:
    """The embeddings that an experiment's scorers need; None where none does or none are named.

    Args:
        experiment: It may name them.
        items: They may have scorers of their own.
        settings: Key, address, and the semantic cache's embeddings.

    Raises:
        SettingsError: They can't be made.
    """
    kinds = {metric.scorer["kind"] for metric in experiment.metrics if metric.scorer}
    kinds |= {item.scorer["kind"] for item in items if item.scorer}
    own = getattr(experiment, "embeddings", None)
    if "embedding" not in kinds or not (own or settings.cache.semantic.embeddings):
        return None
    from allotrope.models.cache.factory import open_embeddings

    return open_embeddings(settings, own, where="embeddings") if own else open_embeddings(settings)


def progress_bar(quiet: bool) -> AbstractContextManager[Callable[[Progress], None]]:
    """A bar on stderr, as a context manager that gives the runner's callback.

    Args:
        quiet: Whether to show nothing.
    """

    @contextmanager
    def bar() -> Iterator[Callable[[Progress], None]]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        with Bar(
            TextColumn("answers"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[spent]} USD"),
            console=Console(stderr=True), disable=quiet,
        ) as shown:  # fmt: skip
            task = shown.add_task("answers", total=None, spent="0")
            yield lambda p: shown.update(
                task, completed=p.done, total=p.total, spent=f"{p.spent:.4f}"
            )

    return bar()
