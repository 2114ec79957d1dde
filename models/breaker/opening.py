"""Breaker, retries and timeouts as the settings have them, one breaker per process and settings."""

import atexit
import threading
import time
from collections.abc import Sequence

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.facts import Circuit, Rules
from allotrope.models.breaker.permits import circuit_name, deployment_of, shown_name
from allotrope.models.breaker.store import BreakerStore, RedisStore
from allotrope.models.call.guard import CallLimits, Guard
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.call.retry import Retries, RetryRules
from allotrope.models.providers.provider import all_providers, provider_named
from allotrope.models.waiting.caution import CautionRules
from allotrope.models.waiting.overdue import OverdueRules
from allotrope.settings import Settings
from allotrope.settings.resilience import ResilienceSettings
from allotrope.support.counters import count
from allotrope.support.providers import is_local

_circuits: dict[tuple[str, ...], Circuits] = {}
_lock = threading.Lock()


def rules_of(settings: ResilienceSettings) -> Rules:
    """When circuits open and close, by the settings."""
    return Rules(
        consecutive=settings.consecutive_failures,
        failure_rate=settings.failure_rate,
        slow_rate=settings.slow_rate,
        minimum_calls=settings.minimum_calls,
        window_s=settings.window_s,
        breaks_s=settings.breaks_s,
        jitter=settings.jitter,
        ladder_reset_s=settings.ladder_reset_s,
        successes_to_close=settings.successes_to_close,
        early_s=settings.early_probe_s,
    )


def open_circuits(settings: Settings) -> Circuits:
    """A circuit breaker of its own for these settings; Redis is opened at the first call."""

    def shared() -> BreakerStore | None:
        from allotrope.stores.redis.client import open_redis

        client = open_redis(settings)
        if client is None:
            return None
        return RedisStore(client, prefix=settings.redis.prefix, clock=time.time)

    circuits = Circuits(
        rules=rules_of(settings.resilience),
        shared=shared,
        snapshot_s=settings.resilience.snapshot_s,
        slow_after_s=settings.resilience.slow_after_s,
        lost_s=settings.resilience.redis_retry_s,
        enabled=settings.resilience.breaker,
    )
    circuits.listeners.append(_count_change)
    return circuits


def circuits_of(settings: Settings) -> Circuits:
    """The circuit breaker this process has for these settings, made when first asked for."""
    url = settings.redis.url
    key = (
        url.get_secret_value() if url is not None else "",
        str(settings.redis.embedded),
        settings.redis.prefix,
        str(settings.data_dir),
        settings.resilience.model_dump_json(),
    )
    with _lock:
        found = _circuits.get(key)
        if found is None:
            found = _circuits[key] = open_circuits(settings)
            atexit.register(found.close)
        return found


def guard_models(
    models: Sequence[GuardedChatModel],
    settings: Settings,
    *,
    circuits: Circuits | None = None,
    patient: bool = True,
) -> None:
    """Puts the breaker, the retry loop and the timeouts of the settings in front of models.

    Args:
        models: The chain, first to last; a hosted one at its end is patient: nobody comes after it,
            and unlike a local one it can't be asked while its circuit is open.
        settings: Rules and timeouts.
        circuits: Another breaker than the process's.
        patient: False lets none of them wait for a circuit.
    """
    breaker = circuits or circuits_of(settings)
    own = settings.resilience
    for model in models:
        # of a line of hosted models one is asked: nobody comes after any of the last line
        last = model is models[-1] or (
            model.provider == models[-1].provider and not is_local(model.provider)
        )
        rules = RetryRules(
            attempts=own.attempts,
            first_wait_s=own.first_wait_s,
            longest_wait_s=own.longest_wait_s,
            jitter=own.jitter,
            patient=patient and last and not is_local(model.provider),
        )
        model.guard_with(
            Guard(
                circuits=breaker,
                retries=Retries(rules=rules),
                limits=CallLimits(**provider_named(model.provider).limits(settings)),
                deployment=deployment(settings, model.provider),
                deadline_s=own.deadline_s,
                overdue=None if last else overdue_of(own),
                caution=None if last else caution_of(own),
                keep_partial=own.when_a_stream_breaks == "partial",
            )
        )


def overdue_of(settings: ResilienceSettings) -> OverdueRules | None:
    """When silence opens a circuit before the timeouts do, by the settings; None: never."""
    if settings.overdue_share is None:
        return None
    return OverdueRules(
        share=settings.overdue_share,
        factor=settings.overdue_factor,
        calls=settings.overdue_calls,
    )


def caution_of(settings: ResilienceSettings) -> CautionRules | None:
    """When calls wait for what others bring, by the settings; None: never."""
    return CautionRules(hold_s=settings.hold_s) if settings.hold_s else None


def deployment(settings: Settings, provider: str) -> str:
    """Which account at which address a provider's circuits belong to."""
    address = provider_named(provider).address(settings)
    return "" if address is None else deployment_of(*address)


def circuits_in_settings(settings: Settings) -> dict[str, str]:
    """The circuits these settings use: name for people to name in the store."""
    names = {}
    for provider, known in all_providers().items():
        where = deployment(settings, provider)
        for model in (None, *known.models(settings)):
            name = circuit_name(provider, model, deployment=where)
            names[shown_name(name)] = name
    return names


def _count_change(before: Circuit, after: Circuit) -> None:
    count("allotrope_circuit_changes_total", circuit=shown_name(after.name), state=after.state)
