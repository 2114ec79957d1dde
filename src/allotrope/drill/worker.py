"""A second process with users of its own, for outages that two processes live through together."""

import asyncio
import multiprocessing
from multiprocessing.connection import Connection
from typing import Any, Self

from allotrope.drill.outages import Scenario
from allotrope.drill.result import Drill
from allotrope.drill.stage import Crowd, Stage, play
from allotrope.drill.system import OurSystem, warm
from allotrope.exceptions import StoreError
from allotrope.settings import Settings

START_TIMEOUT_S = 60.0


class Worker:
    """A process that talks to the same simulated providers through the same Redis.

    Args:
        settings: From `drill_settings`.
        scenario: What goes wrong.
        crowd: Its users.
        speed: How much faster the run's clock is.
    """

    def __init__(
        self, settings: Settings, scenario: Scenario, *, crowd: Crowd, speed: float
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._mine, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, settings, scenario, crowd, speed), daemon=True
        )

    def __enter__(self) -> Self:
        """Starts the process and waits until it is warm.

        Raises:
            StoreError: It doesn't get ready.
        """
        self._process.start()
        if not self._mine.poll(START_TIMEOUT_S):
            raise StoreError("The drill's second process didn't start in a minute.")
        self._mine.recv()
        return self

    def __exit__(self, *exc: object) -> None:
        """Ends the process."""
        self._process.join(timeout=5.0)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        self._mine.close()

    def go(self, zero: float) -> None:
        """Begins the run.

        Args:
            zero: The clock's reading at the run's begin; the clock is the machine's.
        """
        self._mine.send(zero)

    def result(self, timeout_s: float) -> Drill:
        """Its turns and threads, once it is done.

        Raises:
            StoreError: It doesn't answer in time.
        """
        if not self._mine.poll(timeout_s):
            raise StoreError("The drill's second process didn't finish.")
        found: Any = self._mine.recv()
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]  # a pipe carries anything


def _serve(
    pipe: Connection, settings: Settings, scenario: Scenario, crowd: Crowd, speed: float
) -> None:
    async def run() -> Drill:
        system = OurSystem(settings)
        try:
            await warm(system)
            pipe.send("ready")
            zero = await asyncio.to_thread(pipe.recv)
            stage = Stage(speed=speed)  # its clock only: the providers are the parent's
            return await play(scenario, system, stage, crowd=crowd, zero=zero)
        finally:
            await system.aclose()

    try:
        pipe.send(asyncio.run(run()))
    except Exception as exc:  # noqa: BLE001  # the parent raises it
        pipe.send(exc)
