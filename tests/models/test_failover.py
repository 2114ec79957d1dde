"""The guarded chain against the simulator: every outage ends in an answer or in every cause."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from langgraph.graph import StateGraph
from pydantic import BaseModel
from tests.models.call.test_retry import World

from allotrope import exceptions as ours
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.opening import guard_models, rules_of
from allotrope.models.call.guard import TIGHTER
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.call.streams import StreamRestart
from allotrope.models.call.window import DEFAULT_OUTPUT, REASONING
from allotrope.models.chain import FailoverChain, build_chain, with_repack
from allotrope.settings import Settings, load_settings
from allotrope.support import counters
from allotrope.testing.content.replies import Reply, ToolCall
from allotrope.testing.faults import Fault
from allotrope.testing.simulator import ProviderSimulator


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderSimulator]:
    with ProviderSimulator() as simulator:
        yield simulator


@pytest.fixture
def sim(server: ProviderSimulator) -> Iterator[ProviderSimulator]:
    server.reset()
    counters.clear()
    yield server
    server.up("openai")
    server.up("ollama")


def settings_for(sim: ProviderSimulator, **more: Any) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        openai={
            "api_key": "sk-simulator",
            "succession": "off",
            "base_url": sim.openai_url,
            "first_token_timeout_s": 10.0,
            "idle_timeout_s": 10.0,
            "timeout_s": 20.0,
            **more.pop("openai", {}),
        },
        ollama={"host": sim.ollama_url, **more.pop("ollama", {})},
        embedded={"enabled": False},
        resilience={"first_wait_s": 0.01, "slow_after_s": None, **more},
    )


HASTY = {"first_token_timeout_s": 0.15, "idle_timeout_s": 0.15, "timeout_s": 0.15}
"""Timeouts for requests that are never answered; any other could meet them on a busy machine."""

_made: dict[str, tuple[Settings, FailoverChain]] = {}


@pytest.fixture(scope="module", autouse=True)
async def closed_connections() -> AsyncIterator[None]:
    yield
    for _, chain in _made.values():
        for model in chain.runnables:
            if isinstance(model, ChatOpenAI):
                model.root_client.close()
                await model.root_async_client.close()
            elif isinstance(model, ChatOllama):
                model._client._client.close()
                await model._async_client._client.aclose()
    _made.clear()


class Clock:
    """The breaker's clock, which a test can put forward; of itself it stands."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def chain_for(
    sim: ProviderSimulator, clock: Callable[[], float] = time.time, **more: Any
) -> tuple[FailoverChain, Circuits]:
    """A chain with a breaker of this test's own; its clients are made once, they are slow to."""
    key = repr(sorted(more.items()))
    if key not in _made:
        settings = settings_for(sim, **more)
        _made[key] = settings, build_chain(settings, circuits=Circuits())
    settings, chain = _made[key]
    rules = rules_of(settings.resilience)
    circuits = Circuits(rules=rules, chance=lambda: 0.0, clock=clock)
    models = [model for model in chain.runnables if isinstance(model, GuardedChatModel)]
    guard_models(models, settings, circuits=circuits)
    return chain, circuits


class Ask:
    """The four ways to ask; each gives the message."""

    def __init__(self, way: str) -> None:
        self.way = way

    async def __call__(self, chain: Any, text: Any = "hello", config: Any = None) -> AIMessage:
        if self.way == "invoke":
            return chain.invoke(text, config)
        if self.way == "ainvoke":
            return await chain.ainvoke(text, config)
        if self.way == "stream":
            return added_up(list(chain.stream(text, config)))
        return added_up([chunk async for chunk in chain.astream(text, config)])


def added_up(chunks: list[Any]) -> Any:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


