"""The way out for a request: the breaker's leave, and a wait while caution holds it back."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.permits import Permit
from allotrope.models.waiting.caution import CautionRules
from allotrope.models.waiting.first_token import FirstTokenWatch
from allotrope.support.counters import count
from allotrope.support.pools import TURNS


@dataclass(kw_only=True)
class Admission:
    """Asks for leave for the requests of one call.

    Attributes:
        circuits: The breaker.
        provider: Whom the requests go to.
        model: Which model.
        deployment: Which account at which address.
        lease_s: How long a probe may take in seconds.
        last: Nobody else is left to ask: an open circuit may be tried, and nothing is held.
        caution: When a request waits for what others bring; None: never.
        watch: Knows whether those under way are silent.
        clock: Seconds of a clock that never goes back.
    """

    circuits: Circuits
    provider: str
    model: str
    deployment: str
    lease_s: float
    last: bool
    caution: CautionRules | None
    watch: FirstTokenWatch
    clock: Callable[[], float]

    async def aleave(self) -> Permit:
        """Leave for one request; waits while caution holds it (`models.caution`).

        Raises:
            CircuitOpenError: The breaker holds calls back.
        """
        permit = await self._atry()
        if permit is None:
            left = self._held()
            with self.circuits.waiters.task() as bell:
                while permit is None:
                    bell.clear()
                    seconds = left()
                    permit = await self._atry(force=seconds <= 0)
                    if permit is None:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(min(seconds, self.watch.pause_s())):
                                await bell.wait()
        return permit

    async def _atry(self, *, force: bool = False) -> Permit | None:
        if self.watch.is_silent():
            await TURNS.run(self.watch.check)
        permit = await self.circuits.aadmit(
            self.provider,
            self.model,
            deployment=self.deployment,
            lease_s=self.lease_s,
            last=self.last,
        )
        if self._goes(permit, force=force):
            return permit
        permit.agive_back()
        return None

    def _goes(self, permit: Permit, *, force: bool) -> bool:
        if self.caution is None or self.last or not permit.tickets:
            return True
        if not force and not permit.is_probe and self.watch.is_hushed():
            return False
        return self.circuits.try_out(permit, self.caution, force=force)

    def _held(self) -> Callable[[], float]:
        """Counts a held call; gives the seconds it may still be held."""
        until = self.clock() + (self.caution.hold_s if self.caution else 0.0)
        count("allotrope_held_calls_total", provider=self.provider)
        return lambda: until - self.clock()
