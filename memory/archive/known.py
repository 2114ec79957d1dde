"""Archived messages as ranking needs them, remembered: a message never changes, only its mark."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

from allotrope.memory.archive.archive import Archive, Archived, ThreadFacts
from allotrope.memory.archive.lineage import Lineage
from allotrope.memory.recall.dates import speaks_of_time
from allotrope.memory.recall.passages import passages
from allotrope.memory.recall.ranking import Candidate

_KEEP = 8192
_LONG = 150
"""Words from which a message is ranked by its passages."""


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

    def reader(self, thread: ThreadFacts, past: Lineage) -> "ArchiveReader":
        """Reads messages of one branch of a thread during one recall."""
        return ArchiveReader(self, thread, past)

    def read(
        self, thread: ThreadFacts, column: Literal["row", "seq"], values: Sequence[int]
    ) -> list[Known]:
        """Messages of a thread by number or position; those that are gone are left out."""
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


class ArchiveReader:
    """What one recall reads of one thread; nothing is asked for twice.

    Args:
        known: Remembers between recalls.
        thread: Whose messages.
        past: The branch: other messages are as good as gone.
    """

    def __init__(self, known: KnownMessages, thread: ThreadFacts, past: Lineage) -> None:
        self._known = known
        self._thread = thread
        self.past = past
        self.whole = len(past) >= thread.messages
        self._by_row: dict[int, Known] = {}
        self._by_seq: dict[int, Known] = {}

    def rows(self, rows: Sequence[int]) -> list[Known]:
        """Messages by their number in the archive; those that are gone are left out."""
        self._add("row", [row for row in rows if row not in self._by_row])
        return [self._by_row[row] for row in dict.fromkeys(rows) if row in self._by_row]

    def positions(self, positions: Sequence[int]) -> list[Known]:
        """Messages by their position in the thread."""
        self._add("seq", [seq for seq in positions if seq not in self._by_seq])
        return [self._by_seq[seq] for seq in positions if seq in self._by_seq]

    def _add(self, column: Literal["row", "seq"], values: Sequence[int]) -> None:
        for one in self._known.read(self._thread, column, values) if values else ():
            if not self.whole and one.message.seq not in self.past:
                continue
            self._by_row[one.message.row] = one
            self._by_seq[one.message.seq] = one


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
        passages=passages(message.text) if len(message.words) > _LONG else None,
    )
