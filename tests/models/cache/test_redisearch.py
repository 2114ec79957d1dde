"""The semantic tier searched by Redis itself: against a real RediSearch where one is here.

Set ALLOTROPE_TEST_REDISEARCH to the command of a redis-server with search (Redis 8, Redis Stack),
`redis-server --loadmodule redisearch.so`; else these tests are skipped and the recorded replies at
the end stand for it.
"""

import asyncio
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from langchain_core.embeddings import Embeddings

from allotrope.exceptions import SettingsError
from allotrope.models.cache import RedisCache, open_answers, open_semantic
from allotrope.models.cache.policy import Request
from allotrope.models.cache.semantic.index.mirror import Neighbour, unit
from allotrope.models.cache.semantic.index.redisearch import RedisSearchIndex
from allotrope.models.cache.semantic.index.vectors import ChosenIndex, MirrorIndex, Space
from allotrope.models.cache.storage.commands import Partition
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator

MakeChat = Callable[..., OpenAIChat]
FIRST, OTHER = "How do I learn to swim?", "How can I learn to swim?"
SPACE = Space(Partition("p:", "t", "a"), "s", 4)
VECTOR = unit([1.0, 2.0, 0.0, 0.0])


class WordVectors(Embeddings):
    """Counts words in 64 slots."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        vector = [0.0] * 64
        for word in text.lower().strip("?").split():
            vector[sum(word.encode()) % 64] += 0.1 if word in ("do", "can", "i", "to") else 1.0
        return vector


@pytest.fixture
def searching(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis with search."""
    command = os.environ.get("ALLOTROPE_TEST_REDISEARCH")
    if not command:
        pytest.skip("no Redis with search here: see ALLOTROPE_TEST_REDISEARCH")
    path = tmp_path / "r.sock"
    words = [*shlex.split(command), "--port", "0", "--unixsocket", str(path), "--save", ""]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=tmp_path, stdout=log, stderr=log)
    for _ in range(200):
        if path.exists():
            break
        time.sleep(0.05)
    yield f"unix://{path}"
    process.kill()
    process.wait()


def _settings(url: str, folder: Path, **semantic: object) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        data_dir=folder,
        redis={"url": url},
        cache={"timeout_s": 5.0, "semantic": semantic},
    )


