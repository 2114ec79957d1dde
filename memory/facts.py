"""Long-term facts about a user, across threads, in a LangGraph Store. Opt-in (`memory.facts`)."""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.messages import BaseMessage

from allotrope.exceptions import InputError, StoreError
from allotrope.memory.archive.archive import message_text
from allotrope.memory.recall.corrections import is_correction, replaces
from allotrope.memory.summary.summary import Summary, SummaryLine, extract
from allotrope.stores.sqlite import SqliteFile, copy_readable

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

T = TypeVar("T")

_MOST = 200
_MOST_SOURCES = 8


@dataclass(frozen=True)
class Fact:
    """What a user told.

    Args:
        key: Its name in the store.
        line: In words.
        sources: Thread and message of each time it was told, where that is known.
    """

    key: str
    line: str
    sources: tuple[tuple[str, str], ...] = ()

    def only_in(self, thread: str) -> bool:
        """Whether it was told in one thread and in no other."""
        return bool(self.sources) and all(one == thread for one, _ in self.sources)


class LongTermFacts:
    """What users told about themselves; each user's facts only in their own tenant.

    Args:
        store: A store of your own; default: SQLite.
        path: The SQLite file, opened on first use.
    """

    def __init__(self, *, store: "BaseStore | None" = None, path: Path | None = None) -> None:
        self._store = store
        self._file: SqliteFile | None = None
        if store is None and path is not None:
            self._file = SqliteFile(
                path, what="The facts about users", prepare=_prepare, refill=_refill
            )
        self._used: sqlite3.Connection | None = None
        self._lock = RLock()

    def remember(
        self, line: str, *, tenant: str, user: str, source: tuple[str, str] | None = None
    ) -> None:
        """Keeps a fact; what it corrects is forgotten.

        Args:
            line: In words.
            tenant: Whose user.
            user: Who told it.
            source: Thread and message it was told in.
        """
        with self._lock:
            sources = [] if source is None else [source]
            for known in self.told(tenant=tenant, user=user):
                if known.line == line:
                    if not known.sources or source is None or source in known.sources:
                        return  # told before, wherever that was
                    sources = [*known.sources, source][-_MOST_SOURCES:]
                elif is_correction(line) and replaces(line, known.line):
                    self._delete(tenant, user, known.key)
            key = hashlib.sha256(line.encode()).hexdigest()[:12]
            value = {"fact": line, "sources": [list(one) for one in sources]}
            self._asked(lambda store: store.put(_place(tenant, user), key, value))

    def learn(
        self,
        messages: Sequence[BaseMessage],
        *,
        tenant: str,
        user: str,
        thread: str | None = None,
    ) -> None:
        """Keeps what the latest user turn states about the user (rules, no model).

        Args:
            messages: The live messages.
            tenant: Whose user.
            user: Who speaks.
            thread: Where.
        """
        latest = next((m for m in reversed(messages) if m.type == "human"), None)
        if latest is None:
            return
        for line in extract(Summary(), [SummaryLine("user", message_text(latest))]).facts:
            source = (thread, str(latest.id)) if thread and latest.id else None
            self.remember(line, tenant=tenant, user=user, source=source)

    def known(self, *, tenant: str, user: str) -> dict[str, str]:
        """Facts by their keys, oldest first."""
        return {one.key: one.line for one in self.told(tenant=tenant, user=user)}

    def told(self, *, tenant: str, user: str) -> list[Fact]:
        """Facts with where they were told, oldest first."""
        with self._lock:
            items = self._asked(lambda store: store.search(_place(tenant, user), limit=_MOST))
        ordered = sorted(items, key=lambda item: item.created_at)
        return [
            Fact(
                item.key,
                str(item.value["fact"]),
                tuple((str(t), str(m)) for t, m in item.value.get("sources", ())),
            )
            for item in ordered
        ]

    def forget(self, key: str, *, tenant: str, user: str) -> None:
        """Deletes a fact, or with `all` every fact of the user.

        Raises:
            InputError: There is no fact with that key.
        """
        with self._lock:
            known = self.known(tenant=tenant, user=user)
            if key != "all" and key not in known:
                raise InputError(
                    f"There is no fact {key!r}.", hint="`allotrope memory list` shows the keys."
                )
            if key != "all":
                self._delete(tenant, user, key)
                return
            while known:  # a store gives so many at a time
                for found in known:
                    self._delete(tenant, user, found)
                known = self.known(tenant=tenant, user=user)

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._used, self._store = None, None

    def _delete(self, tenant: str, user: str, key: str) -> None:
        self._asked(lambda store: store.delete(_place(tenant, user), key))

    def _asked(self, work: "Callable[[BaseStore], T]") -> T:
        """Asks the store; once more where its file was damaged."""
        if self._file is None:
            if self._store is None:
                raise StoreError("Long-term facts have no store.", hint="Give a store or a path.")
            return work(self._store)
        try:
            try:
                return work(self._opened(self._file))
            except sqlite3.DatabaseError as exc:
                if self._used is None or not self._file.mend(exc, self._used):
                    raise
            return work(self._opened(self._file))
        except sqlite3.OperationalError as exc:
            raise StoreError(f"The facts {self._file.path} can't be used: {exc}.") from exc

    def _opened(self, file: SqliteFile) -> "BaseStore":
        from langgraph.store.sqlite import SqliteStore

        connection = file.connection()
        if self._store is None or connection is not self._used:
            self._store, self._used = SqliteStore(connection), connection
        return self._store


def _prepare(connection: sqlite3.Connection) -> None:
    from langgraph.store.sqlite import SqliteStore

    store: Any = SqliteStore(connection)
    store.setup()


def _refill(connection: sqlite3.Connection, damaged: Path) -> str:
    copied = copy_readable(connection, damaged, ("store",))
    return f"{copied['store']:,} facts could be read and were taken over; others are told anew."


def _place(tenant: str, user: str) -> tuple[str, ...]:
    # a store refuses dots in a namespace; the hash also keeps `a.b` and `a_b` apart
    names = (hashlib.sha256(name.encode()).hexdigest()[:24] for name in (tenant, user))
    return ("allotrope", "facts", *names)