@pytest.fixture(params=["invoke", "ainvoke", "stream", "astream"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return Ask(request.param)


def stamp(message: AIMessage) -> dict[str, Any]:
    return message.response_metadata["allotrope"]


def asked(sim: ProviderSimulator, provider: str) -> int:
    return sum(r.provider == provider and "chat" in r.path for r in sim.requests)


async def test_all_well(sim: ProviderSimulator, ask: Ask) -> None:
    chain, _ = chain_for(sim)
    told = stamp(await ask(chain))
    assert (told["provider"], told["attempts"], told["degraded"]) == ("openai", 1, None)


async def test_a_hiccup_is_retried(sim: ProviderSimulator, ask: Ask) -> None:
    chain, _ = chain_for(sim)
    sim.faults.add("503", provider="openai", times=1)
    told = stamp(await ask(chain))
    assert (told["provider"], told["attempts"], told["degraded"]) == ("openai", 2, None)
    assert counters.counts()["allotrope_retries_total"] == {
        (("error", "ProviderUnavailableError"), ("provider", "openai")): 1
    }


@pytest.mark.parametrize(
    ("kind", "error", "requests"),
    [
        ("503", "ProviderUnavailableError", 3),
        ("429", "RateLimitedError", 2),  # the wait it named was a probe's, and the probe failed
        ("quota", "QuotaExhaustedError", 1),
        ("401", "AuthenticationFailedError", 1),
        ("404", "UnknownModelError", 1),
        ("reset", "ProviderUnreachableError", 2),
        ("hang", "ProviderTimeoutError", 2),
        ("stall", "ProviderTimeoutError", 2),
        ("malformed_json", "MalformedReplyError", 2),
        ("empty", "MalformedReplyError", 2),
    ],
)
async def test_an_outage_ends_in_the_fallbacks_answer(
    sim: ProviderSimulator, ask: Ask, kind: str, error: str, requests: int
) -> None:
    chain, _ = chain_for(sim, openai=HASTY if kind in ("hang", "stall") else {})
    if kind == "stall":
        sim.faults.add(kind, provider="openai", after_tokens=0)
    else:
        sim.faults.add(kind, provider="openai")
    message = await ask(chain)
    told = stamp(message)
    assert (told["provider"], told["model"]) == ("ollama", "llama3.1")
    assert [failure["error"] for failure in told["failover"]] == [error]
    assert told["degraded"]["reason"] == error
    assert told["degraded"]["message"].endswith("; answered by llama3.1 on Ollama.")
    assert message.text.strip()
    if kind in ("hang", "stall"):  # on a busy machine its time is over before it was read
        assert counters.counts()["allotrope_retries_total"] == {
            (("error", error), ("provider", "openai")): requests - 1
        }
    else:
        assert asked(sim, "openai") == requests


async def test_no_retry_of_any_model_begins_after_the_chains_deadline(
    sim: ProviderSimulator, ask: Ask
) -> None:
    never = {"consecutive_failures": 99, "minimum_calls": 99}
    chain, _ = chain_for(sim, attempts=10, deadline_s=2.0, **never)
    clock = World(attempts=10, first_wait_s=4.0, longest_wait_s=1.0)  # each wait is half a second
    for model in chain.runnables:
        assert isinstance(model, GuardedChatModel)
        model._guard.retries = clock.retries
    sim.faults.add(503)
    with pytest.raises(ours.AllProvidersFailedError):
        await ask(chain)
    assert clock.now - 100.0 <= 2.0
    asked = [request.provider for request in sim.requests]
    assert asked.count("openai") > 2
    assert asked.count("ollama") == 1, "the time of retries is over; the first request isn't one"


async def test_open_means_no_request_and_recovery_comes_by_a_probe(
    sim: ProviderSimulator, ask: Ask
) -> None:
    clock = Clock()
    chain, circuits = chain_for(sim, clock, breaks_s=(20.0,), jitter=0.0)
    fault = sim.faults.add("503", provider="openai")
    await ask(chain)
    before = asked(sim, "openai")
    told = stamp(await ask(chain))
    assert asked(sim, "openai") == before == 3
    assert told["failover"] == [{"provider": "openai", "model": "o3", "error": "CircuitOpenError"}]
    assert told["degraded"]["reason"] == "ProviderUnavailableError"
    assert told["degraded"]["retry_after_s"] == pytest.approx(20.0)
    sim.faults.remove(fault)

    clock.now += 20.1
    assert stamp(await ask(chain))["provider"] == "openai"
    assert all(circuits.look(name).state == "closed" for name in circuits.names())


async def test_rate_limited_for_long_is_said_in_plain_words(
    sim: ProviderSimulator, ask: Ask
) -> None:
    chain, _ = chain_for(sim, jitter=0.0)
    sim.faults.add(Fault(kind="429", provider="openai", retry_after=42))
    message = await ask(chain)
    assert asked(sim, "openai") == 1
    assert stamp(message)["degraded"]["message"] == (
        "OpenAI is rate-limited, next try in 42 s; answered by llama3.1 on Ollama."
    )


async def test_a_wrong_request_goes_up_as_it_is_and_never_trips(
    sim: ProviderSimulator, ask: Ask
) -> None:
    chain, circuits = chain_for(sim)
    sim.faults.add("400", provider="openai")
    for _ in range(5):
        with pytest.raises(ours.RequestRejectedError):
            await ask(chain)
    assert asked(sim, "ollama") == 0
    assert all(circuits.look(name).state == "closed" for name in circuits.names())


async def test_refused_content_is_told_to_the_user(sim: ProviderSimulator, ask: Ask) -> None:
    chain, _ = chain_for(sim)
    sim.faults.add("content_policy", provider="openai")
    with pytest.raises(ours.ContentRefusedError):
        await ask(chain)
    assert asked(sim, "ollama") == 0


async def test_when_all_fail_every_cause_is_there(sim: ProviderSimulator, ask: Ask) -> None:
    chain, _ = chain_for(sim)
    sim.faults.add("quota", provider="openai")
    sim.down("ollama")
    with pytest.raises(ours.AllProvidersFailedError) as caught:
        await ask(chain)
    kinds = [type(cause) for cause in caught.value.causes]
    assert kinds == [ours.QuotaExhaustedError, ours.ProviderUnreachableError]
    assert caught.value.message == (
        "No model can answer now: OpenAI has no credit left on this account, next try in 1 h; "
        "Ollama can't be reached."
    )
    assert caught.value.exit_code == 3
    assert "sk-simulator" not in str(caught.value)


@pytest.mark.parametrize("kind", ["cut", "reset_mid_stream", "sse_error", "stall"])
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_that_breaks_begins_again_and_adds_up(
    sim: ProviderSimulator, kind: str, way: str
) -> None:
    # a sync stream has one socket timeout, the longer of the two
    waits = {"first_token_timeout_s": 1.0, "idle_timeout_s": 0.3} if kind == "stall" else {}
    chain, _ = chain_for(sim, openai=waits)
    sim.script([Reply("One two three four five six.")], provider="openai")
    sim.script([Reply("Seven eight.")], provider="ollama")
    sim.faults.add(kind, provider="openai", after_tokens=3)
    if way == "stream":
        chunks: list[Any] = list(chain.stream("count"))
    else:
        chunks = [chunk async for chunk in chain.astream("count")]
    assert sum(isinstance(chunk, StreamRestart) for chunk in chunks) == 1
    assert chunks[1].text.startswith("One")
    whole = added_up(chunks)
    assert whole.text == "Seven eight."
    assert stamp(whole)["provider"] == "ollama"
    assert counters.counts()["allotrope_stream_restarts_total"]


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_that_breaks_for_good_begins_nowhere_again(
    sim: ProviderSimulator, way: str
) -> None:
    chain, _ = chain_for(sim)
    sim.script([Reply("One two three four five six.")], provider="openai")
    sim.faults.add("cut", provider="openai", after_tokens=3)
    sim.faults.add("503", provider="ollama")
    chunks: list[Any] = []

    async def listen() -> None:
        if way == "stream":
            chunks.extend(chain.stream("count"))
        else:
            async for chunk in chain.astream("count"):
                chunks.append(chunk)

    with pytest.raises(ours.AllProvidersFailedError):
        await listen()
    assert not any(isinstance(chunk, StreamRestart) for chunk in chunks)


@pytest.mark.parametrize("outage", [False, True])
async def test_listeners_hear_that_it_begins_again_only_when_it_does(
    sim: ProviderSimulator, outage: bool
) -> None:
    chain, _ = chain_for(sim)
    sim.script([Reply("One two three four five six.")], provider="openai")
    sim.faults.add("cut", provider="openai", after_tokens=3)
    if outage:
        sim.faults.add("503", provider="ollama")

    async def respond(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        await chain.ainvoke("count", config)
        return {}

    graph = StateGraph(dict)
    graph.add_node("respond", respond)  # type: ignore[type-var]  # a state of no keys will do
    graph.set_entry_point("respond")
    kinds: list[str] = []

    async def listen() -> None:
        async for mode, part in graph.compile().astream({}, stream_mode=["messages", "custom"]):
            if mode == "custom":
                kinds.append(part["type"])

    with pytest.raises(ours.AllProvidersFailedError) if outage else contextlib.nullcontext():
        await listen()
    assert kinds == ([] if outage else ["restart", "degraded"])


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_by_setting_the_partial_text_is_kept(sim: ProviderSimulator, way: str) -> None:
    chain, _ = chain_for(sim, when_a_stream_breaks="partial")
    sim.script([Reply("One two three four five six.")], provider="openai")
    sim.faults.add("cut", provider="openai", after_tokens=3)
    message = await Ask(way)(chain, "count")
    assert message.text.startswith("One")
    assert stamp(message)["degraded"]["message"] == (
        "OpenAI cut the connection; the answer above is incomplete."
    )
    assert asked(sim, "ollama") == 0


async def test_an_empty_reply_is_told_to_the_model(sim: ProviderSimulator, ask: Ask) -> None:
    chain, circuits = chain_for(sim)
    sim.faults.add("empty", provider="openai", times=1)
    assert stamp(await ask(chain))["attempts"] == 2
    last = [r for r in sim.requests if r.provider == "openai"][-1]
    assert "Your last reply was empty" in str(last.body["messages"][-1])
    assert all(circuits.look(name).consecutive == 0 for name in circuits.names())


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def test_a_broken_tool_call_is_asked_for_again_unseen(
    sim: ProviderSimulator, ask: Ask
) -> None:
    chain, _ = chain_for(sim)
    call = Reply(tool_calls=(ToolCall("weather", {"city": "Rome"}),))
    broken = Reply(tool_calls=(ToolCall("weather", '{"city": "Ro'),))
    sim.script([broken, call], provider="openai")
    message = await ask(chain.bind_tools([weather]))
    assert stamp(message)["provider"] == "openai"
    assert message.tool_calls[0]["args"] == {"city": "Rome"}


async def test_a_tool_call_that_misses_its_schema(sim: ProviderSimulator, ask: Ask) -> None:
    chain, _ = chain_for(sim)
    sim.script(
        [
            Reply(tool_calls=(ToolCall("weather", {"town": "Rome"}),)),
            Reply(tool_calls=(ToolCall("weather", {"city": "Rome"}),)),
        ],
        provider="openai",
    )
    message = await ask(chain.bind_tools([weather]))
    assert message.tool_calls[0]["args"] == {"city": "Rome"}
    assert stamp(message)["attempts"] == 2


@pytest.mark.parametrize("provider", ["openai", "ollama"])
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("malformed_json", None),  # the client's JSONDecodeError: the model isn't to blame
        ("broken_tool_call", "called a tool with arguments that are not valid JSON"),
        ("empty", "Your last reply was empty"),
    ],
)
async def test_a_reply_nobody_can_use_is_asked_for_once_more_then_given_up(
    sim: ProviderSimulator, ask: Ask, provider: str, fault: str, told: str | None
) -> None:
    chain, circuits = chain_for(sim, openai={"enabled": provider == "openai"})
    sim.script([Reply("Well.")], provider=provider)
    sim.faults.add(fault, provider=provider, times=1)
    assert stamp(await ask(chain.bind_tools([weather])))["attempts"] == 2
    first, second = (r.body["messages"] for r in sim.chats(provider))
    assert len(second) - len(first) == (told is not None)
    assert told is None or told in str(second[-1])
    assert all(circuits.look(name).consecutive == 0 for name in circuits.names())

    sim.faults.add(fault, provider=provider)
    if provider == "openai":
        assert stamp(await ask(chain.bind_tools([weather])))["provider"] == "ollama"
    else:
        with pytest.raises(ours.AllProvidersFailedError) as failed:
            await ask(chain.bind_tools([weather]))
        assert isinstance(failed.value.causes[0], ours.MalformedReplyError)
    assert asked(sim, provider) == 4


class City(BaseModel):
    """A city."""

    name: str
    country: str


async def test_structured_output_that_misses_its_schema(sim: ProviderSimulator, ask: Ask) -> None:
    chain, _ = chain_for(sim)
    whole = {"name": "Rome", "country": "Italy"}
    schema = {**City.model_json_schema(), "title": "City"}
    structured: Any = chain.with_structured_output(schema, method="json_schema")

    async def city() -> Any:
        if ask.way == "invoke":
            return structured.invoke("Which city?")
        if ask.way == "ainvoke":
            return await structured.ainvoke("Which city?")
        if ask.way == "stream":
            return list(structured.stream("Which city?"))[-1]
        return [part async for part in structured.astream("Which city?")][-1]

    sim.script([Reply('{"name": "Rome"}'), Reply(json.dumps(whole))], provider="openai")
    sim.script([Reply(json.dumps(whole))], provider="ollama")
    assert await city() == whole
    if "stream" in ask.way:  # the wrong one was seen already: it begins anew, with the next model
        assert (asked(sim, "openai"), asked(sim, "ollama")) == (1, 1)
        assert counters.counts()["allotrope_stream_restarts_total"]
    else:
        last = sim.chats("openai")[-1].body["messages"][-1]
        assert "did not fit the required schema" in str(last)


async def test_openai_only_arguments_and_content_stay_with_openai(
    sim: ProviderSimulator, ask: Ask
) -> None:
    chain, _ = chain_for(sim)
    sim.faults.add("quota", provider="openai")
    history = [
        HumanMessage("hi"),
        AIMessage(
            [
                {"type": "reasoning", "summary": [], "id": "rs_1"},
                {"type": "text", "text": "hello", "annotations": []},
            ]
        ),
        HumanMessage("and?"),
    ]
    bound = chain.bind(parallel_tool_calls=False, reasoning_effort="low")
    assert stamp(await ask(bound, history))["provider"] == "ollama"
    body = next(r.body for r in sim.requests if r.provider == "ollama")
    assert "reasoning_effort" not in str(body)
    assert [m["content"] for m in body["messages"]] == ["hi", "hello", "and?"]


async def test_the_fallback_gets_a_prompt_packed_to_its_window(
    sim: ProviderSimulator, ask: Ask
) -> None:
    chain, _ = chain_for(sim, ollama={"num_ctx": 4096})
    sim.faults.add("503", provider="openai")
    budgets: list[int] = []

    def repack(messages: list[Any], budget_tokens: int) -> list[Any]:
        budgets.append(budget_tokens)
        return [SystemMessage("packed"), messages[-1]]

    await ask(chain, [HumanMessage("long " * 50), HumanMessage("now")], with_repack(None, repack))
    assert budgets == [3072]
    body = next(r.body for r in sim.requests if r.provider == "ollama")
    assert [m["content"] for m in body["messages"]] == ["packed", "now"]
    assert body["options"]["num_ctx"] == 4096


async def test_an_overflow_is_packed_tighter_and_sent_once_more(
    sim: ProviderSimulator, ask: Ask
) -> None:
    chain, circuits = chain_for(sim)
    sim.faults.add("context_overflow", provider="openai", times=1)
    budgets: list[int] = []

    def repack(messages: list[Any], budget_tokens: int) -> list[Any]:
        budgets.append(budget_tokens)
        return messages

    told = stamp(await ask(chain, "x", with_repack(None, repack)))
    assert (told["provider"], told["attempts"]) == ("openai", 2)
    assert budgets == [int(TIGHTER * (200_000 - DEFAULT_OUTPUT - REASONING))]
    assert all(circuits.look(name).consecutive == 0 for name in circuits.names())


async def test_without_a_packer_an_overflow_goes_to_the_next_model_at_once(
    sim: ProviderSimulator, ask: Ask
) -> None:
    chain, _ = chain_for(sim)
    sim.faults.add("context_overflow", provider="openai")
    assert stamp(await ask(chain))["provider"] == "ollama"
    assert asked(sim, "openai") == 1


async def test_a_cancelled_probe_gives_its_lease_back(sim: ProviderSimulator) -> None:
    chain, circuits = chain_for(sim, breaks_s=(0.05,), jitter=0.0)
    fault = sim.faults.add("503", provider="openai")
    await chain.ainvoke("x")
    sim.faults.remove(fault)
    sim.faults.add("hang", provider="openai", times=1)
    await asyncio.sleep(0.1)
    task = asyncio.create_task(chain.ainvoke("x"))
    name = next(n for n in circuits.names() if n.endswith("/o3"))
    async with asyncio.timeout(60):
        while circuits.look(name).probe_owner is None:  # noqa: ASYNC110  # a circuit has no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert circuits.look(name).probe_owner is None
    assert stamp(await chain.ainvoke("x"))["provider"] == "openai"


def test_a_stream_nobody_reads_to_the_end_counts_for_nothing(sim: ProviderSimulator) -> None:
    chain, circuits = chain_for(sim)
    for _ in range(5):
        stream = chain.stream("one two three four five six seven eight")
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert all(circuits.look(name).consecutive == 0 for name in circuits.names())


def test_our_own_budget_refuses_and_nothing_trips(sim: ProviderSimulator) -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    class Refuser(BaseCallbackHandler):
        raise_error = True
        run_inline = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            raise ours.BudgetExceededError("Your budget of 1 USD is spent.")

    chain, circuits = chain_for(sim)
    with pytest.raises(ours.BudgetExceededError):
        chain.invoke("x", {"callbacks": [Refuser()]})
    assert sim.requests == []
    assert circuits.names() == []


def test_batches_have_provenance_of_their_own(sim: ProviderSimulator) -> None:
    chain, _ = chain_for(sim)
    sim.faults.add("quota", provider="openai")
    first, second = chain.batch(["a", "b"])
    assert stamp(first)["provider"] == stamp(second)["provider"] == "ollama"
    assert len(stamp(first)["failover"]) == len(stamp(second)["failover"]) == 1
