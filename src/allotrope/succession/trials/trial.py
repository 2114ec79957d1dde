"""A trial of two models: the offline experiment with variants that differ in the model alone."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from allotrope.exceptions import InputError
from allotrope.experiments.dataset import Item, load_dataset
from allotrope.experiments.definition import Dataset, Experiment, Metric, StopRule, Variant
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.quality import scorer_for
from allotrope.experiments.offline.results import Run
from allotrope.experiments.offline.subjects import AgentSubject
from allotrope.experiments.offline.trials import answers
from allotrope.models.catalogue.lifecycle import lifecycles_of
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.succession.trials.measures import check_tools
from allotrope.succession.trials.tried import TriedModel, find_model, refuse_ended, settings_for
from allotrope.support.providers import catalogued

FROM, TO = "from", "to"
"""The variants' names."""
QUALITY = "quality"
QUESTIONS = Path(__file__).parent / "questions.jsonl"
"""Twelve questions with checkable answers, for a trial that names no others."""


@dataclass(frozen=True)
class TrialPlan:
    """What is to be tried.

    Attributes:
        before: The model that answers now.
        after: The one to try.
        experiment: Over both.
        items: The questions.
        source: Where they are from, in words.
        private: Whether they are the person's own.
        judge: The model that compares answers; None: none does.
        quality: How quality is judged, in words; empty where it isn't.
        unjudged: Why quality isn't judged; empty where it is.
    """

    before: TriedModel
    after: TriedModel
    experiment: Experiment
    items: Sequence[Item]
    source: str
    private: bool
    judge: str | None
    quality: str
    unjudged: str


def plan_trial(
    settings: Settings,
    before: str,
    after: str,
    *,
    dataset: Path | None = None,
    from_archive: int | None = None,
    agent: str = "assistant",
    max_usd: float | None = None,
    judge: bool | None = None,
) -> TrialPlan:
    """Checks everything that can be checked before a model is asked.

    Args:
        settings: The person's.
        before: The model that answers now.
        after: The one to try.
        dataset: A JSONL file of questions; default: twelve of ours.
        from_archive: So many of the latest questions of the person's own archive instead.
        agent: The agent type.
        max_usd: What the trial may cost at most, USD, judging included.
        judge: Whether a judging model may compare answers where there are no right ones; default:
            only for datasets, as it would see the person's own questions.

    Raises:
        InputError: Nobody knows a model, one has ended, or there is nothing to ask.
    """
    from allotrope.agents.registry import find

    find(agent)
    lifecycles = lifecycles_of(settings)
    lifecycles.notes.read()
    one, two = (find_model(settings, lifecycles, text) for text in (before, after))
    if one == two:
        raise InputError(f"{before} and {after} are the same model; nothing was asked.")
    refuse_ended(lifecycles, one, two, before=True)
    refuse_ended(lifecycles, two, one, before=False)
    if dataset is not None and from_archive is not None:
        raise InputError("Give either --dataset or --from-archive, not both.")
    if from_archive is not None:
        items = _own_questions(settings, from_archive)
        source = f"your own archive: its latest {len(items)} questions"
    else:
        items = load_dataset(dataset or QUESTIONS, salt="trial")
        source = dataset.name if dataset is not None else "the twelve questions of the package"
    if (wrong := check_tools(items)) is not None:
        raise InputError(wrong, hint="Nothing was asked.")
    may_judge = from_archive is None if judge is None else judge
    metric, name, quality, unjudged = _quality(settings, items, may_judge=may_judge)
    experiment = Experiment(
        name="trial",
        agent=agent,
        variants=(Variant(name=FROM, share=0.5), Variant(name=TO, share=0.5)),
        dataset=Dataset(path=dataset or QUESTIONS),
        metrics=(metric,),
        stop=StopRule(min_units=2, max_cost_usd=max_usd),
    )
    _check_profiles(settings, experiment, one, two)
    return TrialPlan(
        one, two, experiment, items, source, from_archive is not None, name, quality, unjudged
    )


