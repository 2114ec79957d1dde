"""Settings of the HTTP side: `allotrope serve`, the dashboard, the metrics."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from allotrope.settings.sections import Section

Seconds = Annotated[float, Field(gt=0, le=3600)]


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]


class JwtSettings(Section):
    """Tokens that an OpenID Connect provider, or another issuer, signs for its users."""

    issuer: str = Field(min_length=1, description="Who signs: the claim `iss`, exactly.")
    audience: str = Field(min_length=1, description="Whom for: us, in the claim `aud`.")
    keys_url: str | None = Field(
        default=None, description="Address of the issuer's signing keys (its `jwks_uri`)."
    )
    keys_file: Path | None = Field(default=None, description="Or a file with them (JWKS).")
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256", "ES256"), min_length=1, description="Signatures that count."
    )
    user_claim: str = Field(default="sub", description="The claim that says who it is.")
    tenant_claim: str | None = Field(
        default=None, description="The claim with the tenant; default: the settings' tenant."
    )
    agents_claim: str | None = Field(
        default=None, description="The claim with the agents that may be asked; default: all."
    )
    leeway_s: Annotated[float, Field(ge=0, le=300)] = Field(
        default=10.0, description="By how much the clocks may differ."
    )
    refresh_s: Seconds = Field(
        default=300.0, description="How often the signing keys are fetched anew."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.keys_url is None) == (self.keys_file is None):
            raise ValueError("give keys_url or keys_file")
        return self


class ServeSettings(Section):
    """Settings of the HTTP side: `allotrope serve`, the dashboard, the metrics."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8080, description="Port of `allotrope serve`; 0 takes a free one."
    )
    token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="What clients must show (Bearer); default: `allotrope serve` makes one.",
    )
    no_token: bool = Field(
        default=False,
        description="Ask nobody for a token: whoever is on this machine may call. Loopback only.",
    )
    jwt: JwtSettings | None = Field(
        default=None, description="Tokens of an OpenID Connect provider are good, too."
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks whose X-Forwarded-For and -Proto are believed.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Host names that browsers may call us by, besides loopback's."
    )
    requests_per_minute: Annotated[int, Field(ge=1)] | None = Field(
        default=120, description="Turns a client may begin per minute; null: no limit."
    )
    running_turns: Annotated[int, Field(ge=1)] = Field(
        default=64, description="Turns that may run at once; more are told to come back."
    )
    heartbeat_s: Seconds = Field(
        default=15.0,
        description="A stream that has been silent so long says that the turn still runs.",
    )
    request_s: Seconds = Field(
        default=20.0,
        description="Seconds a client has to send its headers, and again for its body.",
    )
    drain_s: Seconds = Field(
        default=30.0, description="How long running turns may take to end after SIGTERM."
    )
    reports: bool = Field(
        default=False, description="Send the scheduled reports to the notifiers from `serve`."
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            ip_network(one, strict=False)
        return value

    @model_validator(mode="after")
    def _token_or_none(self) -> Self:
        if self.no_token and self.token is not None:
            raise ValueError("token and no_token exclude each other")
        return self
