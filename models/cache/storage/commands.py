"""Where answers lie: commands for Redis as pure steps, and the two drivers that run them.

Each operation is a generator that yields one pipeline at a time and is sent the replies, so that
sync and async do exactly the same. All keys of a partition carry its hash tag `{...}`: a pipeline
or a script never leaves one slot of a Redis Cluster.
"""

import hashlib
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import redis

T = TypeVar("T")
Command = tuple[Any, ...]
Steps = Generator[list[Command], list[Any], T]

AUX_TTL_S = 400 * 86_400
"""Seconds the books of a partition outlive its last write; longer than any answer."""

SERVED_TTL_S = 30 * 86_400
"""Seconds it is known which entry served a run, for `report-wrong`."""

PUT = """
local lru, meta, exp, stats = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local digest, value, ttl_ms, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local max_entries, max_bytes, base = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local tags, info = cjson.decode(ARGV[8]), cjson.decode(ARGV[9])
redis.call('SET', KEYS[1], value, 'PX', ttl_ms)
local function drop(name, keep)
  local old = redis.call('HGET', meta, name)
  if old then
    local m = cjson.decode(old)
    redis.call('HINCRBY', stats, 'bytes', -m.b)
    for _, tag in ipairs(m.t) do redis.call('SREM', base .. 't:' .. tag, name) end
    redis.call('HDEL', meta, name)
  end
  redis.call('ZREM', lru, name)
  redis.call('ZREM', exp, name)
  if not keep then redis.call('UNLINK', base .. 'e:' .. name) end
end
drop(digest, true)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', exp, '-inf', now, 'LIMIT', 0, 20)) do
  drop(name)
end
local size = string.len(value) + 200
info.b, info.t = size, tags
redis.call('HSET', meta, digest, cjson.encode(info))
local bytes = redis.call('HINCRBY', stats, 'bytes', size)
redis.call('HINCRBY', stats, 'stores', 1)
redis.call('ZADD', lru, now, digest)
redis.call('ZADD', exp, now + ttl_ms / 1000, digest)
for _, tag in ipairs(tags) do
  redis.call('SADD', base .. 't:' .. tag, digest)
  redis.call('EXPIRE', base .. 't:' .. tag, ARGV[10])
end
local evicted = 0
while redis.call('ZCARD', lru) > max_entries
    or tonumber(redis.call('HGET', stats, 'bytes')) > max_bytes do
  local oldest = redis.call('ZRANGE', lru, 0, 0)[1]
  if not oldest or (oldest == digest and redis.call('ZCARD', lru) == 1) then break end
  if oldest == digest then oldest = redis.call('ZRANGE', lru, 1, 1)[1] end
  drop(oldest)
  evicted = evicted + 1
end
if evicted > 0 then redis.call('HINCRBY', stats, 'evictions', evicted) end
for i = 2, 5 do redis.call('EXPIRE', KEYS[i], ARGV[10]) end
return evicted
"""
"""Stores an answer, books its size and tags, and evicts the least recently used over the limits.

SET comes first: a script that has already written is let past `maxmemory` by Redis.
"""

