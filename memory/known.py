"""Archived messages as ranking needs them, remembered: a message never changes, only its mark."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

from allotrope.memory.archive import Archive, Archived, ThreadFacts
from allotrope.memory.dates import speaks_of_time
from allotrope.memory.ranking import Candidate

_KEEP = 8192


@dataclass(frozen=True)
class Known:
    """A message, whole and as ranking sees it, with the mark it had when it was read."""

    message: Archived
    candidate: Candidate
    mark: str


class KnownMessages:
    """Reads messages once; what may have changed since (corrected, deleted) is asked each time.

    Args:
        archive: Where they are.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._kept: OrderedDict[int, Known] = OrderedDict()
        self._lock = Lock()

    def rows(self, thread: ThreadFacts, rows: Sequence[int]) -> list[Known]:
        """Messages of a thread by their number in the archive; those that are gone are left out."""
        return self._read(thread, "row", rows)

    def positions(self, thread: ThreadFacts, positions: Sequence[int]) -> list[Known]:
        """Messages of a thread by their position in it."""
        return self._read(thread, "seq", positions)

    def _read(
        self, thread: ThreadFacts, column: Literal["row", "seq"], values: Sequence[int]
    ) -> list[Known]:
        found: list[Known] = []
        missing: dict[int, str] = {}
        heads = self._archive.heads(thread, column, values)
        with self._lock:
            for row, mark, superseded_by in heads:
                known = self._kept.get(row)
                # a number is given again after a deletion; the mark tells
                if known is None or known.mark != mark:
                    missing[row] = mark
                    continue
                self._kept.move_to_end(row)
                if known.message.superseded_by != superseded_by:
                    message = replace(known.message, superseded_by=superseded_by)
                    known = self._kept[row] = replace(known, message=message)
                found.append(known)
        for message in self._archive.rows(thread, list(missing)):
            known = Known(message, _candidate(message), missing[message.row])
            found.append(known)
            with self._lock:
                self._kept[message.row] = known
                if len(self._kept) > _KEEP:
                    self._kept.popitem(last=False)
        return found


def _candidate(message: Archived) -> Candidate:
    return Candidate(
        row=message.row,
        seq=message.seq,
        session=message.session,
        speaker=message.speaker.casefold(),
        day=message.at.date(),
        words=Counter(message.words),
        tells_time=speaks_of_time(message.text),
        length=len(message.words),
    )
