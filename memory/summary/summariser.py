"""Writing the running summary beside the conversation: no turn waits for it or fails by it."""

import logging
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from threading import Lock, Thread
from typing import Any

from allotrope.exceptions import StoreError
from allotrope.memory.archive.archive import Archive, ThreadFacts
from allotrope.memory.archive.lineage import Lineage
from allotrope.memory.summary.summary import (
    Summary,
    SummaryLine,
    bounded,
    extract,
    outline,
    parse,
    transcript,
    verified,
)
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.stores.errors import error_name

logger = logging.getLogger(__name__)

Summarise = Callable[[str, str], str]
"""Previous summary and new messages to the answer of a cheap model, under the headings of the
template `summariser`. It may take long, raise, or answer nonsense."""

SUMMARISED: ContextVar[tuple[str, str]] = ContextVar("allotrope_summarised")
"""While a `Summarise` runs: tenant and thread it works for, so that its calls are booked there."""

_KEEP_OUT = 6
"""The newest messages stand in the prompt themselves; they are summarised later."""
_CHUNK_TOKENS = 3_000
_CHUNKS_A_JOB = 4
_TRIPS_AFTER = 3
_REST_S = (60.0, 300.0, 900.0)
_MOST_JOBS = 4


class Summariser:
    """Keeps the summaries of threads up to date in the background.

    A model that hangs, raises or answers nonsense is replaced by the deterministic summary for that
    chunk; after three failures in a row the model is left alone for a while.

    Args:
        archive: Where messages are read and summaries kept.
        counter: Counts.
        tokens: Most tokens of a summary.
        every: Tokens that must have gathered before it is rewritten.
        call: Asks the model; None writes the deterministic summary at once.
        timeout_s: Seconds after which a call counts as failed and is no longer waited for.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        counter: TokenCounter,
        tokens: int,
        every: int,
        call: Summarise | None = None,
        timeout_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._archive = archive
        self._counter = counter
        self._tokens = tokens
        self._every = every
        self._call = call
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = Lock()
        self._jobs: dict[tuple[str, str], tuple[Thread, float]] = {}
        self._failures = 0
        self._rests_until = 0.0
        self._last_error = ""

    def state(self) -> dict[str, Any]:
        """How the summariser is, in plain types: `state` is `model`, `extract` or `resting`."""
        resting = self._rests_until - self._clock()
        if self._call is None:
            return {"state": "extract"}
        if resting > 0:
            return {
                "state": "resting",
                "seconds": round(resting),
                "failures": self._failures,
                "error": self._last_error,
            }
        return {"state": "model", "failures": self._failures, "error": self._last_error}

    def read(self, thread: ThreadFacts, *, tip: int | None = None) -> Summary:
        """The summary as it stands; empty when there is none yet.

        Args:
            thread: Which thread.
            tip: The position of the latest message of the branch; None for the one written last.
        """
        return self._read(thread, self._archive.lineage(thread, tip))

    def _read(self, thread: ThreadFacts, past: Lineage) -> Summary:
        data = self._archive.summary(thread, past)
        return Summary.from_dict(data) if data else Summary()

    def start(self, tenant: str, thread: str, *, tip: int | None = None) -> None:
        """Begins an update where one is due and none runs; returns at once with a model.

        Args:
            tenant: Whose thread.
            thread: Which thread.
            tip: As for `read`.
        """
        if not self._due(tenant, thread, tip):
            return
        if self._call is None:
            self._update(tenant, thread, tip)
            return
        key = (tenant, thread)
        with self._lock:
            self._reap()
            if key in self._jobs or len(self._jobs) >= _MOST_JOBS:
                return
            job = Thread(
                target=self._guarded,
                args=(*key, tip),
                daemon=True,
                name=f"allotrope-summary-{thread}",
            )
            self._jobs[key] = (job, self._clock())
        job.start()

    def join(self, tenant: str, thread: str, *, timeout_s: float) -> None:
        """Waits for a running update of a thread, at most so many seconds."""
        with self._lock:
            found = self._jobs.get((tenant, thread))
        if found is not None:
            found[0].join(timeout_s)

    def close(self, *, timeout_s: float = 0.0) -> None:
        """Waits for all running updates, together at most so many seconds."""
        end = time.monotonic() + timeout_s
        with self._lock:
            jobs = [job for job, _ in self._jobs.values()]
        for job in jobs:
            job.join(max(0.0, end - time.monotonic()))

    def _reap(self) -> None:
        """Forgets jobs that ended, and those that hang: they count as failed."""
        for key, (job, since) in list(self._jobs.items()):
            if not job.is_alive():
                del self._jobs[key]
            elif self._clock() - since > self._timeout_s * _CHUNKS_A_JOB:
                del self._jobs[key]
                self._failed("no answer in time")

    def _failed(self, error: str) -> None:
        self._failures += 1
        self._last_error = error
        if self._failures >= _TRIPS_AFTER:
            rest = _REST_S[min(self._failures - _TRIPS_AFTER, len(_REST_S) - 1)]
            self._rests_until = self._clock() + rest

    def _due(self, tenant: str, thread: str, tip: int | None) -> bool:
        facts = self._archive.thread(tenant, thread)
        if facts is None:
            return False
        past = self._archive.lineage(facts, tip)
        waiting = len(past.beyond(self._read(facts, past).upto)) - _KEEP_OUT
        # words are counted at archiving; a word is about 2.5 tokens, filler included
        return waiting > 0 and waiting * 2.5 * facts.words / facts.messages >= self._every

    def _guarded(self, tenant: str, thread: str, tip: int | None) -> None:
        try:
            self._update(tenant, thread, tip)
        except StoreError as exc:
            logger.warning("summary of a thread not written: %s", error_name(exc))
        finally:
            with self._lock:
                self._jobs.pop((tenant, thread), None)

    def _update(self, tenant: str, thread: str, tip: int | None) -> None:
        facts = self._archive.thread(tenant, thread)
        if facts is None:
            return
        SUMMARISED.set((tenant, thread))  # this job's thread has a context of its own
        past = self._archive.lineage(facts, tip)
        previous = self._read(facts, past)
        for _ in range(_CHUNKS_A_JOB):
            chunk, upto = self._chunk(facts, past.beyond(previous.upto)[:-_KEEP_OUT])
            if not chunk:
                return
            summary = self._next(previous, chunk)
            summary = bounded(summary, tokens=self._tokens, counter=self._counter)
            previous = replace(summary, upto=upto)
            self._archive.save_summary(facts, previous.to_dict(), past)

    def _chunk(self, facts: ThreadFacts, positions: Sequence[int]) -> tuple[list[SummaryLine], int]:
        """The next messages, as many as a chunk holds; a very long message is cut."""
        lines: list[SummaryLine] = []
        used, upto = 0, -1
        for message in self._archive.at_positions(facts, positions[:200]):
            text = message.text
            cost = self._counter.text(text)
            if cost > _CHUNK_TOKENS:
                half = len(text) * _CHUNK_TOKENS // cost // 2
                text, cost = f"{text[:half]} […] {text[-half:]}", _CHUNK_TOKENS
            if lines and used + cost > _CHUNK_TOKENS:
                break
            day = f"{message.at:%Y-%m-%d}"
            lines.append(SummaryLine(message.speaker, text, message.role, day))
            used, upto = used + cost, message.seq
        return lines, upto

    def _next(self, previous: Summary, chunk: list[SummaryLine]) -> Summary:
        if self._call is None or self._clock() < self._rests_until:
            return extract(previous, chunk)
        since = self._clock()
        try:
            answer = self._call(outline(previous), transcript(chunk))
        except Exception as exc:  # noqa: BLE001 - whatever the model's chain raises, the deterministic path goes on
            self._failed(error_name(exc))
            return extract(previous, chunk)
        parsed = parse(answer) if isinstance(answer, str) else None
        if parsed is None:
            self._failed("an answer that is no summary")
            return extract(previous, chunk)
        if self._clock() - since <= self._timeout_s:
            self._failures, self._last_error = 0, ""
        return verified(parsed, previous=previous, messages=chunk)
