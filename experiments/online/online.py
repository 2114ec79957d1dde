"""Online experiments: which variant a run gets, and that it saw it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import AllotropeError, InputError
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.results import Run
from allotrope.experiments.offline.subjects import context_of, profile_name
from allotrope.experiments.online import aside
from allotrope.experiments.online.assignment import assign, overlapping
from allotrope.experiments.store import ExperimentStore, State, open_store
from allotrope.settings import Settings
from allotrope.stores.errors import error_name

if TYPE_CHECKING:
    from allotrope.usage.ledger.ledger import Ledger

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What a run gets.

    Args:
        context: Fields for the run's context: `profile`, `prompt_label`, `variant`.
        experiment: The experiment it takes part in, if any.
        unit: The unit's id there.
        variant: The variant's name there.
        key: What the ledger calls the experiment's present round.
    """

    context: Mapping[str, Any] = field(default_factory=dict)
    experiment: str | None = None
    unit: str = ""
    variant: str = ""
    key: str = ""


@dataclass(frozen=True)
class _Live:
    experiments: tuple[tuple[Experiment, State], ...] = ()


class OnlineExperiments:
    """Chooses variants for runs and records who saw what.

    Args:
        store: The experiments' folder; looked at again every `reload_s` seconds. Where something
            there can't be read, what was known before stays in force.
        ledger: Opens the ledger; called at the first exposure.
        reload_s: Seconds between looks.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        store: ExperimentStore,
        *,
        ledger: "Callable[[], Ledger]",
        reload_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._open_ledger = ledger
        self._ledger: Ledger | None = None
        self._reload_s = reload_s
        self._clock = clock
        self._live = _Live()
        self._looked_at: float | None = None
        self._seen: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def choose(self, agent: str, *, tenant: str, user: str | None, thread: str) -> Choice:
        """What a run of an agent gets. The same unit always gets the same.

        Args:
            agent: The agent type.
            tenant: Whose run it is.
            user: Who asks; a run without a user takes no part in experiments on users.
            thread: The conversation.
        """
        live = self._look()
        for experiment, state in live.experiments:
            unit = unit_of(experiment, tenant=tenant, user=user, thread=thread)
            if experiment.agent != agent or unit is None:
                continue
            variant = assign(experiment, unit)
            if variant is None:
                continue
            given = variant
            if variant.name in state.stopped_variants:
                given = experiment.variant(experiment.control_name)
            context = context_of(given, experiment.name)
            # Who was assigned a stopped variant stays out of the counts: no exposure, no label.
            if given is not variant:
                context.pop("variant")
                return Choice(context)
            key = state.key(experiment.name)
            return Choice(context, experiment.name, unit, variant.name, key)
        return Choice()

    def expose(self, choice: Choice, *, run_id: str) -> None:
        """Records that a run saw its variant; never raises, never loses one.

        Where the ledger fails, the exposure goes to a file beside the experiment's results, from
        which it is entered later.

        Args:
            choice: From `choose`.
            run_id: The run.
        """
        if choice.experiment is None:
            return
        key = choice.key or choice.experiment
        place = (key, choice.unit)
        if place in self._seen:
            return
        try:
            with self._lock:
                self._ledger = self._ledger or self._open_ledger()
            self._ledger.record_exposure(key, choice.unit, choice.variant, run_id=run_id)
        except Exception as exc:  # noqa: BLE001 # whatever fails, the run and the exposure go on
            logger.warning("the ledger refused an exposure (%s); kept aside", error_name(exc))
            self._keep_aside(choice, run_id)
            return
        if len(self._seen) > 100_000:
            self._seen.clear()
        self._seen.add(place)

    def close(self) -> None:
        """Closes the ledger."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _keep_aside(self, choice: Choice, run_id: str) -> None:
        assert choice.experiment is not None
        fact = {
            "unit": choice.unit, "variant": choice.variant, "run": run_id,
            "at": datetime.now(UTC).isoformat(), "experiment": choice.key or choice.experiment,
        }  # fmt: skip
        try:
            aside.keep(self._store.folder / choice.experiment, fact)
        except AllotropeError:
            logger.error("an exposure of %s could not be kept: %s", choice.experiment, fact)

    def _look(self) -> _Live:
        now = self._clock()
        with self._lock:
            if self._looked_at is None or now - self._looked_at >= self._reload_s:
                self._looked_at = now
                try:
                    self._live = self._read()
                except AllotropeError as exc:
                    logger.warning("experiments can't be read, the last ones stay: %s", exc)
        return self._live

    def _read(self) -> _Live:
        known = {
            experiment.name: (experiment, state) for experiment, state in self._live.experiments
        }
        found = []
        for name in self._store.names():
            try:
                experiment, state = self._store.load(name), self._store.state(name)
            except AllotropeError as exc:
                logger.warning("experiment %s can't be read, its last form stays: %s", name, exc)
                if name in known:
                    found.append(known[name])
                continue
            if experiment.kind == "online" and state.status == "running":
                found.append((experiment, state))
        return _Live(tuple(found))


