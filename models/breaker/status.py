"""The operator's view: each circuit, what it saw last, and who would answer now."""

from typing import Any

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.facts import Circuit
from allotrope.models.breaker.machine import measure
from allotrope.models.breaker.opening import circuits_in_settings, deployment
from allotrope.models.breaker.permits import circuit_name, shown_name
from allotrope.models.catalogue.entries import PRIMARY
from allotrope.models.catalogue.lifecycle import lifecycles_of
from allotrope.models.catalogue.roles import models_by_role
from allotrope.models.providers.provider import all_providers
from allotrope.settings import Settings
from allotrope.support.providers import catalogued


def status_of(settings: Settings, circuits: Circuits) -> dict[str, Any]:
    """What `allotrope status` shows, as one plain object.

    Args:
        settings: Whose chain it is.
        circuits: The breaker.

    Returns:
        `sharing`, `answers_now` (provider and model, or None), `succession` (`from`, `to` and
        `reason` where that is a successor, else None), and `circuits`, each with `name`,
        `state`, `calls`, `failure_rate`, `slow_rate`, `next_probe_s`, `reason`, `since_s`,
        `errors`.
    """
    own = circuits_in_settings(settings)
    stored = {**{stored: shown for shown, stored in own.items()}}
    for name in circuits.names():
        stored.setdefault(name, shown_name(name))
    seen = {name: circuits.look(name) for name in stored}
    now = circuits.now()
    rows = [
        _row(seen[name], shown, circuits, now, known=name in own.values())
        for name, shown in sorted(stored.items(), key=lambda item: (item[1], item[0]))
        if name in own.values() or seen[name].version
    ]
    wanted, serving = serving_now(settings)
    answers = _answers_now(settings, seen, now)
    theirs = answers is not None and catalogued(answers["provider"]) and answers["model"] == serving
    return {
        "breaker": settings.resilience.breaker,
        "sharing": circuits.sharing,
        "answers_now": answers,
        "succession": lifecycles_of(settings).succession(wanted, serving) if theirs else None,
        "circuits": rows,
    }


def _row(
    circuit: Circuit, shown: str, circuits: Circuits, now: float, *, known: bool
) -> dict[str, Any]:
    rates = measure(circuit, rules=circuits.rules, now=now)
    waiting = circuit.state == "open"
    return {
        "name": shown,
        "stored_as": circuit.name,
        "of_these_settings": known,
        "state": circuit.state,
        "calls": rates.calls,
        "failure_rate": round(rates.failure_rate, 3),
        "slow_rate": round(rates.slow_rate, 3),
        "consecutive_failures": circuit.consecutive,
        "next_probe_s": round(max(0.0, circuit.opened_until - now), 1) if waiting else None,
        "reason": circuit.reason,
        "since_s": round(now - circuit.since, 1) if circuit.since else None,
        "errors": [
            {"ago_s": round(now - seen.at, 1), "error": seen.error, "code": seen.code}
            for seen in reversed(circuit.errors)
        ],
    }


def serving_now(settings: Settings) -> tuple[str, str]:
    """The model of the role `primary`, and the one that serves for it now."""
    wanted = models_by_role(settings).get(PRIMARY, settings.openai.model)
    lifecycles = lifecycles_of(settings)
    if lifecycles.notes.stale():
        lifecycles.notes.read()
    return wanted, lifecycles.serving(wanted)


def _answers_now(settings: Settings, seen: dict[str, Circuit], now: float) -> dict[str, str] | None:
    for provider, known in all_providers().items():
        if not known.is_used(settings):
            continue
        model = known.serving(settings)
        where = deployment(settings, provider)
        names = (
            circuit_name(provider, deployment=where),
            circuit_name(provider, model, deployment=where),
        )
        if known.optional or all(_passes(seen.get(name), now) for name in names):
            return {"provider": provider, "model": model}
    return None


def _passes(circuit: Circuit | None, now: float) -> bool:
    if circuit is None or circuit.state in ("closed", "disabled"):
        return True
    return circuit.state == "open" and now >= circuit.opened_until


def matching(settings: Settings, circuits: Circuits, wanted: str) -> list[str]:
    """The stored names of the circuits that people call `wanted`.

    Args:
        settings: Whose chain it is; its circuits can be named before their first call.
        circuits: The breaker.
        wanted: `openai`, `openai/o3`, or a stored name.

    Returns:
        The names, none if nothing is called so.
    """
    own = circuits_in_settings(settings)
    found = [own[wanted]] if wanted in own else []
    known = circuits.names()
    found += [name for name in known if wanted in (name, shown_name(name)) and name not in found]
    return found
