"""A real Redis that dies, hangs, fills up, or holds garbage: the turn goes on as a miss."""

import logging
import os
import signal
import time
from collections.abc import Callable

import pytest
import redis

from allotrope.models.cache import RedisCache, open_answers
from allotrope.models.cache.answers import AnswerCache
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings import Settings, load_settings
from allotrope.stores.redis.server import EmbeddedServer
from allotrope.testing import ProviderSimulator

MakeChat = Callable[..., OpenAIChat]


def _on(server: EmbeddedServer, settings: Settings, **cache: object) -> AnswerCache:
    return open_answers(
        load_settings(
            environ={},
            env_file=None,
            data_dir=settings.data_dir,
            redis={"url": server.url},
            cache={"timeout_s": 5.0, "breaker_open_s": 300, **cache},
        )
    )


def _later(answers: AnswerCache) -> None:
    """The time for which the cache's breaker stays open is over."""
    answers.breaker._clock = lambda: time.monotonic() + 301


def test_killed_in_the_middle_it_is_a_miss_and_said_once(
    killable_redis: EmbeddedServer,
    redis_settings: Settings,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = _on(killable_redis, redis_settings)
    model = make_chat()
    model.asker = RedisCache(answers).asker
    model.invoke("one")
    model.invoke("one")
    assert len(simulator.chats()) == 1
    pid = killable_redis.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with caplog.at_level(logging.WARNING, logger="allotrope.cache"):
        for number in range(6):
            assert model.invoke("one").text
            assert "".join(chunk.text for chunk in model.stream(f"s{number}"))
    assert len(simulator.chats()) == 13
    said = [record for record in caplog.records if record.name == "allotrope.cache"]
    assert len(said) == 1
    assert not answers.breaker.allows(), "its breaker holds"
    killable_redis.ensure()
    _later(answers)
    model.invoke("two")
    model.invoke("two")
    assert len(simulator.chats()) == 14, "it works again"
    answers.close()


async def test_a_paused_redis_costs_little(
    killable_redis: EmbeddedServer,
    redis_settings: Settings,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    answers = _on(killable_redis, redis_settings, timeout_s=0.05)
    model = make_chat()
    model.asker = RedisCache(answers).asker
    await model.ainvoke("one")
    with redis.Redis.from_url(killable_redis.url) as admin:
        admin.execute_command("CLIENT", "PAUSE", 100_000, "ALL")
    for _ in range(8):
        assert (await model.ainvoke("one")).text
    assert not answers.breaker.allows(), "it opened: nobody waits any more"
    assert len(simulator.chats()) == 9
    await answers.aclose()


def test_a_full_redis_still_answers(
    make_redis: Callable[..., EmbeddedServer],
    redis_settings: Settings,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    server = make_redis()
    with redis.Redis.from_url(server.url) as admin:
        admin.set("ballast", b"x" * 1_000_000)
        admin.config_set("maxmemory", "1mb")
    answers = _on(server, redis_settings)
    model = make_chat()
    model.asker = RedisCache(answers).asker
    for _ in range(3):
        assert model.invoke("one").text
    assert len(simulator.chats()) == 3
    answers.close()


def test_garbage_and_wrong_types_under_our_keys(
    cache: RedisCache, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    model = make_chat()
    model.invoke("one")
    client = cache.answers.client
    pattern = f"{cache.answers.prefix}*"
    (entry,) = [key for key in client.scan_iter(match=pattern) if b":e:" in key]
    good = client.get(entry)
    for garbage in (b"", b"A1", b"A1\x00{}", b"A1\x00[]", b"\x80\x04K\x01.", good[:-3], b"A1\xff"):
        client.set(entry, garbage)
        before = len(simulator.chats())
        assert model.invoke("one").text
        assert len(simulator.chats()) == before + 1
        assert model.invoke("one").text
        assert len(simulator.chats()) == before + 1, "the entry was written anew"
    for key in list(client.scan_iter(match=pattern)):
        client.delete(key)
        client.rpush(key, "wrong type") if b":e:" in key else client.set(key, "wrong type")
    for _ in range(4):
        assert model.invoke("one").text
        assert model.invoke("other").text
        cache.answers.breaker._until = 0.0
    before = len(simulator.chats())
    model.invoke("one")
    assert len(simulator.chats()) == before, "our keys are mended"


def test_read_only_is_a_miss(
    killable_redis: EmbeddedServer,
    redis_settings: Settings,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    answers = _on(killable_redis, redis_settings)
    with redis.Redis.from_url(killable_redis.url) as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    model = make_chat()
    model.asker = RedisCache(answers).asker
    for _ in range(2):
        assert model.invoke("one").text
    assert len(simulator.chats()) == 2
    answers.close()


def test_clear_touches_only_our_prefix(cache: RedisCache, make_chat: MakeChat) -> None:
    client = cache.answers.client
    client.set("somebody-else", "1")
    make_chat().invoke("one")
    assert cache.answers.clear() > 0
    assert client.get("somebody-else") == b"1"
    assert not list(client.scan_iter(match=f"{cache.answers.prefix}*"))


def test_another_server_takes_its_place(
    make_redis: Callable[..., EmbeddedServer],
    redis_settings: Settings,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    """One without our data and without scripts, as some hosted ones are, stands at the address."""
    server = make_redis()
    answers = _on(server, redis_settings, lease_s=600)  # who waited for one would time out
    model = make_chat()
    model.asker = RedisCache(answers).asker
    model.invoke("one")
    model.invoke("one")
    assert len(simulator.chats()) == 1
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for data in server.folder.glob("*.aof*"):
        data.unlink()
    (server.folder / "more.conf").write_text('rename-command EVAL ""\n')
    options = {"include": str(server.folder / "more.conf")}
    other = EmbeddedServer(server.folder, options=options, persist=False)
    other.ensure()
    with redis.Redis.from_url(server.url) as admin:
        assert admin.dbsize() == 0
        with pytest.raises(redis.ResponseError, match="unknown command"):
            admin.eval("return 1", 0)
    _later(answers)
    for _ in range(3):
        assert model.invoke("one").text
        assert "".join(chunk.text for chunk in model.stream("two"))
    assert len(simulator.chats()) == 7, "nothing is kept, and nothing is lost"
    answers.close()
    other.stop()


def test_entries_of_another_version_are_misses(
    cache: RedisCache, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    model = make_chat()
    model.invoke("one")
    client = cache.answers.client
    (entry,) = [k for k in client.scan_iter(match=f"{cache.answers.prefix}*") if b":e:" in k]
    good = client.get(entry)
    client.set(entry, b"A9" + good[2:])
    assert model.invoke("one").response_metadata["allotrope"]["cached"] is None
    assert model.invoke("one").response_metadata["allotrope"]["cached"] == "exact"
    assert len(simulator.chats()) == 2
