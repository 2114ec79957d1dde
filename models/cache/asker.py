"""One question through the cache: look, wait for whoever asks the same, ask, keep."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING

from langchain_core.outputs import Generation

from allotrope.models.cache.answers import AnswerCache, CacheCall, Hit
from allotrope.models.cache.flight import Flight, Flights, Landed, Pauses
from allotrope.models.cache.storage.codec import StoredAnswer, UnreadableEntryError

if TYPE_CHECKING:
    from allotrope.models.cache.semantic.tier import SemanticTier

LOOK_S = 0.25
"""Longest pause of a waiter between two looks at whether the leader's reader pauses, seconds."""


class LeadingCall:
    """A call that has to be made: this process leads it. `keep` or `drop` must follow.

    Args:
        asker: Whose.
        call: What is asked.
        flight: The flight to land; None where nobody may wait for this call.
    """

    def __init__(self, asker: "Asker", call: CacheCall, flight: Flight | None) -> None:
        self._asker = asker
        self._call = call
        self._flight = flight
        self._started = time.perf_counter()

    def _entry(self, generations: Sequence[Generation]) -> StoredAnswer | None:
        seconds = time.perf_counter() - self._started
        return self._asker.answers.entry_of(self._call, generations, seconds=seconds)

    async def keep(self, generations: Sequence[Generation]) -> None:
        """Keeps the answer where it may be kept, and lets the waiters go on, come what may.

        The caller may be cancelled meanwhile.
        """
        landed = Landed(again=True)
        try:
            entry = self._entry(generations)
            if entry is not None:
                await self._asker.answers.aput(self._call, entry)
                if self._asker.semantic is not None:
                    await self._asker.semantic.aadd(self._call, entry)
            landed = self._landed(entry)
        finally:
            await self._land(landed)

    async def drop(self, exc: BaseException | None) -> None:
        """The call failed or was given up."""
        await self._land(_ended(exc))

    def reader_has_it(self) -> AbstractContextManager[None]:
        """While the reader of a stream has a chunk: others don't wait for one that pauses."""
        return nullcontext() if self._flight is None else self._flight.reader_has_it()

    def _landed(self, entry: StoredAnswer | None) -> Landed:
        if entry is None:
            return Landed()
        return Landed(hit=Hit(entry=entry, tier="exact", digest=self._call.digest))

    async def _land(self, landed: Landed) -> None:
        if self._flight is not None:
            await self._asker.land(self._flight, landed)


def _ended(exc: BaseException | None) -> Landed:
    return Landed(error=exc) if isinstance(exc, Exception) else Landed(again=True)


class Asker:
    """Answers a call from the cache, or says that it has to be made.

    Args:
        answers: The exact tier and the store.
        semantic: The semantic tier, if there is one.
    """

    def __init__(self, answers: AnswerCache, semantic: "SemanticTier | None" = None) -> None:
        self.answers = answers
        self.semantic = semantic
        self.flights = Flights(answers)

    def kept(self, call: CacheCall) -> Hit | None:
        """The exact answer that is kept, for a caller that can't await; `ask` says all else."""
        return self.answers.get(call, misses=False) if call.request.read else None

    async def ask(self, call: CacheCall) -> Hit | LeadingCall:
        """The answer from the cache, or the call to make.

        Raises:
            Exception: What the call of somebody who asked the same at this moment raised.
        """
        if not call.request.read:
            return LeadingCall(self, call, None)
        if not self._together(call):
            return await self._found(call) or LeadingCall(self, call, None)
        deadline = time.monotonic() + self.answers.settings.wait_s
        while True:
            flight, leads = self.flights.board(call)
            if leads:
                return await self._lead(call, flight, deadline)
            landed = await self._awaited(flight, deadline)
            if landed is None:
                return LeadingCall(self, call, None)
            hit = self._shared(call, landed)
            if hit is not None:
                await self.answers.aexecute(self.answers.booked(call, hit))
                return hit
            if not landed.again:
                return LeadingCall(self, call, None)

    def _together(self, call: CacheCall) -> bool:
        """Whether identical questions may share this call's answer."""
        return self.answers.settings.single_flight and call.request.write and call.ttl_s > 0

    async def _awaited(self, flight: Flight, deadline: float) -> Landed | None:
        """How another's flight ended; None when it takes too long."""
        future = asyncio.wrap_future(flight.future)
        while (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_S)):
                    return await asyncio.shield(future)  # giving up must not cancel it
            if flight.held_up:
                await self.land(flight, Landed(again=True))
        return None

    async def land(self, flight: Flight, landed: Landed) -> None:
        """Ends a flight: the waiters go on, and other processes may ask."""
        flight.land(landed)
        if flight.lease is not None:
            lease, flight.lease = flight.lease, None
            self.flights.keeper.remove(lease[0])
            await self.answers.aexecute(self.flights.release(*lease))

    def _shared(self, call: CacheCall, landed: Landed) -> Hit | None:
        """What the leader got, where this call may have it."""
        if landed.error is not None:
            raise landed.error
        hit, oldest = landed.hit, call.request.max_age_s
        if hit is None or (hit.tier == "semantic" and call.space != landed.space):
            return None
        if oldest is not None and self.answers.clock() - hit.entry.created > oldest:
            return None
        return hit

    async def _found(self, call: CacheCall) -> Hit | None:
        hit = await self.answers.aget(call)
        if hit is None and self.semantic is not None:
            hit = await self.semantic.afind(call)
        return hit

    async def _lead(self, call: CacheCall, flight: Flight, deadline: float) -> Hit | LeadingCall:
        try:
            hit = await self._found(call) or await self._lease(call, flight, deadline)
        except BaseException as exc:
            flight.land(_ended(exc))
            raise
        if hit is None:
            return LeadingCall(self, call, flight)
        flight.land(Landed(hit=hit, space=call.space))
        return hit

    async def _lease(self, call: CacheCall, flight: Flight, deadline: float) -> Hit | None:
        """Takes the lease between processes, or waits for the answer of who has it."""
        if not self.answers.shared:
            return None
        flights, key, token = self.flights, self.flights.lease_key(call), self.flights.new_token()
        pauses = Pauses()
        taken = await self.answers.aexecute(flights.take(key, token))
        while taken is False and time.monotonic() < deadline:
            await asyncio.sleep(pauses.next())
            looked = await self.answers.aexecute(flights.look(call.part, call, key, token))
            if looked is None:
                return None  # the store is gone: everybody asks alone
            entry, taken = self._read(looked[0]), looked[1]
            if entry is not None:
                if taken:
                    await self.answers.aexecute(flights.release(key, token))
                hit = Hit(entry=entry, tier="exact", digest=call.digest)
                await self.answers.aexecute(self.answers.booked(call, hit))
                return hit
        if taken:
            flight.lease = (key, token)
            flights.keeper.add(key, token, flight)
        return None

    def _read(self, value: bytes | None) -> StoredAnswer | None:
        if value is None:
            return None
        try:
            return self.answers.codec.load(value)
        except UnreadableEntryError:
            return None
