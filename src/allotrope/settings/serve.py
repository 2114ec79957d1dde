"""Settings of the HTTP side: `allotrope serve`, the dashboard, the metrics."""

from typing import Annotated

from pydantic import Field, SecretStr

from allotrope.settings.sections import Section

Seconds = Annotated[float, Field(gt=0, le=3600)]


class ServeSettings(Section):
    """Settings of the HTTP side: `allotrope serve`, the dashboard, the metrics."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8080, description="Port of `allotrope serve`; 0 takes a free one."
    )
    token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="What clients must show (Bearer); required on any address but loopback.",
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
    drain_s: Seconds = Field(
        default=30.0, description="How long running turns may take to end after SIGTERM."
    )
    reports: bool = Field(
        default=False, description="Send the scheduled reports to the notifiers from `serve`."
    )
