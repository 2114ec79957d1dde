"""What this process has settled and the ledger may not know yet.

A balance is seeded from the ledger. What was settled, but not written when the ledger was read, is
missing there, so each process adds its own such calls once to every new seed.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

KEEP_S = 30.0
"""How long a written call is remembered, seconds: who seeds may have read the ledger before."""


@dataclass(frozen=True, slots=True)
class Settled:
    """One account's part of a settled call; `reserved` is None where nothing was."""

    call: str
    key: str
    reserved: int | None
    amount: int


@dataclass(slots=True)
class _Kept:
    seeding: str = ""
    rows: dict[str, Settled] = field(default_factory=dict)
    missing: dict[str, Settled] = field(default_factory=dict)  # in the shared balance


class Unwritten:
    """Settled calls by account, until the ledger has them for long enough.

    Args:
        clock: Seconds since 1970; processes that share a Redis compare it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._keys: dict[str, list[str]] = {}  # of a call that isn't written
        self._written: dict[str, tuple[float, list[str]]] = {}

    def add(self, row: Settled) -> bool:
        """Keeps a settled call; False where it is there already."""
        with self._lock:
            kept = self._kept.setdefault(row.key, _Kept())
            if row.call in kept.rows:
                return False
            kept.rows[row.call] = kept.missing[row.call] = row
            self._keys.setdefault(row.call, []).append(row.key)
            return True

    def written(self, calls: Iterable[str]) -> None:
        """The ledger, or the spill, has these calls now."""
        now = self.clock()
        with self._lock:
            for call in calls:
                if (keys := self._keys.pop(call, None)) is not None:
                    self._written[call] = (now, keys)
            while self._written:
                oldest = next(iter(self._written))
                at, keys = self._written[oldest]
                if at > now - KEEP_S:
                    break
                del self._written[oldest]
                for key in keys:
                    self._forget(key, oldest)

    def _forget(self, key: str, call: str) -> None:
        kept = self._kept[key]
        kept.rows.pop(call, None)
        kept.missing.pop(call, None)
        if not kept.rows:
            del self._kept[key]

    def keys(self) -> list[str]:
        """Accounts with calls that are remembered."""
        with self._lock:
            return list(self._kept)

    def after(self, key: str, at: float) -> int:
        """What a ledger that was read at a moment lacks on an account."""
        with self._lock:
            kept = self._kept.get(key)
            return sum(row.amount for row in self._after(kept, at).values()) if kept else 0

    def _after(self, kept: _Kept, at: float) -> dict[str, Settled]:
        """Also a call that was being written while the ledger was read: rather twice than never."""
        return {
            call: row
            for call, row in kept.rows.items()
            if call not in self._written or self._written[call][0] > at
        }

    def seeding(self, key: str) -> str:
        """The seeding of the shared balance that is known; empty where nothing could be missing."""
        with self._lock:
            kept = self._kept.get(key)
            return (kept.seeding or "-") if kept else ""

    def seeded(self, key: str, seeding: str) -> None:
        """The shared balance was seeded; `seeding` is the moment at which the ledger was read."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.seeding != seeding:
                kept.seeding = seeding
                kept.missing = self._after(kept, float(seeding))

    def missing(self, key: str) -> list[Settled]:
        """What the shared balance lacks of this process's calls."""
        with self._lock:
            kept = self._kept.get(key)
            return list(kept.missing.values()) if kept and kept.missing else []

    def lacks(self, row: Settled) -> bool:
        """Whether the shared balance lacks this call."""
        with self._lock:
            kept = self._kept.get(row.key)
            return kept is not None and row.call in kept.missing

    def counted(self, row: Settled, seeding: str) -> None:
        """The shared balance of that seeding has the call now."""
        with self._lock:
            kept = self._kept.get(row.key)
            if kept is not None and kept.seeding == seeding:
                kept.missing.pop(row.call, None)
