"""One call as a row, and how rows add up to roll-ups. Pure functions; no database here."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from allotrope.contracts import END_USER

DIMENSIONS = (
    "provider",
    "model",
    "agent",
    "profile",
    "prompt",
    "variant",
    "tenant",
    "cached",
    "status",
    "degraded",
    "tier",
)
"""What roll-ups can be grouped and filtered by."""

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
_BUCKET_BASE = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """A call as the ledger keeps it: names, counts and money, never content.

    Attributes:
        id: Unique; writing the same id twice counts once.
        at: When the call began, microseconds since 1970 (UTC).
        status: `ok`, `error` (nothing was answered), `aborted` (the stream ended early) or
            `refused` (by a budget).
        error: Class name of the error, if any.
        cached: Empty, `exact` or `semantic`.
        degraded: Reason, or empty.
        stands_for: The model that was asked for, where its successor answered; or empty.
        cost: USD; None where no price is known.
        saved_cost: What a cache hit would have cost; None where no price is known.
        prompt_cache_saving: What the provider's own prompt cache took off, USD.
        context_saving: What memory saved by not sending the whole history, USD.
        price_since: First day of the price, ISO.
        prompt_hash: Keyed hash of the whole prompt; only for finding repetitions.
        prefix_hash: Keyed hash of the prompt's first 4,096 characters.
        tools_offered: Names of the tools in the request, sorted, joined by commas.
        tools_called: Names of the tools that were called.
        context_full_tokens: Tokens that the whole history would have been, if memory said so.
        context_tokens: Tokens of the history that was sent.
    """

    id: str
    at: int
    provider: str = ""
    model: str = ""
    agent: str = ""
    node: str = ""
    profile: str = ""
    prompt: str = ""
    variant: str = ""
    tenant: str = ""
    user_name: str = ""
    thread: str = ""
    run: str = ""
    status: str = "ok"
    error: str = ""
    cached: str = ""
    degraded: str = ""
    tier: str = "default"
    finish: str = ""
    retries: int = 0
    failovers: int = 0
    failed_over_from: str = ""
    streamed: int = 0
    estimated: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    latency_ms: float = 0.0
    ttft_ms: float | None = None
    cost: Decimal | None = None
    saved_cost: Decimal | None = None
    prompt_cache_saving: Decimal | None = None
    context_saving: Decimal | None = None
    price_since: str | None = None
    price_source: str | None = None
    output_limit: int | None = None
    prompt_hash: str = ""
    prefix_hash: str = ""
    tools_offered: str = ""
    tools_called: str = ""
    tools_tokens: int = 0
    context_full_tokens: int | None = None
    context_tokens: int | None = None
    context_window: int | None = None
    stands_for: str = ""

    def __post_init__(self) -> None:
        """Makes every text one that a database takes, so that rows and roll-ups agree."""
        for name in _TEXTS:
            text = getattr(self, name)
            if type(text) is str and not (text.isascii() and "\x00" not in text):
                object.__setattr__(self, name, storable(text))

    def values(self) -> dict[str, Any]:
        """The row as a dict of its columns."""
        return {name: getattr(self, name) for name in COLUMNS}

    def to_json(self) -> dict[str, Any]:
        """The row for a JSON line: money as text, what is as if not given left out."""
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in self.values().items()
            if value != _DEFAULTS[name]
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "CallRow":
        """The row back from `to_json`; unknown names of other versions are ignored.

        Raises:
            ValueError: It isn't a row.
        """
        known = {name: values[name] for name in COLUMNS if name in values}
        if not isinstance(known.get("id"), str) or type(known.get("at")) is not int:
            raise ValueError("a row needs an id and a moment")
        for name in _MONEY:
            if known.get(name) is not None:
                known[name] = Decimal(known[name])
        return cls(**known)


COLUMNS = tuple(field.name for field in fields(CallRow))
_DEFAULTS = {field.name: field.default for field in fields(CallRow)}
_TEXTS = tuple(field.name for field in fields(CallRow) if "str" in str(field.type))
_MONEY = ("cost", "saved_cost", "prompt_cache_saving", "context_saving")


def storable(text: str) -> str:
    """Text that every database takes: lone surrogates and NUL become question marks.

    Args:
        text: Of a person or a client; one that cuts texts by UTF-16 units sends half an emoji.
    """
    return text.replace("\x00", "?").encode("utf-8", "replace").decode()


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment."""
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment(at: int) -> datetime:
    """The aware moment (UTC) of microseconds since 1970."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000)


def latency_bucket(milliseconds: float) -> int:
    """The histogram bucket of a latency; buckets grow by 10 %, so a percentile is off by ≤ 5 %."""
    return round(math.log(max(milliseconds, 1.0)) / math.log(_BUCKET_BASE))


def bucket_milliseconds(bucket: int) -> float:
    """The middle of a bucket."""
    return float(_BUCKET_BASE**bucket)


_ZERO = Decimal(0)
Sums = dict[tuple[Any, ...], dict[str, Any]]


def rollups(rows: Iterable[CallRow], width_us: int) -> Sums:
    """Sums of rows by (bucket, *dimensions).

    Args:
        rows: Calls.
        width_us: Width of a bucket, `HOUR_US` or `DAY_US`.
    """
    sums: Sums = {}
    for row in rows:
        key = (row.at // width_us, *(getattr(row, name) for name in DIMENSIONS))
        full, sent = row.context_full_tokens or 0, row.context_tokens or 0
        addition = {
            "calls": 1,
            "input_tokens": row.input_tokens,
            "cached_tokens": row.cached_tokens,
            "output_tokens": row.output_tokens,
            "reasoning_tokens": row.reasoning_tokens,
            "saved_input_tokens": row.saved_input_tokens,
            "saved_output_tokens": row.saved_output_tokens,
            "retries": row.retries,
            "failovers": row.failovers,
            "estimated": row.estimated,
            "unpriced": int(row.cost is None),
            "context_full_tokens": full,
            "context_tokens": sent,
            "latency_ms": row.latency_ms,
            "cost": row.cost or _ZERO,
            "saved_cost": row.saved_cost or _ZERO,
            "prompt_cache_saving": row.prompt_cache_saving or _ZERO,
            "context_saving": row.context_saving or _ZERO,
        }
        _add(sums, key, addition)
    return sums


def month_number(moment: datetime) -> int:
    """Months since year 0 of a moment in UTC."""
    return moment.year * 12 + moment.month - 1


def by_month(sums: Sums) -> Sums:
    """Sums by (day, scope, name) added up by (month, scope, name)."""
    found: Sums = {}
    for (day, scope, name), addition in sums.items():
        month = month_number(moment(day * DAY_US))
        _add(found, (month, scope, name), addition)
    return found


def scope_sums(rows: Iterable[CallRow]) -> Sums:
    """Sums of rows by (day, scope, name), for budgets and tops."""
    sums: Sums = {}
    for row in rows:
        if row.status == "refused":
            continue
        day = row.at // DAY_US
        addition = {
            "calls": 1,
            "tokens": row.input_tokens + row.output_tokens,
            "cost": row.cost or _ZERO,
            "saved_cost": row.saved_cost or _ZERO,
        }
        for scope, name in scope_names(row).items():
            _add(sums, (day, scope, name), addition)
    return sums


def user_account(tenant: str, user: str) -> str:
    """Under which name budgets count a user: two tenants' users of one name are two.

    What a client calls the people behind a user's credential counts as the user's.

    Args:
        tenant: Whose user; that of the default tenant goes by its own name.
        user: As the run names it.
    """
    owner = user.partition(END_USER)[0]
    return owner if not owner or tenant in ("", "default") else f"{tenant}/{owner}"


def scope_names(row: CallRow) -> dict[str, str]:
    """Scope to name of a call, for the scopes it has a name in."""
    named = {
        "agent": row.agent,
        "tenant": row.tenant,
        "user": user_account(row.tenant, row.user_name),
        "thread": row.thread,
    }
    return {"all": "", **{scope: name for scope, name in named.items() if name}}


def latency_counts(rows: Iterable[CallRow], width_us: int) -> dict[tuple[Any, ...], int]:
    """Counts by (period, provider, model, agent, kind, bucket) of answers that were not cached.

    Args:
        rows: Calls.
        width_us: Width of a period, `HOUR_US` or `DAY_US`.
    """
    counts: dict[tuple[Any, ...], int] = {}
    for row in rows:
        if row.status != "ok" or row.cached:
            continue
        for kind, value in (("total", row.latency_ms), ("ttft", row.ttft_ms)):
            if value is not None:
                place = (row.at // width_us, row.provider, row.model, row.agent, kind)
                key = (*place, latency_bucket(value))
                counts[key] = counts.get(key, 0) + 1
    return counts


def _add(sums: Sums, key: tuple[Any, ...], addition: dict[str, Any]) -> None:
    total = sums.get(key)
    if total is None:
        sums[key] = addition.copy()
    else:
        for name, value in addition.items():
            total[name] += value
