"""Calls that wait too long for their first token, noticed while they are under way.

A provider that goes silent would otherwise be noticed by its first timeouts, when everybody is
already waiting. Silence is judged by what is usual: `limit_s`. It takes several overdue calls at
once and no first token from any younger call, so one long thought never counts, nor do many as
long as others are answered. Calls are compared with their like only: same circuit, same reasoning
effort, streamed or not.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class OverdueRules:
    """When silence is evidence.

    Attributes:
        share: Share of the first-token timeout that no limit is below.
        most: Share of the first-token timeout that no limit is above.
        factor: Times the usual time to the first token (`usual_s`).
        calls: Overdue calls at once that it takes.
        samples: First tokens that must have been seen before anything is called unusual.
        memory: First tokens remembered.
    """

    share: float = 0.25
    most: float = 0.75
    factor: float = 3.0
    calls: int = 3
    samples: int = 10
    memory: int = 100


@dataclass(eq=False)
class WaitingCall:
    """A call under way that has no token yet.

    Attributes:
        kind: What it is compared with.
        started: The tracker's clock when it began.
        timeout_s: How long it may take anyhow.
        abandon: Told, from any thread, after how many seconds it should give up.
    """

    kind: str
    started: float
    timeout_s: float
    abandon: Callable[[float], None] | None = None


@dataclass
class _Kind:
    """Flights in the order they began, first tokens, and how long several waited for one.

    `youngest` is when the youngest call began that got a token.
    """

    flights: dict[WaitingCall, None] = field(default_factory=dict)
    tokens: deque[float] = field(default_factory=deque)
    gaps: deque[float] = field(default_factory=deque)
    last_token: float = float("-inf")
    youngest: float = float("-inf")

    def unanswered(self, calls: int) -> float | None:
        """When the last of so many began that began after every call that got a token.

        The answers to older calls say nothing of a provider that has gone silent since.
        """
        younger = (f.started for f in self.flights if f.started > self.youngest)
        began = list(itertools.islice(younger, calls))
        return began[-1] if len(began) == calls else None

    def silence_s(self, now: float) -> float:
        """Seconds since somebody waits and nobody has got a token."""
        oldest = next(iter(self.flights), None)
        return now - max(self.last_token, oldest.started) if oldest is not None else 0.0


def usual_s(tokens: list[float]) -> float:
    """The time that nine of ten keep.

    Rounded down, so that of the first dozen the two slowest don't count: connections that are yet
    to be made, code that is yet to be loaded.
    """
    return sorted(tokens)[int(0.9 * (len(tokens) - 1))]


def limit_s(tokens: list[float], timeout_s: float, rules: OverdueRules) -> float | None:
    """Seconds after which a call without a first token is overdue.

    Args:
        tokens: Seconds to the first token, of the last calls that got one.
        timeout_s: The first-token timeout.
        rules: Share and factor.

    Returns:
        None where nothing can be said: too little was seen.
    """
    if len(tokens) < rules.samples:
        return None
    limit = max(rules.factor * usual_s(tokens), rules.share * timeout_s)
    return min(limit, max(rules.most, rules.share) * timeout_s)


class Overdue:
    """The calls of this process that wait for their first token.

    Args:
        clock: Seconds of a clock that never goes back.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.Lock()

    def begin(
        self, kind: str, timeout_s: float, *, abandon: Callable[[float], None] | None = None
    ) -> WaitingCall:
        """A call went out."""
        flight = WaitingCall(kind, self._clock(), timeout_s, abandon)
        with self._lock:
            self._kinds.setdefault(kind, _Kind()).flights[flight] = None
        return flight

    def spoke(self, flight: WaitingCall, rules: OverdueRules) -> None:
        """Its first token came."""
        now = self._clock()
        with self._lock:
            kind = self._kinds[flight.kind]
            if flight in kind.flights:
                if len(kind.flights) >= rules.calls:
                    kind.gaps.append(kind.silence_s(now))
                del kind.flights[flight]
                kind.last_token = now
                kind.youngest = max(kind.youngest, flight.started)
                kind.tokens.append(now - flight.started)
                for seen in (kind.tokens, kind.gaps):
                    while len(seen) > rules.memory:
                        seen.popleft()

    def end(self, flight: WaitingCall) -> None:
        """It ended, however; without a token nothing is learnt of what is usual."""
        with self._lock:
            self._kinds[flight.kind].flights.pop(flight, None)

    def limit_s(self, kind: str, timeout_s: float, rules: OverdueRules) -> float | None:
        """Seconds after which a call of that kind is overdue now; None: can't be said."""
        with self._lock:
            found = self._kinds.get(kind)
            tokens = list(found.tokens) if found else []
        return limit_s(tokens, timeout_s, rules)

    def usual_s(self, kind: str) -> float:
        """The time to the first token that nine of ten calls of that kind keep; 0: none seen."""
        with self._lock:
            found = self._kinds.get(kind)
            return usual_s(list(found.tokens)) if found and found.tokens else 0.0

    def hushed(self, kind: str, rules: OverdueRules) -> bool:
        """Whether the calls of that kind under way are worth waiting for before more are sent.

        So it is when there are enough of them to tell, and none has got a token for longer than
        nine of ten first tokens take, or for twice as long as so many ever wait for the next one.
        That is less than `silent`: nobody is given up for it.
        """
        now = self._clock()
        with self._lock:
            found = self._kinds.get(kind)
            if found is None or len(found.flights) < rules.calls:
                return False
            if len(found.tokens) < rules.samples:
                return False
            unusual = usual = usual_s(list(found.tokens))
            if len(found.gaps) >= rules.samples:
                unusual = min(unusual, 2 * usual_s(list(found.gaps)))
            began = found.unanswered(rules.calls)
            passed_over = began is not None and now - began > usual
            return passed_over or found.silence_s(now) > unusual

    def silent(self, kind: str, timeout_s: float, rules: OverdueRules) -> bool:
        """Whether so many calls of that kind are overdue, and none got a token meanwhile.

        Tokens of calls that began before those are no sign of life.
        """
        limit = self.limit_s(kind, timeout_s, rules)
        if limit is None:
            return False
        now = self._clock()
        with self._lock:
            found = self._kinds[kind]
            began = found.unanswered(rules.calls)
            if began is not None and now - began >= limit:
                return True
            oldest = list(itertools.islice(found.flights, rules.calls))
            overdue = len(oldest) == rules.calls and now - oldest[-1].started >= limit
            return overdue and now - found.last_token >= limit

    def abandon(self, kind: str, after_s: float) -> None:
        """Lets the calls of that kind give up, each so many seconds after it began, or now."""
        now = self._clock()
        with self._lock:
            waiting = list(self._kinds[kind].flights)
            self._kinds[kind].flights.clear()  # they are evidence once, not after a recovery too
        for flight in waiting:
            if flight.abandon is not None:
                flight.abandon(max(0.0, flight.started + after_s - now))
