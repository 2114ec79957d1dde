"""What goes wrong in a run of the audit, one trouble after another, each for a while."""

import asyncio
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

from _audit_doors import Door
from _audit_facts import Span
from _audit_plan import Trouble

if TYPE_CHECKING:
    from _audit_stage import Stage

BUSY_S = 2.0


class Troubles:
    """Breaks what the plan says when so many questions have ended, and mends it.

    Args:
        stage: The run.
    """

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self.spans: list[Span] = []
        self._restarts: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """All troubles of the plan; ends when the last one is mended."""
        for trouble in self._stage.plan.troubles:
            while self._stage.done < trouble.at * self._stage.plan.questions:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            begin, account = time.time(), ""
            what, _, where = trouble.kind.partition(" ")
            if where in ("worker", "serve"):
                door = await self._door(where, trouble)
                account = door.account
                await self._process(what, where, door, trouble.seconds, begin)
            else:
                await self._store(trouble)
            if what != "kill":
                self.spans.append(Span(trouble.kind, begin, time.time(), account))
        await asyncio.gather(*self._restarts)

    def counts(self) -> dict[str, int]:
        """How often what happened."""
        return dict(Counter(span.kind for span in self.spans))

    async def _door(self, kind: str, trouble: Trouble) -> Door:
        """A process of that kind, with a turn under way if one comes within two seconds."""
        until = time.monotonic() + BUSY_S
        while True:
            doors = [d for name, d in self._stage.doors.items() if name.startswith(kind)]
            up = [door for door in doors if door.ready.is_set()]
            busy = [door for door in up if door.running]
            if busy or (up and time.monotonic() > until):
                return (busy or up)[trouble.target % len(busy or up)]
            await asyncio.sleep(0.01)

    async def _process(
        self, what: str, kind: str, door: Door, seconds: float, begin: float
    ) -> None:
        if what == "pause":
            door.signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            door.signal(signal.SIGCONT)
            return
        await asyncio.to_thread(door.kill)
        died = time.time()
        self.spans.append(Span(f"kill {kind}", begin, died, door.account))
        self._restarts.append(asyncio.create_task(self._restart(door, seconds)))

    async def _restart(self, door: Door, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await door.start()

    async def _store(self, trouble: Trouble) -> None:
        stage, seconds = self._stage, trouble.seconds
        redis, postgres, simulator = stage.redis, stage.postgres, stage.simulator
        match trouble.kind:
            case "restart redis":
                redis.stop()
                await asyncio.sleep(seconds)
                await asyncio.to_thread(redis.start)
            case "pause redis":
                redis.pause()
                await asyncio.sleep(seconds)
                redis.go_on()
            case "fill disk":
                await asyncio.to_thread(stage.disk.fill)
                await asyncio.sleep(seconds)
                stage.disk.empty()
            case "openai down" | "all models down":
                names = ("openai",) if trouble.kind == "openai down" else ("openai", "ollama")
                for name in names:
                    simulator.down(name)
                await asyncio.sleep(seconds)
                for name in names:
                    simulator.up(name)
            case "restart postgres" if postgres is not None:
                await asyncio.to_thread(postgres.stop)
                await asyncio.sleep(seconds)
                await asyncio.to_thread(postgres.start)
            case "cut postgres" if postgres is not None:
                await asyncio.to_thread(postgres.cut)
