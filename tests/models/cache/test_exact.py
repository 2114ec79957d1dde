"""The exact tier in the chain: every way to ask, over a real HTTP server and a real Redis."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from allotrope.exceptions import AllotropeError, InputError
from allotrope.models.cache import RedisCache, open_cache
from allotrope.models.cache.asker import LeadingCall
from allotrope.models.cache.model import CachingChatModel
from allotrope.models.chain import build_chain
from allotrope.models.providers.ollama import build_ollama
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings import Settings, load_settings
from allotrope.settings.sections import OllamaSettings
from allotrope.testing import ProviderSimulator, Reply

MakeChat = Callable[..., OpenAIChat]


def _asked(simulator: ProviderSimulator) -> int:
    return len(simulator.chats())


async def _all_ways(model: OpenAIChat, question: str) -> list[AIMessage]:
    """The question asked in every way LangChain has."""
    streamed = None
    for chunk in model.stream(question):
        streamed = chunk if streamed is None else streamed + chunk
    astreamed = None
    async for chunk in model.astream(question):
        astreamed = chunk if astreamed is None else astreamed + chunk
    assert streamed is not None
    assert astreamed is not None
    return [
        model.invoke(question),
        await model.ainvoke(question),
        *model.batch([question]),
        *await model.abatch([question]),
        streamed,
        astreamed,
    ]


@pytest.mark.parametrize("first", ["invoke", "stream"])
@pytest.mark.parametrize("responses", [False, True])
async def test_one_request_whatever_way_it_is_asked(
    make_chat: MakeChat, simulator: ProviderSimulator, first: str, responses: bool
) -> None:
    model = make_chat(use_responses_api=responses)
    if first == "stream":
        paid = None
        for chunk in model.stream("How tall is the Eiffel tower?"):
            paid = chunk if paid is None else paid + chunk
    else:
        paid = model.invoke("How tall is the Eiffel tower?")
    assert paid is not None
    assert paid.usage_metadata
    assert paid.usage_metadata["output_tokens"] > 0
    answers = await _all_ways(model, "How tall is the Eiffel tower?")
    assert _asked(simulator) == 1
    assert {answer.text for answer in answers} == {paid.text}
    assert len({answer.id for answer in [paid, *answers]}) == 7, "every reply has an id of its own"
    for answer in answers:
        stamp = answer.response_metadata["allotrope"]
        assert stamp["cached"] == "exact"
        assert stamp["provider"] == "openai"
        assert stamp["attempts"] == 0
        assert stamp["saved"]["output_tokens"] == paid.usage_metadata["output_tokens"]
        assert stamp["saved"]["input_tokens"] == paid.usage_metadata["input_tokens"]
        usage = answer.usage_metadata
        assert usage
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (0, 0, 0)


async def test_a_stream_is_replayed_in_chunks(make_chat: MakeChat) -> None:
    model = make_chat()
    text = "a b c d e f g " * 20
    model.invoke(text)
    chunks = [chunk.text async for chunk in model.astream(text)]
    assert len([chunk for chunk in chunks if chunk]) > 5


def _graph(model: Any) -> Any:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    return graph.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("own", ["chain", "BaseCache"])
def test_a_conversation_repeated_in_another_thread_hits_at_every_turn(
    own: str, make_chat: MakeChat, simulator: ProviderSimulator, cache: RedisCache
) -> None:
    if own == "chain":
        model: Any = make_chat()
    else:
        model = ChatOpenAI(
            model="gpt-4o", api_key=SecretStr("k"), base_url=simulator.openai_url, cache=cache
        )
    graph = _graph(model)
    turns = ["hello", "and again", "hello", "more", "the end"]
    counts, ends = [], []
    for thread in ("a", "b", "c"):
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        before = _asked(simulator)
        for turn in turns:
            state = graph.invoke({"messages": [HumanMessage(turn)]}, config)
        counts.append(_asked(simulator) - before)
        ends.append([message.type for message in state["messages"]])
    assert counts == [5, 0, 0]
    assert ends == [["human", "ai"] * 5] * 3
    if own == "BaseCache":
        model.root_client.close()


def test_streaming_out_of_a_graph_uses_the_cache(
    make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    graph = _graph(make_chat())
    texts = []
    for thread in ("a", "b"):
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        parts = graph.stream(
            {"messages": [HumanMessage("tell me everything there is to tell")]},
            config,
            stream_mode="messages",
        )
        texts.append("".join(message.text for message, _ in parts))
    assert texts[0] == texts[1] != ""
    assert _asked(simulator) == 1


def test_what_changes_the_answer_changes_the_key(
    make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    def weather(city: str) -> str:
        """Tells the weather."""
        return city

    def clock(zone: str) -> str:
        """Tells the time."""
        return zone

    class A(BaseModel):
        x: int

    first = A

    class A(BaseModel):  # type: ignore[no-redef]  # a class of the same name is the point
        x: int
        y: str

    question = "q"
    make_chat(model="gpt-4o").invoke(question)
    distinct = [
        lambda: make_chat(model="gpt-4.1").invoke(question),
        lambda: make_chat(model="gpt-4o", temperature=0.3).invoke(question),
        lambda: make_chat(model="gpt-4o").invoke(question, stop=["x"]),
        lambda: make_chat(model="gpt-4o").bind_tools([weather, clock]).invoke(question),
        lambda: make_chat(model="gpt-4o").with_structured_output(first).invoke(question),
        lambda: make_chat(model="gpt-4o").with_structured_output(A).invoke(question),
        lambda: make_chat(model="gpt-4o").invoke([SystemMessage("s"), HumanMessage(question)]),
        lambda: make_chat(model="gpt-4o").bind(parallel_tool_calls=False).invoke(question),
    ]
    for number, ask in enumerate(distinct, start=2):
        ask()
        assert _asked(simulator) == number
    same = [
        lambda: make_chat(model="gpt-4o", timeout=77).invoke(question),
        lambda: make_chat(model="gpt-4o", default_headers={"X-Request-Id": "y"}).invoke(question),
        lambda: make_chat(model="gpt-4o").invoke([HumanMessage(question, id="1")]),
        lambda: make_chat(model="gpt-4o").invoke([HumanMessage([{"type": "text", "text": "q"}])]),
        lambda: make_chat(model="gpt-4o").bind_tools([clock, weather]).invoke(question),
        lambda: make_chat(model="gpt-4o").with_structured_output(A).invoke(question),
        lambda: make_chat(model="gpt-4o").with_config(tags=["t"]).invoke(question),
    ]
    for ask in same:
        ask()
    assert _asked(simulator) == 1 + len(distinct)


def test_structured_output_comes_back_as_the_class(make_chat: MakeChat) -> None:
    class Town(BaseModel):
        name: str
        people: int

    model = make_chat(model="gpt-4o").with_structured_output(Town)
    paid, free = model.invoke("a town"), model.invoke("a town")
    assert isinstance(free, Town)
    assert paid == free


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="cut of", finish_reason="length"),
        Reply(text=""),
        Reply(text="no", finish_reason="content_filter"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_no_good_answer_is_never_stored(
    make_chat: MakeChat, simulator: ProviderSimulator, reply: Reply, streamed: bool
) -> None:
    simulator.script([reply, reply])
    model = make_chat(model="gpt-4o")
    for _ in range(2):
        with contextlib.suppress(AllotropeError):
            _ = list(model.stream("q")) if streamed else model.invoke("q")
    assert _asked(simulator) == 2


def test_tenants_and_agents_never_share(make_chat: MakeChat, simulator: ProviderSimulator) -> None:
    model = make_chat()
    asks = [
        {},
        {"allotrope_tenant": "a"},
        {"allotrope_tenant": "b"},
        {"allotrope_tenant": "a", "allotrope_agent": "x"},
    ]
    for metadata in asks:
        model.invoke("q", {"metadata": metadata})
    assert _asked(simulator) == len(asks)
    for metadata in asks:
        model.invoke("q", {"metadata": metadata})
        list(model.stream("q", {"metadata": metadata}))
    assert _asked(simulator) == len(asks)


def test_directives_of_a_request(make_chat: MakeChat, simulator: ProviderSimulator) -> None:
    model = make_chat()
    chain = RunnableLambda(lambda question: model.invoke(question))

    def ask(directive: str) -> int:
        chain.invoke("q", {"configurable": {"allotrope_cache": directive}})
        return _asked(simulator)

    assert ask("no-store") == 1
    assert ask("no-store") == 2
    assert ask("") == 3
    assert ask("no-store") == 3, "no-store may read"
    assert ask("no-cache") == 4, "no-cache asks anew"
    assert ask("max-age=100") == 4
    time.sleep(0.01)
    assert ask("max-age=0") == 5
    with pytest.raises(InputError, match="no-sotre"):
        ask("no-sotre")


def test_creative_profiles_ask_anew_unless_asked(
    make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    model = make_chat()
    creative = {"allotrope_profile": "creative"}
    for _ in range(2):
        model.invoke("q", {"metadata": creative})
    assert _asked(simulator) == 2
    for _ in range(2):
        model.invoke("q", {"metadata": {**creative, "allotrope_cache": "use"}})
    assert _asked(simulator) == 3


@pytest.mark.parametrize(
    "question",
    ["What's the weather?", "Who is the current president?", "Quel temps fait-il aujourd'hui ?"],
)
def test_time_dependent_questions_are_not_kept(
    make_chat: MakeChat, simulator: ProviderSimulator, question: str
) -> None:
    model = make_chat()
    for _ in range(2):
        model.invoke(question)
    assert _asked(simulator) == 2


def test_answers_of_a_provider_that_searches_are_not_kept(
    make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    model = make_chat()
    for _ in range(2):
        model.invoke("Who leads the league?", web_search_options={})
    assert _asked(simulator) == 2


def test_ollama_models_never_share(simulator: ProviderSimulator, cache: RedisCache) -> None:
    """The model is in the key; LangChain's own key for ChatOllama leaves it out."""
    keys = set()
    for name in ("llama3.1", "mistral"):
        model = build_ollama(OllamaSettings(host=simulator.ollama_url, model=name))
        model.asker = cache.asker
        call = model._call([HumanMessage("hi")], None, {}, None)
        assert call is not None
        keys.add(call.digest)
    assert len(keys) == 2
    for _ in range(2):
        model = build_ollama(OllamaSettings(host=simulator.ollama_url, model="llama3.1"))
        model.asker = cache.asker
        assert model.invoke("hi").text
        assert "".join(chunk.text for chunk in model.stream("hi"))
        model._client._client.close()
    assert _asked(simulator) == 1


