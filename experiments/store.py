"""Where experiments live between commands: a folder each, with definition, results and state."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from allotrope.exceptions import InputError, StoreError
from allotrope.experiments.definition import Experiment
from allotrope.experiments.offline.results import read_run
from allotrope.settings import Settings
from allotrope.stores import damage
from allotrope.stores.errors import error_name
from allotrope.stores.folders import data_folder
from allotrope.stores.locks import lock
from allotrope.stores.private import write_whole

logger = logging.getLogger(__name__)

Status = Literal["running", "ended", "stopped"]


@dataclass(frozen=True)
class State:
    """Where an experiment stands.

    Args:
        status: `running`, `ended` (by its rule) or `stopped` (by a person).
        history: What people and rules did, oldest first: `at`, `by`, `what`.
        stopped_variants: Variants of an online experiment that a guard-rail stopped, with reason.
        stopped_at: When, ISO.
        round: Counts its starts afresh, from 1; traffic of an earlier round doesn't count.
    """

    status: Status
    history: tuple[Mapping[str, str], ...] = ()
    stopped_variants: Mapping[str, str] = field(default_factory=dict)
    stopped_at: Mapping[str, str] = field(default_factory=dict)
    round: int = 1

    def key(self, name: str) -> str:
        """What the ledger calls the exposures of this round.

        Args:
            name: The experiment.
        """
        return name if self.round == 1 else f"{name}#{self.round}"


@dataclass(frozen=True)
class Promotion:
    """What a person made an agent's own.

    Args:
        experiment: Where it won.
        variant: Its name there.
        agent: The agent type.
        profile: The profile it names, which the agent has by choice from then on.
        prompt: The prompt label or version it names.
        by: Who did it.
        at: When, ISO.
        profile_was: The agent's choice before.
        prompts: Versions that the prompts' label pointed to, before and since, by name.
    """

    experiment: str
    variant: str
    agent: str
    profile: str | None
    prompt: str | None
    by: str
    at: str
    profile_was: str | None = None
    prompts: Mapping[str, tuple[int | None, int]] = field(default_factory=dict)


class ExperimentStore:
    """Reads and writes the folder of experiments. Every file is replaced in one step.

    Args:
        folder: The folder; it is made when something is written.
        last_round: The latest round of an experiment that the ledger knows; asked where the
            experiment's own file is damaged.
    """

    def __init__(self, folder: Path, *, last_round: Callable[[str], int] | None = None) -> None:
        self.folder = folder
        self._last_round = last_round

    def names(self) -> list[str]:
        """All experiments here, by name."""
        return sorted(path.parent.name for path in self.folder.glob("*/experiment.json"))

    def results_path(self, name: str) -> Path:
        """The results file of an experiment."""
        return self.folder / name / "results.jsonl"

    def start(self, experiment: Experiment, *, by: str, fresh: bool = False) -> None:
        """Keeps the definition and marks it running.

        Args:
            experiment: What starts.
            by: Who starts it.
            fresh: Sets what was measured before aside (never deletes it); all variants run again.

        Raises:
            InputError: Another form of it is kept already and has data.
        """
        name = experiment.name
        kept = self.folder / name / "experiment.json"
        with self._alone(self.folder / name):
            if fresh:
                self._set_results_aside(name)
            elif (
                kept.exists()
                and self.load(name).digest != experiment.digest
                and (experiment.kind == "online" or read_run(self.results_path(name)).results)
            ):
                raise InputError(
                    f"{name} has run in another form already; mixing both would tell nothing.",
                    hint="Give the new form a new name, or start afresh (--fresh).",
                )
            _write(kept, json.loads(experiment.model_dump_json()))
            old = self._state_or_none(name)
            if fresh and old is not None:
                old = State(old.status, old.history, round=old.round + 1)
            what = "started afresh" if fresh and old is not None else "started"
            self._note(name, old or State("running"), "running", by=by, what=what)

    def _set_results_aside(self, name: str) -> None:
        path = self.results_path(name)
        if path.exists():
            path.rename(path.with_suffix(f".{datetime.now(UTC):%Y%m%dT%H%M%S%f}.old"))

    def load(self, name: str) -> Experiment:
        """The definition of an experiment.

        Raises:
            InputError: There is none of that name, or its file is broken.
        """
        path = self.folder / name / "experiment.json"
        if "/" in name or not path.exists():
            known = ", ".join(self.names()) or "none has run yet"
            raise InputError(f"There is no experiment {name!r} ({known}).")
        try:
            return Experiment.model_validate_json(path.read_bytes())
        except ValueError as exc:
            raise InputError(
                f"{path} is broken: start the experiment again from its file."
            ) from exc

    def state(self, name: str) -> State:
        """Where an experiment stands; one whose file is damaged is stopped.

        Args:
            name: The experiment.

        Raises:
            InputError: There is no such file, or it can't be read.
        """
        path = self.folder / name / "state.json"
        unreadable = InputError(f"The state of {name} ({path}) can't be read.")
        if not path.exists():
            raise unreadable
        try:
            return damage.read_json(
                path,
                _state_of,
                what=f"The state of the experiment {name}",
                instead="The experiment is stopped: nobody gets a variant. What was measured is "
                "kept; `allotrope experiment run` lets it go on. Which variants a guard-rail had "
                "stopped isn't known any more.",
                missing=lambda: self._stopped_by_damage(name),
            )
        except OSError as exc:
            raise unreadable from exc

    def _stopped_by_damage(self, name: str) -> State:
        round_ = 1
        if self._last_round is not None:
            try:
                round_ = self._last_round(name)
            except Exception as exc:  # noqa: BLE001 - whatever the ledger's trouble is
                logger.warning("the ledger doesn't tell the round of %s: %s", name, error_name(exc))
        entry = {"at": now(), "by": "damage", "what": "stopped: its state couldn't be read"}
        state = State("stopped", (entry,), round=round_)
        _write(self.folder / name / "state.json", asdict(state))
        return state

    def _state_or_none(self, name: str) -> State | None:
        path = self.folder / name / "state.json"
        return self.state(name) if path.exists() else None

    def end(self, name: str, *, by: str, what: str, status: Status = "ended") -> bool:
        """Marks the end of an experiment; a rule ends only what still runs.

        Args:
            name: The experiment.
            by: Who or what ended it.
            what: Why, in words.
            status: `ended` or `stopped`.

        Returns:
            Whether it was done.
        """
        with self._alone(self.folder / name):
            old = self.state(name)
            if status == "ended" and old.status != "running":
                return False
            self._note(name, old, status, by=by, what=what)
            return True

    def stop_variant(self, name: str, variant: str, *, reason: str) -> bool:
        """Takes a variant out of the traffic; its units get the control.

        Args:
            name: The experiment.
            variant: The variant.
            reason: The broken guard-rail, in words.

        Returns:
            Whether it was done: not where the experiment doesn't run any more.
        """
        with self._alone(self.folder / name):
            old = self.state(name)
            if old.status != "running" or variant in old.stopped_variants:
                return False
            stopped = replace(
                old,
                stopped_variants={**old.stopped_variants, variant: reason},
                stopped_at={**old.stopped_at, variant: datetime.now(UTC).isoformat()},
            )
            what = f"{variant}: {reason}"
            self._note(name, stopped, "running", by="guard-rail", what=what)
            return True

    def note_promotion(self, promotion: Promotion) -> None:
        """Notes what a person promoted, for reports and for taking it back.

        Args:
            promotion: What was done.
        """
        with self._alone(self.folder):
            self._write_promotions([*self._promotions(), promotion])
        self._promoted(promotion, by=promotion.by, what=f"promoted {promotion.variant}")

    def drop_promotion(self, promotion: Promotion, *, by: str) -> None:
        """Notes that a promotion was taken back.

        Args:
            promotion: Which.
            by: Who did it.
        """
        with self._alone(self.folder):
            self._write_promotions([each for each in self._promotions() if each != promotion])
        what = f"took the promotion of {promotion.variant} back"
        self._promoted(promotion, by=by, what=what)

    def _promoted(self, promotion: Promotion, *, by: str, what: str) -> None:
        name = promotion.experiment
        with self._alone(self.folder / name):
            old = self._state_or_none(name) or State("running")
            self._note(name, old, "ended", by=by, what=what)

    def promoted(self) -> dict[str, Promotion]:
        """What was promoted last, by agent."""
        return {promotion.agent: promotion for promotion in self._promotions()}

    def _promotions(self) -> list[Promotion]:
        path = self.folder / "promoted.json"
        try:
            return damage.read_json(
                path,
                _promotions_of,
                what="The list of promotions",
                instead="What was promoted stays as it is; to take it back use `allotrope prompts "
                "rollback` and the profiles' settings, `--undo` doesn't know it any more.",
                missing=list,
            )
        except OSError as exc:
            raise StoreError(f"{path} can't be read: {exc.strerror}.") from exc

    def _write_promotions(self, promotions: Sequence[Promotion]) -> None:
        found = [asdict(promotion) for promotion in promotions]
        _write(self.folder / "promoted.json", {"promotions": found})

    def _note(self, name: str, old: State, status: Status, *, by: str, what: str) -> None:
        entry = {"at": now(), "by": by, "what": what}
        new = replace(old, status=status, history=(*old.history, entry))
        _write(self.folder / name / "state.json", asdict(new))

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Keeps other processes from changing a folder's files between our look and our writing."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = (folder / ".lock").open("ab")
        except OSError as exc:
            raise _unwritable(folder, exc) from exc
        with file:
            lock(file)
            yield


def open_store(settings: Settings) -> ExperimentStore:
    """The experiments of these settings.

    Args:
        settings: `experiments.folder`, else a folder in the data folder.
    """
    folder = settings.experiments.folder

    def last_round(name: str) -> int:
        from allotrope.experiments.online.exposures import last_round
        from allotrope.usage.ledger.ledger import open_ledger

        with open_ledger(settings) as ledger:
            return last_round(ledger, name)

    return ExperimentStore(
        folder.expanduser() if folder else data_folder(settings) / "experiments",
        last_round=last_round,
    )


def _state_of(data: bytes) -> State:
    try:
        document = json.loads(data)
        state = State(
            document["status"], tuple(document["history"]), document["stopped_variants"],
            document.get("stopped_at", {}), document.get("round", 1),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError("no state of an experiment") from exc
    if state.status not in get_args(Status):
        raise ValueError("no state of an experiment")
    return state


def _promotions_of(data: bytes) -> list[Promotion]:
    try:
        return [
            Promotion(**{**entry, "prompts": {n: tuple(v) for n, v in entry["prompts"].items()}})
            for entry in json.loads(data)["promotions"]
        ]
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError("no list of promotions") from exc


def _write(path: Path, document: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, json.dumps(document, indent=2) + "\n")
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _unwritable(path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"{path} can't be written: {exc.strerror}.",
        hint="Set ALLOTROPE_EXPERIMENTS__FOLDER to a folder you can write.",
    )


def now() -> str:
    """The time as ISO, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
