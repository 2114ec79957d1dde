"""What a run of the audit left behind, in plain facts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

BUSY = "busy machine"
"""The kind of a span in which the audit itself got no time of the machine."""


@dataclass(frozen=True)
class Heard:
    """What became of one request of a client.

    `ended` is `answered`, `error`, `died` (with its process), `left` (the client went) or `hung`;
    `kept` says that the door promised to keep the question.
    """

    token: str
    thread: str
    tenant: str
    door: str
    way: str
    ended: str
    answer: str = ""
    error: str = ""
    clear: bool = True
    kept: bool = False
    cached: str | None = None
    at: float = 0.0
    took_s: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A request as the provider saw it; `at` and `ended` in seconds of the clock."""

    provider: str
    number: int
    account: str
    at: float
    ended: float
    counted: bool
    input_tokens: int
    output_tokens: int
    prompt: str
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Booked:
    """A row of the ledger."""

    id: str
    at: float
    ended: float
    tenant: str
    thread: str
    provider: str
    status: str
    error: str
    cached: str
    estimated: bool
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Thread:
    """What a thread holds, as (role, text), oldest first."""

    tenant: str
    name: str
    messages: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Span:
    """A trouble as it was, in seconds of the clock; `account` of a killed process."""

    kind: str
    begin: float
    end: float
    account: str = ""


@dataclass(frozen=True)
class Facts:
    """All that a run left behind."""

    heard: Sequence[Heard] = ()
    asked: Sequence[Asked] = ()
    booked: Sequence[Booked] = ()
    threads: Sequence[Thread] = ()
    spans: Sequence[Span] = ()
    searches: Sequence[tuple[str, str]] = ()
    limit: int | None = None
    keys: Sequence[str] = ()
    ends: Sequence[str] = ()
    counts: dict[str, int] = field(default_factory=dict)
