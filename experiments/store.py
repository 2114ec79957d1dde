"""Where experiments live between commands: a folder each, with definition, results and state."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from allotrope.exceptions import InputError, StoreError
from allotrope.experiments.definition import Experiment
from allotrope.experiments.results import read_run
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder

Status = Literal["running", "ended", "stopped"]


@dataclass(frozen=True)
class State:
    """Where an experiment stands.

    Args:
        status: `running`, `ended` (by its rule) or `stopped` (by a person).
        history: What people and rules did, oldest first: `at`, `by`, `what`.
        stopped_variants: Variants of an online experiment that a guard-rail stopped.
    """

    status: Status
    history: tuple[Mapping[str, str], ...] = ()
    stopped_variants: Mapping[str, str] = field(default_factory=dict)


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
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """All experiments here, by name."""
        return sorted(path.parent.name for path in self.folder.glob("*/experiment.json"))

    def results_path(self, name: str) -> Path:
        """The results file of an experiment."""
        return self.folder / name / "results.jsonl"

    def start(self, experiment: Experiment, *, by: str) -> None:
        """Keeps the definition and marks it running.

        Args:
            experiment: What starts.
            by: Who starts it.

        Raises:
            InputError: Another form of it is kept already and has data.
        """
        kept = self.folder / experiment.name / "experiment.json"
        if kept.exists():
            old = self.load(experiment.name)
            online = experiment.kind == "online" and self.state(experiment.name).status == "running"
            data = online or bool(read_run(self.results_path(experiment.name)).results)
            if old.digest != experiment.digest and data:
                raise InputError(
                    f"{experiment.name} has run in another form already; mixing both would tell "
                    "nothing.",
                    hint="Give the new form a new name, or start afresh (--fresh).",
                )
        _write(kept, json.loads(experiment.model_dump_json()))
        self._note(experiment.name, "running", by=by, what="started")

    def forget_results(self, name: str) -> None:
        """Sets the results aside (never deletes them) so that a run starts afresh.

        Args:
            name: The experiment.
        """
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
        """Where an experiment stands."""
        path = self.folder / name / "state.json"
        try:
            document = json.loads(path.read_bytes())
            return State(
                document["status"], tuple(document["history"]), document["stopped_variants"]
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise InputError(f"The state of {name} ({path}) can't be read.") from exc

    def end(self, name: str, *, by: str, what: str, status: Status = "ended") -> None:
        """Marks the end of an experiment.

        Args:
            name: The experiment.
            by: Who or what ended it.
            what: Why, in words.
            status: `ended` or `stopped`.
        """
        self._note(name, status, by=by, what=what)

    def stop_variant(self, name: str, variant: str, *, reason: str) -> None:
        """Takes a variant out of the traffic; its units get the control.

        Args:
            name: The experiment.
            variant: The variant.
            reason: The broken guard-rail, in words.
        """
        stopped = {**self.state(name).stopped_variants, variant: reason}
        status = self.state(name).status
        self._note(name, status, by="guard-rail", what=f"{variant}: {reason}", stopped=stopped)

    def note_promotion(self, promotion: Promotion) -> None:
        """Notes what a person promoted, for reports and for taking it back.

        Args:
            promotion: What was done.
        """
        self._write_promotions([*self._promotions(), promotion])
        what = f"promoted {promotion.variant}"
        self._note(promotion.experiment, "ended", by=promotion.by, what=what)

    def drop_promotion(self, promotion: Promotion, *, by: str) -> None:
        """Notes that a promotion was taken back.

        Args:
            promotion: Which.
            by: Who did it.
        """
        self._write_promotions([each for each in self._promotions() if each != promotion])
        what = f"took the promotion of {promotion.variant} back"
        self._note(promotion.experiment, "ended", by=by, what=what)

    def promoted(self) -> dict[str, Promotion]:
        """What was promoted last, by agent."""
        return {promotion.agent: promotion for promotion in self._promotions()}

    def _promotions(self) -> list[Promotion]:
        path = self.folder / "promoted.json"
        try:
            return [
                Promotion(
                    **{**entry, "prompts": {n: tuple(v) for n, v in entry["prompts"].items()}}
                )
                for entry in _read(path).get("promotions", [])
            ]
        except (TypeError, KeyError, AttributeError) as exc:
            raise StoreError(f"{path} can't be read: it isn't ours.") from exc

    def _write_promotions(self, promotions: Sequence[Promotion]) -> None:
        found = [asdict(promotion) for promotion in promotions]
        _write(self.folder / "promoted.json", {"promotions": found})

    def _note(
        self,
        name: str,
        status: Status,
        *,
        by: str,
        what: str,
        stopped: Mapping[str, str] | None = None,
    ) -> None:
        path = self.folder / name / "state.json"
        old = self.state(name) if path.exists() else State("running")
        entry = {"at": now(), "by": by, "what": what}
        kept = old.stopped_variants if stopped is None else stopped
        _write(
            path,
            {"status": status, "history": [*old.history, entry], "stopped_variants": dict(kept)},
        )


def open_store(settings: Settings) -> ExperimentStore:
    """The experiments of these settings.

    Args:
        settings: `experiments.folder`, else a folder in the data folder.
    """
    folder = settings.experiments.folder
    return ExperimentStore(
        folder.expanduser() if folder else data_folder(settings) / "experiments"
    )  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise StoreError(f"{path} can't be read: {exc}.") from exc
    return found


def _write(path: Path, document: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.new")
        draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as exc:
        raise StoreError(
            f"{path} can't be written: {exc.strerror}.",
            hint="Set ALLOTROPE_EXPERIMENTS__FOLDER to a folder you can write.",
        ) from exc


def now() -> str:
    """The time as ISO, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
