"""The profiles: YAML files, with inheritance, per environment and per agent, reloaded live.

A file `creative.yaml` holds the fields of `Profile` and, besides them, `extends` (another
profile), `env` (fields by environment) and `agents` (fields by agent type). What is more special
wins: parent < file < environment < agent < `ALLOTROPE_PROFILES__OVERRIDES`. Mappings are merged,
lists replaced; null takes a parent's value away.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from allotrope.exceptions import ProfileError
from allotrope.models.catalogue.entries import PRIMARY, open_catalogue, packaged_catalogue
from allotrope.models.catalogue.roles import model_of_role
from allotrope.models.profiles.choices import FILE as CHOICES
from allotrope.models.profiles.choices import ProfileChoices, open_choices
from allotrope.models.profiles.profile import Profile
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.stores.watching import Watcher
from allotrope.support.complaints import complaints

PROFILES = Path(__file__).parent
"""The folder of the profiles that ship with the package."""

MAX_BYTES = 65_536
Signature = tuple[int, int, int]
_LAYERS = ("extends", "env", "agents")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ENVIRONMENTS = ("dev", "staging", "prod")


@dataclass(frozen=True)
class _ProfileFile:
    """One profile's file.

    Attributes:
        path: Where it is.
        signature: Time and size; changes with the file.
        data: Its fields.
        lines: Line of each top-level field, 1-based.
    """

    path: Path
    signature: Signature
    data: Mapping[str, Any]
    lines: Mapping[str, int]


@dataclass(frozen=True)
class _Loaded:
    files: Mapping[str, _ProfileFile] = field(default_factory=dict)
    profiles: Mapping[tuple[str, str | None], Profile] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[Path, Signature] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    promoted: Mapping[str, str] = field(default_factory=dict)


class ProfileLibrary:
    """Gives profiles by name and agent.

    Args:
        folders: Lowest first; a file in a later folder replaces one of the same name.
        env: `dev`, `staging` or `prod`.
        default: The profile where nothing names one.
        agents: Profile by agent type.
        overrides: Fields by profile that win over the files.
        reload_s: Seconds between two looks for changes; None: never look again.
        choices: What people chose for agents; wins over the agents' own, not over `agents`.
        settle_s: Seconds a changed file must be old before it is read, so that a file that an
            editor is still writing is not taken.
        model_of: The model of a role, told what people promoted, None for that of the settings;
            default: as the packaged catalogue has it.
        may_be_missing: One of the folders that needn't be there.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        env: str = "dev",
        default: str = "balanced",
        agents: Mapping[str, str] | None = None,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        reload_s: float | None = None,
        choices: ProfileChoices | None = None,
        settle_s: float = 0.0,
        model_of: Callable[[str, Mapping[str, str]], str | None] | None = None,
        may_be_missing: Path | None = None,
    ) -> None:
        self._folders = tuple(folders)
        self._env = env
        self._default = default
        self._agents = dict(agents or {})
        self._overrides = dict(overrides or {})
        self._choices = choices
        self._reload_s = reload_s
        self._settle_s = settle_s
        self._model_of = model_of or _packaged
        self._may_be_missing = may_be_missing
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None

    def get(
        self, name: str | None = None, *, agent: str | None = None, own: str | None = None
    ) -> Profile:
        """A profile; the first call reads the files, later ones touch none.

        Args:
            name: Which one; default: what settings, then a person's choice, name for the agent,
                then the agent's own, then the default.
            agent: The agent type it is for.
            own: The profile that the agent names for itself.

        Raises:
            ProfileError: There is no such profile, or its file is broken.
        """
        loaded = self._state()
        named = self._agents.get(agent or "") or loaded.choices.get(agent or "")
        name = name or named or own or self._default
        found = loaded.profiles.get((name, agent)) or loaded.profiles.get((name, None))
        if found is not None:
            return found
        if name in loaded.problems:
            raise ProfileError(loaded.problems[name])
        from difflib import get_close_matches

        near = get_close_matches(name, self.names(), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(self.names())}."
        raise ProfileError(f"There is no profile {name!r}.", hint=hint)

    def names(self) -> tuple[str, ...]:
        """The names of all usable profiles."""
        return tuple(sorted({name for name, _ in self._state().profiles}))

    def path(self, name: str) -> Path | None:
        """The file of a profile."""
        file = self._state().files.get(name)
        return file.path if file else None

    def problems(self) -> Mapping[str, str]:
        """What is wrong with the files now, by profile; their last good version is in use."""
        return self._state().problems

    def refresh(self) -> bool:
        """Looks at the files now; returns whether anything changed."""
        with self._lock:
            before = self._loaded or _Loaded()
            found = self._list()
            found = self._settled(found, before)
            seen = dict(found.values())
            if self._choices is not None:
                seen |= _stamp(self._choices.path)
            if self._loaded is not None and seen == before.seen:
                return False
            files: dict[str, _ProfileFile] = {}
            problems: dict[str, str] = {}
            for name, (path, signature) in found.items():
                old = before.files.get(name)
                if old is not None and (old.path, old.signature) == (path, signature):
                    files[name] = old
                    continue
                try:
                    files[name] = _read(name, path, signature)
                except ProfileError as exc:
                    problems[name] = str(exc)
                    if old is not None:
                        files[name] = old
            chosen, promoted = before.choices, before.promoted
            try:
                if self._choices is not None:
                    chosen, promoted = self._choices.current(), self._choices.roles()
            except ProfileError as exc:
                problems[CHOICES] = str(exc)
            found_now = self._resolve(files, problems, before, seen, promoted)
            self._loaded = replace(found_now, choices=chosen, promoted=promoted)
            first = self._watcher is None and self._reload_s is not None
            if first and self._reload_s is not None:
                self._watcher = Watcher(self, self._reload_s, name="allotrope-profiles")
                self._watcher.start()
            now = self._loaded
            return (now.profiles, now.choices) != (before.profiles, before.choices)

    def promoted(self) -> Mapping[str, str]:
        """The models that people gave to roles."""
        return self._state().promoted

    def close(self) -> None:
        """Stops looking for changes; what is loaded stays usable."""
        if self._watcher is not None:
            self._watcher.stop()

    def _state(self) -> _Loaded:
        if self._loaded is None:
            self.refresh()
        assert self._loaded is not None
        return self._loaded

    def _list(self) -> dict[str, tuple[Path, Signature]]:
        found: dict[str, tuple[Path, Signature]] = {}
        for folder in self._folders:
            try:
                for path in sorted(folder.iterdir()):
                    if path.suffix == ".yaml" and not path.name.startswith("."):
                        stat = os.stat(path)
                        signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                        found[path.stem] = (path, signature)
            except OSError as exc:
                if isinstance(exc, FileNotFoundError) and folder == self._may_be_missing:
                    continue
                if self._loaded is not None:
                    known = self._loaded.files.items()
                    kept = {n: (f.path, f.signature) for n, f in known if f.path.parent == folder}
                    found.update(kept)
                    continue
                raise ProfileError(
                    f"The folder of profiles {folder} can't be read: {exc.strerror}.",
                    hint="Make it, or change ALLOTROPE_PROFILES__FOLDER.",
                ) from exc
        return found

    def _settled(
        self, found: Mapping[str, tuple[Path, Signature]], before: _Loaded
    ) -> dict[str, tuple[Path, Signature]]:
        """Puts the old signature where a known file changed just now."""
        now = time.time()
        kept = dict(found)
        for name, (path, signature) in found.items():
            old = before.files.get(name)
            fresh = 0 <= now - signature[0] / 1e9 < self._settle_s
            if old is not None and old.path == path and fresh:
                kept[name] = (path, old.signature)
        return kept

    def _resolve(
        self,
        files: Mapping[str, _ProfileFile],
        problems: dict[str, str],
        before: _Loaded,
        seen: Mapping[Path, Signature],
        promoted: Mapping[str, str],
    ) -> _Loaded:
        profiles: dict[tuple[str, str | None], Profile] = {}
        for name in files:
            try:
                for agent in (None, *_agents_of(name, files)):
                    data = self._fields(name, files, agent, ())
                    profile = _validated(name, data, files[name])
                    profiles[name, agent] = self._with_model(profile, files[name], promoted)
            except ProfileError as exc:
                problems[name] = str(exc)
                kept = {key: value for key, value in before.profiles.items() if key[0] == name}
                profiles = {k: v for k, v in profiles.items() if k[0] != name} | kept
        for name in self._overrides:
            if name not in files:
                problems[name] = (
                    f"ALLOTROPE_PROFILES__OVERRIDES names {name!r}, which is no profile."
                )
        return _Loaded(files=files, profiles=profiles, problems=problems, seen=seen)

    def _with_model(
        self, profile: Profile, file: _ProfileFile, promoted: Mapping[str, str]
    ) -> Profile:
        """The profile with the model of its role, where that isn't the settings' own."""
        if profile.model is not None:
            return profile
        model = self._model_of(profile.role, promoted)
        if model is None and profile.role != PRIMARY:
            raise ProfileError(
                f"{file.path}, line {file.lines.get('role', 1)}: role: there is no role "
                f"{profile.role!r}.",
                hint=f"Set ALLOTROPE_OPENAI__ROLES__{profile.role.upper()} to a model.",
            )
        return profile if model is None else profile.model_copy(update={"model": model})

    def _fields(
        self,
        name: str,
        files: Mapping[str, _ProfileFile],
        agent: str | None,
        chain: tuple[str, ...],
    ) -> dict[str, Any]:
        if name in chain:
            told = " → ".join((*chain, name))
            raise ProfileError(f"{files[name].path}: profiles extend each other: {told}.")
        file = files[name]
        parent = file.data.get("extends")
        data: dict[str, Any] = {}
        if parent is not None:
            if parent not in files:
                line = file.lines.get("extends", 1)
                raise ProfileError(
                    f"{file.path}, line {line}: extends: there is no profile {parent!r}."
                )
            data = self._fields(str(parent), files, agent, (*chain, name))
        data = merge(data, {k: v for k, v in file.data.items() if k not in _LAYERS})
        data = merge(data, (file.data.get("env") or {}).get(self._env) or {})
        if agent is not None:
            data = merge(data, (file.data.get("agents") or {}).get(agent) or {})
        return merge(data, self._overrides.get(name) or {})


