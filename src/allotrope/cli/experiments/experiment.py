"""`allotrope experiment`: run and judge A/B tests of profiles and prompts."""

import asyncio
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import answer, emit

if TYPE_CHECKING:
    from allotrope.experiments.definition import Experiment
    from allotrope.experiments.offline.results import Run
    from allotrope.experiments.store import ExperimentStore, Promotion
    from allotrope.settings import Settings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

ExperimentName = Annotated[str, typer.Argument(help="The experiment.", metavar="NAME")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
By = Annotated[str | None, typer.Option("--by", help="Your name, for the history.", metavar="NAME")]

TEMPLATE = """\
# An A/B test. Check and run it with: allotrope experiment run {name}.yaml
name: {name}
description: What shall be found out?
kind: {kind}
agent: {agent}
variants:
  - name: control
    share: 0.5
  - name: variant
    share: 0.5
    profile: precise
{rest}
stop:
  alpha: 0.05        # false wins allowed
  min_effect: 0.05   # smallest difference that matters (allotrope experiment power)
  min_units: 20      # before a winner may be called
"""
OFFLINE = """\
dataset:
  path: dataset.jsonl   # lines of {"question": …, "answer": …}
  repeats: 1
metrics:
  - name: correct
    scorer: {kind: numeric}
    primary: true
guard_rails:
  - {metric: latency_ms, max_ratio: 2}
"""
ONLINE = """\
unit: user
metrics:
  - name: feedback
guard_rails:
  - {metric: error_rate, max_increase: 0.02}
"""


@app.command()
def new(
    name: ExperimentName,
    agent: Annotated[str, typer.Option("--agent", help="The agent type.")] = "assistant",
    online: Annotated[bool, typer.Option("--online", help="On traffic, not a dataset.")] = False,
) -> None:
    """Write a first experiment file, NAME.yaml, to edit."""
    from allotrope.agents.registry import find
    from allotrope.exceptions import InputError
    from allotrope.experiments.definition import parse_experiment

    find(agent)
    kind, rest = ("online", ONLINE) if online else ("offline", OFFLINE)
    text = TEMPLATE.format(name=name, kind=kind, agent=agent, rest=rest.rstrip())
    parse_experiment(text, name=f"{name}.yaml")
    path = Path(f"{name}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as exc:
        raise InputError(f"{path} is there already.", hint="Take another name.") from exc
    print(path)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="The experiment file.", metavar="FILE")],
    fresh: Annotated[bool, typer.Option("--fresh", help="Set earlier results aside.")] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask again where an answer failed.")
    ] = False,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Answers at a time.")
    ] = None,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Run an offline experiment (or go on with it), or start an online one."""
    from allotrope.experiments.definition import Check, load_experiment
    from allotrope.experiments.offline.scorers import check_scorers
    from allotrope.experiments.offline.subjects import VariantCheck
    from allotrope.experiments.store import open_store
    from allotrope.settings import load_settings

    settings = load_settings()
    checks: list[Check] = [VariantCheck(settings), check_scorers]
    experiment = load_experiment(file, checks=checks)
    store = open_store(settings)
    if experiment.kind == "online":
        from allotrope.experiments.online.online import check_layers

        check_layers(experiment, store)
        store.start(experiment, by=_who(by), fresh=fresh)
        answer({"started": experiment.name}, f"{experiment.name} runs.", as_json=as_json)
        return
    from allotrope.experiments.offline.trials import run_offline

    work = run_offline(
        experiment, store, settings, concurrency=concurrency, retry_errors=retry_errors,
        by=_who(by), quiet=as_json, fresh=fresh,
    )  # fmt: skip
    _print_analysis(experiment, asyncio.run(work), settings, as_json=as_json)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Only this one.", metavar="NAME")] = None,
    as_json: Json = False,
) -> None:
    """List the experiments, or show where one stands (looking is free: it never misleads)."""
    from allotrope.experiments.store import open_store
    from allotrope.settings import load_settings

    settings = load_settings()
    store = open_store(settings)
    if name is not None:
        experiment = store.load(name)
        results = _results(experiment, store, settings)
        if experiment.kind == "online":
            from allotrope.experiments.online.online import enforce

            for said in enforce(experiment, results, store):
                print(said, file=sys.stderr)
        _print_analysis(experiment, results, settings, as_json=as_json)
        return
    rows = []
    for each in store.names():
        experiment, state = store.load(each), store.state(each)
        last = state.history[-1]
        rows.append(
            {"name": each, "kind": experiment.kind, "agent": experiment.agent,
             "status": state.status, "last": last["what"], "at": last["at"]}
        )  # fmt: skip
    if as_json:
        emit({"experiments": rows, "promoted": {
            agent: vars(promotion) for agent, promotion in store.promoted().items()
        }})  # fmt: skip
        return
    if not rows:
        print("No experiment has run yet. Write one with: allotrope experiment new NAME")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    for agent, promotion in store.promoted().items():
        print(f"{agent} uses {promotion.variant} of {promotion.experiment} (by {promotion.by}).")


@app.command()
def report(
    name: ExperimentName,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write to this .md or .html file.", metavar="FILE")
    ] = None,
    as_html: Annotated[bool, typer.Option("--html", help="HTML with plots.")] = False,
    as_json: Json = False,
) -> None:
    """Print or write the report of an experiment."""
    from allotrope.exceptions import InputError
    from allotrope.experiments.offline.report import html_page, markdown
    from allotrope.experiments.store import open_store
    from allotrope.settings import load_settings

    settings = load_settings()
    store = open_store(settings)
    experiment = store.load(name)
    results = _results(experiment, store, settings)
    if as_json:
        _print_analysis(experiment, results, settings, as_json=True)
        return
    if not results.results:
        raise InputError(f"{name} has no results yet.")
    make = html_page if as_html or (out and out.suffix in {".html", ".htm"}) else markdown
    text = make(experiment, _analysis(experiment, results, settings), results)
    if out is None:
        print(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise InputError(f"{out} can't be written: {exc.strerror}.") from exc
    print(out)


@app.command()
def promote(
    name: ExperimentName,
    variant: Annotated[
        str | None, typer.Argument(help="Default: the winner.", metavar="VARIANT")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Although it isn't the winner.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the promotion back.")] = False,
    by: By = None,
) -> None:
    """Make a variant's prompt and profile the agent's own. Nothing else ever does."""
    from allotrope.exceptions import InputError
    from allotrope.experiments import promotion
    from allotrope.experiments.store import open_store
    from allotrope.settings import load_settings

    settings = load_settings()
    store = open_store(settings)
    experiment = store.load(name)
    if undo:
        done = promotion.undo(experiment, settings, store, by=_who(by))
        print(f"{done.agent} is as it was before {done.variant} of {name}: {_told(done, 0)}.")
        return
    analysis = _analysis(experiment, _results(experiment, store, settings), settings)
    chosen = variant or analysis.winner
    if chosen is None:
        raise InputError(analysis.verdict, hint="Name a variant and use --force if you insist.")
    experiment.variant(chosen)
    if chosen not in {analysis.winner, experiment.control_name} and not force:
        raise InputError(f"{chosen} isn't shown to be better: {analysis.verdict}", hint="--force.")
    print(analysis.verdict, file=sys.stderr)
    if not yes and not typer.confirm(f"Make {chosen} the default of {experiment.agent}?", err=True):
        raise InputError("Nothing was changed.")
    done = promotion.promote(experiment, chosen, settings, store, by=_who(by))
    print(f"{done.agent} uses {chosen} from now on (by {done.by}): {_told(done, 1)}.")


def _told(promotion: "Promotion", side: int) -> str:
    """What a promotion changed, before (0) or after (1) it."""
    parts = [f"{name}@{versions[side]}" for name, versions in promotion.prompts.items()]
    if promotion.profile is not None:
        profile = (promotion.profile_was, promotion.profile)[side]
        parts.append(f"profile {profile or 'of its own'}")
    return ", ".join(parts) or "nothing had to change"


@app.command()
def watch(
    every: Annotated[
        float | None,
        typer.Option("--every", min=1, help="Look again every so many seconds.", metavar="S"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Enforce the guard-rails of running online experiments, once or every S seconds."""
    import time

    from allotrope.experiments.online.watch import watch_once
    from allotrope.settings import load_settings

    settings = load_settings()
    while True:
        done = watch_once(settings)
        if as_json:
            emit({"done": done})
        elif done or every is None:
            print("\n".join(done) or "Nothing had to be stopped.", flush=True)
        if every is None:
            return
        time.sleep(every)


