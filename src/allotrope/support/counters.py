"""Counters of what happened in this process, for Prometheus and OpenTelemetry.

Packages that count and pages that show meet only here. Labels are names of providers, models
and classes, never content. Where the OpenTelemetry API is installed and a program has set up its
SDK, the same counts go there.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

HELP: Mapping[str, str] = {
    "allotrope_circuit_changes_total": "State changes of circuits, by circuit and new state.",
    "allotrope_failovers_total": "Replies given by a model that was not the first choice.",
    "allotrope_retries_total": "Requests repeated to the same model, by error.",
    "allotrope_held_calls_total": "Calls held for a moment while a provider was in doubt.",
    "allotrope_model_errors_total": "Requests that failed, by provider, model and error.",
    "allotrope_stream_restarts_total": "Streams that broke after the first token.",
    "allotrope_exhausted_total": "Turns that no model could answer.",
}
"""What is counted, and the words for it."""

Labels = tuple[tuple[str, str], ...]

_counts: dict[str, dict[Labels, int]] = {}
_lock = threading.Lock()
_meters: dict[str, Any] = {}


def count(name: str, amount: int = 1, **labels: str) -> None:
    """Counts something up.

    Args:
        name: One of `HELP`.
        amount: By how much.
        labels: What it is counted by.
    """
    if name not in HELP:
        raise KeyError(f"{name} is no counter; the counters are {', '.join(HELP)}.")
    key = tuple(sorted(labels.items()))
    with _lock:
        series = _counts.setdefault(name, {})
        series[key] = series.get(key, 0) + amount
    meter = _meter(name)
    if meter is not None:
        meter.add(amount, labels)


def counts() -> dict[str, dict[Labels, int]]:
    """All counts of this process: name to labels to number."""
    with _lock:
        return {name: dict(series) for name, series in _counts.items()}


def clear() -> None:
    """Forgets all counts, for tests."""
    with _lock:
        _counts.clear()


class _Families:
    """What `prometheus_client` collects: metric families that are there already."""

    def __init__(self, families: "Iterable[Metric]") -> None:
        self._families = families

    def collect(self) -> "Iterable[Metric]":
        return self._families


def text_of(families: "Iterable[Metric]") -> str:
    """Metric families in Prometheus' text format (version 0.0.4).

    Args:
        families: Each with its samples.
    """
    from prometheus_client import generate_latest

    given: Any = _Families(families)
    return generate_latest(given).decode()


def prometheus_text() -> str:
    """The counts in Prometheus' text format (version 0.0.4)."""
    from prometheus_client.metrics_core import Metric

    families = []
    for name, series in sorted(counts().items()):
        family = Metric(name.removesuffix("_total"), HELP[name], "counter")
        for labels, number in sorted(series.items()):
            family.add_sample(name, dict(labels), number)
        families.append(family)
    return text_of(families)


def _meter(name: str) -> Any:
    if name not in _meters:
        try:
            from opentelemetry import metrics
        except ImportError:
            _meters[name] = None
        else:
            _meters[name] = metrics.get_meter("allotrope").create_counter(
                name.removesuffix("_total").replace("allotrope_", "allotrope."),
                description=HELP[name],
            )
    return _meters[name]
