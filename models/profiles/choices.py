"""Which profile an agent has by a person's choice: a file that outlives the process, with history.

It stands beside own profiles (`ALLOTROPE_PROFILES__FOLDER`), else in the data folder. A running
process follows it as it follows profiles.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from allotrope.exceptions import ProfileError
from allotrope.settings import Settings
from allotrope.stores import damage
from allotrope.stores.folders import data_folder
from allotrope.stores.private import write_whole

FILE = "profile-choices.json"

_ANEW = (
    "Agents have the profiles and roles the models of the settings; what was chosen since is to be"
    " chosen again."
)


class ProfileChange(BaseModel):
    """One choice.

    Attributes:
        at: When.
        agent: The agent type, where an agent's profile was chosen.
        role: The role, where a role's model was chosen.
        profile: The profile or model from then on; None gives back what it was by itself.
        was: The choice before.
        by: Who chose.
        why: What for, such as the experiment.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    at: datetime
    agent: str = ""
    role: str = ""
    profile: str | None
    was: str | None
    by: str = ""
    why: str = ""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    agents: Mapping[str, str] = {}
    roles: Mapping[str, str] = {}
    history: tuple[ProfileChange, ...] = ()


class ProfileChoices:
    """Reads and writes the choices; opens nothing before use.

    Args:
        path: The file; it is made at the first choice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: _Document | None = None

    def current(self) -> Mapping[str, str]:
        """The chosen profile by agent.

        Raises:
            ProfileError: The file can't be read.
        """
        return self._read().agents

    def choose(self, agent: str, profile: str | None, *, by: str, why: str = "") -> ProfileChange:
        """Makes a profile an agent's own, in one step.

        Args:
            agent: The agent type.
            profile: The profile; None takes the choice away.
            by: Who chooses.
            why: What for.

        Raises:
            ProfileError: The file can't be read or written.
        """
        return self._change("agents", agent, profile, by=by, why=why)

    def roles(self) -> Mapping[str, str]:
        """The chosen model by role.

        Raises:
            ProfileError: The file can't be read.
        """
        return self._read().roles

    def promote(self, role: str, model: str | None, *, by: str, why: str = "") -> ProfileChange:
        """Gives a role another model, in one step.

        Args:
            role: The role.
            model: The model; None takes the choice away.
            by: Who chooses.
            why: What for.

        Raises:
            ProfileError: The file can't be read or written.
        """
        return self._change("roles", role, model, by=by, why=why)

    def last_promotion(self, role: str) -> ProfileChange | None:
        """The latest choice for a role; None where there was none.

        Raises:
            ProfileError: The file can't be read.
        """
        found = [change for change in self._read().history if change.role == role]
        return found[-1] if found else None

    def _change(
        self, table: Literal["agents", "roles"], name: str, chosen: str | None, *, by: str, why: str
    ) -> ProfileChange:
        """Writes a choice into its table and into the history."""
        document = self._read()
        held = dict(document.agents if table == "agents" else document.roles)
        change = ProfileChange(
            at=_now(),
            agent=name if table == "agents" else "",
            role=name if table == "roles" else "",
            profile=chosen,
            was=held.pop(name, None),
            by=by,
            why=why,
        )
        if chosen is not None:
            held[name] = chosen
        history = (*document.history, change)
        self._write(document.model_copy(update={table: held, "history": history}))
        return change

    def _read(self) -> _Document:
        known = self._known if self.path.exists() else None
        try:
            self._known = damage.read_json(
                self.path,
                _Document.model_validate_json,
                what="The list of chosen profiles and models",
                instead=_ANEW if known is None else "It was written anew as it was read last.",
                missing=lambda: self._written_anew(known),
            )
        except OSError as exc:
            raise ProfileError(f"{self.path} can't be read: {exc.strerror}.") from exc
        return self._known

    def _written_anew(self, known: _Document | None) -> _Document:
        if known is None:
            return _Document()
        self._write(known)
        return known

    def _write(self, document: _Document) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps(document.model_dump(mode="json"), indent=2))
        except OSError as exc:
            raise ProfileError(f"{self.path} can't be written: {exc.strerror}.") from exc


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def open_choices(settings: Settings) -> ProfileChoices:
    """The choices of these settings; reads nothing yet.

    Args:
        settings: The folder of own profiles, else the data folder.
    """
    folder = settings.profiles.folder
    return ProfileChoices((folder.expanduser() if folder else data_folder(settings)) / FILE)
