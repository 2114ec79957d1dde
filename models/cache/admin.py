"""Operating the cache: what is in it, what it saves, and taking things out of it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from allotrope.exceptions import StoreError
from allotrope.models.cache.answers import AnswerCache
from allotrope.models.cache.storage import commands as store
from allotrope.models.cache.storage.codec import StoredAnswer, UnreadableEntryError
from allotrope.models.cache.storage.commands import Partition, Steps
from allotrope.stores.errors import error_name

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PartitionStats:
    """What one tenant's agent has in the cache and got from it.

    Args:
        tenant: Whose.
        agent: Of which agent; empty outside an agent.
        entries: Answers kept.
        bytes: Their size.
        hits: Hits by tier.
        misses: Questions asked anew.
        shadow_hits: What the semantic tier would have served.
        false_hits: Reported wrong, by tier.
        evictions: Answers pushed out by the limits.
        saved: Tokens not spent, by model and kind.
        saved_s: Seconds not waited.
    """

    tenant: str
    agent: str
    entries: int
    bytes: int
    hits: dict[str, int]
    misses: int
    shadow_hits: int
    false_hits: dict[str, int]
    evictions: int
    saved: dict[str, dict[str, int]] = field(default_factory=dict)
    saved_s: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Share of the questions that were answered from the cache."""
        hits = sum(self.hits.values())
        asked = self.misses + self.hits.get("exact", 0)
        return hits / asked if asked else 0.0


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An entry as `show` lists it.

    Args:
        key: Its name; enough of it names it.
        tenant: Whose.
        agent: Of which agent.
        model: Which model answered.
        bytes: Its size with its books.
        created: Unix seconds.
        tags: What it can be invalidated by.
    """

    key: str
    tenant: str
    agent: str
    model: str
    bytes: int
    created: float
    tags: tuple[str, ...]


class CacheAdmin:
    """The operations behind `allotrope cache`.

    Args:
        answers: The cache.
    """

    def __init__(self, answers: AnswerCache) -> None:
        self._answers = answers

    def _run(self, steps: Steps[T]) -> T:
        """Runs steps; here a store that fails is an error, not a miss."""
        try:
            return store.run(self._answers.client, steps)
        except Exception as exc:
            raise StoreError(
                f"The cache's store doesn't answer: {error_name(exc)}.",
                hint="See `allotrope doctor`.",
            ) from exc

    def partitions(self, *, tenant: str | None = None, agent: str | None = None) -> list[Partition]:
        """The partitions, those of one tenant or agent where named."""
        return [
            part
            for part in self._run(store.partitions(self._answers.prefix))
            if tenant in (None, part.tenant) and agent in (None, part.agent)
        ]

    def stats(self) -> list[PartitionStats]:
        """The figures of every partition."""
        return [_stats(part, self._run(store.overview(part))) for part in self.partitions()]

    def listed(self, *, tenant: str | None = None, agent: str | None = None) -> Iterator[Listed]:
        """All entries, newest first within each partition."""
        for part in self.partitions(tenant=tenant, agent=agent):
            rows = self._run(_meta(part))
            for key, info in sorted(rows.items(), key=lambda row: -row[1].get("at", 0)):
                yield Listed(
                    key=key,
                    tenant=part.tenant,
                    agent=part.agent,
                    model=str(info.get("m", "")),
                    bytes=int(info.get("b", 0)),
                    created=float(info.get("at", 0)),
                    tags=tuple(info.get("t", ()) or ()),
                )

    def entry(self, key: str) -> StoredAnswer | None:
        """The entry whose key starts like this, or None."""
        for part in self.partitions():
            for name in self._run(_meta(part)):
                if name.startswith(key):
                    data = self._run(_value(part, name))
                    try:
                        return None if data is None else self._answers.codec.load(data)
                    except UnreadableEntryError:
                        return None
        return None

    def reasons(self, key: str) -> list[dict[str, Any]]:
        """Why the entry whose key starts like this was served to questions in other words.

        Returns:
            For each such question: `asked`, the kept `question`, `cosine`, `score`, `reason`,
            the measured `precision` of its band of scores, and the `run`.
        """
        for part in self.partitions():
            for name in self._run(_meta(part)):
                if name.startswith(key):
                    return list(self._notes(part, name).values())
        return []

    def _notes(self, part: Partition, digest: str) -> dict[str, dict[str, Any]]:
        """What explains the semantic hits on an entry, by the exact key of the question."""
        found = {}
        for asked, note in self._run(store.explained(part, digest)):
            try:
                found[asked] = json.loads(self._answers.codec.unseal(note))
            except (UnreadableEntryError, ValueError):
                continue
        return found

    def invalidate(
        self,
        *,
        tags: Sequence[str] = (),
        key: str | None = None,
        older_than_s: float | None = None,
        tenant: str | None = None,
        agent: str | None = None,
    ) -> int:
        """Takes entries out; returns how many.

        Args:
            tags: `model=o3`, `prompt=NAME@VERSION`, `profile=…`, `run=…`, `thread=…`, `doc=…`; all
                match.
            key: The start of an entry's key.
            older_than_s: Only entries older than so many seconds.
            tenant: Only of this tenant.
            agent: Only of this agent.
        """
        gone = 0
        threads = [tag.removeprefix("thread=") for tag in tags if tag.startswith("thread=")]
        for part in self.partitions(tenant=tenant, agent=agent):
            for thread in threads:
                self._forget_asked(part, thread)
            found = set(self._run(_meta(part)))
            for tag in tags:
                found &= set(self._run(store.tagged(part, tag)))
            if key is not None:
                found = {name for name in found if name.startswith(key)}
            if older_than_s is not None:
                limit = self._answers.clock() - older_than_s
                found &= set(self._run(store.older_than(part, limit)))
            gone += self._run(store.drop(part, sorted(found)))
        return gone

    def _note_wrong(self, part: Partition, hit: store.ServedBy, run_id: str) -> None:
        """Keeps the pair of a wrong semantic hit as a labelled one, for the next calibration."""
        note = self._notes(part, hit.digest).get(hit.asked)
        if note is None:
            return
        pair = {"a": note["asked"], "b": note["question"], "same": 0}
        pair |= {"cosine": note["cosine"], "thread": note["thread"]}
        sealed = self._answers.codec.seal(json.dumps(pair).encode())
        self._run(store.keep_wrong(part, run_id, sealed))

    def _forget_asked(self, part: Partition, thread: str) -> None:
        """Takes out the questions of a thread that were kept to explain hits."""
        self._run(store.forget_asked(part, thread))
        for run_id, pair in self._wrong_of(part).items():
            if pair.get("thread") == thread:
                self._run(store.keep_wrong(part, run_id, b""))

    def wrong_pairs(self) -> list[dict[str, Any]]:
        """Pairs of questions that users reported as wrong hits, in the form of `calibrate`."""
        reported = [pair for part in self.partitions() for pair in self._wrong_of(part).values()]
        names = ("a", "b", "same", "cosine")
        return [{name: pair[name] for name in names if name in pair} for pair in reported]

    def _wrong_of(self, part: Partition) -> dict[str, dict[str, Any]]:
        found = {}
        for run_id, sealed in self._run(_wrong(part)):
            try:
                found[run_id.decode()] = json.loads(self._answers.codec.unseal(sealed))
            except (UnreadableEntryError, ValueError):
                continue
        return found

    def report_wrong(self, run_id: str) -> list[str]:
        """Takes out what answered a run and counts it as a false hit.

        Args:
            run_id: The run that got the wrong answer, from the cache or first hand.

        Returns:
            The tiers it came from: `exact`, `semantic`, or `paid` for the run that asked the model.
        """
        tiers = []
        for part in self.partitions():
            hits, paid = self._run(store.of_run(part, run_id))
            for hit in hits:
                if hit.tier == "semantic":
                    self._note_wrong(part, hit, run_id)
            self._run(store.forget_run(part, run_id))
            for hit in hits:
                self._run(store.count(part, {f"false_{hit.tier}": 1}))
                tiers.append(hit.tier)
            if set(paid) - {hit.digest for hit in hits}:
                tiers.append("paid")
        return tiers


def _wrong(part: Partition) -> Steps[list[tuple[bytes, bytes]]]:
    (reply,) = yield [("HGETALL", part.key("wrong"))]
    return [] if isinstance(reply, Exception) else store.pairs(reply)


def _meta(part: Partition) -> Steps[dict[str, dict[str, Any]]]:
    (reply,) = yield [("HGETALL", part.key("meta"))]
    if isinstance(reply, Exception):
        return {}
    return {name.decode(): json.loads(info) for name, info in store.pairs(reply)}


def _value(part: Partition, digest: str) -> Steps[bytes | None]:
    (reply,) = yield [("GET", part.key("e", digest))]
    return reply if isinstance(reply, bytes) else None


def _stats(part: Partition, counters: dict[str, int]) -> PartitionStats:
    saved: dict[str, dict[str, int]] = {}
    for name, value in counters.items():
        kind, mark, model = name.partition(":")
        if mark and kind.startswith("saved_"):
            saved.setdefault(model, {})[kind.removeprefix("saved_")] = value
    return PartitionStats(
        tenant=part.tenant,
        agent=part.agent,
        entries=counters["entries"],
        bytes=counters.get("bytes", 0),
        hits={tier: counters.get(f"hits_{tier}", 0) for tier in ("exact", "semantic")},
        misses=counters.get("misses", 0),
        shadow_hits=counters.get("shadow_hits", 0),
        false_hits={tier: counters.get(f"false_{tier}", 0) for tier in ("exact", "semantic")},
        evictions=counters.get("evictions", 0),
        saved=saved,
        saved_s=counters.get("saved_ms", 0) / 1000,
    )
