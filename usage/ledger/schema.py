"""The ledger's tables, and the migrations that make them. Migrations are only ever appended.

Moments are microseconds since 1970 (UTC), money is an integer of 10⁻¹² USD: both are exact and sum
fast in SQLite and PostgreSQL alike. Names that are absent are empty texts, so that they can be part
of a roll-up's key.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

from allotrope.usage.recorder.rows import DIMENSIONS

metadata = MetaData()


class Money(TypeDecorator[Decimal]):
    """USD as `Decimal` in Python and as an integer of 10⁻¹² USD in the database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        """USD to 10⁻¹² USD."""
        if value is None:
            return None
        return int((Decimal(value) * 10**12).to_integral_value(ROUND_HALF_EVEN))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """10⁻¹² USD to USD."""
        return None if value is None else Decimal(int(value)).scaleb(-12)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=options.pop("nullable", False), **options)


def _count(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


calls = Table(
    "calls",
    metadata,
    _text("id", primary_key=True),
    _count("at"),
    _text("provider"),
    _text("model"),
    _text("agent"),
    _text("node"),
    _text("profile"),
    _text("prompt"),
    _text("variant"),
    _text("tenant"),
    _text("user_name"),
    _text("thread"),
    _text("run"),
    _text("status"),
    _text("error"),
    _text("cached"),
    _text("degraded"),
    _text("tier"),
    _text("finish"),
    _count("retries"),
    _count("failovers"),
    _text("failed_over_from"),
    Column("streamed", Integer, nullable=False),
    Column("estimated", Integer, nullable=False),
    _count("input_tokens"),
    _count("cached_tokens"),
    _count("cache_write_tokens"),
    _count("output_tokens"),
    _count("reasoning_tokens"),
    _count("saved_input_tokens"),
    _count("saved_output_tokens"),
    Column("latency_ms", Double, nullable=False),
    Column("ttft_ms", Double),
    Column("cost", Money),
    Column("saved_cost", Money),
    Column("prompt_cache_saving", Money),
    Column("context_saving", Money),
    _text("price_since", nullable=True),
    _text("price_source", nullable=True),
    _count("output_limit", nullable=True),
    _text("prompt_hash"),
    _text("prefix_hash"),
    _text("tools_offered"),
    _text("tools_called"),
    _count("tools_tokens"),
    _count("context_full_tokens", nullable=True),
    _count("context_tokens", nullable=True),
    _count("context_window", nullable=True),
    _text("stands_for", server_default=""),
)
"""One row per call that was made, refused or answered from the cache. No content, no keys."""

MEASURES = (
    "calls",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "saved_input_tokens",
    "saved_output_tokens",
    "retries",
    "failovers",
    "estimated",
    "unpriced",
    "context_full_tokens",
    "context_tokens",
    "latency_ms",
)
"""Sums that a roll-up keeps; the money follows in `MONEY`."""

MONEY = ("cost", "saved_cost", "prompt_cache_saving", "context_saving")


def _rollup(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("bucket", BigInteger, primary_key=True, autoincrement=False),
        *(_text(dimension, primary_key=True) for dimension in DIMENSIONS),
        *(
            Column(measure, Double if measure == "latency_ms" else BigInteger, nullable=False)
            for measure in MEASURES
        ),
        *(Column(money, Money, nullable=False) for money in MONEY),
    )


hourly = _rollup("hourly")
"""Sums per hour; `bucket` is hours since 1970 (UTC)."""

daily = _rollup("daily")
"""Sums per day; `bucket` is days since 1970 (UTC)."""


def _scopes(name: str, period: str) -> Table:
    return Table(
        name,
        metadata,
        Column(period, BigInteger, primary_key=True, autoincrement=False),
        _text("scope", primary_key=True),
        _text("name", primary_key=True),
        _count("calls"),
        _count("tokens"),
        Column("cost", Money, nullable=False),
        Column("saved_cost", Money, nullable=False),
    )


scopes = _scopes("scopes", "day")
"""Sums per day of what budgets can be about: all, agent, tenant, user, thread."""

scopes_monthly = _scopes("scopes_monthly", "month")
"""The same per month; `month` is months since year 0 (UTC), so that a month is read quickly."""


def _latencies(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("period", BigInteger, primary_key=True, autoincrement=False),
        _text("provider", primary_key=True),
        _text("model", primary_key=True),
        _text("agent", primary_key=True),
        _text("kind", primary_key=True),
        Column("bucket", BigInteger, primary_key=True, autoincrement=False),
        _count("calls"),
    )


latencies = _latencies("latencies")
"""Histogram of latencies (`total`) and times to first token (`ttft`) per hour since 1970; the
buckets are those of `rows.latency_bucket`."""

latencies_daily = _latencies("latencies_daily")
"""The same per day since 1970."""

alerts = Table(
    "alerts",
    metadata,
    _text("key", primary_key=True),
    _count("at"),
    _text("kind"),
    _text("severity"),
    _text("title"),
    _text("message"),
)
"""Alerts that were raised; the key makes each one happen once, whoever comes first."""

feedback = Table(
    "feedback",
    metadata,
    _text("run", primary_key=True),
    _text("metric", primary_key=True),
    _count("at"),
    Column("score", Double, nullable=False),
    _text("source"),
    _text("note"),
)
"""Scores of runs, the latest per run and metric."""

exposures = Table(
    "exposures",
    metadata,
    _text("experiment", primary_key=True),
    _text("unit", primary_key=True),
    _text("variant"),
    _count("at"),
    _text("run"),
)
"""Which variant a unit (user, thread …) first saw in an experiment."""

findings = Table(
    "findings",
    metadata,
    _text("experiment", primary_key=True),
    _text("agent", primary_key=True),
    _text("model", primary_key=True),
    _text("baseline_model"),
    _count("at"),
    Column("equal", Integer, nullable=False),
    _count("samples"),
    _text("detail"),
)
"""What an experiment found about a model against the baseline: is the quality equal or not."""

shadows = Table(
    "shadows",
    metadata,
    _text("id", primary_key=True),
    _count("at"),
    _text("tenant"),
    Column("similarity", Double, nullable=False),
    Column("correct", Integer, nullable=False),
)
"""Shadow data of the semantic cache: would the nearest entry have been right?"""

meta = Table(
    "meta",
    metadata,
    _text("name", primary_key=True),
    _text("value"),
)
"""Small facts about this ledger: its salt, when it was last pruned."""

_CALLS = """CREATE TABLE calls (
  id TEXT PRIMARY KEY, at BIGINT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
  agent TEXT NOT NULL, node TEXT NOT NULL, profile TEXT NOT NULL, prompt TEXT NOT NULL,
  variant TEXT NOT NULL, tenant TEXT NOT NULL, user_name TEXT NOT NULL, thread TEXT NOT NULL,
  run TEXT NOT NULL, status TEXT NOT NULL, error TEXT NOT NULL, cached TEXT NOT NULL,
  degraded TEXT NOT NULL, tier TEXT NOT NULL, finish TEXT NOT NULL, retries BIGINT NOT NULL,
  failovers BIGINT NOT NULL, failed_over_from TEXT NOT NULL, streamed INTEGER NOT NULL,
  estimated INTEGER NOT NULL, input_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL,
  cache_write_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
  reasoning_tokens BIGINT NOT NULL, saved_input_tokens BIGINT NOT NULL,
  saved_output_tokens BIGINT NOT NULL, latency_ms DOUBLE PRECISION NOT NULL,
  ttft_ms DOUBLE PRECISION, cost BIGINT, saved_cost BIGINT, prompt_cache_saving BIGINT,
  context_saving BIGINT,
  price_since TEXT, price_source TEXT, output_limit BIGINT, prompt_hash TEXT NOT NULL,
  prefix_hash TEXT NOT NULL, tools_offered TEXT NOT NULL, tools_called TEXT NOT NULL,
  tools_tokens BIGINT NOT NULL, context_full_tokens BIGINT, context_tokens BIGINT,
  context_window BIGINT)"""

_ROLLUP = """CREATE TABLE {name} (
  bucket BIGINT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, agent TEXT NOT NULL,
  profile TEXT NOT NULL, prompt TEXT NOT NULL, variant TEXT NOT NULL, tenant TEXT NOT NULL,
  cached TEXT NOT NULL, status TEXT NOT NULL, degraded TEXT NOT NULL, tier TEXT NOT NULL,
  calls BIGINT NOT NULL, input_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL, reasoning_tokens BIGINT NOT NULL,
  saved_input_tokens BIGINT NOT NULL, saved_output_tokens BIGINT NOT NULL,
  retries BIGINT NOT NULL, failovers BIGINT NOT NULL, estimated BIGINT NOT NULL,
  unpriced BIGINT NOT NULL, context_full_tokens BIGINT NOT NULL, context_tokens BIGINT NOT NULL,
  latency_ms DOUBLE PRECISION NOT NULL, cost BIGINT NOT NULL, saved_cost BIGINT NOT NULL,
  prompt_cache_saving BIGINT NOT NULL, context_saving BIGINT NOT NULL,
  PRIMARY KEY (bucket, provider, model, agent, profile, prompt, variant, tenant, cached, status,
    degraded, tier)){{clustered}}"""

_SCOPES = """CREATE TABLE {name} (
  {period} BIGINT NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, calls BIGINT NOT NULL,
  tokens BIGINT NOT NULL, cost BIGINT NOT NULL, saved_cost BIGINT NOT NULL,
  PRIMARY KEY ({period}, scope, name)){{clustered}}"""

_LATENCIES = """CREATE TABLE {name} (
  period BIGINT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, agent TEXT NOT NULL,
  kind TEXT NOT NULL, bucket BIGINT NOT NULL, calls BIGINT NOT NULL,
  PRIMARY KEY (period, provider, model, agent, kind, bucket)){{clustered}}"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        _CALLS,
        "CREATE INDEX calls_at ON calls (at)",
        "CREATE INDEX calls_thread ON calls (thread, at)",
        "CREATE INDEX calls_run ON calls (run)",
        _ROLLUP.format(name="hourly"),
        _ROLLUP.format(name="daily"),
        _SCOPES.format(name="scopes", period="day"),
        _SCOPES.format(name="scopes_monthly", period="month"),
        _LATENCIES.format(name="latencies"),
        _LATENCIES.format(name="latencies_daily"),
        "CREATE TABLE alerts (key TEXT PRIMARY KEY, at BIGINT NOT NULL, kind TEXT NOT NULL, "
        "severity TEXT NOT NULL, title TEXT NOT NULL, message TEXT NOT NULL)",
        "CREATE TABLE feedback (run TEXT NOT NULL, metric TEXT NOT NULL, at BIGINT NOT NULL, "
        "score DOUBLE PRECISION NOT NULL, source TEXT NOT NULL, note TEXT NOT NULL, "
        "PRIMARY KEY (run, metric))",
        "CREATE TABLE exposures (experiment TEXT NOT NULL, unit TEXT NOT NULL, "
        "variant TEXT NOT NULL, at BIGINT NOT NULL, run TEXT NOT NULL, "
        "PRIMARY KEY (experiment, unit))",
        "CREATE TABLE findings (experiment TEXT NOT NULL, agent TEXT NOT NULL, "
        "model TEXT NOT NULL, baseline_model TEXT NOT NULL, at BIGINT NOT NULL, "
        "equal INTEGER NOT NULL, samples BIGINT NOT NULL, detail TEXT NOT NULL, "
        "PRIMARY KEY (experiment, agent, model))",
        "CREATE TABLE shadows (id TEXT PRIMARY KEY, at BIGINT NOT NULL, tenant TEXT NOT NULL, "
        "similarity DOUBLE PRECISION NOT NULL, correct INTEGER NOT NULL)",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        "ALTER TABLE calls ADD COLUMN stands_for TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX calls_stands_for ON calls (at) WHERE stands_for <> ''",
    ),
)
"""Statements per version, in SQL that SQLite and PostgreSQL both read. Append; never edit.

`{clustered}` stands for `WITHOUT ROWID` on SQLite: rows lie in the order of their key, so that a
range of days is read in one go.
"""
