"""The memory of conversations: archive, recall, summary and packing, behind `fit`."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from langchain_core.messages import BaseMessage, RemoveMessage, SystemMessage

from allotrope.exceptions import StoreError
from allotrope.memory.archive.archive import Archive, Archived, ThreadFacts
from allotrope.memory.checkpoints.live import surely_fits, surplus
from allotrope.memory.context.block import SlotRoom
from allotrope.memory.context.fit import fit
from allotrope.memory.context.history import question_of, with_ids
from allotrope.memory.context.pieces import is_ours, latest_user_at
from allotrope.memory.context.prompt import Remembered, assemble
from allotrope.memory.facts import Fact, LongTermFacts
from allotrope.memory.later import Later
from allotrope.memory.recall.corrections import best_match, is_correction
from allotrope.memory.recall.passages import excerpt
from allotrope.memory.recall.recall import Recall, Recalled, with_corrections
from allotrope.memory.recall.words import words
from allotrope.memory.summary.summariser import Summariser
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.settings.memory import MemorySettings
from allotrope.stores.errors import error_name

logger = logging.getLogger(__name__)

_JOIN_S = 0.25
_WRITE_S = 10.0
_STANDINGS = 10_000
_SHOWN_CHARACTERS = 1_000
_SHOWN_TOKENS = 250


@dataclass(frozen=True)
class Pack:
    """What one turn sends, and what leaves the live state.

    Args:
        messages: The prompt, in order, within the budget.
        remove: For the `messages` channel of the state: these are in the archive now.
        audit: Plain types: the audit of `FitResult` plus `recalled` (rows `{"row", "score",
            "tokens"}`), `archived` (messages of the thread in the archive), `summary`,
            `summariser` and, when the archive failed, `degraded`.
    """

    messages: list[BaseMessage]
    remove: list[RemoveMessage] = field(default_factory=list)
    audit: dict[str, Any] = field(default_factory=dict)


def _now() -> datetime:
    return datetime.now(UTC)


class ConversationMemory:
    """Keeps every conversation whole and every prompt within its budget.

    Args:
        archive: Where all messages go.
        settings: The sizes.
        counter: Counts; kept, because it remembers.
        recall: Finds archived messages.
        summariser: Writes running summaries; None for none.
        facts: Keeps facts about users across threads; None keeps none.
        clock: The time of day.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        settings: MemorySettings,
        counter: TokenCounter,
        recall: Recall,
        summariser: Summariser | None,
        facts: LongTermFacts | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.archive = archive
        self.settings = settings
        self.counter = counter
        self.recall = recall
        self.summariser = summariser
        self.facts = facts
        self._clock = clock
        self._later = Later()
        self._tips: OrderedDict[tuple[str, str], int] = OrderedDict()

    def fit(
        self,
        messages: Sequence[BaseMessage],
        *,
        budget: int,
        thread: str,
        tenant: str = "default",
        pinned: Sequence[str] = (),
        ratio: float = 1.0,
        read_only: bool = False,
        slots: Callable[[int], Mapping[str, SlotRoom]] | None = None,
    ) -> Pack:
        """Archives, recalls and packs. An archive that fails costs recall, never the turn.

        Args:
            messages: The live messages of the thread, with the latest user turn.
            budget: Tokens the prompt may have (see `memory.budget`).
            thread: The thread's id.
            tenant: Whose thread.
            pinned: Facts and decisions that must be in, one line each.
            ratio: The thread's calibration (see `tokens.Calibration`).
            read_only: Shows what a prompt would be, and archives nothing.
            slots: What a template's slots `summary` and `recalled` may hold, by the budget in
                tokens; None where summary and recalled lines stand before the conversation.

        Raises:
            InputTooLongError: The latest user turn can't fit, even shortened.
        """
        counter = self.counter if ratio == 1.0 else self.counter.calibrated(ratio)
        history = with_ids([message for message in messages if not is_ours(message)])
        budget = min(budget, self._cap(history, counter))
        try:
            remembered = self._all_here(history, budget, counter, thread=thread, tenant=tenant)
            if remembered is None:
                if not read_only:
                    self._archive_all(history, thread=thread, tenant=tenant)
                remembered = self._remember(history, thread=thread, tenant=tenant)
                # The archive counts by the vocabulary alone, a prompt by what providers report.
                whole = round(remembered.thread_tokens * ratio) + counter.priming()
                remembered = replace(remembered, thread_tokens=whole)
        except StoreError as exc:
            logger.warning("memory works without its archive: %s", error_name(exc))
            plain = fit(history, budget=budget, counter=counter)
            return Pack(plain.messages, [], plain.audit | {"degraded": exc.message})
        packed, audit = assemble(
            history,
            replace(remembered, pinned=tuple(pinned)),
            budget=budget,
            counter=counter,
            settings=self.settings,
            slots=slots(budget) if slots is not None else None,
        )
        if self.summariser is not None:
            audit["summariser"] = self.summariser.state()
        return Pack(packed, self._surplus(history, counter), audit)

    def settle(
        self, messages: Sequence[BaseMessage], *, thread: str, tenant: str = "default"
    ) -> list[RemoveMessage]:
        """Archives the live messages and says which of them may leave the state now.

        What an archive didn't take stays in the state, so that nothing is ever lost.

        Args:
            messages: The live messages of the thread.
            thread: The thread's id.
            tenant: Whose thread.
        """
        history = with_ids([message for message in messages if not is_ours(message)])
        try:
            self._archive_all(history, thread=thread, tenant=tenant)
        except StoreError as exc:
            logger.warning("nothing leaves the state, the archive failed: %s", error_name(exc))
            return []
        return self._surplus(history, self.counter)

    def overflows(self, messages: Sequence[BaseMessage]) -> bool:
        """Whether some of the live messages must leave the state; it doesn't block."""
        live = [message for message in messages if not is_ours(message)]
        most, tokens = self.settings.live_messages, self.settings.live_tokens
        if surely_fits(live, messages=most, tokens=tokens):
            return False
        return bool(self._surplus(with_ids(live), self.counter))

    def reaches_back(self, live: int, *, thread: str, tenant: str = "default") -> bool:
        """Whether the archive has more of a thread than so many live messages."""
        try:
            facts = self.archive.thread(tenant, thread)
        except StoreError:
            return False
        return facts is not None and facts.messages > live

    def _cap(self, history: Sequence[BaseMessage], counter: TokenCounter) -> int:
        """The most a prompt may have by the settings; never less than the current turn needs."""
        at = latest_user_at(history)
        now = 0 if at is None else sum(counter.message(message) for message in history[at:])
        return max(self.settings.context_tokens, now + self.settings.context_tokens // 4)

    def _surplus(
        self, history: Sequence[BaseMessage], counter: TokenCounter
    ) -> list[RemoveMessage]:
        gone = surplus(
            history,
            messages=self.settings.live_messages,
            tokens=self.settings.live_tokens,
            counter=counter,
        )
        return [RemoveMessage(id=str(message.id)) for message in gone]

    def after_turn(
        self, messages: Sequence[BaseMessage], *, thread: str, tenant: str = "default"
    ) -> None:
        """Archives the answer and starts the summary where one is due. Never raises.

        Args:
            messages: The live messages of the thread, answer included.
            thread: The thread's id.
            tenant: Whose thread.
        """
        history = with_ids([message for message in messages if not is_ours(message)])
        try:
            self._archive_all(history, thread=thread, tenant=tenant)
            facts = self.archive.thread(tenant, thread)
            if self.summariser is not None and facts is not None:
                _, tip = self._standing(facts, history)
                self.summariser.start(tenant, thread, tip=tip)
        except StoreError as exc:
            logger.warning("a turn was not archived yet: %s", error_name(exc))

    def after_turn_later(
        self,
        messages: Sequence[BaseMessage],
        *,
        thread: str,
        tenant: str = "default",
        user: str | None = None,
    ) -> None:
        """`after_turn` and `learn` in the background; the thread's next turn waits for them.

        The live state keeps the messages, so a process killed before loses nothing.
        """
        kept = list(messages)

        def work() -> None:
            self.after_turn(kept, thread=thread, tenant=tenant)
            self.learn(kept, user=user, tenant=tenant, thread=thread)

        self._later.submit(tenant, thread, work)

    def about(
        self,
        user: str | None,
        *,
        tenant: str = "default",
        thread: str | None = None,
        messages: Sequence[BaseMessage] = (),
    ) -> tuple[str, ...]:
        """What is kept about a user, for the prompt; empty where facts are off.

        Args:
            user: Who.
            tenant: Whose users.
            thread: The thread's id: what only another branch of it said is left out.
            messages: The live messages of the thread.
        """
        if self.facts is None or user is None:
            return ()
        try:
            known = self.facts.told(tenant=tenant, user=user)
            here = [one for one in known if thread is not None and one.only_in(thread)]
            if here and thread is not None:
                hidden = self._elsewhere(here, messages, thread=thread, tenant=tenant)
                known = [one for one in known if one.key not in hidden]
            return tuple(one.line for one in known)[-20:]
        except StoreError as exc:
            logger.warning("facts about the user are missing: %s", error_name(exc))
            return ()

    def _elsewhere(
        self,
        told: Sequence[Fact],
        messages: Sequence[BaseMessage],
        *,
        thread: str,
        tenant: str,
    ) -> set[str]:
        """Keys of the facts that no message of this branch told."""
        facts = self.archive.thread(tenant, thread)
        if facts is None:
            return set()
        _, tip = self._standing(facts, with_ids(messages))
        past = self.archive.lineage(facts, tip)
        if len(past) == facts.messages:
            return set()
        ids = [name for one in told for _, name in one.sources]
        archived = self.archive.versions(facts, ids)
        return {
            one.key
            for one in told
            if not any(seq in past for _, name in one.sources for seq in archived.get(name, ()))
        }

    def learn(
        self,
        messages: Sequence[BaseMessage],
        *,
        user: str | None,
        tenant: str = "default",
        thread: str | None = None,
    ) -> None:
        """Keeps what the latest turn states about the user, where facts are on. Never raises."""
        if self.facts is None or user is None:
            return
        try:
            self.facts.learn(with_ids(messages), tenant=tenant, user=user, thread=thread)
        except StoreError as exc:
            logger.warning("a fact was not kept: %s", error_name(exc))

    def search(self, query: str, *, thread: str, tenant: str = "default", limit: int = 8) -> str:
        """What the recall tool answers: matching messages with dates and speakers, as text.

        Args:
            query: Words, or `#12` to open one archived message whole.
            thread: The thread's id.
            tenant: Whose thread.
            limit: Most messages.
        """
        facts = self.archive.thread(tenant, thread)
        if facts is None:
            return "Nothing has been said in this conversation before."
        tip = self._tips.get((tenant, thread), facts.messages - 1)
        wanted = query.strip().lstrip("#")
        if query.strip().startswith("#") and wanted.isdecimal() and len(wanted) < 19:
            past = self.archive.lineage(facts, tip)
            rows = [m for m in self.archive.rows(facts, [int(wanted)]) if m.seq in past]
            return _shown(rows[0]) if rows else f"There is no message #{wanted}."
        found = self.recall.find(tenant, thread, query, tip=tip)[:limit]
        if not found:
            return "Nothing in this conversation matches."
        ordered = sorted(found, key=lambda item: item.message.seq)
        asked = dict.fromkeys(words(query), 1.0)
        return "\n".join(_shown(item.message, self.counter, asked) for item in ordered)

    def delete_thread(self, thread: str, *, tenant: str = "default") -> int:
        """Deletes a thread's archive and summary; gives the number of messages deleted."""
        self._later.join(tenant, thread, timeout_s=_WRITE_S)
        return self.archive.delete_thread(tenant, thread)

    def close(self, *, timeout_s: float = 2.0) -> None:
        """Ends what runs in the background, waiting at most so many seconds, and the archive."""
        end = time.monotonic() + timeout_s
        self._later.close(timeout_s=timeout_s)
        if self.summariser is not None:
            self.summariser.close(timeout_s=max(0.0, end - time.monotonic()))
        if self.facts is not None:
            self.facts.close()
        self.archive.close()

    def _all_here(
        self,
        history: Sequence[BaseMessage],
        budget: int,
        counter: TokenCounter,
        *,
        thread: str,
        tenant: str,
    ) -> Remembered | None:
        """Nothing to remember, where the whole thread is live and fits; else None."""
        tokens = counter.messages(history)
        if tokens > budget:
            return None
        self._later.join(tenant, thread, timeout_s=_WRITE_S)
        facts = self.archive.thread(tenant, thread)
        if facts is not None:
            here, tip = self._standing(facts, history)
            self._stand(tenant, thread, tip)
            past = self.archive.lineage(facts, tip)
            if len(past) > sum(seq in past for _, seq in here.values()):
                return None
        question, _ = question_of(history)
        live = sum(not isinstance(message, SystemMessage) for message in history)
        return Remembered(question=question, archived=live, thread_tokens=tokens)

    def _archive_all(
        self, history: Sequence[BaseMessage], *, thread: str, tenant: str
    ) -> list[Archived]:
        kept = [message for message in history if not isinstance(message, SystemMessage)]
        added = self.archive.add(tenant, thread, kept, at=self._clock(), count=self.counter.message)
        for message in added:
            if message.role == "human" and is_correction(message.text):
                self._mark_corrected(message, thread=thread, tenant=tenant)
        return added

    def _mark_corrected(self, later: Archived, *, thread: str, tenant: str) -> None:
        """Marks the one earlier statement of the same speaker that a correction replaces.

        Said twice in the same words, it is marked twice.
        """
        found = self.recall.find(tenant, thread, later.text, tip=later.seq)[:20]
        earlier = [
            message
            for message in (item.message for item in found)
            if message.seq < later.seq
            and message.speaker == later.speaker
            and message.superseded_by is None
        ]
        best = best_match(later.text, [message.text for message in earlier])
        for at in best:
            self.archive.supersede(earlier[at].row, later.row)

    def _remember(self, history: Sequence[BaseMessage], *, thread: str, tenant: str) -> Remembered:
        if self.summariser is not None:
            self.summariser.join(tenant, thread, timeout_s=_JOIN_S)
        facts = self.archive.thread(tenant, thread)
        question, before = question_of(history)
        if facts is None:
            return Remembered(question=question)
        here, tip = self._standing(facts, history)
        self._stand(tenant, thread, tip)
        found: list[Recalled] = []
        if self.settings.recall and question and self.settings.recall_tokens:
            found = with_corrections(
                self.archive,
                facts,
                self.recall.find(tenant, thread, question, before=before, tip=tip),
            )
        summary = self.summariser.read(facts, tip=tip) if self.summariser is not None else None
        outputs = [str(message.id) for message in history if message.type == "tool"]
        archived = len(self.archive.lineage(facts, tip))
        return Remembered(
            summary=summary,
            found=tuple(found),
            handles={name: here[name][0] for name in outputs if name in here},
            question=question,
            archived=archived,
            thread_tokens=facts.tokens * archived // facts.messages,
        )

    def _standing(
        self, facts: ThreadFacts, history: Sequence[BaseMessage]
    ) -> tuple[dict[str, tuple[int, int]], int | None]:
        """Where live messages are in the archive, and the position of the latest that is there.

        Its past is what this branch has said. None where nothing live is archived: the thread lost
        its checkpoints, and goes on with all that was said.
        """
        ids = [str(message.id) for message in history]
        here = self.archive.positions(facts, history)
        return here, next((here[name][1] for name in reversed(ids) if name in here), None)

    def _stand(self, tenant: str, thread: str, tip: int | None) -> None:
        """Remembers where a turn stands, for its recall tool, which sees no messages."""
        self._tips.pop((tenant, thread), None)
        if tip is not None:
            self._tips[tenant, thread] = tip
            while len(self._tips) > _STANDINGS:
                self._tips.popitem(last=False)


def _shown(
    message: Archived, counter: TokenCounter | None = None, asked: Mapping[str, float] | None = None
) -> str:
    """A message as the recall tool shows it: whole, or where it is long what was asked for."""
    text = message.text
    if counter is not None and len(text) > _SHOWN_CHARACTERS:
        part = excerpt(text, asked or {}, tokens=_SHOWN_TOKENS, count=counter.text)
        text = f"{part or text[:_SHOWN_CHARACTERS]}… [open the whole with #{message.row}]"
    mark = ", corrected later" if message.superseded_by is not None else ""
    return f"#{message.row} ({message.at:%Y-%m-%d %H:%M}{mark}) {message.speaker}: {text}"
