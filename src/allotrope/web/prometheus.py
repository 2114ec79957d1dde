"""`/metrics` in Prometheus' text format, with OpenTelemetry's names for generative AI.

Counts come from the ledger, so that they cover all processes that share it and never fall back at a
restart; circuits and this process's own counters are live.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from allotrope.settings import Settings
from allotrope.support.pools import STATUS, pools
from allotrope.web.health.checks import settings_of

BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bucket bounds that OpenTelemetry advises for `gen_ai.client.operation.duration`."""

STATES = ("closed", "half_open", "open", "isolated", "disabled")

METRICS: Mapping[str, tuple[str, str]] = {
    "gen_ai_client_token_usage": (
        "summary",
        "Tokens per call by gen_ai_token_type; cached_input and reasoning are parts of the others.",
    ),
    "gen_ai_client_operation_duration_seconds": (
        "histogram",
        "Seconds of answers that no cache of ours gave, to ±5 %.",
    ),
    "gen_ai_server_time_to_first_token_seconds": (
        "histogram",
        "Seconds to the first token of streams, to ±5 %.",
    ),
    "allotrope_calls_total": ("counter", "Model calls by status and cache tier."),
    "allotrope_cost_usd_total": ("counter", "What calls cost, USD."),
    "allotrope_saved_usd_total": ("counter", "What was saved, USD, by what saved it."),
    "allotrope_unpriced_calls_total": ("counter", "Calls whose model has no known price."),
    "allotrope_ledger_failovers_total": ("counter", "Failovers, of all processes."),
    "allotrope_ledger_retries_total": ("counter", "Repeated requests, of all processes."),
    "allotrope_budget_used_ratio": ("gauge", "Used share of a budget's period, 1 is all of it."),
    "allotrope_circuit_state": ("gauge", "1 for the state a circuit is in, else 0."),
    "allotrope_circuit_failure_ratio": ("gauge", "Failed share of a circuit's window."),
    "allotrope_pool_running": ("gauge", "Pieces of work of a kind that have a thread."),
    "allotrope_pool_waiting": ("gauge", "Pieces of work of a kind that wait for a thread."),
    "allotrope_ledger_up": ("gauge", "Whether the ledger could be read."),
}
"""Every metric of the ledger, the circuits and the pools: type and help. The counters of this
process follow."""

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]


def render(samples: Iterable[Sample]) -> str:
    """Samples as text; those of one metric stand together.

    Args:
        samples: Name, labels, value; a name may have a histogram's suffix.
    """
    from prometheus_client.metrics_core import Metric

    from allotrope.support.counters import text_of

    families: dict[str, Metric] = {}
    for name, labels, value in samples:
        metric = name
        for suffix in ("_bucket", "_sum", "_count"):
            if name.endswith(suffix) and name.removesuffix(suffix) in METRICS:
                metric = name.removesuffix(suffix)
        kind, words = METRICS[metric]
        family = families.setdefault(metric, Metric(metric.removesuffix("_total"), words, kind))
        family.add_sample(name, dict(labels), value)
    return text_of(families.values())


def gather(settings: Settings, *, now: datetime | None = None) -> list[Sample]:
    """Every sample of the ledger and the circuits."""
    from allotrope.exceptions import AllotropeError

    found: list[Sample] = []
    try:
        found += _ledger(settings, now or datetime.now(UTC))
        found.append(("allotrope_ledger_up", {}, 1))
    except AllotropeError:
        found.append(("allotrope_ledger_up", {}, 0))
    found += _circuits(settings)
    found += _pools()
    return found


