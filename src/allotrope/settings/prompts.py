"""Settings of the prompts."""

from pathlib import Path

from pydantic import Field, SecretStr

from allotrope.settings.sections import Section


class PromptsSettings(Section):
    """Where prompt templates come from, and how often their sources are looked at again."""

    folder: Path | None = Field(
        default=None,
        description="A folder of own templates; it wins over what ships with the package.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of a database of own templates; it wins over the folder.",
    )
    fence_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="What the ids of quoted texts are made with; the same for servers that share a "
        "cache. Default: one of this data folder.",
    )
    label: str = Field(
        default="production",
        pattern=r"^[a-z][a-z0-9_-]*$",
        description="The label whose versions are used where a run names none.",
    )
    reload_s: float | None = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="Seconds between two looks for changed templates; null: never look again.",
    )
    settle_s: float = Field(
        default=0.2,
        ge=0,
        le=60,
        description="Seconds a changed file must stay unchanged before it is read.",
    )