def unit_of(
    experiment: Experiment, *, tenant: str, user: str | None, thread: str
) -> str | None:  # fmt: skip
    """The id under which an experiment knows a run; None where the run has no such id.

    Args:
        experiment: The experiment.
        tenant: Whose run it is.
        user: Who asks.
        thread: The conversation.
    """
    if experiment.unit == "tenant":
        return tenant
    own = user if experiment.unit == "user" else thread
    return f"{tenant}/{own}" if own else None


def open_online(settings: Settings) -> OnlineExperiments:
    """The online experiments of these settings; opens nothing yet.

    Args:
        settings: Their folder, the ledger and the pace of looking.
    """
    from allotrope.usage.ledger.ledger import open_ledger

    return OnlineExperiments(
        open_store(settings),
        ledger=lambda: open_ledger(settings),
        reload_s=settings.experiments.reload_s,
    )


def check_layers(experiment: Experiment, store: ExperimentStore) -> None:
    """Makes sure that no running experiment of the same layer claims the same units.

    Args:
        experiment: What shall start.
        store: What runs.

    Raises:
        InputError: One does; or another runs on the agent without a layer, and would shadow it.
    """
    for name in store.names():
        other = store.load(name)
        if name == experiment.name or other.kind != "online" or other.agent != experiment.agent:
            continue
        if store.state(name).status != "running":
            continue
        if overlapping(experiment, other):
            raise InputError(
                f"layer_slot: {experiment.name} and {name} claim the same units of the layer "
                f"{experiment.layer!r}.",
                hint=f"{name} has {other.layer_slot[0]:g} to {other.layer_slot[1]:g}.",
            )
        if experiment.layer is None or experiment.layer != other.layer:
            raise InputError(
                f"{name} runs on {experiment.agent} already, and a run takes part in one only.",
                hint="Give both the same layer and slots that don't overlap, or stop one.",
            )


def enforce(experiment: Experiment, run: Run, store: ExperimentStore) -> list[str]:
    """Stops variants that break a guard-rail, and the experiment at its `max_units`.

    Args:
        experiment: An online experiment.
        run: From `read_traffic`.
        store: Where it is kept.

    Returns:
        What was done, in words; nothing for an experiment that isn't running.
    """
    from allotrope.experiments.online.traffic import traffic_breaches

    if store.state(experiment.name).status != "running":
        return []
    done = []
    for variant, reason in traffic_breaches(experiment, run).items():
        if store.stop_variant(experiment.name, variant, reason=reason):
            done.append(f"{variant} is stopped: {reason}.")
    limit = experiment.stop.max_units
    seen = [result.variant for result in run.results.values()]
    if limit is not None and all(seen.count(v.name) >= limit for v in experiment.variants):
        reason = f"every variant has {limit} units"
        if store.end(experiment.name, by="rule", what=reason):
            done.append(f"{experiment.name} has ended: {reason}.")
    return done


def read_traffic(experiment: Experiment, store: ExperimentStore, settings: Settings) -> Run:
    """What the ledger knows of an online experiment; enters exposures that were kept aside first.

    Each unit counts once, by the first run that saw its variant (and the first score for it).

    Args:
        experiment: The experiment.
        store: Where exposures may be kept aside.
        settings: The ledger.
    """
    from allotrope.experiments.online.exposures import rows_to_run
    from allotrope.usage.ledger.ledger import open_ledger

    with open_ledger(settings) as ledger:

        def record(fact: Mapping[str, Any]) -> None:
            at = datetime.fromisoformat(fact["at"]) if fact.get("at") else None
            ledger.record_exposure(
                fact.get("experiment", experiment.name), fact["unit"], fact["variant"],
                run_id=fact["run"], at=at,
            )  # fmt: skip

        aside.enter(store.folder / experiment.name, record)
        profiles = {
            variant.name: profile_name(variant, settings, experiment.agent)
            for variant in experiment.variants
        }
        return rows_to_run(experiment, ledger, store.state(experiment.name), profiles=profiles)
