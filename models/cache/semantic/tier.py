"""The semantic tier: the answer to the same question in other words, if the gate agrees.

A space is everything of a request but the words of its last question: tenant, agent, model,
parameters, prompt, tools and the whole conversation before. Questions are compared within one space
only, so a follow-up is matched with its context or not at all.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.embeddings import Embeddings

from allotrope.models.cache.answers import AnswerCache, CacheCall, Hit
from allotrope.models.cache.semantic.gate import Verdict
from allotrope.models.cache.semantic.index.mirror import Neighbour, Vector, unit
from allotrope.models.cache.semantic.index.vectors import MirrorIndex, Space, VectorIndex
from allotrope.models.cache.semantic.verify import Verifier
from allotrope.models.cache.storage import commands as store
from allotrope.models.cache.storage.breaker import StoreBreaker
from allotrope.models.cache.storage.codec import StoredAnswer, UnreadableEntryError
from allotrope.models.cache.storage.commands import Steps

logger = logging.getLogger("allotrope.cache")

MAX_QUESTION = 2000
"""Characters; longer questions are left to the exact tier."""

LEAST_COSINE = 0.5
"""Below this no gate admits a question; it isn't asked."""


class Gate(Protocol):
    """Decides whether an answer to one question may be given to another."""

    def reads(self, question: str) -> bool:
        """Whether any but an equal question could be admitted."""
        ...

    def judge(self, asked: str, kept: str, cosine: float) -> Verdict:
        """Whether both questions surely ask the same, and why."""
        ...


@dataclass(frozen=True)
class Admitted:
    """A candidate that the gate lets through.

    Args:
        candidate: Whose answer it is.
        verdict: What the gate says.
    """

    candidate: Neighbour
    verdict: Verdict

    @property
    def why(self) -> dict[str, Any]:
        """The hit explained, for the trace and `cache show`."""
        verdict = self.verdict
        return {
            "question": self.candidate.question,
            "cosine": round(self.candidate.cosine, 4),
            "score": round(verdict.score, 4),
            "reason": verdict.reason,
            "precision": verdict.precision,
        }


@dataclass(frozen=True)
class Served:
    """The end of a search; without a hit in shadow mode."""

    hit: Hit | None


