"""The archive: every message of every thread, kept for good, found by its words.

Writing is idempotent by message id, so a turn that is run again after a crash adds nothing twice.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import chain, repeat
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, message_to_dict

from allotrope.memory.archive.dialects import ArchiveDatabase, Row, scoped
from allotrope.memory.archive.lineage import Lineage, lineage
from allotrope.memory.recall.words import words

SESSION_GAP = timedelta(hours=1)
"""A pause this long begins a new session."""
_BRANCHES = 4
"""Of so many branches of a thread the running summary is kept."""
SESSION_MESSAGES = 40
"""A session without a pause ends after so many messages, so that none grows without bound."""


@dataclass(frozen=True)
class Archived:
    """A message as it was archived."""

    row: int
    seq: int
    message_id: str
    session: int
    at: datetime
    role: str
    speaker: str
    text: str
    words: tuple[str, ...]
    superseded_by: int | None


@dataclass(frozen=True)
class ThreadFacts:
    """What is known of a thread as a whole.

    Args:
        key: Its number in the archive.
        messages: How many messages it has.
        words: How many words they have together.
        tokens: What they would cost together in a prompt.
        first_at: When it began.
        last_at: When it was last written to.
        speakers: Who takes part, casefolded.
        forks: How many branches it has besides the first.
    """

    key: int
    messages: int
    words: int
    tokens: int
    first_at: datetime | None
    last_at: datetime | None
    speakers: tuple[str, ...]
    forks: int = 0


_COLUMNS = "row, seq, message_id, session, at, role, speaker, text, words, superseded_by"


class Archive:
    """Messages by tenant and thread.

    Args:
        database: Where they are kept; opened on first use.
    """

    def __init__(self, database: ArchiveDatabase) -> None:
        self.database = database

    def close(self) -> None:
        """Ends the connection."""
        self.database.close()

    def add(
        self,
        tenant: str,
        thread: str,
        messages: Sequence[BaseMessage],
        *,
        at: datetime,
        count: Callable[[BaseMessage], int] | None = None,
    ) -> list[Archived]:
        """Archives messages; those already there are left as they are.

        A message that was edited under its id is another one, in a branch of its own.

        Args:
            tenant: Whose thread.
            thread: Which thread.
            messages: With ids, in the order of the conversation: one that is new is taken to
                follow the one before it here.
            at: When this happened.
            count: Tokens of a message, to know what the whole thread would cost.

        Returns:
            The ones that were new.
        """
        if not messages:
            return []
        known, unknown = self.thread(tenant, thread), messages
        here: dict[str, tuple[int, int]] = {}
        if known is not None:
            here = self.positions(known, messages)
            unknown = [message for message in messages if str(message.id) not in here]
            if not unknown:
                return []
        # a second try may meet an archive that was begun anew
        tries = chain([(unknown, here)], repeat((messages, {})))

        def work() -> list[Archived]:
            todo, at_first = next(tries)
            follows = _Follows(messages, {name: seq for name, (_, seq) in at_first.items()})
            # the update that changes nothing locks the thread's row where a database has row locks
            [state] = self.database.run(
                "INSERT INTO archive_threads (tenant, thread) VALUES (?, ?)"
                " ON CONFLICT (tenant, thread) DO UPDATE SET tenant = excluded.tenant"
                " RETURNING key, messages, words, session, session_messages, first_at, last_at,"
                " speakers",
                (tenant, thread),
            )
            added = self._insert(state, todo, follows, at)
            if count is not None:
                new = {item.message_id for item in added}
                tokens = sum(count(message) for message in todo if str(message.id) in new)
                self.database.run(
                    "UPDATE archive_threads SET tokens = tokens + ? WHERE key = ?",
                    (tokens, state[0]),
                )
            return added

        return self.database.write(work)

    def _insert(
        self,
        state: Row,
        messages: Sequence[BaseMessage],
        follows: "_Follows",
        at: datetime,
    ) -> list[Archived]:
        key, count, total, session, in_session, first_at, last_at, speakers_json = state
        speakers: list[str] = json.loads(speakers_json)
        stamp = at.astimezone(UTC).isoformat(timespec="seconds")
        added: list[Archived] = []
        for message in messages:
            text, speaker = _stored(message_text(message)), speaker_of(message)
            name = self._free_name(key, str(message.id), text)
            if name is None:  # another process was faster, or the id came twice
                continue
            found = words(text)
            pause = last_at is not None and at - datetime.fromisoformat(last_at) > SESSION_GAP
            if pause or in_session >= SESSION_MESSAGES:
                session, in_session = session + 1, 0
            rows = self.database.run(
                "INSERT INTO archive_messages (thread_key, seq, message_id, session, at, role,"
                " speaker, text, words, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (thread_key, message_id) DO NOTHING RETURNING row",
                (
                    key,
                    count,
                    name,
                    session,
                    stamp,
                    message.type,
                    speaker,
                    text,
                    " ".join(found),
                    json.dumps(message_to_dict(message), default=str).replace("\\u0000", "\\ufffd"),
                ),
            )
            if not rows:  # another process was faster just now
                continue
            row = int(rows[0][0])
            self._fork(key, count, follows.before.get(str(message.id)), follows.known)
            follows.known[str(message.id)] = count
            self.database.index(row, [scoped(key, word) for word in found])
            added.append(
                Archived(
                    row,
                    count,
                    str(message.id),
                    session,
                    at,
                    message.type,
                    speaker,
                    text,
                    tuple(found),
                    None,
                )
            )
            count, total, in_session = count + 1, total + len(found), in_session + 1
            first_at, last_at = first_at or stamp, stamp
            if message.name and speaker.casefold() not in speakers and len(speakers) < 64:
                speakers.append(speaker.casefold())
        self.database.run(
            "UPDATE archive_threads SET messages = ?, words = ?, session = ?, session_messages = ?,"
            " first_at = ?, last_at = ?, speakers = ? WHERE key = ?",
            (count, total, session, in_session, first_at, last_at, json.dumps(speakers), key),
        )
        return added

    def _fork(self, key: int, seq: int, before: str | None, known: Mapping[str, int]) -> None:
        """Keeps what a message follows, where that isn't the one archived before it."""
        if before is None:
            return
        follows = known.get(before)
        if follows is None:
            found = self.database.run(
                "SELECT seq FROM archive_messages WHERE thread_key = ? AND message_id = ?",
                (key, before),
            )
            follows = int(found[0][0]) if found else seq - 1
        if follows != seq - 1:
            self.database.run(
                "INSERT INTO archive_forks (thread_key, seq, follows) VALUES (?, ?, ?)"
                " ON CONFLICT (thread_key, seq) DO NOTHING",
                (key, seq, follows),
            )

    def _free_name(self, key: int, name: str, text: str) -> str | None:
        """The id under which a message is to be archived; None where it is archived."""
        for one in (name, _edited(name, text)):
            found = self.database.run(
                "SELECT text FROM archive_messages WHERE thread_key = ? AND message_id = ?",
                (key, one),
            )
            if not found:
                return one
            if found[0][0] == text:
                return None
        return None

    def positions(
        self, thread: ThreadFacts, messages: Sequence[BaseMessage]
    ) -> dict[str, tuple[int, int]]:
        """Number in the archive and position in the thread of messages, by their ids.

        Args:
            thread: Whose.
            messages: Which ones; those that aren't archived with this text are left out.
        """
        texts = {str(message.id): _stored(message_text(message)) for message in messages}
        found, edited = {}, {}
        for name, row, seq, text in self._named(thread, list(texts)):
            if text == texts[name]:
                found[name] = (row, seq)
            else:
                edited[_edited(name, texts[name])] = name
        for name, row, seq, _ in self._named(thread, list(edited)):
            found[edited[name]] = (row, seq)
        return found

    def versions(self, thread: ThreadFacts, ids: Sequence[str]) -> dict[str, list[int]]:
        """Positions in the thread of messages by their ids, of all texts that they had.

        Args:
            thread: Whose.
            ids: Which ones; those that aren't archived are left out.
        """
        found: dict[str, list[int]] = {}
        for name, _, seq, _ in self._named(thread, ids):
            found.setdefault(name, []).append(seq)
        sql = (
            "SELECT message_id, seq FROM archive_messages WHERE thread_key = ?"
            " AND message_id LIKE ?"
        )
        for name, seq in self.database.run(sql, (thread.key, f"%{_EDITED}%")):
            found.setdefault(str(name).partition(_EDITED)[0], []).append(int(seq))
        return found

    def _named(self, thread: ThreadFacts, ids: Sequence[str]) -> list[tuple[str, int, int, str]]:
        if not ids:
            return []
        marks = ", ".join("?" * len(ids))
        sql = (
            f"SELECT message_id, row, seq, text FROM archive_messages WHERE thread_key = ?"  # noqa: S608 - marks only
            f" AND message_id IN ({marks})"
        )
        rows = self.database.run(sql, (thread.key, *ids))
        return [(str(name), int(row), int(seq), str(text)) for name, row, seq, text in rows]

    def lineage(self, thread: ThreadFacts, tip: int | None) -> Lineage:
        """The positions that are the past of one; nothing is asked of a thread without branches.

        Args:
            thread: Which thread.
            tip: The position; None for all of the thread.
        """
        last = thread.messages - 1
        if tip is None:
            return Lineage(((0, last),))
        if not thread.forks:
            return Lineage(((0, min(tip, last)),))
        rows = self.database.run(
            "SELECT seq, follows FROM archive_forks WHERE thread_key = ?", (thread.key,)
        )
        return lineage(tip, {int(seq): int(follows) for seq, follows in rows})

    def thread(self, tenant: str, thread: str) -> ThreadFacts | None:
        """What is known of a thread, or None when nothing of it was archived."""
        rows = self.database.run(
            "SELECT key, messages, words, tokens, first_at, last_at, speakers,"
            " (SELECT count(*) FROM archive_forks WHERE thread_key = key)"
            " FROM archive_threads WHERE tenant = ? AND thread = ?",
            (tenant, thread),
        )
        if not rows:
            return None
        key, messages, total, tokens, first_at, last_at, speakers, forks = rows[0]
        return ThreadFacts(
            int(key),
            int(messages),
            int(total),
            int(tokens),
            datetime.fromisoformat(first_at) if first_at else None,
            datetime.fromisoformat(last_at) if last_at else None,
            tuple(json.loads(speakers)),
            int(forks),
        )

    def threads(self, tenant: str) -> list[str]:
        """The threads of a tenant, latest first."""
        rows = self.database.run(
            "SELECT thread FROM archive_threads WHERE tenant = ? ORDER BY last_at DESC", (tenant,)
        )
        return [str(row[0]) for row in rows]

    def rows(self, thread: ThreadFacts, rows: Iterable[int]) -> list[Archived]:
        """Messages of a thread by their number in the archive, in order."""
        return self._where(thread, "row", list(rows))

    def at_positions(self, thread: ThreadFacts, positions: Iterable[int]) -> list[Archived]:
        """Messages of a thread by their position in it, in order."""
        return self._where(thread, "seq", list(positions))

    def heads(
        self, thread: ThreadFacts, column: Literal["row", "seq"], values: Sequence[int]
    ) -> list[tuple[int, str, int | None]]:
        """Number, mark and correction of messages; the mark tells a number given anew.

        Args:
            thread: Whose.
            column: What the values are: numbers in the archive, or positions in the thread.
            values: Which ones.
        """
        rows = self._select("row, message_id, seq, at, superseded_by", thread, column, values)
        return [
            (int(row), f"{name} {seq} {at}", None if by is None else int(by))
            for row, name, seq, at, by in rows
        ]

    def _where(self, thread: ThreadFacts, column: str, values: Sequence[int]) -> list[Archived]:
        rows = self._select(_COLUMNS, thread, column, values)
        return sorted((_archived(row) for row in rows), key=lambda message: message.seq)

    def _select(
        self, columns: str, thread: ThreadFacts, column: str, values: Sequence[int]
    ) -> list[Row]:
        found: list[Row] = []
        owner = "+thread_key" if column == "row" else "thread_key"
        for start in range(0, len(values), 500):
            part = values[start : start + 500]
            marks = ", ".join("?" * len(part))
            sql = (
                # by number the plus keeps SQLite from walking through the whole thread's index
                f"SELECT {columns} FROM archive_messages WHERE {owner} = ?"  # noqa: S608 - constants and marks
                f" AND {column} IN ({marks})"
            )
            found += self.database.run(sql, (thread.key, *part))
        return found

    def between(
        self, thread: ThreadFacts, first: datetime, last: datetime, *, limit: int
    ) -> list[int]:
        """Rows written between two times, newest first."""
        rows = self.database.run(
            "SELECT row FROM archive_messages WHERE thread_key = ? AND at >= ? AND at <= ?"
            " ORDER BY at DESC, row DESC LIMIT ?",
            (
                thread.key,
                first.astimezone(UTC).isoformat(timespec="seconds"),
                last.astimezone(UTC).isoformat(timespec="seconds"),
                limit,
            ),
        )
        return [int(row[0]) for row in rows]

    def with_word(self, thread: ThreadFacts, word: str, *, limit: int) -> list[int]:
        """Rows of a thread that have a word, newest first."""
        return self.database.newest(scoped(thread.key, word), limit)

    def with_beginning(self, thread: ThreadFacts, letters: str, *, limit: int) -> list[int]:
        """Rows of a thread that have a word that begins so, newest first."""
        return self.database.newest(scoped(thread.key, letters), limit, begins=True)

    def search(self, tenant: str, thread: str, query: str, *, limit: int = 10) -> list[Archived]:
        """Messages of a thread that have words of the query, best first by full text search."""
        facts = self.thread(tenant, thread)
        tokens = [scoped(facts.key, word) for word in dict.fromkeys(words(query))] if facts else []
        if facts is None or not tokens:
            return []
        ranked = self.database.matching(tokens[:32], limit)
        order = {row: place for place, row in enumerate(ranked)}
        return sorted(self.rows(facts, ranked), key=lambda message: order[message.row])

    def supersede(self, row: int, by: int) -> None:
        """Marks a message as corrected by a later one; it stays in the archive."""
        self.database.run("UPDATE archive_messages SET superseded_by = ? WHERE row = ?", (by, row))

    def summary(self, thread: ThreadFacts, past: Lineage) -> dict[str, Any] | None:
        """The running summary of a branch, as it was saved.

        Args:
            thread: Which thread.
            past: The branch: what a summary was made of must be its past.
        """
        found = [one for one in self._summaries(thread) if int(one["upto"]) in past]
        return max(found, key=lambda one: int(one["upto"]), default=None)

    def save_summary(self, thread: ThreadFacts, data: dict[str, Any], past: Lineage) -> None:
        """Saves the running summary of a branch, unless it has a later one already."""

        def work() -> None:
            found = self._summaries(thread)
            if any(int(one["upto"]) in past and one["upto"] >= data["upto"] for one in found):
                return
            others = [one for one in found if int(one["upto"]) not in past][: _BRANCHES - 1]
            kept = json.dumps({**data, "others": others} if others else data)
            self.database.run(
                "INSERT INTO archive_summaries (thread_key, upto, data) VALUES (?, ?, ?)"
                " ON CONFLICT (thread_key) DO UPDATE SET upto = excluded.upto,"
                " data = excluded.data",
                (thread.key, int(data["upto"]), kept),
            )

        self.database.write(work)

    def _summaries(self, thread: ThreadFacts) -> list[dict[str, Any]]:
        rows = self.database.run(
            "SELECT data FROM archive_summaries WHERE thread_key = ?", (thread.key,)
        )
        newest = [dict(json.loads(data)) for (data,) in rows]
        return [*newest, *(other for one in newest for other in one.pop("others", ()))]

    def export(self, tenant: str, thread: str) -> list[dict[str, Any]]:
        """Every message of a thread, whole, in order."""
        facts = self.thread(tenant, thread)
        if facts is None:
            return []
        rows = self.database.run(
            "SELECT at, data FROM archive_messages WHERE thread_key = ? ORDER BY seq", (facts.key,)
        )
        return [{"at": at, **json.loads(data)} for at, data in rows]

    def latest_questions(self, tenant: str, limit: int) -> list[str]:
        """What people asked last, latest first, each wording once.

        Args:
            tenant: Whose threads.
            limit: How many at most.
        """
        rows = self.database.run(
            "SELECT m.text FROM archive_messages m JOIN archive_threads t ON t.key = m.thread_key"
            " WHERE t.tenant = ? AND m.role = 'human' AND m.superseded_by IS NULL"
            " GROUP BY m.text ORDER BY MAX(m.row) DESC LIMIT ?",
            (tenant, limit),
        )
        return [text for (text,) in rows if text.strip()]

    def delete_thread(self, tenant: str, thread: str) -> int:
        """Deletes a thread for good, because its owner asked; gives the number of messages."""
        facts = self.thread(tenant, thread)
        if facts is None:
            return 0

        def work() -> int:
            self.database.unindex(facts.key)
            for table, column in (
                ("archive_messages", "thread_key"),
                ("archive_summaries", "thread_key"),
                ("archive_forks", "thread_key"),
                ("archive_threads", "key"),
            ):
                self.database.run(f"DELETE FROM {table} WHERE {column} = ?", (facts.key,))  # noqa: S608 - names from above
            return facts.messages

        return self.database.write(work)


