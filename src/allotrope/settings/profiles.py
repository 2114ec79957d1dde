"""Settings of the parameter profiles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from allotrope.settings.sections import Section


class ProfilesSettings(Section):
    """Which profile answers, and where own ones are."""

    folder: Path | None = Field(
        default=None,
        description="A folder of own profiles (NAME.yaml); one wins over a packaged one. Default: "
        "the folder profiles of the data folder, which may be missing.",
    )
    default: str = Field(
        default="balanced", description="The profile where neither run nor agent names one."
    )
    agents: Mapping[str, str] = Field(
        default={}, description="Profile by agent type, such as {'analyst': 'analytical'}."
    )
    overrides: Mapping[str, Mapping[str, Any]] = Field(
        default={},
        description="Fields by profile that win over its file, such as "
        "{'balanced': {'reasoning_effort': 'low'}}.",
    )
    reload_s: float | None = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="Seconds between two looks for changed profiles; null: never look again.",
    )