async def test_a_real_redis_search_serves_hits_and_forgets(
    searching: str, tmp_path: Path, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    settings = _settings(searching, tmp_path)
    cache = RedisCache(open_answers(settings))
    cache.asker.semantic = open_semantic(settings, cache.answers, embeddings=WordVectors())
    model = make_chat()
    model.asker = cache.asker
    paid = model.invoke(FIRST)
    with redis.Redis.from_url(searching) as admin:
        assert admin.execute_command("FT._LIST"), "the index was made"
        (key,) = admin.scan_iter(match="allotrope:cache:s:64:*")
        assert 0 < admin.ttl(key) <= settings.cache.ttl_s * 1.2
        assert not list(admin.scan_iter(match="*:v:*")), "no log for a mirror"
        for hit in (model.invoke(OTHER), await model.ainvoke(OTHER)):
            assert hit.text == paid.text
            assert hit.response_metadata["allotrope"]["cached"] == "semantic"
        elsewhere = {"metadata": {"allotrope_tenant": "else"}}
        model.invoke(OTHER, elsewhere)
        assert len(simulator.chats()) == 2, "another tenant asks itself"
        entry = cache.answers.partition(Request()).key("e", "*")
        for name in list(admin.scan_iter(match=entry.replace("{", "\\{"))):
            admin.delete(name)
        model.invoke(OTHER)
        assert len(simulator.chats()) == 3, "the answer is gone"
        assert not admin.exists(key), "and its vector with it"
        admin.flushall()
        model.invoke(FIRST)
        admin.execute_command("FT.DROPINDEX", "allotrope:cache:s:64")
        assert model.invoke("How could I learn to swim?").text, "a lost index is made anew"
        assert admin.execute_command("FT._LIST")
        for _ in range(100):  # Redis indexes what was there before in the background
            if admin.ft("allotrope:cache:s:64").search("*").total >= 2:
                break
            await asyncio.sleep(0.02)
    assert model.invoke(OTHER).response_metadata["allotrope"]["cached"] == "semantic"
    assert cache.answers.clear() > 0
    await cache.answers.aclose()


def test_a_plain_redis_is_searched_in_process(
    redis_url: str, tmp_path: Path, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    settings = _settings(redis_url, tmp_path)
    cache = RedisCache(open_answers(settings))
    tier = open_semantic(settings, cache.answers, embeddings=WordVectors())
    assert tier is not None
    cache.asker.semantic = tier
    model = make_chat()
    model.asker = cache.asker
    model.invoke(FIRST)
    assert model.invoke(OTHER).response_metadata["allotrope"]["cached"] == "semantic"
    assert isinstance(tier._index, ChosenIndex)
    assert isinstance(tier._index._chosen, MirrorIndex)
    cache.answers.clear()
    cache.answers.close()


@pytest.mark.parametrize(
    ("cache", "why"),
    [
        ({"encryption_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}, "encrypted"),
        ({}, "cluster"),
    ],
)
def test_where_redis_cannot_search_it_is_said(
    cache: dict[str, Any], why: str, redis_url: str, tmp_path: Path
) -> None:
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        redis={"url": redis_url if cache else "redis+cluster://127.0.0.1:1"},
        cache={"semantic": {"index": "redis"}, **cache},
    )
    answers = open_answers(settings)
    with pytest.raises(SettingsError, match=why):
        open_semantic(settings, answers, embeddings=WordVectors())
    answers.close()


def drive(steps: Generator[Any, Any, Any], *replies: Any) -> tuple[Any, list[Any]]:
    """Runs steps on given replies; gives the result and the commands."""
    commands = []
    try:
        commands.append(next(steps))
        for reply in replies:
            commands.append(steps.send(reply))
    except StopIteration as stop:
        return stop.value, commands
    raise AssertionError("more is asked than was answered")


FOUND = [
    b"digest", b"d1", b"question", b"How?", b"vector_distance", b"0.25",
]  # fmt: skip


@pytest.mark.parametrize(
    "reply",
    [
        [1, b"p:cache:s:4:x", FOUND],  # RESP2, recorded from RediSearch 2.10.5
        {  # RESP3, the same
            b"attributes": [],
            b"total_results": 1,
            b"format": b"STRING",
            b"results": [
                {
                    b"id": b"p:cache:s:4:x",
                    b"extra_attributes": dict(zip(FOUND[::2], FOUND[1::2], strict=True)),
                    b"values": [],
                }
            ],
            b"warning": [],
        },
    ],
)
def test_both_forms_of_a_reply_are_read(reply: Any) -> None:
    assert VECTOR is not None
    found, commands = drive(RedisSearchIndex("p:").search(SPACE, VECTOR, 3), [reply])
    assert found == [Neighbour("d1", "How?", 0.75)]
    (command,) = commands[0]
    assert command[:2] == ("FT.SEARCH", "p:cache:s:4")
    assert "=>[KNN 3 @vector $vector AS vector_distance]" in command[2]
    assert command[-1] == np.array(VECTOR, np.float32).tobytes()


def test_garbage_and_errors_are_no_candidates() -> None:
    assert VECTOR is not None
    index = RedisSearchIndex("p:")
    for reply in ([1, b"k", [b"digest", b"d"]], [0], {}, b"?", [1, b"k", None]):
        assert drive(index.search(SPACE, VECTOR, 3), [reply])[0] == []
    refused = redis.ResponseError("unknown command 'FT.SEARCH'")
    assert drive(index.search(SPACE, VECTOR, 3), [refused])[0] is None
    lost = redis.ResponseError("p:cache:s:4: no such index")
    found, commands = drive(index.search(SPACE, VECTOR, 3), [lost], [b"OK"])
    assert found == ()
    assert commands[1][0][:7] == (
        "FT.CREATE",
        "p:cache:s:4",
        "ON",
        "HASH",
        "PREFIX",
        1,
        "p:cache:s:4:",
    )


@pytest.mark.parametrize(
    ("modules", "indexes", "searches"),
    [
        ([[b"name", b"search", b"ver", 21005]], [], True),
        ([{b"name": b"search", b"ver": 80000}], redis.ResponseError("no permission"), True),
        (redis.ResponseError("no permission"), [], True),
        ([], redis.ResponseError("unknown command `FT._LIST`"), False),
    ],
)
def test_the_server_says_whether_it_searches(modules: Any, indexes: Any, searches: bool) -> None:
    made = RedisSearchIndex("p:")
    index = ChosenIndex(MirrorIndex(codec=None, limit=3), lambda: made)  # type: ignore[arg-type]  # not used
    chosen, (asked,) = drive(index._index(), [modules, indexes])
    assert asked == [("MODULE", "LIST"), ("FT._LIST",)]
    assert (chosen is made) == searches