class SemanticTier:
    """Finds and keeps answers by meaning.

    Args:
        answers: The exact tier, where the answers themselves lie.
        embeddings: Makes vectors of questions.
        gate: Decides after the vector match.
        name: The embedding model; vectors of different models never meet.
        verify: Optional last word of a cheap model; asked between the steps on the store, so that
            neither the store nor an event loop waits for it.
        index: Who keeps and searches the vectors; default: a mirror in this process.
    """

    def __init__(
        self,
        answers: AnswerCache,
        embeddings: Embeddings,
        *,
        gate: Gate,
        name: str = "",
        verify: Verifier | None = None,
        index: VectorIndex | None = None,
    ) -> None:
        self._answers = answers
        self._embeddings = embeddings
        self._gate = gate
        self._name = hashlib.sha256(name.encode()).hexdigest()[:8]
        self._verify = verify
        self._settings = answers.settings.semantic
        self._breaker = StoreBreaker(failures=1, open_s=answers.settings.breaker_open_s)
        self._index = index or MirrorIndex(answers.codec, limit=self._settings.max_entries)

    def find(self, call: CacheCall) -> Hit | None:
        """The answer to a question that asks the same, or None."""
        if not self._applies(call):
            return None
        vector = self._embedded(call)
        if vector is None:
            return None
        for found in self._answers.execute(self._search(call, vector)) or ():
            kept = found.candidate.question
            if self._verify is None or self._verify.same(call.question, kept):
                served = self._answers.execute(self._serve(call, found))
                if served is not None:
                    return served.hit
        return None

    async def afind(self, call: CacheCall) -> Hit | None:
        """The same as `find`, asynchronously."""
        if not self._applies(call):
            return None
        vector = await self._aembedded(call)
        if vector is None:
            return None
        for found in await self._answers.aexecute(self._search(call, vector)) or ():
            kept = found.candidate.question
            if self._verify is None or await self._verify.asame(call.question, kept):
                served = await self._answers.aexecute(self._serve(call, found))
                if served is not None:
                    return served.hit
        return None

    def add(self, call: CacheCall, entry: StoredAnswer) -> None:
        """Makes a kept answer findable by meaning."""
        vector = self._embedded(call) if self._fits(call, entry) else None
        if vector is not None:
            self._answers.execute(self._append(call, vector))

    async def aadd(self, call: CacheCall, entry: StoredAnswer) -> None:
        """The same as `add`, asynchronously."""
        vector = await self._aembedded(call) if self._fits(call, entry) else None
        if vector is not None:
            await self._answers.aexecute(self._append(call, vector))

    def _applies(self, call: CacheCall) -> bool:
        return (
            0 < len(call.question) <= MAX_QUESTION
            and call.ttl_s > 0
            and self._breaker.allows()
            and self._gate.reads(call.question)
        )

    def _fits(self, call: CacheCall, entry: StoredAnswer) -> bool:
        """Only texts are given to other questions: a tool call's arguments are its own."""
        message = getattr(entry.generations[0], "message", None)
        return self._applies(call) and not getattr(message, "tool_calls", None)

    def _embedded(self, call: CacheCall) -> Vector | None:
        known: Vector | None = call.scratch.get("vector")
        if known is not None:
            return known
        try:
            vector = unit(self._embeddings.embed_query(call.question))
        except Exception as exc:  # noqa: BLE001 - without a vector the question is asked anew
            self._breaker.failed(exc)
            return None
        call.scratch["vector"] = vector
        return vector

    async def _aembedded(self, call: CacheCall) -> Vector | None:
        known: Vector | None = call.scratch.get("vector")
        if known is not None:
            return known
        try:
            vector = unit(await self._embeddings.aembed_query(call.question))
        except Exception as exc:  # noqa: BLE001 - as in _embedded
            self._breaker.failed(exc)
            return None
        call.scratch["vector"] = vector
        return vector

    def _space(self, call: CacheCall, vector: Vector) -> Space:
        return Space(call.part, f"{call.space}{self._name}", len(vector))

    def _search(self, call: CacheCall, vector: Vector) -> Steps[Iterator[Admitted] | None]:
        candidates = yield from self._index.search(
            self._space(call, vector), vector, self._settings.candidates
        )
        return None if candidates is None else self._admitted(call, candidates)

    def _admitted(self, call: CacheCall, candidates: Sequence[Neighbour]) -> Iterator[Admitted]:
        """The candidates that may answer, nearest first; the gate looks at one when it is asked."""
        for candidate in candidates:
            if candidate.cosine < LEAST_COSINE:
                return
            verdict = self._gate.judge(call.question, candidate.question, candidate.cosine)
            if verdict.admitted:
                yield Admitted(candidate, verdict)

    def _serve(self, call: CacheCall, found: Admitted) -> Steps[Served | None]:
        """The answer of a candidate; None when it is gone or too old and the next may have it."""
        candidate = found.candidate
        now = self._answers.clock()
        (data,) = yield [("GET", call.part.key("e", candidate.digest))]
        entry = self._entry(data, candidate)
        if entry is None:
            vector = call.scratch["vector"]
            yield from self._index.forget(self._space(call, vector), candidate.digest)
            return None
        if now - entry.created > min(self._lifetime(call), call.request.max_age_s or float("inf")):
            return None
        if self._settings.mode == "shadow":
            yield from store.count(call.part, {"shadow_hits": 1})
            return Served(None)
        hit = Hit(entry=entry, tier="semantic", digest=candidate.digest, why=found.why)
        told = {"asked": call.question, "run": call.request.run_id, **found.why}
        told["thread"] = call.request.thread
        sealed = self._answers.codec.seal(json.dumps(told).encode())
        note = store.explaining(
            call.part, candidate.digest, call.digest, sealed, thread=call.request.thread
        )
        yield from self._answers.booked(call, hit, beside=note)
        return Served(hit)

    def _lifetime(self, call: CacheCall) -> float:
        """Seconds a semantic hit may be old: by agent, else profile, else in general."""
        semantic, request = self._settings, call.request
        return semantic.ttl_by_agent.get(
            request.agent, semantic.ttl_by_profile.get(request.profile, semantic.ttl_s)
        )

    def _entry(self, data: Any, candidate: Neighbour) -> StoredAnswer | None:
        if not isinstance(data, bytes):
            return None
        try:
            entry = self._answers.codec.load(data)
        except UnreadableEntryError:
            return None
        return entry if entry.question == candidate.question else None

    def _append(self, call: CacheCall, vector: Vector) -> Steps[None]:
        yield from self._index.add(
            self._space(call, vector), call.digest, call.question, vector, call.ttl_s
        )
