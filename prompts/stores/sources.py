"""Where templates come from: a folder of text files. (A database: `prompts.stores.database`.)

A folder holds `NAME@VERSION.md` files, `labels.yaml` (which version is live, with its history) and
`lock.yaml` (the hash of each version that was ever live, so that it can't change any more).
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import yaml
from pydantic import Field, ValidationError

from allotrope.exceptions import PromptError
from allotrope.prompts.mustache import MAX_CHARS
from allotrope.prompts.schema import Strict
from allotrope.stores.private import write_whole
from allotrope.support.complaints import complaints

Signature = tuple[int, int, int]
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class LabelChange(Strict):
    """One line of a label's history."""

    at: datetime
    label: str
    name: str
    version: int = Field(ge=1)
    was: int | None = None
    by: str = "promote"


class Labels(Strict):
    """Which version each label points to, per template."""

    labels: Mapping[str, Mapping[str, int]] = Field(default_factory=dict)
    history: tuple[LabelChange, ...] = ()


@dataclass(frozen=True)
class SourceState:
    """What a source held at one moment.

    Args:
        texts: `name@version` to its text.
        origins: `name@version` to where it stands, for error messages.
        labels: Which version is live.
        locks: `name@version` to the hash that it must have.
        problems: What could not be read, as sentences, by file.
        signature: Changes whenever the source changes.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    labels: Labels = field(default_factory=Labels)
    locks: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    signature: object = None


class Source(Protocol):
    """A place that templates come from."""

    @property
    def name(self) -> str:
        """How people know it: the folder's path, or `database`."""

    @property
    def writable(self) -> bool:
        """Whether own templates may be put there."""

    def read(self, previous: SourceState | None) -> SourceState:
        """What is there now; `previous` itself when nothing changed."""

    def write(self, ref: str, text: str) -> str:
        """Adds or replaces a draft; returns where it stands."""

    def label(self, change: LabelChange, *, digest: str) -> None:
        """Points a label to a version and locks that version's hash."""


@dataclass(frozen=True)
class _File:
    signature: Signature
    text: str


@dataclass(frozen=True)
class _FolderSignature:
    files: Mapping[str, _File]
    waiting: Mapping[str, tuple[Signature, float]]


