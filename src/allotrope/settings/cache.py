"""Settings of the cache."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from allotrope.settings.sections import Section

Lifetime = Annotated[float, Field(gt=0, le=366 * 86_400)]


class SemanticSettings(Section):
    """The semantic tier: answers to the same question in other words."""

    mode: Literal["off", "shadow", "on"] = Field(
        default="on",
        description="shadow counts what would hit without serving it.",
    )
    embeddings: str | None = Field(
        default=None,
        description="init_embeddings name, `openai:text-embedding-3-small`; none: tier off.",
    )
    precision: Literal["strict", "balanced", "wide"] = Field(
        default="strict",
        description="How sure the gate must be: the calibrated score at 0.92, 0.87 or 0.83.",
    )
    coefficients: Path | None = Field(
        default=None, description="A file of `allotrope cache calibrate`; default: the shipped."
    )
    max_entries: int = Field(default=10_000, ge=1, description="Questions kept per space.")
    ttl_s: Lifetime = Field(default=86_400.0, description="Seconds a semantic hit may be old.")
    ttl_by_agent: dict[str, Lifetime] = Field(
        default_factory=dict, description="Other ages in seconds, by agent."
    )
    ttl_by_profile: dict[str, Lifetime] = Field(
        default_factory=dict, description="Other ages in seconds, by profile."
    )
    verify: str | None = Field(
        default=None,
        description="A cheap model that must agree: a role (`economical`), `embedded`, or "
        "`openai:gpt-4o-mini`.",
    )
    index: Literal["auto", "process", "redis"] = Field(
        default="auto",
        description="Who searches the vectors; auto: Redis where it can, else this process.",
    )
    candidates: int = Field(default=5, ge=1, le=50, description="Neighbours put to the gate.")


class CacheSettings(Section):
    """Settings of the cache."""

    enabled: bool = Field(default=True, description="Whether answers are cached at all.")
    factory: str | None = Field(
        default=None,
        description="`module:function` giving another LangChain BaseCache, called with settings.",
    )
    ttl_s: Lifetime = Field(default=7 * 86_400.0, description="Seconds an answer is kept.")
    ttl_by_agent: dict[str, Lifetime] = Field(
        default_factory=dict, description="Other lifetimes in seconds, by agent."
    )
    ttl_by_profile: dict[str, Lifetime] = Field(
        default_factory=dict, description="Other lifetimes in seconds, by profile."
    )
    ttl_jitter: float = Field(
        default=0.1, ge=0, le=0.5, description="Share by which lifetimes are spread."
    )
    volatile_ttl_s: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Seconds an answer to a time-dependent question is kept; 0: not at all.",
    )
    volatile_tools: tuple[str, ...] = Field(
        default=("search", "browse", "fetch", "weather", "news", "stock", "price", "now", "clock"),
        description="Words in a tool's name that mean it reads the changing world.",
    )
    bypass_profiles: tuple[str, ...] = Field(
        default=("creative",), description="Profiles made for variety; they ask anew."
    )
    max_entries: int = Field(default=10_000, ge=1, description="Answers per tenant and agent.")
    max_bytes: int = Field(
        default=64 * 2**20, ge=1024, description="Bytes of answers per tenant and agent."
    )
    timeout_s: float = Field(
        default=0.05, gt=0, le=10, description="Seconds one command may take before it is a miss."
    )
    breaker_failures: int = Field(
        default=3, ge=1, description="Failures in a row that switch the cache off for a while."
    )
    breaker_open_s: float = Field(
        default=10.0, gt=0, le=3600, description="Seconds the cache stays off then."
    )
    compress_over_bytes: int = Field(
        default=1024, ge=0, description="Answers over this size are compressed (zstd)."
    )
    encryption_key: SecretStr | None = Field(
        default=None, description="A Fernet key; with it everything stored is encrypted."
    )
    single_flight: bool = Field(
        default=True, description="Ask once when the same question comes many times at once."
    )
    lease_s: float = Field(
        default=6.0, ge=1, le=600, description="Seconds after which a dead asker is replaced."
    )
    wait_s: float = Field(
        default=120.0, ge=0, le=3600, description="Seconds a waiter waits before asking itself."
    )
    semantic: SemanticSettings = SemanticSettings()