def _stamp(path: Path) -> dict[Path, Signature]:
    try:
        stat = os.stat(path)
    except OSError:
        return {}
    return {path: (stat.st_mtime_ns, stat.st_size, stat.st_ino)}


def merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`low` with `high` over it; mappings are merged, everything else is replaced."""
    merged = dict(low)
    for key, value in high.items():
        base = merged.get(key)
        if isinstance(base, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(base, value)
        else:
            merged[key] = value
    return merged


def _agents_of(name: str, files: Mapping[str, _ProfileFile]) -> set[str]:
    """The agents that a profile or one of its parents has fields for."""
    agents: set[str] = set()
    seen: set[str] = set()
    current: Any = name
    while current in files and current not in seen:
        seen.add(current)
        agents |= set(files[current].data.get("agents") or {})
        current = files[current].data.get("extends")
    return agents


def _read(name: str, path: Path, signature: Signature) -> _ProfileFile:
    if signature[1] > MAX_BYTES:
        raise ProfileError(
            f"{path}: the file has {signature[1]:,} bytes, a profile has at most {MAX_BYTES:,}."
        )
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, the C one
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ProfileError(f"{path}{where}: no YAML: {getattr(exc, 'problem', exc)}.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ProfileError(f"{path} can't be read: {exc}.") from exc
    if not isinstance(data, dict):
        raise ProfileError(f"{path}: a profile must be a mapping of fields.")
    lines = {
        line.split(":", 1)[0]: number
        for number, line in enumerate(text.splitlines(), start=1)
        if ":" in line and line[:1].isalpha()
    }
    if data.get("name") != name:
        raise ProfileError(
            f"{path}, line {lines.get('name', 1)}: name: the file is called {name}, "
            f"but it says {data.get('name')!r}."
        )
    for layer in ("env", "agents"):
        table = data.get(layer) or {}
        if not isinstance(table, dict) or not all(isinstance(v, dict) for v in table.values()):
            raise ProfileError(
                f"{path}, line {lines.get(layer, 1)}: {layer}: must map names to fields."
            )
    unknown = sorted(set(data.get("env") or {}) - set(_ENVIRONMENTS))
    if unknown:
        raise ProfileError(
            f"{path}, line {lines['env']}: env: {unknown[0]!r} is no environment; "
            f"there are {', '.join(_ENVIRONMENTS)}."
        )
    return _ProfileFile(path=path, signature=signature, data=data, lines=lines)


def _validated(name: str, data: Mapping[str, Any], file: _ProfileFile) -> Profile:
    try:
        return Profile.model_validate({**data, "name": name})
    except ValidationError as exc:
        first = complaints(exc)[0]
        line = file.lines.get(str(first.path[0])) if first.path else None
        where = f"{file.path}, line {line}" if line else str(file.path)
        raise ProfileError(f"{where}: {first.field}: {first.message}.") from exc


def open_profiles(settings: Settings) -> ProfileLibrary:
    """The profiles of the settings; opens nothing yet.

    Args:
        settings: Its section `profiles`, and the environment.
    """
    section, own = settings.profiles, own_folder(settings)
    return ProfileLibrary(
        [PROFILES, own],
        env=settings.env,
        default=section.default,
        agents=section.agents,
        overrides=section.overrides,
        reload_s=section.reload_s,
        choices=open_choices(settings),
        settle_s=0.2,
        model_of=partial(_model_of, settings),
        may_be_missing=own if section.folder is None else None,
    )


def own_folder(settings: Settings) -> Path:
    """Where a person's own profiles are: the settings' folder, else one in the data folder.

    Args:
        settings: Their section `profiles`, and the data folder.
    """
    folder = settings.profiles.folder
    return folder.expanduser() if folder is not None else data_folder(settings) / "profiles"


def _packaged(role: str, promoted: Mapping[str, str]) -> str | None:
    if role in promoted:
        return promoted[role]
    return None if role == PRIMARY else packaged_catalogue().role(role)


def _model_of(settings: Settings, role: str, promoted: Mapping[str, str]) -> str | None:
    """The model of a role; None where it is the one that the settings name anyway."""
    catalogue = open_catalogue(settings.openai.catalogue)
    model = model_of_role(role, settings, catalogue=catalogue, promoted=promoted)
    return None if role == PRIMARY and model == settings.openai.model else model


def with_profile(settings: Settings, profile: Profile) -> Settings:
    """Settings whose OpenAI model and timeouts are the profile's, where it names them.

    Args:
        settings: The settings.
        profile: What to lay over them.
    """
    changes: dict[str, Any] = {}
    if profile.model is not None:
        changes["model"] = profile.model
    waits = {
        "timeout_s": profile.timeouts.total_s,
        "first_token_timeout_s": profile.timeouts.first_token_s,
        "idle_timeout_s": profile.timeouts.idle_s,
    }
    changes |= {name: value for name, value in waits.items() if value is not None}
    return settings.with_section("openai", **changes) if changes else settings
