"""A folder's `.env` file: what it may set, and what only a trusted folder may set.

A `.env` comes with whatever was cloned or unpacked there. Until the person trusts it
(`allotrope trust`), it may set numbers, switches and names of models, but nothing that decides
where keys and messages go, which files are read or written, or which code runs. Trust is given to
a file as it stands: once it changes, the person is asked again, as direnv does it.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from allotrope.exceptions import SettingsError

HARMLESS_TEXT: frozenset[tuple[str, ...]] = frozenset(
    {
        ("tenant",),
        ("openai", "api_key"),
        ("openai", "organization"),
        ("openai", "model"),
        ("openai", "roles"),
        ("ollama", "model"),
        ("cache", "ttl_by_agent"),
        ("cache", "ttl_by_profile"),
        ("cache", "volatile_tools"),
        ("cache", "bypass_profiles"),
        ("cache", "semantic", "ttl_by_agent"),
        ("cache", "semantic", "ttl_by_profile"),
        ("experiments", "feedback"),
        ("profiles", "default"),
        ("profiles", "agents"),
        ("profiles", "overrides"),
        ("prompts", "label"),
        ("usage", "prices"),
        ("usage", "budgets"),
    }
)
"""Settings of text that any folder may set. A key is on the list: it is the file's own, and the
address it goes to isn't."""

GUARDED_SECTIONS = ("agents", "serve")
"""Sections whose switches are borders (approval, isolation, tokens): only numbers are harmless."""

_NUMBERS = {"int", "float", "Decimal", "date", "NoneType"}


@dataclass(frozen=True)
class EnvLine:
    """One setting of a `.env` file.

    Args:
        name: The variable.
        value: What it is set to.
        line: Its line, counted from 1.
    """

    name: str
    value: str
    line: int


@dataclass(frozen=True)
class EnvFile:
    """What was read of a `.env` file, once.

    Args:
        path: The file.
        text: Its content; empty where there is none.
    """

    path: Path
    text: str

    @property
    def fingerprint(self) -> str:
        """What a trusted file is known by: SHA-256 of its content, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def lines(self, *, expand: bool) -> list[EnvLine]:
        """The lines that set something.

        Args:
            expand: Whether `${NAME}` becomes the value of that environment variable.
        """
        if not self.text:
            return []
        from dotenv import dotenv_values
        from dotenv.parser import parse_stream

        at = {b.key: b.original.line for b in parse_stream(io.StringIO(self.text)) if b.key}
        values = dotenv_values(stream=io.StringIO(self.text), interpolate=expand)
        return [EnvLine(k, value, at.get(k, 0)) for k, value in values.items() if value is not None]


def read_env_file(path: Path) -> EnvFile:
    """Reads a `.env` file; a missing one is empty.

    Raises:
        SettingsError: It can't be read.
    """
    try:
        return EnvFile(path, path.read_text(encoding="utf-8") if path.is_file() else "")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"The settings file {path} can't be read: {exc}.") from exc


def guarded(
    lines: list[EnvLine],
    settings: type[BaseModel],
    found: Callable[[EnvLine], tuple[str, ...] | None],
) -> list[EnvLine]:
    """The lines that only a trusted folder may have.

    Args:
        lines: Of the file.
        settings: The class of all settings.
        found: The setting that a line is about, as a path; None for what is no setting.
    """
    kept = []
    for line in lines:
        path = found(line)
        if path is None:
            continue
        if line.name.endswith("_FILE") or not _harmless(settings, path, _parsed(line.value)):
            kept.append(line)
    return kept


def _parsed(value: str) -> Any:
    try:
        return json.loads(value) if value[:1] in "[{" else value
    except ValueError:
        return value  # it ends in an error of its own


def _harmless(section: type[BaseModel], path: tuple[str, ...], value: Any) -> bool:
    """Whether a setting, or each setting of a whole section, may come from any folder."""
    model: Any = section
    for depth, name in enumerate(path):
        field = model.model_fields.get(name)
        if field is None:
            return True  # no setting: refused by name, whoever sets it
        here = path[: depth + 1]
        if here in HARMLESS_TEXT:
            return True
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
            continue
        return not path[depth + 1 :] and _plain(inner, guarded_section=path[0] in GUARDED_SECTIONS)
    return isinstance(value, Mapping) and all(
        _harmless(section, (*path, str(name)), part) for name, part in value.items()
    )


def _plain(annotation: Any, *, guarded_section: bool) -> bool:
    """Whether a type has room for numbers and fixed words only."""
    allowed = _NUMBERS if guarded_section else _NUMBERS | {"bool", "Literal"}
    return set(_atoms(annotation)) <= allowed


def _atoms(annotation: Any) -> Iterator[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield "Literal"
    elif annotation is None or annotation is NoneType:
        yield "NoneType"
    elif hasattr(annotation, "__metadata__"):
        yield from _atoms(arguments[0])
    elif origin in (Union, UnionType, tuple):
        for argument in arguments:
            if argument is not Ellipsis:
                yield from _atoms(argument)
    else:
        yield getattr(annotation, "__name__", str(annotation))


def trust_file() -> Path:
    """Where the trusted files are listed: in the person's own configuration folder."""
    from platformdirs import user_config_path

    return user_config_path("allotrope", appauthor=False) / "trusted.json"


def trusted_files() -> dict[str, str]:
    """The trusted files: absolute path to fingerprint.

    Raises:
        SettingsError: The list is damaged.
    """
    listed = trust_file()
    try:
        found = json.loads(listed.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {str(k): str(v) for k, v in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        pass
    raise SettingsError(
        f"The list of trusted files, {listed}, can't be read.",
        hint="Delete it, and run `allotrope trust` again where you need it.",
    )


def is_trusted(file: EnvFile) -> bool:
    """Whether the person trusted this file, as it was read."""
    return trusted_files().get(str(file.path.resolve())) == file.fingerprint


def set_trust(file: EnvFile, *, trusted: bool) -> bool:
    """Trusts a file as it was read, or no longer.

    Returns:
        Whether that changed anything.

    Raises:
        SettingsError: The list can't be read or written.
    """
    files, name = trusted_files(), str(file.path.resolve())
    wanted = file.fingerprint if trusted else None
    if files.get(name) == wanted:
        return False
    if wanted is None:
        del files[name]
    else:
        files[name] = wanted
    listed = trust_file()
    try:
        listed.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = listed.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(files, opened, indent=2, sort_keys=True)
        fresh.replace(listed)
    except OSError as exc:
        raise SettingsError(
            f"{listed} can't be written: {exc.strerror}.", hint="Make the folder writable."
        ) from exc
    return True


def refusal(path: Path, lines: list[EnvLine]) -> SettingsError:
    """Says which lines aren't taken, and what to do."""
    named = ", ".join(f"line {line.line} ({line.name})" for line in lines)
    several = len(lines) > 1
    return SettingsError(
        f"{path.absolute()}, {named}, {'decide' if several else 'decides'} where keys or messages "
        f"go, which files are used, or which code runs; a folder you don't trust may not.",
        hint=f"Read the file; if {'they are' if several else 'it is'} yours, run `allotrope trust` "
        "in that folder, or set it in the environment.",
    )
