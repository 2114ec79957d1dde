"""Plays an outage against a system: users talk, the simulated OpenAI fails, everything is timed.

Time is compressed: the simulator's clock and every duration of the settings run `speed` times as
fast, so that a minute takes a few seconds. Figures are given in the seconds of the scenario, as
with the settings as they are.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, get_args

from allotrope.drill.outages import BAD_REQUEST, Scenario
from allotrope.drill.result import Drill, DrillTurn, ProviderRequest
from allotrope.settings import Settings
from allotrope.support.providers import in_process
from allotrope.support.tasks import ended
from allotrope.testing.content.replies import Provider as SimulatedProvider
from allotrope.testing.content.replies import SimRequest
from allotrope.testing.simulator import ProviderSimulator

LATENCY_S = 0.3
"""Seconds before the simulated providers' first token."""
TOKEN_DELAY_S = 0.03
"""Seconds between their tokens."""


class System(Protocol):
    """What is put through a drill."""

    name: str

    def turn(self, thread: str, text: str) -> AsyncIterator[tuple[str, str]]:
        """One turn: yields ("token", text), ("restart", "") and last ("answer", text).

        A ("provider", name) before the answer says who gave it, where that can be said.
        """

    async def threads(self, names: list[str]) -> dict[str, list[tuple[str, str]]]:
        """What the threads hold: (role, text) with roles `human` and `ai`."""


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Who talks.

    Args:
        users: How many at once, each in a thread of its own.
        think_s: Seconds between an answer and the next question, half as much to half as long
            again.
        duration_s: Seconds of the run.
        seed: Of the thinking.
        prefix: Before the names of the threads.
    """

    users: int = 20
    think_s: float = 6.0
    duration_s: float = 60.0
    seed: int = 7
    prefix: str = "user"


RETIRED = (403, 404, 410)
"""Status of a request to a model that has ended."""


class Stage:
    """The simulated providers, on a clock that runs fast.

    Args:
        speed: How many seconds of the scenario pass in one second.
        models: OpenAI models to have besides the known ones.
        ollama_models: Ollama's models; default: those the simulator has by itself.
    """

    def __init__(
        self,
        *,
        speed: float,
        models: Iterable[str] = (),
        ollama_models: Iterable[str] | None = None,
    ) -> None:
        self.speed = speed
        self.simulator = ProviderSimulator(
            clock=self.clock,
            sleep=self.sleep,
            latency_s=LATENCY_S,
            token_delay_s=TOKEN_DELAY_S,
            reasoning_tokens=0,
            models=models,
            ollama_models=ollama_models,
        )

    def clock(self) -> float:
        """Seconds of the scenario, from any beginning."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Waits for seconds of the scenario."""
        await asyncio.sleep(seconds / self.speed)

    def set_up(self, scenario: Scenario, *, model: str | None = None) -> float:
        """Starts the scenario's clock and plans its faults.

        Args:
            scenario: What goes wrong.
            model: The model that answers, for a scenario that retires it.

        Returns:
            The clock's reading at the run's begin.
        """
        self.simulator.reset()
        self.simulator.answer_with(_answer)
        for fault in scenario.faults:
            wait = fault.retry_after
            if isinstance(wait, int | float):
                fault = replace(fault, retry_after=round(wait / self.speed, 3))
            self.simulator.faults.add(fault)
        if scenario.retires and model is not None:
            self.simulator.retire_at(scenario.starts_s, model)
        return self.clock() - self.simulator.elapsed_s

    def requests(self) -> tuple[ProviderRequest, ...]:
        """The chat requests so far."""
        return tuple(
            ProviderRequest(
                at_s=r.at,
                provider=r.provider,
                text=r.text,
                fault=r.fault or ("retired" if r.status in RETIRED else None),
            )
            for r in self.simulator.chats()
        )


def _answer(request: SimRequest) -> str:
    return f"{request.provider} answers the question {request.text}"


