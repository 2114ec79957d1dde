"""The sections of the settings that the foundation needs; larger packages have their own file."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class Section(BaseModel):
    """A frozen group of settings; unknown names are refused so that a typo is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Seconds = Annotated[float, Field(gt=0, le=3600)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s]+$")]


class OpenAISettings(Section):
    """OpenAI, or any server that speaks its API."""

    enabled: bool = Field(
        default=True,
        description="Whether OpenAI is part of the chain (it also needs a key).",
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="The key; also OPENAI_API_KEY or *_FILE.",
    )
    base_url: HttpUrl | None = Field(
        default=None,
        description="Another endpoint; also OPENAI_BASE_URL.",
    )
    organization: str | None = Field(
        default=None,
        description="Organisation id; also OPENAI_ORG_ID.",
    )
    model: str = Field(
        default="o3",
        description="The model of the role `primary`, and after its end its successors.",
    )
    roles: Mapping[str, str] = Field(
        default={},
        description="Model by role, such as {'economical': 'gpt-6-luna'}; others as the catalogue "
        "has them.",
    )
    succession: Literal["off", "warn", "auto"] = Field(
        default="auto",
        description="When a model ends: auto goes on with its successor, warn only says so, off "
        "says nothing.",
    )
    catalogue: Path | None = Field(
        default=None,
        description="A YAML file of own models and successors, laid over the packaged catalogue.",
    )
    refresh_models: bool = Field(
        default=True,
        description="Ask the provider's list of models for announced ends, in the background, "
        "once a day at most.",
    )
    today: date | None = Field(
        default=None,
        description="The day that models' ends are judged by; default: the clock's. For drills.",
    )
    use_responses_api: bool | None = Field(
        default=None,
        description="Speak /responses (true) or Chat Completions (false); default: what the model "
        "needs.",
    )
    connect_timeout_s: Seconds = 5.0
    timeout_s: Seconds = Field(default=120.0, description="Seconds for a whole request.")
    first_token_timeout_s: Seconds = Field(
        default=60.0,
        description="Seconds to the first chunk of a stream.",
    )
    idle_timeout_s: Seconds = Field(
        default=30.0,
        description="Seconds between two chunks of a stream.",
    )


class OllamaSettings(Section):
    """Ollama, the first fallback; in `dev`, unless one of these is set, only where one answers."""

    enabled: bool = Field(default=True, description="Whether Ollama is part of the chain.")
    host: str = Field(default="http://127.0.0.1:11434", description="Also OLLAMA_HOST.")
    model: str = Field(default="llama3.1", description="The model that takes over.")
    num_ctx: int = Field(
        default=8192, ge=512, description="Context window in tokens that is asked for."
    )
    connect_timeout_s: Seconds = 1.0
    timeout_s: Seconds = 120.0

    @field_validator("host")
    @classmethod
    def _with_scheme(cls, value: str) -> str:
        """OLLAMA_HOST is often `host:port` without a scheme; 0.0.0.0 is a listen address."""
        value = value if "://" in value else f"http://{value}"
        return value.replace("://0.0.0.0", "://127.0.0.1").rstrip("/")


class EmbeddedSettings(Section):
    """The embedded model (llama.cpp in this process), the last fallback."""

    enabled: bool = Field(
        default=True,
        description="Whether the embedded model is part of the chain.",
    )
    model_path: Path | None = Field(
        default=None,
        description="A GGUF file; default: SmolLM2 from its wheel.",
    )
    num_ctx: int = Field(default=8192, ge=512, description="Context window in tokens.")
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads; default: half the cores, one at least."
    )
    max_output_tokens: int = Field(default=512, ge=1, description="Longest answer in tokens.")
    tools: bool = Field(default=False, description="Offer tools to it; the small one misuses them.")
    timeout_s: Seconds = 300.0
    prompt_cache_mb: int = Field(
        default=64,
        ge=0,
        description="MB that prompts of other conversations may take, so that several which go on "
        "in turn aren't read from their start: some 25 MB for 1,000 tokens. The latest "
        "conversation is kept without it.",
    )


class RedisSettings(Section):
    """Redis: cache, breaker state, budgets' reservations."""

    url: SecretStr | None = Field(
        default=None,
        description="redis://, rediss://, unix://, redis+sentinel://, redis+cluster://; "
        "also REDIS_URL.",
    )
    embedded: bool = Field(
        default=True,
        description="Start the embedded server when there is no URL.",
    )
    prefix: str = Field(
        default="allotrope:", min_length=1, description="Before every key we write."
    )
    timeout_s: Seconds = Field(default=0.25, description="Seconds for one command.")


class LogSettings(Section):
    """Structured logs, without content and keys."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    format: Literal["text", "json"] = "text"
