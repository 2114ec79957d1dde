"""Where a process has its circuits from: snapshots at most 50 ms old, in Redis or on its own.

With Redis all processes share the circuits. The call path reads a local snapshot; a background
thread keeps it fresh and hands in the successes while calls come in, so a healthy call waits for
nothing. Redis gone: the last state goes on locally, and is merged when Redis is back.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from allotrope.exceptions import AllotropeError, StoreError
from allotrope.models.breaker import machine as breaker
from allotrope.models.breaker.facts import Circuit, Rules
from allotrope.models.breaker.permits import shown_name
from allotrope.models.breaker.store import BreakerStore, LocalStore
from allotrope.models.waiting.caution import Waiters

log = logging.getLogger("allotrope.breaker")

Sharing = Literal["local", "redis", "lost"]
"""`local`: this process alone, as set; `redis`: shared; `lost`: should be shared, Redis is gone."""

Change = Callable[[Circuit], Circuit]
Listener = Callable[[Circuit, Circuit], None]

LINGER_S = 10.0
"""How long after the last call the background thread keeps the snapshots fresh."""

MOST_SWAPS = 64
"""Swaps lost in a row after which a change is made in this process only."""


@dataclass
class _Snapshot:
    circuit: Circuit
    at: float


@dataclass
class Gathered:
    """Successes of one generation that are still to be handed in."""

    ok: int = 0
    slow: int = 0
    generation: int = 0


class CircuitState:
    """The circuits as this process sees and changes them.

    Args:
        rules: When circuits open and close.
        shared: The store all processes share, or what opens it at the first call (it may give
            None); None keeps the circuits in this process.
        clock: Seconds since the epoch.
        ticks: Seconds of a clock that never goes back, for the age of snapshots.
        snapshot_s: How old a snapshot may be before the call path looks itself.
        lost_s: Seconds between two tries to reach a store that is gone.
    """

    def __init__(
        self,
        *,
        rules: Rules | None = None,
        shared: BreakerStore | Callable[[], BreakerStore | None] | None = None,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        snapshot_s: float = 0.05,
        lost_s: float = 1.0,
    ) -> None:
        self.rules = rules or Rules()
        self.listeners: list[Listener] = []
        self.waiters = Waiters()
        self._openers = (shared,) if callable(shared) else ()
        self._shared: BreakerStore | None = None if callable(shared) else shared
        self._local = LocalStore(clock=clock)
        self._ticks = ticks
        self._snapshot_s = snapshot_s
        self._lost_s = lost_s
        self._lost_at: float | None = None
        self._snapshots: dict[str, _Snapshot] = {}
        self._gathered: dict[str, Gathered] = {}
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._last_call = float("-inf")
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def sharing(self) -> Sharing:
        """Whether the circuits are shared with other processes now."""
        if self._shared is None and not self._openers:
            return "local"
        return "redis" if self._lost_at is None else "lost"

    def open(self) -> None:
        """Opens the shared store if that is still to be done; the first call does it by itself."""
        if not self._openers:
            return
        with self._opening:
            for opener in self._openers:
                try:
                    self._shared = opener()
                except AllotropeError as exc:
                    log.warning("breaker state is local: %s", exc)
            self._openers = ()

    def now(self) -> float:
        """Seconds since the epoch, the store's where there is one."""
        store = self._shared if self.sharing == "redis" and self._shared else self._local
        return store.now()

    def look(self, name: str) -> Circuit:
        """The circuit as it is now."""
        self.open()
        return self._fresh(name)

    def names(self) -> list[str]:
        """The names of all circuits, of all processes where they are shared."""
        self.open()
        known = set(self._local.names()) | set(self._snapshots)
        if self._shared is not None and self.sharing == "redis":
            try:
                known |= set(self._shared.names())
            except StoreError as exc:
                self._lose(exc)
        return sorted(known)

    def close(self) -> None:
        """Hands in what was gathered and stops the background thread."""
        self._closed = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)
        if self.sharing == "redis":
            for name in list(self._gathered):
                self._hand_in(name)
        close = getattr(self._shared, "close", None)
        if close is not None:
            close()

    # -- inside ------------------------------------------------------------------------------------

    def _fresh(self, name: str) -> Circuit:
        if self.sharing != "redis" or self._shared is None:
            return self._local.load(name)
        found = self._snapshots.get(name)
        if found is not None and self._ticks() - found.at <= self._snapshot_s:
            return found.circuit
        return self._refresh(name)

    def _seen(self, name: str) -> Circuit:
        """The circuit as last seen, without asking anybody."""
        found = self._snapshots.get(name) if self.sharing == "redis" else None
        return found.circuit if found is not None else self._local.load(name)

    def _refresh(self, name: str) -> Circuit:
        assert self._shared is not None
        asked = self._ticks()
        try:
            circuit = self._shared.load(name)
        except StoreError as exc:
            self._lose(exc)
            return self._local.load(name)
        self._keep(circuit, asked)
        return circuit

    def _keep(self, circuit: Circuit, at: float) -> None:
        before = self._snapshots.get(circuit.name)
        if before is not None and at < before.at and circuit.version < before.circuit.version:
            return  # another thread has seen a later one
        self._snapshots[circuit.name] = _Snapshot(circuit, at)
        if before is not None:
            self._moved(before.circuit, circuit)

    def _change(self, name: str, change: Change) -> Circuit:
        self.open()
        if self.sharing == "redis" and self._shared is not None:
            found = self._snapshots.get(name)
            asked = self._ticks()
            try:
                current = found.circuit if found else self._shared.load(name)
                for _ in range(MOST_SWAPS):
                    after = change(current)
                    if after == current:
                        return current
                    taken = self._shared.swap(current, after)
                    if taken is None:
                        stored = replace(after, version=current.version + 1)
                        self._keep(current, asked)
                        self._keep(stored, self._ticks())
                        return stored
                    current, asked = taken, self._ticks()
            except StoreError as exc:
                self._lose(exc)
        while True:
            before = self._local.load(name)
            after = change(before)
            if after == before:
                return before
            if self._local.swap(before, after) is None:
                self._moved(before, after)
                return after

    def _hand_in(self, name: str) -> None:
        with self._lock:
            found = self._gathered.pop(name, None)
        if found is None:
            return
        self._change(
            name,
            lambda c: breaker.record_many(
                c,
                ok=found.ok,
                slow=found.slow,
                generation=found.generation,
                rules=self.rules,
                now=self.now(),
            ),
        )

    def _lose(self, exc: StoreError) -> None:
        with self._lock:
            if self._lost_at is not None:
                return
            for found in self._snapshots.values():
                self._local.put(found.circuit)
            self._lost_at = self._ticks()
        log.warning("breaker state is local: %s It is shared again as soon as Redis answers.", exc)
        self._touch()

    def rejoin(self) -> bool:
        """Tries to reach the shared store again and brings what was learnt meanwhile.

        Returns:
            Whether the circuits are shared (again).
        """
        if self._shared is None or self._lost_at is None:
            return self.sharing == "redis"
        try:
            for name in self._local.names():
                local = self._local.load(name)
                shared = self._shared.load(name)
                for _ in range(MOST_SWAPS):
                    merged = breaker.merge(local, shared)
                    taken = None if merged == shared else self._shared.swap(shared, merged)
                    if taken is None:
                        break
                    shared = taken
                self._snapshots.pop(name, None)
            if not self._local.names():
                self._shared.load("rejoin")
        except StoreError:
            self._lost_at = self._ticks()
            return False
        self._lost_at = None
        log.warning("breaker state is shared again: Redis is back.")
        return True

    def _moved(self, before: Circuit, after: Circuit) -> None:
        """Wakes who waits for it, and tells who listens."""
        if before.state == after.state:
            if before.consecutive != after.consecutive:
                self.waiters.wake()
            return
        log.log(
            logging.INFO if after.state == "closed" else logging.WARNING,
            "circuit %s: %s -> %s (%s)",
            shown_name(after.name),
            before.state,
            after.state,
            after.reason or "healthy",
        )
        for listener in self.listeners:
            listener(before, after)
        self.waiters.wake()

    # -- the background thread ---------------------------------------------------------------------

    def _touch(self) -> None:
        self._last_call = self._ticks()
        if self._shared is None or self._closed:
            return
        if self._thread is None or not self._thread.is_alive():  # also after a fork
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(
                        target=_keep_fresh,
                        args=(weakref.ref(self), self._wake),
                        name="allotrope-breaker",
                        daemon=True,
                    )
                    self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def tick(self) -> float | None:
        """One round of the background thread.

        Returns:
            Seconds until the next round; None when idle or closed.
        """
        if self._closed:
            return None
        idle = self._ticks() - self._last_call > LINGER_S
        if self.sharing == "lost":
            lost_at = self._lost_at
            if idle:  # nobody asks; starting a server again for nobody would be wrong
                return None
            if lost_at is not None and self._ticks() - lost_at >= self._lost_s:
                self.rejoin()
            return self._lost_s / 4
        for name in list(self._gathered):
            self._hand_in(name)
        if idle:
            return None
        for name in list(self._snapshots):
            if self.sharing == "redis":
                self._refresh(name)
        return self._snapshot_s / 2


def _keep_fresh(ref: "weakref.ref[CircuitState]", wake: threading.Event) -> None:
    """Keeps snapshots fresh while calls come in; ends with the breaker it serves."""
    pause: float | None = 0.0
    while True:
        if pause is None:
            wake.clear()
            wake.wait(timeout=5.0)
        elif pause:
            time.sleep(pause)
        circuits = ref()
        if circuits is None or circuits._closed:
            return
        try:
            pause = circuits.tick()
        except Exception:
            log.exception("the breaker's background thread stumbled")
            pause = 1.0
        del circuits
