"""The catalogue of models: rows from `catalogue.yaml`, with a person's own file laid over them."""

import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allotrope.exceptions import SettingsError
from allotrope.support.complaints import complaints

PACKAGED = Path(__file__).parent / "catalogue.yaml"
"""The catalogue that ships with the package."""

PRIMARY = "primary"
"""The role of what answers where a profile names neither model nor role."""

Endpoint = Literal["chat", "responses"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: Endpoint | None = None
    efforts: tuple[Effort, ...] | None = None
    prompt: int | None = Field(default=None, gt=0)
    answer: int | None = Field(default=None, gt=0)
    surcharge_above: int | None = Field(default=None, gt=0)
    breakpoints: bool | None = None
    source: str = "settings"


class Family(_Row):
    """What holds for every model of a family.

    Attributes:
        match: A regular expression over the bare name.
    """

    match: str


class Entry(_Row):
    """One model.

    Attributes:
        since: First day it is served.
        until: First day it is no longer served; None: no end is announced.
        successor: The model that takes over, at the same provider.
        endpoint: Which API it needs, where it needs one.
        efforts: Reasoning efforts it takes, lowest first.
        prompt: Longest prompt, in tokens.
        answer: Longest answer with its reasoning, in tokens.
        surcharge_above: Tokens of prompt above which the provider asks a higher price.
        breakpoints: Whether it takes explicit breakpoints of the provider's prompt cache.
        source: Where the row comes from.
    """

    since: date | None = None
    until: date | None = None
    successor: str | None = None


class Catalogue(BaseModel):
    """All models and roles.

    Attributes:
        dated: The day the file was written.
        sources: What the rows' `source` stands for.
        roles: By role, a model or another role.
        families: By name of the family; the first whose `match` fits counts.
        models: By name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dated: date | None = None
    sources: Mapping[str, str] = {}
    roles: Mapping[str, str] = {}
    families: Mapping[str, Family] = {}
    models: Mapping[str, Entry] = {}

    def family(self, name: str) -> Family | None:
        """The family of a bare name, also of one that no row has."""
        return next((f for f in self.families.values() if re.match(f.match, name)), None)

    def entry(self, name: str) -> Entry | None:
        """The row of a bare name, with what its family says where it is silent.

        A name without a row has what its family says; None where no family fits either.
        """
        row, family = self.models.get(name), self.family(name)
        if family is None:
            return row
        shared = family.model_dump(exclude={"match"}, exclude_none=True)
        own = {} if row is None else row.model_dump(exclude_none=True)
        return Entry.model_validate({**shared, **own})

    def role(self, role: str) -> str | None:
        """The model of a role; None where the catalogue has no such role."""
        if role not in self.roles:
            return None
        while role in self.roles:
            role = self.roles[role]
        return role

    def line(self, name: str) -> tuple[str, ...]:
        """A model and those that take over from it, in order."""
        names = [name]
        while (row := self.models.get(names[-1])) is not None and row.successor:
            names.append(row.successor)
        return tuple(names)


@cache
def packaged_catalogue() -> Catalogue:
    """The catalogue that ships with the package; read once."""
    return _checked(_read(PACKAGED), PACKAGED)


def open_catalogue(path: Path | None = None) -> Catalogue:
    """The catalogue with a person's own file laid over it.

    Args:
        path: A YAML file of the same form; its rows win field by field. None: the packaged one.

    Raises:
        SettingsError: The file can't be read, a field is wrong, a successor is missing, or models
            or roles follow each other in a circle.
    """
    if path is None:
        return packaged_catalogue()
    path = path.expanduser()
    base = packaged_catalogue().model_dump(mode="json", exclude_none=True)
    return _checked(_laid_over(base, _read(path)), path)


def _laid_over(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        base = merged.get(key)
        both = isinstance(base, Mapping) and isinstance(value, Mapping)
        merged[key] = _laid_over(dict(base or {}), value) if both else value
    return merged


def _read(path: Path) -> dict[str, Any]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - it is safe
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(
            f"The catalogue of models {path} can't be read: {exc}.",
            hint="Set ALLOTROPE_OPENAI__CATALOGUE to a YAML file, or take it away.",
        ) from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path}{where}: no YAML: {getattr(exc, 'problem', exc)}.") from exc
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: a catalogue must be a mapping (models, roles, families).")
    return data


def _checked(data: Mapping[str, Any], path: Path) -> Catalogue:
    try:
        catalogue = Catalogue.model_validate(data)
    except ValidationError as exc:
        first = complaints(exc)[0]
        raise SettingsError(f"{path}: {first.field}: {first.message}.") from exc
    for name, row in catalogue.models.items():
        if row.successor is not None and row.successor not in catalogue.models:
            raise SettingsError(
                f"{path}: {name}: its successor {row.successor!r} isn't in the catalogue.",
                hint=f"Add a row for {row.successor!r}, or name another successor.",
            )
        _no_circle(name, lambda n: getattr(catalogue.models.get(n), "successor", None), path)
    for role in catalogue.roles:
        _no_circle(role, catalogue.roles.get, path)
    for name, family in catalogue.families.items():
        try:
            re.compile(family.match)
        except re.error as exc:
            raise SettingsError(f"{path}: families.{name}.match: {exc}.") from exc
    return catalogue


def _no_circle(start: str, following: Any, path: Path) -> None:
    seen = [start]
    while (after := following(seen[-1])) is not None:
        if after in seen:
            told = " → ".join([*seen, after])
            raise SettingsError(
                f"{path}: models or roles follow each other in a circle: {told}.",
                hint="Let the last one have no successor.",
            )
        seen.append(after)