async def run_trial(settings: Settings, plan: TrialPlan, *, quiet: bool = False) -> Run:
    """Asks both models every question; of the person's own questions nothing is kept afterwards.

    Args:
        settings: The person's.
        plan: From `plan_trial`.
        quiet: Whether to show no progress.
    """
    from allotrope.agents.agent import build_agent
    from allotrope.graphs.parts import Parts
    from allotrope.memory.archive.archive import Archive
    from allotrope.memory.archive.sqlite import SqliteDatabase
    from allotrope.memory.opening import open_memory

    own = {FROM: settings_for(settings, plan.before), TO: settings_for(settings, plan.after)}
    opened: list[Parts] = []
    with tempfile.TemporaryDirectory(prefix="allotrope-trial-") as folder:

        def build(name: str, *, settings: Settings, checkpointer: Any) -> Any:
            """The agent with an archive that ends with the trial."""
            archive = Archive(SqliteDatabase(Path(folder) / f"{len(opened)}.sqlite"))
            parts = Parts(settings, memory=open_memory(settings, archive=archive))
            opened.append(parts)
            return build_agent(name, settings=settings, parts=parts, checkpointer=checkpointer)

        subject = OnlyTheseModels(
            plan.experiment.agent,
            settings,
            build=build,
            experiment="trial",
            settings_of=lambda variant: own[variant.name],
            models={FROM: plan.before, TO: plan.after},
        )
        kept = Path(folder) if plan.private else data_folder(settings) / "trials"
        path = kept / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl"
        local = plan.before.local or plan.after.local
        try:
            return await answers(
                plan.experiment, plan.items, settings, path, name="trial",
                concurrency=1 if local else None, quiet=quiet, subject=subject,
            )  # fmt: skip
        finally:
            for parts in opened:
                await parts.aclose()


class OnlyTheseModels(AgentSubject):
    """An agent whose answers count only where the variant's own model gave them.

    Args:
        agent: The agent type.
        settings: For the judge, prompts and prices.
        models: By variant.
        more: As of `AgentSubject`.
    """

    def __init__(
        self, agent: str, settings: Settings, *, models: dict[str, TriedModel], **more: Any
    ) -> None:
        super().__init__(agent, settings, **more)
        self._models = models
        self._lifecycles = lifecycles_of(settings)

    async def __call__(self, item: Item, variant: Variant, *, repeat: int) -> Outcome:
        """Answers an item; another model's answer is a failure of this one's."""
        outcome = await super().__call__(item, variant, repeat=repeat)
        wanted = self._models[variant.name]
        told = outcome.provenance
        key = self._lifecycles.key
        other = told["provider"] not in (wanted.provider, "none") or told["succession"] is not None
        if catalogued(wanted.provider) and self._lifecycles.known(str(told["model"])):
            other = other or key(str(told["model"])) != key(wanted.name)
        if not other:
            return outcome
        return Outcome(
            "",
            usage=outcome.usage,
            cost_usd=outcome.cost_usd,
            latency_ms=outcome.latency_ms,
            provenance=told,
            error=f"AnotherModel: {told['provider']}/{told['model']} answered, not {wanted}",
        )


def _own_questions(settings: Settings, limit: int) -> list[Item]:
    from allotrope.memory.opening import open_archive

    archive = open_archive(settings)
    try:
        texts = archive.latest_questions(settings.tenant, limit)
    finally:
        archive.close()
    if len(texts) < 2:
        raise InputError(
            f"Your archive has {len(texts) or 'no'} question{'s' if not texts else ''} to try.",
            hint="Use --dataset FILE, or give neither.",
        )
    return [Item(id=f"archive-{number}", question=text) for number, text in enumerate(texts, 1)]


def _quality(
    settings: Settings, items: Sequence[Item], *, may_judge: bool
) -> tuple[Metric, str | None, str, str]:
    """The metric that decides, the judge, how quality is judged, and why it isn't."""
    missing = sum(item.expected is None and item.scorer is None for item in items)
    if not missing:
        metric = Metric(name=QUALITY, scorer=scorer_for(items), primary=True)
        return metric, None, "by the questions' right answers, 0 to 1", ""
    which = "no reference answers" if missing == len(items) else f"{missing} without an answer"
    unjudged = f"{which}: quality not judged"
    neutral = Metric(name="error_rate", primary=True)
    if not may_judge:
        return neutral, None, "", f"{unjudged} (--judge lets the judge's model read them, too)"
    if not settings.openai.enabled or settings.openai.api_key is None:
        return neutral, None, "", f"{unjudged} (a judge needs a key)"
    judge = _judge_name(settings)
    metric = Metric(name=QUALITY, scorer={"kind": "judge"}, primary=True)
    return metric, judge, f"by {judge}, in pairs and both orders; 0.5 is as good as before", ""


def _judge_name(settings: Settings) -> str:
    from allotrope.models.profiles.library import open_profiles

    profiles = open_profiles(settings)
    try:
        named = profiles.get("precise").model or settings.openai.model
    finally:
        profiles.close()
    return lifecycles_of(settings).serving(named)


def _check_profiles(settings: Settings, experiment: Experiment, *models: TriedModel) -> None:
    from allotrope.experiments.offline.subjects import VariantCheck

    for model in models:
        for _, said in VariantCheck(settings_for(settings, model))(experiment):
            raise InputError(f"{model}: {said}.", hint="Nothing was asked.")