async def test_a_thousand_at_once_make_one_request(
    make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    model = make_chat()
    answers = await asyncio.gather(*(model.ainvoke("the same") for _ in range(1000)))
    assert _asked(simulator) == 1
    assert len({answer.id for answer in answers}) == 1000


def test_threads_at_once_make_one_request(
    make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    model = make_chat()
    threads = [threading.Thread(target=model.invoke, args=("same",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _asked(simulator) == 1


async def test_a_cancelled_leader_is_replaced(
    make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    model = make_chat()
    release = threading.Event()

    def slow(request: Any) -> str:
        release.wait(0.3)
        return "done"

    simulator.answer_with(slow)
    leader = asyncio.create_task(model.ainvoke("q"))
    await asyncio.sleep(0.05)
    waiter = asyncio.create_task(model.ainvoke("q"))
    await asyncio.sleep(0.05)
    leader.cancel()
    release.set()
    assert (await waiter).text == "done"
    with pytest.raises(asyncio.CancelledError):
        await leader


def test_other_langchain_caches_are_taken(simulator: ProviderSimulator, roomy: Settings) -> None:
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=roomy.data_dir,
        openai={"api_key": "k", "base_url": simulator.openai_url, "model": "gpt-4o"},
        ollama={"enabled": False},
        embedded={"enabled": False},
        cache={"factory": "tests_cache_factory:make"},
    )
    with pytest.raises(Exception, match="tests_cache_factory"):
        open_cache(settings)
    chain = build_chain(settings, cache=InMemoryCache())
    chain.invoke("q")
    chain.invoke("q")
    assert _asked(simulator) == 1


async def test_the_leader_of_another_process_is_waited_for_and_replaced(
    roomy: Settings, cache: RedisCache, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    other = open_cache(roomy)
    assert isinstance(other, RedisCache)
    mine, theirs = make_chat(), make_chat()
    theirs.asker = other.asker
    call = theirs._call([HumanMessage("q")], None, {}, None)
    assert call is not None
    led = await other.asker.ask(call)
    assert isinstance(led, LeadingCall)
    waiter = asyncio.create_task(mine.ainvoke("q"))
    await asyncio.sleep(0.1)
    assert _asked(simulator) == 0, "it waits"
    other.asker.flights.keeper.remove(other.asker.flights.lease_key(call))  # as if it were killed
    assert (await asyncio.wait_for(waiter, 5)).text
    assert _asked(simulator) == 1
    await other.answers.aclose()


def test_a_sync_question_counts_one_miss_or_one_hit(
    make_chat: MakeChat, cache: RedisCache, simulator: ProviderSimulator
) -> None:
    model = make_chat()
    for _ in range(3):
        model.invoke("How often is this counted?")
    call = model._call([HumanMessage("")], None, {}, None)
    assert call is not None
    counted = cache.answers.client.hgetall(call.part.key("stats"))
    assert (int(counted[b"misses"]), int(counted[b"hits_exact"])) == (1, 2)
    assert _asked(simulator) == 1


class SyncOnly(BaseChatModel):
    """A model as simple ones are: LangChain makes its async methods of the sync ones."""

    asked: ClassVar[list[str]] = []

    @property
    def _llm_type(self) -> str:
        return "sync-only"

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.asked.append(messages[-1].text)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Said."))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self.asked.append(messages[-1].text)
        for word in ("Said", " in", " parts."):
            yield ChatGenerationChunk(message=AIMessageChunk(word))


class CachedSyncOnly(CachingChatModel, SyncOnly):
    pass


async def test_a_model_without_async_methods_is_cached_too(cache: RedisCache) -> None:
    SyncOnly.asked.clear()
    model = CachedSyncOnly(asker=cache.asker)
    assert (await asyncio.to_thread(model.invoke, "one")).text == "Said."
    assert (await model.ainvoke("one")).text == "Said."
    assert (await model.ainvoke("two")).text == "Said."
    assert "".join([chunk.text async for chunk in model.astream("three")]) == "Said in parts."
    said = await asyncio.to_thread(lambda: "".join(part.text for part in model.stream("three")))
    assert said == "Said in parts."
    assert SyncOnly.asked == ["one", "two", "three"]
