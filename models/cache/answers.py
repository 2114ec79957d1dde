"""The answer cache: reads, writes and counts, and never lets its store's troubles reach a turn."""

import asyncio
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from langchain_core.outputs import Generation

from allotrope.models.cache import policy
from allotrope.models.cache.policy import Request
from allotrope.models.cache.storage import commands as store
from allotrope.models.cache.storage.breaker import StoreBreaker
from allotrope.models.cache.storage.codec import (
    Codec,
    StoredAnswer,
    UnreadableEntryError,
    saved_tokens,
)
from allotrope.models.cache.storage.commands import Partition, Steps
from allotrope.models.cache.storage.memory import MemoryRedis
from allotrope.settings.cache import CacheSettings
from allotrope.stores.redis.client import PerLoop
from allotrope.support.pools import TURNS

T = TypeVar("T")

CONCURRENT_COMMANDS = 32
"""Pipelines at once per event loop, so that a thousand tasks don't open a thousand connections."""


@dataclass(frozen=True, kw_only=True)
class CacheCall:
    """One request, written down for the cache.

    Args:
        part: Its partition.
        digest: Its exact key.
        request: Who asks.
        ttl_s: Seconds its answer is kept; 0 means: not kept.
        model: The model asked.
        question: The last question, where the semantic tier may answer it, else empty.
        space: Everything else of the canonical form; the semantic tier compares within it.
    """

    part: Partition
    digest: str
    request: Request
    ttl_s: float
    model: str = ""
    question: str = ""
    space: str = ""
    scratch: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, kw_only=True)
class Hit:
    """An answer from the cache.

    Args:
        entry: The answer.
        tier: Where it came from: `exact` or `semantic`.
        digest: The exact key it is kept under.
        why: Of a semantic hit: the kept `question`, `cosine`, `score`, `reason`, and `precision`,
            how often pairs of such a score were the same when it was calibrated.
    """

    entry: StoredAnswer
    tier: str
    digest: str
    why: dict[str, Any] | None = None


