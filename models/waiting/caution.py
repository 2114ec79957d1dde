"""Caution: while it is open whether a provider is still well, few calls go out and the rest wait.

A breaker counts what has failed; what is under way when it opens is lost, too. So after a first
failure only as many calls may be under way as failures are missing to open the circuit, and while
the calls under way are silent for unusually long (`overdue`) no more are sent. Whoever is held
waits for what those bring: an answer frees everybody, an opened circuit sends everybody on to the
next model. Nobody is held longer than `CautionRules.hold_s`, and nobody is refused for caution.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class CautionRules:
    """How cautious.

    Attributes:
        hold_s: Longest wait of a held call in seconds; also how long a failure is a reason.
    """

    hold_s: float = 5.0


@dataclass(eq=False)
class TrialCall:
    """A call under way whose end is evidence for the circuits it needed.

    Attributes:
        circuits: Their names.
        doubted: Whether it went out after a failure: its first token proves nothing then, since
            the failure may have come later in the stream.
        spoke: Whether its first token came.
    """

    circuits: tuple[str, ...]
    doubted: bool
    spoke: bool = False

    @property
    def open(self) -> bool:
        """Whether it may still fail like those before it."""
        return self.doubted or not self.spoke


@dataclass
class Trials:
    """The calls of this process that are under way, by circuit."""

    _by_circuit: dict[str, set[TrialCall]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(
        self, circuits: tuple[str, ...], *, doubts: Callable[[], Mapping[str, int]], most: int
    ) -> TrialCall | None:
        """A call wants to go out.

        Args:
            circuits: The circuits it needs.
            doubts: Gives the failures in a row of those that failed lately. Asked while no other
                call begins or ends here: a failure is counted before its call ends.
            most: Failures in a row that open a circuit.

        Returns:
            None when it must wait: the calls under way are enough to find out.
        """
        with self._lock:
            found = doubts()
            trial = TrialCall(circuits, doubted=bool(found))
            for name, failures in found.items():
                others = sum(other.open for other in self._by_circuit.get(name, ()))
                if failures + others >= most:
                    return None
            for name in circuits:
                self._by_circuit.setdefault(name, set()).add(trial)
        return trial

    def end(self, trial: TrialCall) -> None:
        """It ended, however."""
        with self._lock:
            for name in trial.circuits:
                self._by_circuit.get(name, set()).discard(trial)


class Waiters:
    """Held calls, in threads and on event loops, and the bell that wakes them."""

    def __init__(self) -> None:
        self._bells: set[Callable[[], None]] = set()
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Something happened: everybody looks again."""
        if not self._bells:
            return
        with self._lock:
            bells = list(self._bells)
        for ring in bells:
            ring()

    @contextmanager
    def task(self) -> Iterator[asyncio.Event]:
        """An event that `wake` sets, for a coroutine."""
        event, loop = asyncio.Event(), asyncio.get_running_loop()

        def ring() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

        with self._listening(ring):
            yield event

    @contextmanager
    def _listening(self, ring: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            self._bells.add(ring)
        try:
            yield
        finally:
            with self._lock:
                self._bells.discard(ring)
