"""Who uses which model: agents, profiles, budgets that switch to a profile, running experiments."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from allotrope.exceptions import AllotropeError
from allotrope.models.profiles.library import ProfileLibrary
from allotrope.models.profiles.profile import Profile
from allotrope.settings import Settings

SUMMARIES = "economical"
"""The profile that summaries of long conversations are written with."""


@dataclass(frozen=True)
class Users:
    """Who uses a model, by name.

    Attributes:
        agents: Agent types; `summaries` are those of long conversations.
        profiles: Parameter profiles.
        budgets: Budgets that switch to one of its profiles.
        experiments: Running online experiments with a variant that it answers.
    """

    agents: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()

    def to_json(self) -> dict[str, list[str]]:
        """Names by kind."""
        return {
            "agents": list(self.agents),
            "profiles": list(self.profiles),
            "budgets": list(self.budgets),
            "experiments": list(self.experiments),
        }


@dataclass
class _Found:
    names: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, model: str, kind: str, name: str) -> None:
        kept = self.names.setdefault(model, {}).setdefault(kind, [])
        if name not in kept:
            kept.append(name)


def users_by_model(
    settings: Settings, library: ProfileLibrary
) -> tuple[Mapping[str, Users], list[str]]:
    """Who uses each model, and what couldn't be read, in sentences.

    Args:
        settings: Budgets, and where experiments are.
        library: The profiles of these settings.
    """
    found = _Found()
    for name in library.names():
        found.add(_model(settings, library.get(name)), "profiles", name)
    found.problems += library.problems().values()
    for kind, name, profile in _named(settings, library, found):
        found.add(_model(settings, profile), kind, name)
    lists = {
        model: Users(**{kind: tuple(names) for kind, names in kinds.items()})
        for model, kinds in found.names.items()
    }
    return lists, found.problems


def _model(settings: Settings, profile: Profile) -> str:
    return profile.model or settings.openai.model


def _named(
    settings: Settings, library: ProfileLibrary, found: _Found
) -> Iterator[tuple[str, str, Profile]]:
    """Kind and name of a user, and its profile; one that can't be had is a problem."""
    from allotrope.agents import registry

    def get(whose: str, name: str | None, **more: str | None) -> Profile | None:
        try:
            return library.get(name, **more)
        except AllotropeError as exc:
            found.problems.append(f"{whose}: {exc}")
            return None

    for agent in registry.names():
        profile = get(agent, None, agent=agent, own=registry.find(agent).profile)
        if profile is not None:
            yield "agents", agent, profile
    if (profile := get("summaries", SUMMARIES)) is not None:
        yield "agents", "summaries", profile
    for budget in settings.usage.budgets:
        for threshold in budget.thresholds:
            if threshold.action != "switch_profile":
                continue
            profile = get(f"budget {budget.name}", threshold.profile)
            if profile is not None:
                yield "budgets", budget.name, profile
    yield from _of_experiments(settings, library, found)


def _of_experiments(
    settings: Settings, library: ProfileLibrary, found: _Found
) -> Iterator[tuple[str, str, Profile]]:
    from allotrope.experiments.online.turns import TurnExperiments

    if not TurnExperiments(settings).present:
        return
    from allotrope.agents import registry
    from allotrope.experiments.store import open_store

    store = open_store(settings)
    for name in store.names():
        try:
            if store.state(name).status != "running":
                continue
            experiment = store.load(name)
            own = registry.find(experiment.agent).profile
            for variant in experiment.variants:
                profile = library.get(variant.profile, agent=experiment.agent, own=own)
                model = variant.parameters.get("model")
                more = {"model": str(model)} if model else {}
                yield "experiments", name, profile.model_copy(update=more)
        except AllotropeError as exc:
            found.problems.append(f"experiment {name}: {exc}")