class _Follows:
    """What each message of a conversation follows, by ids, and the positions known so far."""

    def __init__(self, messages: Sequence[BaseMessage], known: dict[str, int]) -> None:
        ids = [str(message.id) for message in messages]
        self.before = dict(zip(ids[1:], ids, strict=False))
        self.known = known


def _archived(row: Row) -> Archived:
    number, seq, message_id, session, at, role, speaker, text, found, superseded_by = row
    return Archived(
        int(number),
        int(seq),
        str(message_id).partition(_EDITED)[0],
        int(session),
        datetime.fromisoformat(at),
        str(role),
        str(speaker),
        str(text),
        tuple(word for word in str(found).split(" ") if word),
        None if superseded_by is None else int(superseded_by),
    )


_EDITED = "\x1f"
"""Between the id of a message that was edited and what tells its text."""


def _edited(name: str, text: str) -> str:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return f"{name}{_EDITED}{digest}"


def _stored(text: str) -> str:
    """The text as the databases can hold it."""
    return text.replace("\x00", "\ufffd")


def speaker_of(message: BaseMessage) -> str:
    """Who speaks: the name given, else the role in plain words."""
    if message.name:
        return message.name
    return {"human": "user", "ai": "assistant", "tool": "tool"}.get(message.type, message.type)


def message_text(message: BaseMessage) -> str:
    """The text of a message; tool calls and attachments as short words."""
    parts: list[str] = []
    content = [message.content] if isinstance(message.content, str) else message.content
    for part in content:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part.get("text"), str):
            parts.append(part["text"])
        elif part.get("type") not in ("tool_use", "function_call", "reasoning", "thinking"):
            parts.append(f"[{part.get('type', 'attachment')}]")
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            arguments = json.dumps(call["args"], ensure_ascii=False, default=str)
            parts.append(f"[called {call['name']} with {arguments}]")
    if isinstance(message, ToolMessage) and message.status == "error":
        parts.insert(0, "[failed]")
    return "\n".join(part for part in parts if part)
