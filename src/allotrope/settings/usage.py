"""Settings of the usage: ledger, prices, budgets, notifiers."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from allotrope.settings.sections import Section

Usd = Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=6)]
PerMillion = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=9)]


class PriceOverride(Section):
    """A price of our own, in USD per million tokens; it wins over the price list."""

    model: str = Field(min_length=1, description="The model's name, exactly as it is reported.")
    provider: str = Field(default="openai", description="openai, ollama, embedded or another.")
    tier: str = Field(default="default", description="default, flex, priority or batch.")
    since: date = Field(default=date(2020, 1, 1), description="First day (UTC) it applies.")
    input: PerMillion = Field(description="USD per million input tokens.")
    output: PerMillion = Field(description="USD per million output tokens.")
    cached_input: PerMillion | None = Field(
        default=None, description="USD per million cached input tokens; default: as input."
    )
    cache_write: PerMillion | None = Field(
        default=None,
        description="USD per million input tokens written to the provider's prompt cache; "
        "default: as input.",
    )


class ThresholdSettings(Section):
    """What happens when a budget is used up to some percentage."""

    percent: Annotated[float, Field(gt=0, le=1000)]
    action: Literal["notify", "switch_profile", "local_only", "refuse"] = "notify"
    profile: str | None = Field(default=None, description="The profile to switch to.")

    @model_validator(mode="after")
    def _profile_named(self) -> Self:
        if self.action == "switch_profile" and not self.profile:
            raise ValueError("the action switch_profile needs a profile to switch to")
        return self


class BudgetSettings(Section):
    """A limit in USD or tokens per day, week or month (UTC)."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Letters, digits, _ . -")
    usd: Usd | None = Field(default=None, description="Limit in USD.")
    tokens: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="Limit in tokens, in and out together."
    )
    period: Literal["day", "week", "month"] = "month"
    scope: Literal["all", "agent", "tenant", "user", "thread"] = "all"
    match: str | None = Field(
        default=None, description="The one agent, tenant … meant; default: each on its own."
    )
    thresholds: tuple[ThresholdSettings, ...] = (
        ThresholdSettings(percent=50),
        ThresholdSettings(percent=80),
        ThresholdSettings(percent=95),
        ThresholdSettings(percent=100, action="refuse"),
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.usd is None) == (self.tokens is None):
            raise ValueError(f"budget {self.name!r} needs exactly one of usd and tokens")
        percents = [threshold.percent for threshold in self.thresholds]
        if percents != sorted(set(percents)):
            raise ValueError(f"budget {self.name!r}: thresholds must rise, each percentage once")
        return self


class NotifierSettings(Section):
    """Where alerts and scheduled reports go."""

    kind: Literal["log", "webhook", "smtp", "command"] = "log"
    url: SecretStr | None = Field(default=None, description="Of the webhook (it is a secret).")
    secret: SecretStr | None = Field(default=None, description="Signs webhook bodies (HMAC).")
    host: str | None = Field(default=None, description="SMTP server.")
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    starttls: bool = True
    username: str | None = None
    password: SecretStr | None = None
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    command: tuple[str, ...] = Field(
        default=(), description="Program and arguments; it gets the alert as JSON on stdin."
    )
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: SecretStr | None) -> SecretStr | None:
        from urllib.parse import urlsplit

        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("a webhook needs an http:// or https:// URL with a host")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs: dict[str, dict[str, object]] = {
            "webhook": {"url": self.url},
            "smtp": {"host": self.host, "sender": self.sender, "recipients": self.recipients},
            "command": {"command": self.command},
        }
        missing = [name for name, value in needs.get(self.kind, {}).items() if not value]
        if missing:
            raise ValueError(f"a {self.kind} notifier needs {' and '.join(missing)}")
        return self


class UsageSettings(Section):
    """Settings of the usage: ledger, prices, budgets, notifiers."""

    enabled: bool = Field(default=True, description="Whether calls are recorded at all.")
    ledger_url: SecretStr | None = Field(
        default=None, description="postgresql://…; default: SQLite in the data folder."
    )
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=10_000, description="Calls that may wait for the writer; more go to the spill file."
    )
    flush_interval_s: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="Longest time a call waits to be committed; what a crash may lose."
    )
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 500
    retention_days: Annotated[int, Field(ge=1)] | None = Field(
        default=400, description="How long single calls are kept; roll-ups stay."
    )
    prices: tuple[PriceOverride, ...] = ()
    budgets: tuple[BudgetSettings, ...] = ()
    allowances: bool = Field(
        default=False,
        description="Hold the budgets that keys have; `allotrope serve` always does.",
    )
    hysteresis_percent: Annotated[float, Field(ge=0, le=50)] = Field(
        default=5.0, description="How far use must fall below a threshold to leave it again."
    )
    expected_output_tokens: Annotated[int, Field(ge=1)] = Field(
        default=1_000, description="Reserved for the answer of a call that names no limit."
    )
    reservation_ttl_s: Annotated[float, Field(ge=10, le=86_400)] = Field(
        default=900.0, description="When the reservation of a call that vanished is given back."
    )
    notifiers: tuple[NotifierSettings, ...] = (NotifierSettings(),)
    anomaly_factor: Annotated[float, Field(ge=2)] = Field(
        default=6.0, description="Deviations (MAD) above the usual hour that raise an alert."
    )
    anomaly_minimum_usd: Usd = Field(
        default=Decimal("0.50"), description="Hours cheaper than this are never an anomaly."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [budget.name for budget in self.budgets]
        if len(names) != len(set(names)):
            raise ValueError("two budgets have the same name")
        return self
