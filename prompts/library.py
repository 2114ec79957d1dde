"""The library: all templates of all sources, the live version of each, and hot reload.

What is loaded is an immutable snapshot that is swapped in one assignment, so a reader sees either
the old state or the new one. A file that turns out broken never replaces a good one: the version
that was loaded before stays, and `problems()` says what is wrong.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from allotrope.exceptions import PromptError
from allotrope.prompts.schema import TemplateError
from allotrope.prompts.stores.parsing import body_of, parse
from allotrope.prompts.stores.sources import FolderSource, Source, SourceState
from allotrope.prompts.template import PromptTemplateVersion
from allotrope.settings import Settings
from allotrope.stores.watching import Watcher
from allotrope.support.pools import TURNS

TEMPLATES = Path(__file__).parent / "templates"
"""The folder of the templates that ship with the package."""

GROUP = "allotrope.prompts"
"""Entry points of this group add folders of templates: `name = "package:folder"`."""

LATEST = "latest"
"""A label that always points to the highest version, drafts too."""


@dataclass(frozen=True)
class Snapshot:
    """All templates at one moment.

    Args:
        templates: By `name@version`.
        versions: The versions of each name, ascending.
        labels: (label, name) to version.
        problems: What is wrong, as sentences, by `name@version` or file.
        origins: `name@version` to the source that gave it.
    """

    templates: Mapping[str, PromptTemplateVersion] = field(default_factory=dict)
    versions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    labels: Mapping[tuple[str, str], int] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    def version_of(self, name: str, label: str) -> int:
        """The version that a label points to.

        Raises:
            PromptError: No such template or label.
        """
        versions = self.versions.get(name)
        if not versions:
            raise self._unknown(name)
        if label == LATEST:
            return versions[-1]
        if label.isdecimal():  # a version by its number; labels begin with a letter
            if int(label) in versions:
                return int(label)
            known_versions = ", ".join(str(v) for v in versions)
            raise PromptError(
                f"The prompt {name!r} has no version {label}.", hint=f"It has: {known_versions}."
            )
        version = self.labels.get((label, name))
        if version is not None:
            return version
        if label == "production":
            if len(versions) == 1:
                return versions[0]
            raise PromptError(
                f"No version of the prompt {name!r} is live.",
                hint=f"Say which: `allotrope prompts promote {name}@{versions[-1]}`.",
            )
        if not any(known == label for known, _ in self.labels):
            known = sorted({known for known, _ in self.labels} | {"production", LATEST})
            raise PromptError(f"There is no label {label!r}.", hint=f"Known: {', '.join(known)}.")
        return self.version_of(name, "production")

    def get(self, ref: str, label: str) -> PromptTemplateVersion:
        """The template `name` (by label) or `name@version`.

        Raises:
            PromptError: No such template, version or label, or it is broken.
        """
        name, _, version = ref.partition("@")
        if version:
            wanted = ref
        elif label.isdecimal():
            wanted = f"{name}@{label}"
        elif "@" in label:
            pins = dict(pin.strip().partition("@")[::2] for pin in label.split(","))
            pinned = pins.get(name)
            wanted = f"{name}@{pinned or self.version_of(name, 'production')}"
        else:
            wanted = f"{name}@{self.version_of(name, label)}"
        found = self.templates.get(wanted)
        if found is not None:
            return found
        if wanted in self.problems:
            raise PromptError(self.problems[wanted])
        if name not in self.versions:
            raise self._unknown(name)
        known = ", ".join(str(v) for v in self.versions[name])
        raise PromptError(
            f"The prompt {name!r} has no version {wanted.partition('@')[2]}.",
            hint=f"It has: {known}.",
        )

    def _unknown(self, name: str) -> PromptError:
        from difflib import get_close_matches

        for ref, problem in self.problems.items():
            if ref.partition("@")[0] == name:
                return PromptError(problem)
        near = get_close_matches(name, self.versions, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "See `allotrope prompts list`."
        return PromptError(f"There is no prompt {name!r}.", hint=hint)


class PromptLibrary:
    """Gives templates by name and label, and follows changes of their sources.

    Args:
        sources: Lowest first; a later source's labels win over an earlier one's.
        label: The label where `get` is given none.
        reload_s: Seconds between two looks for changes; None: never look again.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        label: str = "production",
        reload_s: float | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self._label = label
        self._reload_s = reload_s
        self._snapshot: Snapshot | None = None
        self._states: tuple[SourceState, ...] | None = None
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None

    @property
    def snapshot(self) -> Snapshot:
        """Everything that is loaded; loads at the first use."""
        snapshot = self._snapshot
        if snapshot is None:
            self.refresh()
            snapshot = self._snapshot
            assert snapshot is not None
        return snapshot

    def get(self, ref: str, label: str | None = None) -> PromptTemplateVersion:
        """The template by `name` and label, or by `name@version`.

        The first call reads the sources; later ones touch no file.

        Args:
            ref: `assistant` or `assistant@3`.
            label: Default: the library's; a template that doesn't have it answers with
                `production`. A number means that version; `assistant@2` (several: with commas)
                pins those templates and leaves the others at `production`.

        Raises:
            PromptError: No such template, version or label, or it is broken.
        """
        return self.snapshot.get(ref, label or self._label)

    async def aget(self, ref: str, label: str | None = None) -> PromptTemplateVersion:
        """As `get`; the first load runs in a thread, so the event loop is never blocked."""
        if self._snapshot is None:
            await TURNS.run(self.refresh)
        return self.get(ref, label)

    def problems(self) -> Mapping[str, str]:
        """What is wrong with the sources now, by `name@version` or file."""
        return self.snapshot.problems

    def refresh(self) -> bool:
        """Looks at the sources now.

        Returns:
            Whether anything changed.

        Raises:
            PromptError: A source can't be read, and there is nothing loaded yet.
        """
        with self._lock:
            before = self._states
            states = []
            for index, source in enumerate(self.sources):
                old = before[index] if before else None
                try:
                    states.append(source.read(old))
                except PromptError as exc:
                    if old is None:
                        raise
                    states.append(_unreadable(old, source.name, exc))
            self._states = tuple(states)
            if before is not None and all(
                new is old for new, old in zip(states, before, strict=True)
            ):
                return False
            snapshot = build(self.sources, states, self._snapshot)
            changed = snapshot != self._snapshot
            first = self._snapshot is None
            for ref, problem in snapshot.problems.items():
                if self._snapshot is None or self._snapshot.problems.get(ref) != problem:
                    logging.getLogger("allotrope.prompts").warning("%s", problem)
            self._snapshot = snapshot
        if first and self._reload_s is not None:
            self._watcher = Watcher(self, self._reload_s, name="allotrope-prompts")
            self._watcher.start()
        return changed

    def close(self) -> None:
        """Stops looking for changes; what is loaded stays usable."""
        if self._watcher is not None:
            self._watcher.stop()