@app.command()
def stop(
    name: ExperimentName,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "stopped",
    by: By = None,
) -> None:
    """Stop an experiment; everyone gets the default again, results are kept."""
    from allotrope.experiments.store import open_store
    from allotrope.settings import load_settings

    store = open_store(load_settings())
    store.load(name)
    store.end(name, by=_who(by), what=reason, status="stopped")
    print(f"{name} is stopped.")


@app.command()
def power(
    effect: Annotated[float, typer.Option(help="Smallest difference to find, 0.05 = 5 points.")],
    deviation: Annotated[
        float | None, typer.Option(help="Of a pair's difference; with --online of one unit.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Share of yes instead of a deviation.", min=0, max=1)
    ] = None,
    alpha: float = 0.05,
    wanted: Annotated[float, typer.Option("--power", help="Share of effects found.")] = 0.8,
    online: Annotated[bool, typer.Option("--online", help="Two groups, not pairs.")] = False,
    as_json: Json = False,
) -> None:
    """How many items or units an experiment needs."""
    from dataclasses import asdict

    from allotrope.exceptions import InputError
    from allotrope.experiments.stats.power import paired_plan, two_sample_plan

    if (deviation is None) == (rate is None):
        raise InputError("Give either --deviation or --rate.")
    if deviation is None:
        assert rate is not None
        # Pairs: both right or wrong independently of each other, the worst case.
        deviation = (rate * (1 - rate) * (1 if online else 2)) ** 0.5
    make = two_sample_plan if online else paired_plan
    plan = make(effect=effect, deviation=deviation, alpha=alpha, power=wanted)
    if as_json:
        emit(asdict(plan))
        return
    what = "units in each group" if online else "items"
    looked = "more than can be simulated" if plan.n_sequential is None else plan.n_sequential
    print(f"One look at the end: {plan.n_fixed} {what}.")
    print(f"Looked at all the time (always valid): {looked} {what} at most, often fewer.")


def _results(experiment: "Experiment", store: "ExperimentStore", settings: "Settings") -> "Run":
    if experiment.kind == "online":
        from allotrope.experiments.online.online import read_traffic

        return read_traffic(experiment, store, settings)
    from allotrope.experiments.offline.results import read_run

    return read_run(store.results_path(experiment.name))


def _analysis(experiment: "Experiment", results: "Run", settings: "Settings") -> Any:
    if experiment.kind == "online":
        from allotrope.experiments.online.traffic import analyse_traffic

        alpha = settings.experiments.mismatch_alpha
        return analyse_traffic(experiment, results, mismatch_alpha=alpha)
    from allotrope.experiments.analysis import analyse

    return analyse(experiment, results)


def _print_analysis(
    experiment: "Experiment", results: "Run", settings: "Settings", *, as_json: bool
) -> None:
    from allotrope.experiments.offline.report import as_document, markdown

    analysis = _analysis(experiment, results, settings)
    if as_json:
        emit(as_document(experiment, analysis, results))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(Markdown(markdown(experiment, analysis, results)))


def _who(by: str | None) -> str:
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