DROP = """
local lru, meta, exp, stats, base = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local dropped = 0
for i = 2, #ARGV do
  local name = ARGV[i]
  local old = redis.call('HGET', meta, name)
  if old then
    local m = cjson.decode(old)
    redis.call('HINCRBY', stats, 'bytes', -m.b)
    for _, tag in ipairs(m.t) do redis.call('SREM', base .. 't:' .. tag, name) end
    redis.call('HDEL', meta, name)
  end
  redis.call('ZREM', lru, name)
  redis.call('ZREM', exp, name)
  dropped = dropped + redis.call('UNLINK', base .. 'e:' .. name)
end
return dropped
"""
"""Removes answers and their books."""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""Gives a lease back, if it is still ours."""

RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
"""Prolongs a lease, if it is still ours."""


def run(client: Any, steps: Steps[T]) -> T:
    """Runs steps on a `redis.Redis` or `RedisCluster`; replies may be errors, for the steps."""
    try:
        commands = next(steps)
        while True:
            commands = steps.send(_pipeline(client, commands))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # what the generator returns


def _pipeline(client: Any, commands: list[Command]) -> list[Any]:
    if len(commands) == 1:
        try:
            return [client.execute_command(*commands[0])]
        except redis.ResponseError as exc:
            return [exc]
    pipe = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    replies: list[Any] = pipe.execute(raise_on_error=False)
    return replies


async def arun(client: Any, steps: Steps[T]) -> T:
    """The same as `run` on a `redis.asyncio.Redis`."""
    try:
        commands = next(steps)
        while True:
            commands = steps.send(await _apipeline(client, commands))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # what the generator returns


async def _apipeline(client: Any, commands: list[Command]) -> list[Any]:
    if len(commands) == 1:
        try:
            return [await client.execute_command(*commands[0])]
        except redis.ResponseError as exc:
            return [exc]
    pipe = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    replies: list[Any] = await pipe.execute(raise_on_error=False)
    return replies


@dataclass(frozen=True)
class Partition:
    """What a tenant's agent has in the cache, and the names of its keys.

    Args:
        prefix: Before every key, `allotrope:`.
        tenant: Whose answers.
        agent: Of which agent; empty outside an agent.
    """

    prefix: str
    tenant: str
    agent: str

    @property
    def id(self) -> str:
        """A short name that is safe in a key."""
        text = f"{self.tenant}\0{self.agent}".encode()
        return hashlib.sha256(text).hexdigest()[:16]

    @property
    def base(self) -> str:
        """Before the name of every key of this partition."""
        return f"{self.prefix}cache:{{{self.id}}}:"

    def key(self, kind: str, name: str = "") -> str:
        """The key of one thing: `e` an entry, `f` a lease, `t` a tag, `v` a space …"""
        return f"{self.base}{kind}:{name}" if name else f"{self.base}{kind}"

    def books(self) -> tuple[str, str, str, str]:
        """The keys of LRU order, sizes and tags, expiries, and counters."""
        return self.key("lru"), self.key("meta"), self.key("exp"), self.key("stats")


def partitions_key(prefix: str) -> str:
    """The key of the hash of all partitions."""
    return f"{prefix}cache:partitions"


def get(part: Partition, digest: str, *, now: float) -> Steps[bytes | None]:
    """Reads an entry and marks it used, in one round trip; None when there is none.

    A key of ours that holds another type is removed, so that it is not in the way for ever.
    """
    value, touched = yield [
        ("GET", part.key("e", digest)),
        ("ZADD", part.key("lru"), "XX", now, digest),
    ]
    if isinstance(value, redis.ResponseError):
        if str(value).startswith("WRONGTYPE"):
            yield [("UNLINK", part.key("e", digest))]
        else:
            raise value
    if isinstance(touched, redis.ResponseError) and str(touched).startswith("WRONGTYPE"):
        yield [("UNLINK", part.key("lru"))]
    return value if isinstance(value, bytes) else None


def put(
    part: Partition,
    digest: str,
    value: bytes,
    *,
    ttl_s: float,
    now: float,
    max_entries: int,
    max_bytes: int,
    tags: Iterable[str] = (),
    info: Mapping[str, Any] | None = None,
) -> Steps[int]:
    """Stores an entry, evicts what is over the limits, and returns how many were evicted."""
    named = [tag for tag in tags if tag]
    replies = yield [
        (
            "EVAL", PUT, 5, part.key("e", digest), *part.books(),
            digest, value, max(1, int(ttl_s * 1000)), now, max_entries, max_bytes, part.base,
            json.dumps(named), json.dumps({**(info or {}), "at": round(now, 3)}), AUX_TTL_S,
        ),
        (
            "HSET", partitions_key(part.prefix), part.id,
            json.dumps({"tenant": part.tenant, "agent": part.agent}),
        ),
    ]  # fmt: skip
    if isinstance(replies[0], redis.ResponseError):
        if "WRONGTYPE" in str(replies[0]):
            yield [("UNLINK", *part.books())]
        raise replies[0]
    return int(replies[0])


def drop(part: Partition, digests: Iterable[str]) -> Steps[int]:
    """Removes entries; returns how many were there."""
    names, gone = list(digests), 0
    for start in range(0, len(names), 500):
        some = names[start : start + 500]
        reply, _ = yield [
            ("EVAL", DROP, 4, *part.books(), part.base, *some),
            ("UNLINK", *(part.key("w", name) for name in some)),
        ]
        if isinstance(reply, Exception):
            raise reply
        gone += int(reply)
    return gone


def count(
    part: Partition,
    counters: Mapping[str, int],
    *,
    served: tuple[str, str] = ("", ""),
    beside: Sequence[Command] = (),
) -> Steps[None]:
    """Adds to the partition's counters, and notes that an entry served a run.

    Args:
        part: The partition.
        counters: What is added.
        served: The run, and what served it, as `of_run` reads it.
        beside: More commands for the same round trip.
    """
    commands: list[Command] = [
        ("HINCRBY", part.key("stats"), name, by) for name, by in counters.items()
    ]
    run_id, entry = served
    if run_id:
        served_run = part.key("r", run_id)
        commands += [("SADD", served_run, entry), ("EXPIRE", served_run, SERVED_TTL_S)]
    commands += beside
    if commands:
        replies = yield commands
        counted = replies[: len(counters)]
        if any(isinstance(r, redis.ResponseError) and "WRONGTYPE" in str(r) for r in counted):
            yield [("UNLINK", part.key("stats"))]


def explaining(
    part: Partition, digest: str, asked: str, told: bytes, *, thread: str = ""
) -> list[Command]:
    """The commands that note why an entry was served to a question in other words.

    Args:
        part: Its partition.
        digest: The entry.
        asked: The exact key of the question; asked again, the note is replaced.
        told: The note, sealed.
        thread: Where it was asked; `forget_asked` finds the note by it.
    """
    notes = part.key("w", digest)
    commands: list[Command] = [("HSET", notes, asked, told), ("EXPIRE", notes, SERVED_TTL_S)]
    if thread:
        found = part.key("t", f"asked={thread}")
        commands += [("SADD", found, f"{digest}:{asked}"), ("EXPIRE", found, SERVED_TTL_S)]
    return commands


def forget_asked(part: Partition, thread: str) -> Steps[None]:
    """Empties the notes that hold questions of a thread."""
    found = part.key("t", f"asked={thread}")
    (reply,) = yield [("SMEMBERS", found)]
    if isinstance(reply, Exception) or not reply:
        return
    names = (member.decode().split(":", 1) for member in reply)
    emptied = [("HSET", part.key("w", digest), asked, b"") for digest, asked in names]
    yield [*emptied, ("UNLINK", found)]


def explained(part: Partition, digest: str) -> Steps[list[tuple[str, bytes]]]:
    """What was noted of an entry by `explaining`: the question's exact key, and the note."""
    (reply,) = yield [("HGETALL", part.key("w", digest))]
    if isinstance(reply, Exception):
        return []
    return [(asked.decode(), note) for asked, note in pairs(reply)]