def _unreadable(old: SourceState, name: str, exc: PromptError) -> SourceState:
    return SourceState(
        texts=old.texts,
        origins=old.origins,
        labels=old.labels,
        locks=old.locks,
        problems={**old.problems, name: str(exc)},
        signature=old.signature,
    )


def build(
    sources: Sequence[Source], states: Sequence[SourceState], previous: Snapshot | None
) -> Snapshot:
    """Joins the sources to one snapshot; what is broken stays as it was in `previous`.

    Args:
        sources: Lowest first.
        states: What each holds, in the same order.
        previous: The snapshot until now.
    """
    problems: dict[str, str] = {}
    bodies: dict[str, str] = {}
    templates: dict[str, PromptTemplateVersion] = {}
    origins: dict[str, str] = {}
    old = previous.templates if previous else {}
    for state in states:
        problems.update(state.problems)
        for ref, text in state.texts.items():
            if not ref.startswith("_"):
                continue
            try:
                meta, body = body_of(text, origin=state.origins[ref])
                if f"{meta.name}@{meta.version}" != ref:
                    raise _misnamed(ref, f"{meta.name}@{meta.version}", state)
                bodies.setdefault(ref.removeprefix("_"), body)
            except TemplateError as exc:
                problems[ref] = str(exc)
    for source, state in zip(sources, states, strict=True):
        for ref, text in state.texts.items():
            if ref.startswith("_"):
                continue
            try:
                version = _one(ref, text, state, bodies, old.get(ref))
                there = templates.get(ref)
                if there is not None and there.hash != version.hash:
                    raise TemplateError(
                        f"{ref} is already defined by {there.origin} with another text; "
                        f"give yours another number (`allotrope prompts new {version.name}`)",
                        origin=version.origin,
                        at="version",
                    )
            except TemplateError as exc:
                problems[ref] = str(exc)
                if ref in old and ref not in templates:
                    templates[ref] = old[ref]
                    origins[ref] = source.name
                continue
            templates[ref] = version
            origins[ref] = source.name
    labels = _labels(states, templates, problems, previous)
    for (_, name), number in labels.items():
        ref = f"{name}@{number}"
        if ref not in templates and ref in old:
            templates[ref] = old[ref]
            problems[ref] = f"{ref} is live, but its file is gone; the last version is kept."
    versions: dict[str, list[int]] = {}
    for version in templates.values():
        versions.setdefault(version.name, []).append(version.version)
    return Snapshot(
        templates=templates,
        versions={name: tuple(sorted(numbers)) for name, numbers in sorted(versions.items())},
        labels=labels,
        problems=problems,
        origins=origins,
    )