def _ledger(settings: Settings, now: datetime) -> list[Sample]:
    from sqlalchemy import func, select

    from allotrope.usage.ledger import schema
    from allotrope.usage.ledger.ledger import open_ledger

    table = schema.daily
    names = ("provider", "model", "agent", "status", "cached")
    sums = ("calls", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    more = ("failovers", "retries", "unpriced", *schema.MONEY)
    query = select(
        *(table.c[name] for name in names),
        *(func.sum(table.c[name]).label(name) for name in (*sums, *more)),
    ).group_by(*(table.c[name] for name in names))
    histogram = select(
        *(schema.latencies.c[name] for name in ("provider", "model", "agent", "kind", "bucket")),
        func.sum(schema.latencies.c.calls).label("calls"),
    ).group_by(
        *(schema.latencies.c[name] for name in ("provider", "model", "agent", "kind", "bucket"))
    )
    ledger = open_ledger(settings)
    try:
        with ledger.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
            buckets = connection.execute(histogram).mappings().all()
    finally:
        ledger.close()
    return [*_counts(rows), *_durations(buckets), *_budgets(settings)]


def _counts(rows: Iterable[Mapping[Any, Any]]) -> list[Sample]:
    totals: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def add(name: str, value: Any, **labels: str) -> None:
        key = (name, tuple(labels.items()))
        totals[key] = totals.get(key, 0.0) + float(value or 0)

    for row in rows:
        model, agent = str(row["model"]), str(row["agent"])
        who = {
            "gen_ai_provider_name": str(row["provider"]),
            "gen_ai_request_model": model,
            "gen_ai_agent_name": agent,
        }
        for kind, column in (
            ("input", "input_tokens"),
            ("cached_input", "cached_tokens"),
            ("output", "output_tokens"),
            ("reasoning", "reasoning_tokens"),
        ):
            name = "gen_ai_client_token_usage"
            add(f"{name}_sum", row[column], **who, gen_ai_token_type=kind)
            add(f"{name}_count", row["calls"], **who, gen_ai_token_type=kind)
        status, cached = str(row["status"]), str(row["cached"]) or "none"
        add("allotrope_calls_total", row["calls"], **who, status=status, cached=cached)
        add("allotrope_cost_usd_total", row["cost"], **who)
        add("allotrope_unpriced_calls_total", row["unpriced"], **who)
        add("allotrope_ledger_failovers_total", row["failovers"], **who)
        add("allotrope_ledger_retries_total", row["retries"], **who)
        for what, column in (
            (f"{cached}_cache", "saved_cost"),
            ("provider_prompt_cache", "prompt_cache_saving"),
            ("context", "context_saving"),
        ):
            if row[column]:
                add("allotrope_saved_usd_total", row[column], **who, by=what)
    return [(name, dict(labels), value) for (name, labels), value in sorted(totals.items())]


def _durations(rows: Iterable[Mapping[Any, Any]]) -> list[Sample]:
    from allotrope.usage.recorder.rows import bucket_milliseconds

    series: dict[tuple[str, str, str, str], list[tuple[float, int]]] = {}
    for row in rows:
        name = (
            "gen_ai_client_operation_duration_seconds"
            if row["kind"] == "total"
            else "gen_ai_server_time_to_first_token_seconds"
        )
        key = (name, str(row["provider"]), str(row["model"]), str(row["agent"]))
        seconds = bucket_milliseconds(int(str(row["bucket"]))) / 1000
        series.setdefault(key, []).append((seconds, int(str(row["calls"]))))
    found: list[Sample] = []
    for (name, provider, model, agent), counts in sorted(series.items()):
        labels = {
            "gen_ai_operation_name": "chat",
            "gen_ai_provider_name": provider,
            "gen_ai_request_model": model,
            "gen_ai_agent_name": agent,
        }
        for bound in BOUNDS_S:
            below = sum(calls for seconds, calls in counts if seconds <= bound)
            found.append((f"{name}_bucket", {**labels, "le": f"{bound}"}, below))
        whole = sum(calls for _, calls in counts)
        found.append((f"{name}_bucket", {**labels, "le": "+Inf"}, whole))
        found.append((f"{name}_sum", labels, sum(seconds * calls for seconds, calls in counts)))
        found.append((f"{name}_count", labels, whole))
    return found


def _budgets(settings: Settings) -> list[Sample]:
    from allotrope.web.dashboard.data import budget_states

    return [
        ("allotrope_budget_used_ratio", {"budget": state.budget, "name": state.name}, state.ratio)
        for state in budget_states(settings)
    ]


def _circuits(settings: Settings) -> list[Sample]:
    from allotrope.models.breaker.opening import circuits_of
    from allotrope.models.breaker.status import status_of

    found: list[Sample] = []
    for row in status_of(settings, circuits_of(settings))["circuits"]:
        labels = {"circuit": row["name"] if row["of_these_settings"] else row["stored_as"]}
        found += [
            ("allotrope_circuit_state", {**labels, "state": state}, float(row["state"] == state))
            for state in STATES
        ]
        found.append(("allotrope_circuit_failure_ratio", labels, row["failure_rate"]))
    return found


def _pools() -> list[Sample]:
    found: list[Sample] = []
    for pool in pools():
        use = pool.use()
        found += [
            ("allotrope_pool_running", {"pool": pool.name}, use.running),
            ("allotrope_pool_waiting", {"pool": pool.name}, use.waiting),
        ]
    return found


async def metrics(request: Request) -> Response:
    """The metrics, at `GET /metrics`."""
    from allotrope.support.counters import prometheus_text

    settings = await settings_of(request)
    text = render(await STATUS.run(gather, settings)) + prometheus_text()
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


ROUTES = [Route("/metrics", metrics), Route("/allotrope/metrics", metrics)]
"""The second name is for the Agent Server, whose own `/metrics` can't be replaced."""
