"""A parameter profile: a named set of settings for a model, and what a run may cost."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from allotrope.models.providers.capabilities import Parameter

Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Timeouts(_Strict):
    """How long to wait; what is not set comes from the settings of the provider."""

    total_s: Seconds | None = Field(default=None, description="Seconds for a whole request.")
    first_token_s: Seconds | None = Field(default=None, description="Seconds to the first chunk.")
    idle_s: Seconds | None = Field(default=None, description="Seconds between two chunks.")


class CachePolicy(_Strict):
    """Which answers may come from the cache."""

    exact: bool = Field(default=True, description="Reuse the answer to the very same request.")
    semantic: bool | None = Field(
        default=None,
        description="Also to a question that means the same; default: as the settings say. "
        "True needs the semantic tier to be on.",
    )
    ttl_s: int | None = Field(default=None, ge=1, description="Seconds an answer is kept.")


class Budget(_Strict):
    """What one run may spend."""

    max_cost_usd: Decimal | None = Field(default=None, gt=0, description="USD for one run.")
    max_context_tokens: int | None = Field(
        default=None, ge=256, description="Prompt tokens at most, though the window is larger."
    )


class Profile(_Strict):
    """A named set of parameters. What is None is not sent, and the model's default counts."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=60)
    description: str = Field(min_length=1)
    role: str = Field(
        default="primary",
        description="Which model answers, by its role: primary, economical, judge or one of yours.",
    )
    model: str | None = Field(default=None, description="OpenAI model by name; wins over the role.")
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    verbosity: Literal["low", "medium", "high"] | None = None
    max_output_tokens: int | None = Field(
        default=None, ge=1, description="Tokens of the answer, with its reasoning."
    )
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: int | None = None
    stop: tuple[str, ...] | None = Field(default=None, max_length=4)
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    response_format: Literal["text", "json"] | None = None
    style: str = Field(
        default="", description="A sentence on how to write; the templates' variable `style`."
    )
    timeouts: Timeouts = Timeouts()
    cache: CachePolicy = CachePolicy()
    budget: Budget = Budget()
    optional: frozenset[Parameter] = Field(
        default=frozenset(),
        description="Parameters that are left out, with a note, where a model refuses them.",
    )
    assume: frozenset[Parameter] = Field(
        default=frozenset(),
        description="Parameters that this model is known to take, though our table says nothing.",
    )

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    def cache_directive(self, asked: str = "") -> str:
        """What a run's metadata says to the cache: what the run asks for, else the policy.

        Args:
            asked: The run's own directive; it wins over `exact`.
        """
        words = [asked] if asked else []
        if not asked and not self.cache.exact:
            words.append("no-store, no-cache")
        if self.cache.semantic is False:
            words.append("no-semantic")
        if self.cache.ttl_s is not None:
            words.append(f"ttl={self.cache.ttl_s}")
        return ", ".join(words)

    @property
    def max_cost(self) -> str | None:
        """USD that one run may cost, as a plain number in text; None: no limit."""
        limit = self.budget.max_cost_usd
        return None if limit is None else format(limit, "f")

    def set_parameters(self) -> Mapping[Parameter, Any]:
        """The model parameters that this profile sets, in a fixed order."""
        names: tuple[Parameter, ...] = (
            "reasoning_effort",
            "verbosity",
            "max_output_tokens",
            "temperature",
            "top_p",
            "presence_penalty",
            "frequency_penalty",
            "seed",
            "stop",
            "service_tier",
            "response_format",
        )
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
