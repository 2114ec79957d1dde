"""The semantic tier over a real Redis: other words hit, other conversations never."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from allotrope.models.cache import RedisCache, open_answers, open_semantic
from allotrope.models.cache.admin import CacheAdmin
from allotrope.models.cache.policy import request_of
from allotrope.models.cache.semantic.index.mirror import Mirror, unit
from allotrope.models.cache.semantic.verify import Verifier
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings import Settings
from allotrope.settings.cache import CacheSettings
from allotrope.testing import ProviderSimulator, Reply, ToolCall

MakeChat = Callable[..., OpenAIChat]
FIRST, OTHER = "How do I learn to swim?", "How can I learn to swim?"


class WordVectors(Embeddings):
    """Counts words in 512 slots: like questions have like vectors."""

    def __init__(self) -> None:
        self.broken = False
        self.calls = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.calls += 1
        if self.broken:
            raise ConnectionError("no embeddings")
        vector = [0.0] * 512
        for word in text.lower().strip("?").split():
            weight = 0.1 if word in ("do", "can", "i", "to", "how") else 1.0
            vector[sum(word.encode()) % 512] += weight
        return vector


@pytest.fixture
def vectors() -> WordVectors:
    return WordVectors()


def _tier(settings: Settings, cache: RedisCache, vectors: WordVectors, **more: object) -> None:
    semantic = settings.cache.semantic.model_copy(update=more)
    whole = settings.model_copy(
        update={"cache": settings.cache.model_copy(update={"semantic": semantic})}
    )
    cache.answers.settings = whole.cache
    cache.asker.semantic = open_semantic(whole, cache.answers, embeddings=vectors)


async def test_other_words_hit_sync_async_streamed_and_in_another_process(
    roomy: Settings,
    cache: RedisCache,
    vectors: WordVectors,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    _tier(roomy, cache, vectors)
    model = make_chat()
    paid = model.invoke(FIRST)
    other = RedisCache(open_answers(roomy))
    other.asker.semantic = open_semantic(roomy, other.answers, embeddings=vectors)
    for asker in (cache.asker, other.asker):
        model.asker = asker
        hits = [model.invoke(OTHER), await model.ainvoke(OTHER)]
        streamed = [chunk async for chunk in model.astream(OTHER)]
        for hit in hits:
            assert hit.text == paid.text
            assert hit.response_metadata["allotrope"]["cached"] == "semantic"
        assert "".join(chunk.text for chunk in streamed) == paid.text
    assert len(simulator.chats()) == 1
    await other.answers.aclose()


def test_a_hit_is_explained_and_a_wrong_one_becomes_a_labelled_pair(
    roomy: Settings, cache: RedisCache, vectors: WordVectors, make_chat: MakeChat
) -> None:
    _tier(roomy, cache, vectors)
    model = make_chat()
    model.invoke(FIRST)
    asked = {"metadata": {"allotrope_run_id": "r1", "thread_id": "t1"}}
    why = model.invoke(OTHER, asked).response_metadata["allotrope"]["semantic"]
    assert (why["question"], why["reason"]) == (FIRST, "score")
    assert 0 < why["score"] <= 1
    assert 0 < why["precision"] <= 1
    admin = CacheAdmin(cache.answers)
    (entry,) = admin.listed()
    (shown,) = admin.reasons(entry.key[:8])
    assert (shown["asked"], shown["run"], shown["score"]) == (OTHER, "r1", why["score"])
    assert admin.wrong_pairs() == []
    admin.report_wrong("r1")
    (pair,) = admin.wrong_pairs()
    assert pair == {"a": OTHER, "b": FIRST, "same": 0, "cosine": why["cosine"]}
    assert admin.reasons(entry.key[:8]) == []


def test_whoever_reports_a_wrong_hit_gives_its_pair_though_others_asked_since(
    roomy: Settings, cache: RedisCache, vectors: WordVectors, make_chat: MakeChat
) -> None:
    _tier(roomy, cache, vectors)
    model = make_chat()
    model.invoke(FIRST)
    for run in ("r1", "r2"):
        model.invoke(OTHER, {"metadata": {"allotrope_run_id": run}})
    admin = CacheAdmin(cache.answers)
    assert admin.report_wrong("r1") == ["semantic"]
    assert [(pair["a"], pair["b"]) for pair in admin.wrong_pairs()] == [(OTHER, FIRST)]


def test_a_deleted_thread_leaves_no_question_in_an_explanation(
    roomy: Settings, cache: RedisCache, vectors: WordVectors, make_chat: MakeChat
) -> None:
    _tier(roomy, cache, vectors)
    model = make_chat()
    admin = CacheAdmin(cache.answers)
    model.invoke(FIRST)
    for run, thread in (("r1", "t1"), ("r2", "t2")):
        model.invoke(OTHER, {"metadata": {"allotrope_run_id": run, "thread_id": thread}})
    (entry,) = admin.listed()
    assert len(admin.reasons(entry.key)) == 1  # the same question, noted once
    admin.report_wrong("r2")
    admin.invalidate(tags=["thread=t2"])
    assert admin.reasons(entry.key) == []
    assert admin.wrong_pairs() == []


def test_a_follow_up_is_matched_with_its_context_or_not_at_all(
    roomy: Settings,
    cache: RedisCache,
    vectors: WordVectors,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    _tier(roomy, cache, vectors)
    model = make_chat()
    model.invoke([HumanMessage("swimming"), AIMessage("yes?"), HumanMessage(FIRST)])
    apart = [
        [HumanMessage(OTHER)],
        [HumanMessage("running"), AIMessage("yes?"), HumanMessage(OTHER)],
        [SystemMessage("s"), HumanMessage("swimming"), AIMessage("yes?"), HumanMessage(OTHER)],
    ]
    for number, messages in enumerate(apart, start=2):
        model.invoke(messages)
        assert len(simulator.chats()) == number
    model.invoke([HumanMessage("swimming"), AIMessage("yes?"), HumanMessage(OTHER)])
    assert len(simulator.chats()) == 4
    model.bind(reasoning_effort="low").invoke(OTHER)
    model.invoke(OTHER, {"metadata": {"allotrope_tenant": "else"}})
    model.invoke(FIRST, {"metadata": {"allotrope_prompt": "p@2"}})
    assert len(simulator.chats()) == 7


def test_world_reading_tools_and_tool_calls_stay_exact(
    roomy: Settings,
    cache: RedisCache,
    vectors: WordVectors,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    def web_search(query: str) -> str:
        """Searches."""
        return query

    def pool(name: str) -> str:
        """Looks up a pool."""
        return name

    _tier(roomy, cache, vectors)
    model = make_chat().bind_tools([web_search])
    model.invoke(FIRST)
    model.invoke(OTHER)
    assert len(simulator.chats()) == 2
    simulator.script([Reply(tool_calls=(ToolCall("pool", {"name": "x"}),))])
    model = make_chat().bind_tools([pool])
    assert model.invoke(FIRST).tool_calls
    assert not model.invoke(OTHER).tool_calls
    assert len(simulator.chats()) == 4


def test_shadow_counts_and_serves_nothing(
    roomy: Settings,
    cache: RedisCache,
    vectors: WordVectors,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    _tier(roomy, cache, vectors, mode="shadow")
    model = make_chat()
    model.invoke(FIRST)
    model.invoke(OTHER)
    assert len(simulator.chats()) == 2
    client = cache.answers.client
    (stats,) = [
        key for key in client.scan_iter(match=f"{cache.answers.prefix}*") if key.endswith(b":stats")
    ]
    assert client.hget(stats, "shadow_hits") == b"1"


def test_broken_embeddings_are_a_miss(
    roomy: Settings,
    cache: RedisCache,
    vectors: WordVectors,
    make_chat: MakeChat,
    simulator: ProviderSimulator,
) -> None:
    _tier(roomy, cache, vectors)
    vectors.broken = True
    model = make_chat()
    for _ in range(2):
        assert model.invoke(FIRST).text
        assert model.invoke(OTHER).text
    assert len(simulator.chats()) == 2, "the exact tier goes on"
    assert vectors.calls == 1, "and the embeddings are left alone for a while"


def test_without_embeddings_the_tier_is_off(roomy: Settings, cache: RedisCache) -> None:
    assert open_semantic(roomy, cache.answers) is None


def test_the_mirror_is_bounded_and_forgets() -> None:
    mirror = Mirror(limit=8)
    for number in range(30):
        vector = unit([float(number == place) for place in range(32)])
        assert vector is not None
        mirror.add(str(number), f"q{number}", vector)
    assert len(mirror) <= 10
    newest = unit([float(place == 29) for place in range(32)])
    assert newest is not None
    assert mirror.search(newest, 3)[0].digest == "29"
    mirror.remove("29")
    assert all(candidate.digest != "29" for candidate in mirror.search(newest, 3))
    assert unit([0.0, 0.0]) is None
    assert unit([float("nan")]) is None


class Judge(Verifier):
    """Says what it is told to."""

    def __init__(self, says: str) -> None:
        super().__init__(FakeListChatModel(responses=[says]))


@pytest.mark.parametrize(("says", "kind"), [("Yes.", "semantic"), ("NO", None), ("perhaps", None)])
async def test_a_verifying_model_has_the_last_word_in_sync_and_async(
    roomy: Settings,
    cache: RedisCache,
    vectors: WordVectors,
    make_chat: MakeChat,
    says: str,
    kind: str | None,
) -> None:
    _tier(roomy, cache, vectors)
    assert cache.asker.semantic is not None
    cache.asker.semantic._verify = Judge(says)
    model = make_chat()
    model.invoke(FIRST)
    none = {"metadata": {"allotrope_cache": "no-store"}}
    for hit in (model.invoke(OTHER, none), await model.ainvoke(OTHER, none)):  # type: ignore[arg-type]  # a RunnableConfig
        assert hit.response_metadata["allotrope"].get("cached") == kind


async def test_a_slow_verifier_holds_up_no_event_loop(
    roomy: Settings, cache: RedisCache, vectors: WordVectors, make_chat: MakeChat
) -> None:
    _tier(roomy, cache, vectors)
    assert cache.asker.semantic is not None
    model = make_chat()
    model.invoke(FIRST)
    released = asyncio.Event()

    class Slow(Judge):
        async def asame(self, asked: str, kept: str) -> bool:
            await released.wait()
            return True

    cache.asker.semantic._verify = Slow("yes")
    waiting = asyncio.create_task(model.ainvoke(OTHER))
    exact = await model.ainvoke(FIRST)
    assert exact.response_metadata["allotrope"]["cached"] == "exact"
    assert not waiting.done()
    released.set()
    assert (await waiting).response_metadata["allotrope"]["cached"] == "semantic"


def test_the_age_of_a_semantic_hit_is_set_by_agent(
    roomy: Settings, cache: RedisCache, vectors: WordVectors, make_chat: MakeChat
) -> None:
    _tier(roomy, cache, vectors, ttl_by_agent={"hasty": 1e-6})
    model = make_chat()
    for agent, kind in (("hasty", None), ("calm", "semantic")):
        config: Any = {"metadata": {"allotrope_agent": agent}}
        model.invoke(FIRST, config)
        answer = model.invoke(OTHER, config)
        assert answer.response_metadata["allotrope"].get("cached") == kind


def test_source_documents_are_tags() -> None:
    request = request_of({"allotrope_docs": ["b", "a"]}, settings=CacheSettings())
    assert request.tags == ("doc=a", "doc=b")
    assert request_of({"allotrope_docs": 3}, settings=CacheSettings()).tags == ()