def _one(
    ref: str,
    text: str,
    state: SourceState,
    bodies: Mapping[str, str],
    old: PromptTemplateVersion | None,
) -> PromptTemplateVersion:
    def load(name: str) -> str:
        return bodies[name]

    if (
        old is not None
        and old.origin == state.origins[ref]
        and old.text == text
        and not old.partials
    ):
        version = old
    else:
        version = parse(text, origin=state.origins[ref], load_partial=load)
    if version.ref != ref:
        raise _misnamed(ref, version.ref, state)
    locked = state.locks.get(ref)
    if locked is not None and locked != version.hash:
        raise TemplateError(
            f"{ref} was changed after it had been live, and versions don't change; put the old "
            f"text back and make a new version (`allotrope prompts new {version.name}`)",
            origin=version.origin,
        )
    return version


def _misnamed(ref: str, says: str, state: SourceState) -> TemplateError:
    return TemplateError(
        f"the file is called {ref}, but it says {says}", origin=state.origins[ref], at="version"
    )


def _labels(
    states: Sequence[SourceState],
    templates: Mapping[str, PromptTemplateVersion],
    problems: dict[str, str],
    previous: Snapshot | None,
) -> dict[tuple[str, str], int]:
    labels: dict[tuple[str, str], int] = {}
    old = previous.labels if previous else {}
    known = previous.templates if previous else {}
    for state in states:
        for label, names in state.labels.labels.items():
            for name, number in names.items():
                ref = f"{name}@{number}"
                if ref in templates or ref in known:
                    labels[label, name] = number
                    continue
                problems.setdefault(ref, f"The label {label!r} points to {ref}, which isn't there.")
                if (label, name) in old:
                    labels[label, name] = old[label, name]
    return labels


def installed() -> list[Path]:
    """The template folders of installed packages: entry points `name = "package:folder"`.

    The packages themselves aren't imported.
    """
    folders = []
    for point in sorted(entry_points(group=GROUP)):
        found = find_spec(point.module)
        for place in (found.submodule_search_locations or ()) if found else ():
            folders.append(Path(place, *point.attr.split(".")))
    return folders


def open_library(settings: Settings) -> PromptLibrary:
    """The library of the settings: what ships with us, installed packages, folder, database.

    Opens nothing yet; the first `get` reads.

    Args:
        settings: Its section `prompts`.
    """
    section = settings.prompts
    own = None if section.folder is None else section.folder.expanduser()
    # Who works on the packaged templates themselves names their folder, and may then write there.
    ours = own is not None and own.resolve() == TEMPLATES.resolve()
    sources: list[Source] = [FolderSource(TEMPLATES, settle_s=0.0, writable=ours)]
    sources.extend(FolderSource(folder, writable=False, required=False) for folder in installed())
    if own is not None and not ours:
        sources.append(FolderSource(own, settle_s=section.settle_s))
    if section.database_url is not None:
        from allotrope.prompts.stores.database import DatabaseSource

        sources.append(DatabaseSource(section.database_url.get_secret_value()))
    return PromptLibrary(sources, label=section.label, reload_s=section.reload_s)
