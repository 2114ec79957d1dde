"""Promotion: a person makes a variant what an agent is, and takes it back, in one command each.

What a variant says becomes the agent's own: its prompt moves the label, its profile becomes
the agent's chosen profile. Nothing else ever does this.
"""

from collections.abc import Mapping

from allotrope.exceptions import AllotropeError, InputError
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.subjects import pins_of
from allotrope.experiments.store import ExperimentStore, Promotion, now
from allotrope.models.profiles.choices import open_choices
from allotrope.models.profiles.library import open_profiles
from allotrope.prompts import manage, open_library
from allotrope.prompts.library import PromptLibrary
from allotrope.settings import Settings


def promote(
    experiment: Experiment, variant: str, settings: Settings, store: ExperimentStore, *, by: str
) -> Promotion:
    """Makes a variant the agent's own.

    Args:
        experiment: Where it won.
        variant: Its name there.
        settings: Prompts and profiles.
        store: Where the promotion is noted, for `undo`.
        by: Who does it.

    Raises:
        InputError: The variant can't become the agent's own; nothing was changed.
        AllotropeError: Prompts or profiles can't be changed; what was changed is taken back.
    """
    chosen = experiment.variant(variant)
    if chosen.parameters:
        raise InputError(
            f"{variant} sets single parameters ({', '.join(chosen.parameters)}).",
            hint="Write them into a profile, and promote a variant that names it.",
        )
    if chosen.prompt is None and chosen.profile is None:
        raise InputError(
            f"{variant} names neither a prompt nor a profile: it is the agent as it is.",
            hint=f"To take a promotion back: allotrope experiment promote {experiment.name} --undo",
        )
    agent = experiment.agent
    _check_profile(agent, chosen.profile, settings)
    choices = open_choices(settings)
    library = open_library(settings)
    moved: dict[str, tuple[int | None, int]] = {}
    try:
        wanted = {} if chosen.prompt is None else pins_of(library, agent, chosen.prompt)
        label = settings.prompts.label
        for name, version in wanted.items():
            was = _live(library, name, label)
            if was != version:
                manage.promote(library, f"{name}@{version}", label=label)
                moved[name] = (was, version)
        was_chosen = choices.current().get(agent)
        if chosen.profile is not None:
            choices.choose(agent, chosen.profile, by=by, why=f"{experiment.name}/{variant}")
    except AllotropeError:
        _roll_back(library, moved, settings.prompts.label)
        raise
    finally:
        library.close()
    promotion = Promotion(
        experiment=experiment.name, variant=variant, agent=agent, profile=chosen.profile,
        profile_was=was_chosen, prompt=chosen.prompt, prompts=moved, by=by, at=now(),
    )  # fmt: skip
    store.note_promotion(promotion)
    return promotion


def undo(
    experiment: Experiment, settings: Settings, store: ExperimentStore, *, by: str
) -> Promotion:
    """Takes an experiment's promotion back: label and profile are as they were before.

    Args:
        experiment: The experiment.
        settings: Prompts and profiles.
        store: Where the promotion was noted.
        by: Who does it.

    Raises:
        InputError: It isn't what the agent has now; nothing was changed.
    """
    agent, label = experiment.agent, settings.prompts.label
    promotion = store.promoted().get(agent)
    if promotion is None or promotion.experiment != experiment.name:
        has = "nothing was promoted" if promotion is None else f"{promotion.experiment} was"
        raise InputError(f"{experiment.name} isn't what {agent} was last promoted to: {has}.")
    choices = open_choices(settings)
    library = open_library(settings)
    try:
        for name, (_, version) in promotion.prompts.items():
            live = _live(library, name, label)
            if live != version:
                raise InputError(
                    f"The label {label!r} of {name} was moved to {live} since.",
                    hint=f"See allotrope prompts list; allotrope prompts rollback {name}",
                )
        if promotion.profile is not None:
            current = choices.current().get(agent)
            if current != promotion.profile:
                raise InputError(f"The profile of {agent} was changed to {current} since.")
        _roll_back(library, promotion.prompts, label)
        if promotion.profile is not None:
            choices.choose(agent, promotion.profile_was, by=by, why=f"undo {experiment.name}")
    finally:
        library.close()
    store.drop_promotion(promotion, by=by)
    return promotion


def _check_profile(agent: str, profile: str | None, settings: Settings) -> None:
    if profile is None:
        return
    profiles = open_profiles(settings)
    try:
        profiles.get(profile, agent=agent)
    finally:
        profiles.close()
    fixed = settings.profiles.agents.get(agent)
    if fixed is not None and fixed != profile:
        raise InputError(
            f"ALLOTROPE_PROFILES__AGENTS gives {agent} the profile {fixed}, and settings win.",
            hint=f"Change it there to {profile}, or take {agent} out.",
        )


def _live(library: PromptLibrary, name: str, label: str) -> int | None:
    try:
        return library.get(name, label).version
    except AllotropeError:
        return None


def _roll_back(
    library: PromptLibrary, moved: Mapping[str, tuple[int | None, int]], label: str
) -> None:
    for name in moved:
        manage.rollback(library, name, label=label)
