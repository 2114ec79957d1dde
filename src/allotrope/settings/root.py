"""The settings of a process, and how they are found.

Order, first wins: arguments of `load_settings`, `ALLOTROPE_*` variables, `ALLOTROPE_*_FILE`
variables (Docker secrets), the usual names of other tools (`OPENAI_API_KEY`, `OLLAMA_HOST`,
`REDIS_URL` …), the `.env` file in the working folder (both kinds of name), the defaults of the
environment (`ALLOTROPE_ENV`), the defaults. What a folder's `.env` may set: `env_file.py`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from allotrope.exceptions import SettingsError
from allotrope.settings.agents import AgentsSettings
from allotrope.settings.cache import CacheSettings
from allotrope.settings.env_file import EnvLine, guarded, is_trusted, read_env_file, refusal
from allotrope.settings.experiments import ExperimentsSettings
from allotrope.settings.memory import MemorySettings
from allotrope.settings.profiles import ProfilesSettings
from allotrope.settings.prompts import PromptsSettings
from allotrope.settings.resilience import ResilienceSettings
from allotrope.settings.sections import (
    EmbeddedSettings,
    LogSettings,
    OllamaSettings,
    OpenAISettings,
    RedisSettings,
)
from allotrope.settings.serve import ServeSettings
from allotrope.settings.usage import UsageSettings
from allotrope.support.complaints import complaints

PREFIX = "ALLOTROPE_"
TESTS = "ALLOTROPE_TEST_"
"""Variables for our tests; no settings."""

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "OPENAI_API_KEY": ("openai", "api_key"),
    "OPENAI_BASE_URL": ("openai", "base_url"),
    "OPENAI_ORG_ID": ("openai", "organization"),
    "OLLAMA_HOST": ("ollama", "host"),
    "REDIS_URL": ("redis", "url"),
}
"""Variables of other tools that we honour, and the setting each one fills."""

FOLDER_FILE = Path(".env")
"""The file that is read unasked, in the working folder, as far as the person trusts it."""

ENV_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "dev": {},
    "staging": {"log": {"level": "INFO", "format": "json"}},
    "prod": {
        "log": {"level": "INFO", "format": "json"},
        "embedded": {"enabled": False},
        "redis": {"embedded": False},
        "strict": True,
    },
}
"""What differs by environment: prod embeds nothing unless asked, logs JSON, and is strict."""


class Settings(BaseSettings):
    """Everything that can be set. Frozen; made by `load_settings`, never at import."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    env: Literal["dev", "staging", "prod"] = Field(
        default="dev",
        description="Which environment this is.",
    )
    strict: bool = Field(
        default=False,
        description="Refuse to start on what would otherwise be a warning.",
    )
    data_dir: Path | None = Field(
        default=None,
        description="Where everything is kept; default: the user's data folder.",
    )
    tenant: str = Field(
        default="default", min_length=1, description="Whose data this is, where a run doesn't say."
    )
    checkpoint_url: SecretStr | None = Field(
        default=None,
        description="postgresql://… for checkpoints; default: SQLite in the data folder.",
    )
    callbacks: tuple[str, ...] = Field(
        default=("allotrope.usage.assembly:from_settings",),
        description="Factories `module:function` of handlers, called with the settings.",
    )
    openai: OpenAISettings = OpenAISettings()
    ollama: OllamaSettings = OllamaSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    providers: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Settings of providers that have no section of their own, by name.",
    )
    redis: RedisSettings = RedisSettings()
    log: LogSettings = LogSettings()
    cache: CacheSettings = CacheSettings()
    resilience: ResilienceSettings = ResilienceSettings()
    memory: MemorySettings = MemorySettings()
    usage: UsageSettings = UsageSettings()
    prompts: PromptsSettings = PromptsSettings()
    profiles: ProfilesSettings = ProfilesSettings()
    experiments: ExperimentsSettings = ExperimentsSettings()
    agents: AgentsSettings = AgentsSettings()
    serve: ServeSettings = ServeSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` collected counts; it has read the environment already."""
        return (init_settings,)

    def with_section(self, section: str, **values: Any) -> Self:
        """These settings with other values in one section, which aren't checked again.

        Args:
            section: Its name: `openai`, `profiles`.
            values: By the names of its settings.
        """
        changed = getattr(self, section).model_copy(update=values)
        return self.model_copy(update={section: changed})


def load_settings(
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = FOLDER_FILE,
    **overrides: Any,
) -> Settings:
    """Reads the settings of this process.

    Args:
        environ: The environment variables; default: those of the process.
        env_file: A `.env` file; missing is fine, None reads none. One that you name is taken
            whole; the working folder's, which is read unasked, only as far as it is trusted.
        overrides: Settings that win over everything; sections as dicts, `openai={"model": "o3"}`.

    Returns:
        The settings, frozen.

    Raises:
        SettingsError: A value is malformed or a name unknown; the message names the variable. Or
            the working folder's `.env` sets what only a trusted folder may set.
    """
    environ = os.environ if environ is None else environ
    dotenv = _read_env_file(env_file)
    collected: dict[str, Any] = {}
    origins: dict[tuple[str, ...], str] = {}
    for source in (
        _usual(dotenv),
        _files(dotenv),
        _own(dotenv),
        _usual(environ),
        _files(environ),
        _own(environ),
    ):
        for path, (name, value) in source.items():
            _put(collected, path, value)
            origins[path] = name
    merged = _merge(collected, overrides)
    env = merged.get("env", "dev")
    if env not in ENV_DEFAULTS:
        raise SettingsError(
            f"ALLOTROPE_ENV is {env!r}, which is no environment.", hint="Use dev, staging or prod."
        )
    try:
        return Settings(**_merge(ENV_DEFAULTS[env], merged))
    except ValidationError as exc:
        raise SettingsError(_explain(exc, origins)) from exc


def _read_env_file(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    file = read_env_file(path)
    lines = file.lines(expand=path is not FOLDER_FILE)
    if path is FOLDER_FILE and lines:
        trusted = is_trusted(file)
        if not trusted and (refused := guarded_lines(lines)):
            raise refusal(path, refused)
        lines = file.lines(expand=trusted)
    return {line.name: line.value for line in lines}


def guarded_lines(lines: list[EnvLine]) -> list[EnvLine]:
    """The lines of a `.env` file that only a trusted folder may have."""
    return guarded(lines, Settings, _setting_of)


def _setting_of(line: EnvLine) -> tuple[str, ...] | None:
    """The setting that a variable fills."""
    bare = line.name.removesuffix("_FILE")
    if bare in USUAL_NAMES:
        return USUAL_NAMES[bare]
    if bare.startswith(PREFIX) and not bare.startswith(TESTS) and line.value:
        return _path_of(bare)
    return None


_Found = dict[tuple[str, ...], tuple[str, Any]]


def _path_of(name: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))


def _own(environ: Mapping[str, str]) -> _Found:
    return {
        _path_of(name): (name, _decode(_path_of(name), value))
        for name, value in environ.items()
        if name.startswith(PREFIX)
        and not name.startswith(TESTS)
        and not name.endswith("_FILE")
        and value != ""
    }


def _files(environ: Mapping[str, str]) -> _Found:
    found: _Found = {}
    for name, value in environ.items():
        bare = name.removesuffix("_FILE")
        if bare == name or not value:
            continue
        path = USUAL_NAMES.get(bare) or (_path_of(bare) if name.startswith(PREFIX) else None)
        if path is None:
            continue
        try:
            text = Path(value).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError(f"{name} points to {value!r}, which can't be read: {exc}.") from exc
        found[path] = (name, _decode(path, text))
    return found


def _usual(environ: Mapping[str, str]) -> _Found:
    return {path: (name, environ[name]) for name, path in USUAL_NAMES.items() if environ.get(name)}


def _decode(path: tuple[str, ...], value: str) -> Any:
    """What looks like a list, an object or null is JSON; the rest stays text for pydantic."""
    if value.strip() == "null":
        return None
    if value[:1] in "[{":
        import json

        try:
            return json.loads(value)
        except ValueError as exc:
            name = PREFIX + "__".join(path).upper()
            raise SettingsError(f"{name} looks like JSON but isn't: {exc}.") from exc
    return value


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        branch = tree.get(part)
        if not isinstance(branch, dict):
            branch = tree[part] = {}
        tree = branch
    tree[path[-1]] = value


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        base = merged.get(key)
        merged[key] = (
            _merge(base, value)
            if isinstance(base, Mapping) and isinstance(value, Mapping)
            else value
        )
    return merged


def _explain(exc: ValidationError, origins: Mapping[tuple[str, ...], str]) -> str:
    lines = []
    for one in complaints(exc):
        path = tuple(str(part) for part in one.path)
        name = origins.get(path) or PREFIX + "__".join(path).upper()
        if one.kind == "extra_forbidden":
            lines.append(f"{name} is no setting (check its spelling).")
        else:
            lines.append(f"{name}: {one.plain if _secret(path, one.value) else one.message}.")
    return " ".join(lines)


def _secret(path: tuple[str, ...], value: Any) -> bool:
    """Whether a refused value may hold a secret: by its name, or since it is a whole section."""
    if not isinstance(value, str | int | float | bool | None):
        return True
    kind = Settings.model_fields[path[0]].annotation if path[0] in Settings.model_fields else None
    section = isinstance(kind, type) and issubclass(kind, BaseModel) and len(path) == 1
    words = ("key", "token", "secret", "password", "url", "host")
    named = any(word in part for part in path for word in words)
    return section or named or (isinstance(value, str) and "://" in value)