class AnswerCache:
    """Answers by key, in Redis or in this process.

    Args:
        client: A `redis.Redis`, a cluster's client, or a `MemoryRedis`.
        aclients: Async clients of the same Redis, one per event loop.
        settings: Lifetimes, limits, compression, encryption, breaker.
        prefix: Before every key.
        tenant: Whose answers where a run doesn't say.
        clock: Unix seconds.
        chance: Random numbers in [0, 1) for the jitter.
    """

    def __init__(
        self,
        client: Any,
        *,
        aclients: PerLoop | None = None,
        settings: CacheSettings | None = None,
        prefix: str = "allotrope:",
        tenant: str = "default",
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings or CacheSettings()
        self.prefix = prefix
        self.tenant = tenant
        self.clock = clock
        self.chance = chance
        self.client = client
        self._aclients = aclients
        key = self.settings.encryption_key
        self.codec = Codec(
            compress_over=self.settings.compress_over_bytes,
            key=None if key is None else key.get_secret_value(),
        )
        self.breaker = StoreBreaker(
            failures=self.settings.breaker_failures, open_s=self.settings.breaker_open_s
        )
        self._gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )
        self._gates_lock = threading.Lock()

    @property
    def shared(self) -> bool:
        """Whether other processes see this cache."""
        return not isinstance(self.client, MemoryRedis)

    def execute(self, steps: Steps[T]) -> T | None:
        """Runs steps on the store; None when the store fails or is switched off."""
        if not self.breaker.allows():
            steps.close()
            return None
        try:
            result = store.run(self.client, steps)
        except Exception as exc:  # noqa: BLE001 - whatever ails the store is a miss, never an error
            self.breaker.failed(exc)
            return None
        self.breaker.succeeded()
        return result

    async def aexecute(self, steps: Steps[T]) -> T | None:
        """The same as `execute`, asynchronously."""
        if self._aclients is None:
            if not self.shared:
                return self.execute(steps)
            return await TURNS.run(self.execute, steps)
        if not self.breaker.allows():
            steps.close()
            return None
        try:
            async with self._gate():
                result = await store.arun(self._aclients.get(), steps)
        except Exception as exc:  # noqa: BLE001 - as in execute
            self.breaker.failed(exc)
            return None
        self.breaker.succeeded()
        return result

    def _gate(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        with self._gates_lock:
            gate = self._gates.get(loop)
            if gate is None:
                gate = self._gates[loop] = asyncio.Semaphore(CONCURRENT_COMMANDS)
            return gate

    def partition(self, request: Request) -> Partition:
        """Where the answers to this request lie."""
        return Partition(self.prefix, request.tenant, request.agent)

    def get(self, call: CacheCall, *, misses: bool = True) -> Hit | None:
        """The exact answer to a call, counted; None when there is none that may be used.

        Args:
            call: What is asked.
            misses: Whether to count a miss, too; not where the same call is looked for again.
        """
        data = self.execute(store.get(call.part, call.digest, now=self.clock()))
        hit, steps = self._judged(call, data)
        if hit is not None or misses:
            self.execute(steps)
        return hit

    async def aget(self, call: CacheCall) -> Hit | None:
        """The same as `get`, asynchronously."""
        data = await self.aexecute(store.get(call.part, call.digest, now=self.clock()))
        hit, steps = self._judged(call, data)
        await self.aexecute(steps)
        return hit

    def _judged(self, call: CacheCall, data: bytes | None) -> tuple[Hit | None, Steps[Any]]:
        """What was found, and the steps that book it."""
        if data is None:
            return None, store.count(call.part, {"misses": 1})
        try:
            entry = self.codec.load(data)
        except UnreadableEntryError:
            return None, store.drop(call.part, [call.digest])
        oldest = call.request.max_age_s
        if oldest is not None and self.clock() - entry.created > oldest:
            return None, store.count(call.part, {"misses": 1})
        hit = Hit(entry=entry, tier="exact", digest=call.digest)
        return hit, self.booked(call, hit)

    def booked(
        self, call: CacheCall, hit: Hit, *, beside: Sequence[store.Command] = ()
    ) -> Steps[None]:
        """The steps that count a hit and what it saved, and note which entry served the run.

        Args:
            call: What was asked.
            hit: What served it.
            beside: More commands for the same round trip.
        """
        entry = hit.entry
        served = f"{hit.tier}:{hit.digest}"
        if hit.tier == "semantic":
            served += f":{call.digest}"  # `report-wrong` finds the pair of questions by it
        model = entry.model or "?"
        counters = {f"hits_{hit.tier}": 1, "saved_ms": int(entry.seconds * 1000)}
        for name in ("input_tokens", "output_tokens", "cached_input_tokens"):
            if entry.saved.get(name):
                counters[f"saved_{name}:{model}"] = entry.saved[name]
        return store.count(
            call.part,
            counters,
            served=(call.request.run_id, served),
            beside=beside,
        )

    def entry_of(
        self, call: CacheCall, generations: Sequence[Generation], *, seconds: float = 0.0
    ) -> StoredAnswer | None:
        """The entry for an answer; None when it must not be kept.

        Args:
            call: What was asked.
            generations: What the model gave.
            seconds: How long it took.
        """
        if not call.request.write or call.ttl_s <= 0 or policy.unfit(generations) is not None:
            return None
        return StoredAnswer(
            generations=tuple(generations),
            saved=saved_tokens(generations),
            model=call.model,
            created=self.clock(),
            seconds=seconds,
            question=call.question,
            run_id=call.request.run_id,
            tags=(*call.request.tags, f"model={call.model}"),
        )

    def put(self, call: CacheCall, entry: StoredAnswer) -> bool:
        """Keeps an answer; returns whether it was kept."""
        steps = self._put(call, entry)
        return steps is not None and self.execute(steps) is not None

    async def aput(self, call: CacheCall, entry: StoredAnswer) -> bool:
        """The same as `put`, asynchronously."""
        steps = self._put(call, entry)
        return steps is not None and await self.aexecute(steps) is not None

    def _put(self, call: CacheCall, entry: StoredAnswer) -> Steps[int] | None:
        try:
            value = self.codec.dump(entry)
        except (TypeError, ValueError):
            return None  # the answer holds something that has no JSON form
        if len(value) > self.settings.max_bytes // 4:
            return None  # one answer must not push out all others
        return store.put(
            call.part,
            call.digest,
            value,
            ttl_s=call.ttl_s,
            now=self.clock(),
            max_entries=self.settings.max_entries,
            max_bytes=self.settings.max_bytes,
            tags=entry.tags,
            info={"m": entry.model, "run": entry.run_id},
        )

    def clear(self) -> int:
        """Removes everything under our prefix, and nothing else; returns how many keys.

        Raises:
            redis.RedisError: The store can't be reached.
        """
        pattern = _literal(f"{self.prefix}cache:") + "*"
        gone = 0
        batch: list[Any] = []
        for key in self.client.scan_iter(match=pattern, count=500):
            batch.append(key)
            if len(batch) >= 500:
                gone += self._unlink(batch)
                batch = []
        return gone + self._unlink(batch)

    def _unlink(self, keys: list[Any]) -> int:
        if not keys:
            return 0
        pipe = self.client.pipeline(transaction=False)
        for key in keys:  # one by one: in a cluster they lie in different slots
            pipe.execute_command("UNLINK", key)
        replies = pipe.execute(raise_on_error=False)
        return sum(reply for reply in replies if isinstance(reply, int))

    async def aclose(self) -> None:
        """Closes the clients of the running loop and of the process."""
        if self._aclients is not None:
            await self._aclients.aclose()
        self.close()

    def close(self) -> None:
        """Closes the client of the process."""
        self.client.close()


def _literal(text: str) -> str:
    """Text for a MATCH pattern that stands for itself."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)
