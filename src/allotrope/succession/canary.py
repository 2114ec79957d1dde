"""A canary: a share of the conversations gets another model, by an online experiment per agent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allotrope.exceptions import AllotropeError, InputError
from allotrope.experiments.definition import Experiment, GuardRail, Metric, Variant
from allotrope.experiments.offline.subjects import VariantCheck
from allotrope.experiments.online.online import check_layers
from allotrope.experiments.store import ExperimentStore, open_store
from allotrope.models.catalogue.lifecycle import lifecycles_of
from allotrope.models.catalogue.roles import models_by_role
from allotrope.models.profiles.library import ProfileLibrary, open_profiles, own_folder
from allotrope.models.profiles.profile import Profile
from allotrope.settings import Settings
from allotrope.stores.private import write_whole
from allotrope.succession.promotion import check_model, model_now

CANARY = "canary"
"""The variant with the new model, and what the names of its experiment and profile begin with."""
TODAY = "today"
"""The variant with the model of today."""

GUARD_RAILS = (
    GuardRail(metric="error_rate", max_increase=0.02),
    GuardRail(metric="cost_usd", max_ratio=2),
    GuardRail(metric="latency_ms", max_ratio=2),
)
"""A breach stops the canary; everybody has the model of today again."""


@dataclass(frozen=True)
class Canary:
    """One agent's conversations of which a share gets another model.

    Attributes:
        role: The role whose model is to be replaced.
        model: The model that is tried.
        agent: Whose conversations.
        share: Of the conversations, 0 to 1.
        since: When it began, as ISO.
        experiment: Its online experiment, which has the figures.
        stopped: The broken guard-rail that stopped it, in words; None: it goes on.
    """

    role: str
    model: str
    agent: str
    share: float
    since: str
    experiment: str
    stopped: str | None

    @property
    def sentence(self) -> str:
        """Where it stands, for people."""
        if self.stopped is not None:
            return f"{self.model} was stopped for {self.agent} by a guard-rail: {self.stopped}"
        return (
            f"{self.model} answers {100 * self.share:.4g}% of {self.agent}'s conversations since "
            f"{self.since[:10]} (experiment {self.experiment})"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "role": self.role,
            "model": self.model,
            "agent": self.agent,
            "share": self.share,
            "since": self.since,
            "experiment": self.experiment,
            "stopped": self.stopped,
        }


def share_of(text: str) -> float:
    """A share as people write it: `5%` or `0.05`.

    Raises:
        InputError: It is none, or not between nothing and everything.
    """
    given = text.strip()
    percent = given.endswith("%")
    try:
        share = float(given.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise InputError(
            f"{text!r} is no share of the conversations: more than none, less than all.",
            hint="Write --share 5% or --share 0.05; nothing was changed.",
        )
    return share


def start_canary(
    settings: Settings, role: str, to: str, *, share: float, agents: Sequence[str] = (), by: str
) -> Sequence[Canary]:
    """Gives a share of the conversations another model; one that runs is started anew.

    Args:
        settings: Whose agents.
        role: The role whose model is to be replaced.
        to: The model to try.
        share: Of the conversations, 0 to 1. Each one stays with its model.
        agents: Only these; default: all that answer by the role.
        by: Who does it.

    Raises:
        InputError: Nobody knows the role or the model, it has ended or has the role already, no
            agent answers by the role, or another experiment has its conversations.
    """
    lifecycles = lifecycles_of(settings)
    lifecycles.notes.read()
    before = model_now(settings, role)
    check_model(settings, lifecycles, role, to)
    if to == before:
        raise InputError(f"{role} has the model {to} already; nothing was changed.")
    store = open_store(settings)
    profiles = _profiles_by_role(settings, role, agents)
    running = {(c.agent, c.model, c.share) for c in canaries(settings) if c.stopped is None}
    wanted = [agent for agent in profiles if (agent, to, share) not in running]
    if not wanted:
        raise InputError(f"That canary of {role} runs already; nothing was changed.")
    experiments = [_experiment(role, to, agent, share) for agent in wanted]
    for experiment in experiments:
        check_layers(experiment, store)
    for experiment in experiments:
        _start(settings, store, experiment, to, profiles[experiment.agent], by=by)
    names = {experiment.name for experiment in experiments}
    return [canary for canary in canaries(settings) if canary.experiment in names]


def stop_canary(
    settings: Settings, role: str, *, agents: Sequence[str] = (), by: str
) -> Sequence[Canary]:
    """Gives everybody the model of today again; what was measured is kept.

    Args:
        settings: Whose agents.
        role: The role.
        agents: Only these; default: all.
        by: Who does it.

    Returns:
        The canaries that ended.

    Raises:
        InputError: There is no such role, or no canary of it.
    """
    model_now(settings, role)
    found = [
        canary
        for canary in canaries(settings)
        if canary.role == role and (not agents or canary.agent in agents)
    ]
    if not found:
        whose = f" for {', '.join(agents)}" if agents else ""
        raise InputError(f"No canary of {role} runs{whose}; nothing was changed.")
    store = open_store(settings)
    for canary in found:
        store.end(canary.experiment, by=by, what="canary stopped", status="stopped")
    return found


def canaries(settings: Settings) -> Sequence[Canary]:
    """The canaries that run, by the online experiments' own files.

    Args:
        settings: Whose agents.
    """
    store, library = open_store(settings), _library(settings)
    found: list[Canary] = []
    try:
        for name in store.names():
            if name.startswith(f"{CANARY}-"):
                found += _running(store, library, name)
    finally:
        library.close()
    return found


def _running(store: ExperimentStore, library: ProfileLibrary, name: str) -> Sequence[Canary]:
    try:
        state = store.state(name)
        if state.status != "running":
            return []
        experiment = store.load(name)
        variant = experiment.variant(CANARY)
        model = library.get(variant.profile).model
    except AllotropeError:  # of the same name, and not one of ours
        return []
    role = name.removeprefix(f"{CANARY}-").removesuffix(f"-{experiment.agent}")
    stopped = state.stopped_variants.get(CANARY)
    since = next(row["at"] for row in reversed(state.history) if row["what"].startswith("started"))
    return [Canary(role, model or "?", experiment.agent, variant.share, since, name, stopped)]


def _library(settings: Settings) -> ProfileLibrary:
    """The profiles as they are now, without a thread that follows them."""
    return open_profiles(settings.with_section("profiles", reload_s=None))


def _profiles_by_role(
    settings: Settings, role: str, agents: Sequence[str]
) -> Mapping[str, Profile]:
    """The profile of each agent that answers by a role."""
    from allotrope.agents import registry

    model = models_by_role(settings)[role]
    found = {}
    library = _library(settings)
    try:
        for agent in agents or registry.names():
            profile = library.get(agent=agent, own=registry.find(agent).profile)
            if profile.role == role and (profile.model or settings.openai.model) == model:
                found[agent] = profile
            elif agents:
                raise InputError(
                    f"{agent} doesn't answer by the role {role}: its profile {profile.name} has "
                    f"the model {profile.model or settings.openai.model}.",
                    hint="Nothing was changed.",
                )
    finally:
        library.close()
    if not found:
        raise InputError(
            f"No agent answers by the role {role}, so it has no conversations to share.",
            hint=f"`allotrope models promote {role} MODEL` changes it at once.",
        )
    return found


def _experiment(role: str, to: str, agent: str, share: float) -> Experiment:
    name = f"{CANARY}-{role}-{agent}"
    return Experiment(
        name=name,
        description=f"Does {to} serve {agent}'s conversations as well as the model of today?",
        kind="online",
        agent=agent,
        unit="thread",
        variants=(
            Variant(name=TODAY, share=1 - share),
            Variant(name=CANARY, share=share, profile=name),
        ),
        metrics=(Metric(name="feedback", primary=True),),
        guard_rails=GUARD_RAILS,
    )


def _start(
    settings: Settings,
    store: ExperimentStore,
    experiment: Experiment,
    to: str,
    own: Profile,
    *,
    by: str,
) -> None:
    """Writes the profile first, so that no conversation gets one that isn't there."""
    path = own_folder(settings) / f"{experiment.name}.yaml"
    before = path.read_bytes() if path.exists() else None
    _write(
        path,
        "# Written by `allotrope models canary`.\n"
        f"name: {experiment.name}\n"
        f"description: As {own.name}, by {to}, for a share of {experiment.agent}'s conversations.\n"
        f"extends: {own.name}\n"
        f"model: {to}\n",
    )
    for _, said in VariantCheck(settings)(experiment):
        path.unlink() if before is None else path.write_bytes(before)
        raise InputError(f"{said[:1].upper()}{said[1:]}.", hint="Nothing was changed.")
    store.start(experiment, by=by, fresh=True)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as exc:
        raise InputError(
            f"{path} can't be written: {exc.strerror}.",
            hint="Set ALLOTROPE_PROFILES__FOLDER to a folder you can write.",
        ) from exc