class FolderSource:
    """Templates in a folder.

    A file that changes is read only after it has stayed unchanged for `settle_s`, so a file that
    an editor is still writing is never taken.

    Args:
        folder: Where the files are.
        settle_s: Seconds a changed file must stay unchanged.
        required: Whether a missing folder is an error.
        writable: Whether drafts and labels may be written here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settle_s: float = 0.2,
        required: bool = True,
        writable: bool = True,
    ) -> None:
        self.folder = folder
        self.writable = writable
        self._settle_s = settle_s
        self._required = required

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def read(self, previous: SourceState | None) -> SourceState:
        """What is in the folder now; `previous` itself when nothing changed."""
        before = previous.signature if previous else None
        known = before.files if isinstance(before, _FolderSignature) else {}
        waited = before.waiting if isinstance(before, _FolderSignature) else {}
        listed = self._list()
        files: dict[str, _File] = {}
        waiting: dict[str, tuple[Signature, float]] = {}
        problems: dict[str, str] = {}
        for name, signature in listed.items():
            old = known.get(name)
            if old is not None and old.signature == signature:
                files[name] = old
                continue
            now = time.monotonic()
            seen = waited.get(name)
            since = seen[1] if seen is not None and seen[0] == signature else now
            if previous is None:
                self._let_settle(self.folder / name, signature)
            elif now - since < self._settle_s:
                waiting[name] = (signature, since)
                if old is not None:
                    files[name] = old
                continue
            try:
                files[name] = self._read(name, signature)
            except _TornReadError:
                waiting[name] = (signature, time.monotonic())
                if old is not None:
                    files[name] = old
            except (OSError, ValueError) as exc:
                problems[name] = f"{self.folder / name}: {exc}."
                if old is not None:
                    files[name] = _File(signature=signature, text=old.text)
        if previous is not None and isinstance(before, _FolderSignature):
            same = {n: f.signature for n, f in files.items()} == {
                n: f.signature for n, f in before.files.items()
            }
            if same and not problems:
                if waiting == before.waiting:
                    return previous
                return SourceState(
                    texts=previous.texts,
                    origins=previous.origins,
                    labels=previous.labels,
                    locks=previous.locks,
                    problems=previous.problems,
                    signature=_FolderSignature(files=before.files, waiting=waiting),
                )
        return self._state(files, waiting, problems, previous)

    def _list(self) -> dict[str, Signature]:
        try:
            with os.scandir(self.folder) as entries:
                return {
                    e.name: _signature(e.stat())
                    for e in entries
                    if (e.name.endswith(".md") and e.name != "README.md" and e.is_file())
                    or e.name in ("labels.yaml", "lock.yaml")
                }
        except FileNotFoundError:
            if self._required:
                raise PromptError(
                    f"The folder of prompts {self.folder} is not there.",
                    hint="Make it, or change ALLOTROPE_PROMPTS__FOLDER.",
                ) from None
            return {}
        except OSError as exc:
            raise PromptError(f"The folder of prompts {self.folder} can't be read: {exc}.") from exc

    def _let_settle(self, path: Path, signature: Signature) -> None:
        """At the first load there is no old text to keep, so a fresh file is waited for."""
        age = time.time() - signature[0] / 1e9
        if 0 <= age < self._settle_s:
            time.sleep(self._settle_s - age)

    def _read(self, name: str, signature: Signature) -> _File:
        path = self.folder / name
        limit = MAX_CHARS * 4
        if signature[1] > limit:
            raise ValueError(f"the file has {signature[1]:,} bytes, at most {limit:,} are read")
        with path.open("rb") as file:
            before = _signature(os.fstat(file.fileno()))
            data = file.read(limit + 1)
            after = _signature(os.fstat(file.fileno()))
        if before != after or len(data) != after[1]:
            raise _TornReadError
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as exc:
            line = data.count(b"\n", 0, exc.start) + 1
            raise ValueError(f"line {line} is no UTF-8") from exc
        return _File(signature=after, text=text)

    def _state(
        self,
        files: Mapping[str, _File],
        waiting: Mapping[str, tuple[Signature, float]],
        problems: dict[str, str],
        previous: SourceState | None,
    ) -> SourceState:
        labels = previous.labels if previous else Labels()
        locks: Mapping[str, str] = previous.locks if previous else {}
        try:
            text = files["labels.yaml"].text if "labels.yaml" in files else ""
            labels = Labels.model_validate(_yaml(text) or {})
        except (ValueError, ValidationError) as exc:
            problems["labels.yaml"] = f"{self.folder / 'labels.yaml'}: {_first_line(exc)}."
        try:
            text = files["lock.yaml"].text if "lock.yaml" in files else ""
            locks = _locks(_yaml(text))
        except ValueError as exc:
            problems["lock.yaml"] = f"{self.folder / 'lock.yaml'}: {_first_line(exc)}."
        templates = {n.removesuffix(".md"): f for n, f in files.items() if n.endswith(".md")}
        return SourceState(
            texts={ref: file.text for ref, file in templates.items()},
            origins={ref: str(self.folder / f"{ref}.md") for ref in templates},
            labels=labels,
            locks=locks,
            problems=problems,
            signature=_FolderSignature(files=files, waiting=waiting),
        )

    def write(self, ref: str, text: str) -> str:
        """Writes a draft in one step, so that no reader sees half of it."""
        path = self.folder / f"{ref}.md"
        _write(path, text)
        return str(path)

    def label(self, change: LabelChange, *, digest: str) -> None:
        """Points a label to a version: the lock first, so that what is live is always locked."""
        lock = self.folder / "lock.yaml"
        locks = _locks(_yaml(lock.read_text(encoding="utf-8"))) if lock.exists() else {}
        ref = f"{change.name}@{change.version}"
        if ref in locks and locks[ref] != digest:
            raise PromptError(
                f"{ref} was changed after it had been live.",
                hint=f"Make a new version: `allotrope prompts new {change.name}`.",
            )
        locks[ref] = digest
        _write(lock, yaml.safe_dump({"sha256": dict(sorted(locks.items()))}, width=200))
        path = self.folder / "labels.yaml"
        try:
            data = _yaml(path.read_text(encoding="utf-8")) if path.exists() else {}
            labels = Labels.model_validate(data or {})
        except (ValueError, ValidationError) as exc:
            raise PromptError(f"{path}: {_first_line(exc)}.") from exc
        table = {label: dict(names) for label, names in labels.labels.items()}
        table.setdefault(change.label, {})[change.name] = change.version
        history = [entry.model_dump(mode="json") for entry in (*labels.history, change)]
        _write(path, yaml.safe_dump({"labels": table, "history": history}, width=200))


class _TornReadError(Exception):
    """The file changed while it was read."""


def _signature(stat: os.stat_result) -> Signature:
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, the C one
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{where}{getattr(exc, 'problem', exc)}") from exc


def _locks(data: Any) -> dict[str, str]:
    if data is None:
        return {}
    table = data.get("sha256") if isinstance(data, dict) else None
    if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
        raise ValueError("it must be a mapping `sha256:` of name@version to hash")
    return {str(k): v for k, v in table.items()}


def _first_line(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        first = complaints(exc)[0]
        return f"{first.field}: {first.message}"
    return str(exc).split("\n", 1)[0].rstrip(".")


def _write(path: Path, text: str) -> None:
    """Writes beside and renames."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, mode=0o644, sync=True)
    except OSError as exc:
        raise PromptError(f"{path} can't be written: {exc.strerror}.") from exc


def now() -> datetime:
    """The time, to the second, for a label's history."""
    return datetime.now(UTC).replace(microsecond=0)
