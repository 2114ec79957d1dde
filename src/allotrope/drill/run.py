"""One drill: the user's settings against a scenario, in one process or several."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from allotrope.drill.outages import Scenario
from allotrope.drill.result import CircuitChange, Drill
from allotrope.drill.stage import Crowd, Stage, play
from allotrope.drill.system import DrillRedis, OurSystem, drill_settings, warm
from allotrope.drill.worker import Worker
from allotrope.settings import Settings


async def drill(settings: Settings, scenario: Scenario, stage: Stage, *, crowd: Crowd) -> Drill:
    """Plays a scenario against the user's settings.

    Args:
        settings: The user's.
        scenario: What goes wrong.
        stage: The simulated providers, started.
        crowd: Who talks; spread over the scenario's processes.
    """
    with ExitStack() as stack:
        redis = stack.enter_context(DrillRedis())
        own = drill_settings(
            settings,
            openai_url=stage.simulator.openai_url,
            ollama_url=stage.simulator.ollama_url,
            folder=redis.folder,
            redis_url=redis.url,
            speed=stage.speed,
        )
        stage.simulator.reset()
        workers = []
        if scenario.processes > 1:
            crowd = replace(crowd, users=max(1, crowd.users // scenario.processes))
            for number in range(1, scenario.processes):
                there = replace(crowd, prefix=f"process{number}-user")
                worker = Worker(own, scenario, crowd=there, speed=stage.speed)
                workers.append(stack.enter_context(worker))
        system = OurSystem(own)
        changes: list[CircuitChange] = []
        try:
            await warm(system)
            zero = stage.set_up(scenario, model=_answering(own))
            system.circuits.listeners.append(_noting(changes, lambda: stage.clock() - zero))
            for worker in workers:
                worker.go(zero)
            found = await play(
                scenario, system, stage, crowd=crowd, at=_redis_loss(scenario, redis), zero=zero
            )
            for worker in workers:
                more = await asyncio.to_thread(worker.result, 60.0)
                found = found.joined(more, requests=stage.requests())
            return replace(found, changes=tuple(changes))
        finally:
            await system.aclose()


def _answering(settings: Settings) -> str:
    """The OpenAI model that answers the drill's turns now."""
    from allotrope.models.catalogue.lifecycle import lifecycles_of

    return lifecycles_of(settings).serving(settings.openai.model)


def _noting(changes: list[CircuitChange], now: Callable[[], float]) -> Callable[[Any, Any], None]:
    from allotrope.models.breaker.permits import shown_name

    def note(before: Any, after: Any) -> None:
        changes.append(
            CircuitChange(
                at_s=round(now(), 2),
                circuit=shown_name(after.name),
                state=after.state,
                reason=after.reason if after.state == "open" else None,
            )
        )

    return note


def _redis_loss(scenario: Scenario, redis: DrillRedis) -> dict[float, Callable[[], None]]:
    if scenario.redis_lost_s is None:
        return {}
    lost, back = scenario.redis_lost_s
    return {lost: redis.kill, back: redis.revive}


def simulated_models(settings: Settings) -> dict[str, Any]:
    """What the simulator must have so that the user's models are found."""
    from allotrope.models.catalogue.lifecycle import lifecycles_of
    from allotrope.models.catalogue.roles import models_by_role

    lifecycles = lifecycles_of(settings)
    named = [settings.openai.model, *models_by_role(settings).values()]
    lines = [name for model in named for name in lifecycles.line(model)]
    return {
        "models": list(dict.fromkeys(lines)),
        "ollama_models": [settings.ollama.model],
    }