def compressed(settings: Settings, speed: float) -> Settings:
    """The settings with every duration shortened, for a clock that runs so much faster.

    What is bound to the machine stays: the age of a breaker's snapshot, Redis' timeout, and the
    time to connect, which on loopback is refused or granted at once: shortened, it would count
    this machine's hiccups as outages.

    Args:
        settings: The user's.
        speed: How much faster.
    """
    fields = {
        "openai": ("timeout_s", "first_token_timeout_s", "idle_timeout_s"),
        "ollama": ("timeout_s",),
        "resilience": (
            "slow_after_s",
            "window_s",
            "breaks_s",
            "ladder_reset_s",
            "redis_retry_s",
            "hold_s",
            "early_probe_s",
            "first_wait_s",
            "longest_wait_s",
            "deadline_s",
        ),
    }
    update: dict[str, Any] = {}
    for section, names in fields.items():
        part = getattr(settings, section)
        changed = {n: _divided(getattr(part, n), speed) for n in names if hasattr(part, n)}
        update[section] = part.model_copy(update=changed)
    return settings.model_copy(update=update)


def _divided(value: Any, speed: float) -> Any:
    if isinstance(value, tuple):
        return tuple(item / speed for item in value)
    return None if value is None else value / speed


async def play(
    scenario: Scenario,
    system: System,
    stage: Stage,
    *,
    crowd: Crowd | None = None,
    at: Mapping[float, Callable[[], None]] | None = None,
    zero: float | None = None,
) -> Drill:
    """Lets a crowd talk to a system while the scenario goes on.

    Args:
        scenario: What goes wrong; the stage is set up already.
        system: Who answers.
        stage: The providers and the clock.
        crowd: Who talks.
        at: What else happens: second of the run to a call, made in a thread.
        zero: The clock's reading at the run's begin; default: now.

    Returns:
        Turns and requests of the run.
    """
    crowd = crowd or Crowd()
    begin = stage.clock() if zero is None else zero
    turns: list[DrillTurn] = []

    def now() -> float:
        return stage.clock() - begin

    async def happen() -> None:
        for second, call in sorted((at or {}).items(), key=lambda item: item[0]):
            await stage.sleep(max(0.0, second - now()))
            await asyncio.to_thread(call)

    async def talk(number: int) -> None:
        chance = random.Random(f"{crowd.seed}-{number}")  # noqa: S311  # repeatable
        thread = f"{crowd.prefix}{number}"
        await stage.sleep(max(0.0, chance.random() * crowd.think_s - now()))
        count = 0
        while now() < crowd.duration_s:
            count += 1
            bad = chance.random() < scenario.bad_share
            text = f"{thread} question {count}{' ' + BAD_REQUEST if bad else ''} end"
            turns.append(await _one_turn(system, thread, text, now))
            await stage.sleep(crowd.think_s * (0.5 + chance.random()))

    side = asyncio.create_task(happen())
    talks = [asyncio.create_task(talk(number)) for number in range(crowd.users)]
    try:
        await asyncio.gather(*talks)
    finally:
        await ended(side, *talks)
    if not side.cancelled():
        side.result()
    names = sorted({turn.thread for turn in turns})
    return Drill(
        scenario=scenario,
        system=system.name,
        turns=tuple(sorted(turns, key=lambda turn: turn.started_s)),
        requests=stage.requests(),
        threads=await system.threads(names),
    )


async def _one_turn(system: System, thread: str, text: str, now: Callable[[], float]) -> DrillTurn:
    started = now()
    first: float | None = None
    shown = answer = provider = model = ""
    restarts = 0
    error: str | None = None
    try:
        async for kind, part in system.turn(thread, text):
            if kind == "token" and part:
                first = now() if first is None else first
                shown += part
            elif kind == "restart":
                shown, restarts = "", restarts + 1
            elif kind == "provider":
                provider = part
            elif kind == "successor":
                model = part
            elif kind == "answer":
                answer = part
    except Exception as exc:  # noqa: BLE001  # whatever a system raises is what its user gets
        error = type(exc).__name__
    if in_process(provider):  # the real one, in words of its own
        answered = bool(answer.strip())
    else:
        provider = answer.partition(" ")[0]
        answered = provider in get_args(SimulatedProvider) and answer.endswith(text)
    return DrillTurn(
        thread=thread,
        text=text,
        started_s=started,
        ended_s=now(),
        first_token_s=first,
        answered_by=provider if answered else None,
        successor=model if answered else "",
        error=error if answered or error else "NoAnswer",
        glued=answered and shown != answer,
        restarts=restarts,
    )