def keep_wrong(part: Partition, run_id: str, pair: bytes) -> Steps[None]:
    """Keeps a pair of questions that a user reported as a wrong hit."""
    kept = part.key("wrong")
    yield [("HSET", kept, run_id, pair), ("EXPIRE", kept, AUX_TTL_S)]


class ServedBy(NamedTuple):
    """What served a run.

    Args:
        tier: `exact` or `semantic`.
        digest: The entry.
        asked: The exact key of the question, where it was asked in other words.
    """

    tier: str
    digest: str
    asked: str = ""


def of_run(part: Partition, run_id: str) -> Steps[tuple[list[ServedBy], list[str]]]:
    """What served a run, and the entries it wrote."""
    served, written = yield [
        ("SMEMBERS", part.key("r", run_id)),
        ("SMEMBERS", part.key("t", f"run={run_id}")),
    ]
    hits = [] if isinstance(served, Exception) else sorted(name.decode() for name in served)
    own = [] if isinstance(written, Exception) else sorted(name.decode() for name in written)
    return [ServedBy(*hit.split(":")) for hit in hits], own


def forget_run(part: Partition, run_id: str) -> Steps[int]:
    """Removes what served a run and what it wrote; returns how many entries."""
    hits, own = yield from of_run(part, run_id)
    found = {hit.digest for hit in hits} | set(own)
    return (yield from drop(part, sorted(found)))


def tagged(part: Partition, tag: str) -> Steps[list[str]]:
    """The entries with a tag."""
    (reply,) = yield [("SMEMBERS", part.key("t", tag))]
    return sorted(name.decode() for name in reply) if not isinstance(reply, Exception) else []


def older_than(part: Partition, unix_s: float) -> Steps[list[str]]:
    """The entries stored before a time."""
    (reply,) = yield [("HGETALL", part.key("meta"))]
    if isinstance(reply, Exception):
        return []
    return sorted(
        name.decode() for name, info in pairs(reply) if json.loads(info).get("at", 0) < unix_s
    )


def overview(part: Partition) -> Steps[dict[str, int]]:
    """The partition's counters, with the number of entries."""
    stats, entries = yield [("HGETALL", part.key("stats")), ("ZCARD", part.key("lru"))]
    found = (
        {}
        if isinstance(stats, Exception)
        else {name.decode(): int(value) for name, value in pairs(stats)}
    )
    return {**found, "entries": entries if isinstance(entries, int) else 0}


def partitions(prefix: str) -> Steps[list[Partition]]:
    """All partitions that anything was ever stored in."""
    (reply,) = yield [("HGETALL", partitions_key(prefix))]
    if isinstance(reply, Exception):
        return []
    found = []
    for _, value in pairs(reply):
        info = json.loads(value)
        found.append(Partition(prefix, str(info["tenant"]), str(info["agent"])))
    return sorted(found, key=lambda part: (part.tenant, part.agent))


def pairs(reply: Any) -> list[tuple[bytes, bytes]]:
    """The pairs of a hash: RESP3 gives a dict, RESP2 through a pipeline a list."""
    if isinstance(reply, Mapping):
        return list(reply.items())
    return list(zip(reply[::2], reply[1::2], strict=True))
