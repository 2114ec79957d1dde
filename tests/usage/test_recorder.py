"""The recorder: every API shape, caches, streams, aborts, and what other apps hand it."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from sqlalchemy import select

from allotrope.exceptions import BudgetExceededError
from allotrope.models.chain import build_chain
from allotrope.settings import load_settings
from allotrope.testing import Fault, ProviderSimulator, Reply, ScriptedChatModel
from allotrope.usage.assembly import from_settings
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.recorder.reading import Reader
from allotrope.usage.recorder.recorder import UsageRecorder


@pytest.fixture(scope="module")
async def shared_simulator() -> AsyncIterator[ProviderSimulator]:
    with ProviderSimulator() as simulator:
        yield simulator
        # LangChain keeps one async client per base URL for the whole process.
        await chat(simulator).root_async_client.close()


@pytest.fixture
def simulator(shared_simulator: ProviderSimulator) -> ProviderSimulator:
    shared_simulator.reset()
    return shared_simulator


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[UsageRecorder]:
    recorder = UsageRecorder(Ledger(f"sqlite:///{tmp_path}/usage.db"), flush_interval_s=0.05)
    yield recorder
    recorder.close()


def rows(recorder: UsageRecorder) -> list[dict[str, Any]]:
    assert recorder.flush()
    with Ledger(recorder.writer.url) as ledger, ledger.engine.connect() as connection:
        found = connection.execute(select(schema.calls).order_by(schema.calls.c.at))
        return [dict(row) for row in found.mappings()]


def row(recorder: UsageRecorder) -> dict[str, Any]:
    (only,) = rows(recorder)
    return only


def chat(simulator: ProviderSimulator, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="o3",
        api_key="sk-test",
        base_url=simulator.openai_url,
        max_retries=0,
        stream_usage=True,
        **options,
    )


async def ask(model: Any, how: str, config: dict[str, Any], text: str = "Hello") -> None:
    if how == "invoke":
        await asyncio.to_thread(model.invoke, text, config)
    elif how == "ainvoke":
        await model.ainvoke(text, config)
    elif how == "stream":
        await asyncio.to_thread(lambda: list(model.stream(text, config)))
    else:
        assert [chunk async for chunk in model.astream(text, config)]


FULL = Reply("Hi there.", input_tokens=1200, cached_tokens=1024, reasoning_tokens=64)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("responses", [False, True], ids=["chat-completions", "responses"])
async def test_openai_counts_by_every_way_of_asking(
    simulator: ProviderSimulator, recorder: UsageRecorder, how: str, responses: bool
) -> None:
    simulator.script([FULL])
    model = chat(simulator, use_responses_api=responses, max_completion_tokens=500)
    await ask(model, how, {"callbacks": [recorder]})
    got = row(recorder)
    assert (got["provider"], got["model"]) == ("openai", "o3-2025-04-16")
    assert (got["input_tokens"], got["cached_tokens"]) == (1200, 1024)
    assert got["reasoning_tokens"] == 64
    assert got["output_tokens"] > 64
    assert got["cost"] == (
        Decimal("0.000002") * 176
        + Decimal("0.0000005") * 1024
        + Decimal("0.000008") * got["output_tokens"]
    )
    assert got["prompt_cache_saving"] == Decimal("0.0000015") * 1024
    assert (got["status"], got["cached"], got["estimated"]) == ("ok", "", 0)
    assert (got["price_since"], got["output_limit"]) == ("2025-06-10", 500)
    assert (got["ttft_ms"] is not None) == (how in ("stream", "astream"))
    assert got["latency_ms"] > 0


def test_the_chain_says_who_asked_and_who_answered(
    simulator: ProviderSimulator, recorder: UsageRecorder
) -> None:
    settings = load_settings(
        environ={}, env_file=None,
        openai={"api_key": "sk-test", "base_url": simulator.openai_url},
        ollama={"host": simulator.ollama_url},
        embedded={"enabled": False},
    )  # fmt: skip
    chain = build_chain(settings, callbacks=[recorder])
    simulator.faults.add(Fault(kind="503", provider="openai"))
    asked = {
        "allotrope_agent": "assistant",
        "allotrope_profile": "fast",
        "allotrope_prompt": "assistant@3",
        "allotrope_variant": "b",
        "allotrope_tenant": "acme",
        "allotrope_user": "ann",
        "allotrope_run_id": "run-7",
        "thread_id": "t1",
        "langgraph_node": "answer",
    }
    chain.invoke("Hello", {"metadata": asked})
    chain.runnable.root_client.close()
    chain.fallbacks[-1]._client._client.close()
    for successor in chain.fallbacks[:-1]:
        successor.root_client.close()
    got = {one["provider"]: one for one in rows(recorder)}
    failed, answered = got["openai"], got["ollama"]
    assert (failed["status"], failed["input_tokens"], failed["cost"]) == ("error", 0, 0)
    assert failed["error"]
    assert answered["status"] == "ok"
    assert answered["input_tokens"] > 0
    assert answered["output_tokens"] > 0
    assert (answered["cost"], answered["price_source"]) == (0, "local")
    assert answered["failovers"] == 1
    assert answered["failed_over_from"].startswith("openai/o3:")
    names = (
        "agent",
        "profile",
        "prompt",
        "variant",
        "tenant",
        "user_name",
        "run",
        "thread",
        "node",
    )
    for one in (failed, answered):
        assert tuple(one[name] for name in names) == tuple(asked.values())


def test_a_hit_of_langchains_cache_costs_nothing_and_its_saving_stands_apart(
    simulator: ProviderSimulator, recorder: UsageRecorder
) -> None:
    simulator.script([FULL])
    model = chat(simulator, cache=InMemoryCache(), callbacks=[recorder])
    for _ in range(3):
        model.invoke("Hello")
    first, *hits = rows(recorder)
    assert (first["cached"], first["input_tokens"]) == ("", 1200)
    assert first["cost"] > 0
    for hit in hits:
        assert (hit["cached"], hit["input_tokens"], hit["output_tokens"]) == ("exact", 0, 0)
        assert (hit["saved_input_tokens"], hit["cost"]) == (1200, 0)
        assert hit["saved_cost"] == first["cost"]
        assert hit["estimated"] == 0


def test_provenance_of_a_semantic_hit(recorder: UsageRecorder) -> None:
    saved = {
        "input_tokens": 50,
        "output_tokens": 7,
        "cached_input_tokens": 0,
        "reasoning_tokens": 2,
    }
    stamp = {
        "provider": "openai", "model": "o3", "cached": "semantic", "attempts": 3, "saved": saved,
        "degraded": {"reason": "circuit_open", "message": "m", "retry_after_s": None},
        "failover": [],
    }  # fmt: skip
    zero = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    reply = AIMessage("x", response_metadata={"allotrope": stamp}, usage_metadata=zero)
    ScriptedChatModel(answers=[reply]).invoke("q", {"callbacks": [recorder]})
    got = row(recorder)
    assert (got["cached"], got["retries"], got["degraded"]) == ("semantic", 2, "circuit_open")
    assert (got["saved_input_tokens"], got["saved_output_tokens"]) == (50, 7)
    assert got["saved_cost"] == Decimal("0.000156")


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_stream_that_is_left_is_counted_and_marked(
    simulator: ProviderSimulator, recorder: UsageRecorder, how: str
) -> None:
    simulator.script(["one two three four five six seven eight nine ten"])
    model, config = chat(simulator), {"callbacks": [recorder]}

    def leave() -> None:
        stream = model.stream("Hello", config)
        for chunk in stream:
            if "three" in str(chunk.content):
                break
        stream.close()  # type: ignore[attr-defined] # it is a generator

    if how == "stream":
        await asyncio.to_thread(leave)
    else:
        stream = model.astream("Hello", config)
        async for chunk in stream:
            if "three" in str(chunk.content):
                break
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator
    got = row(recorder)
    assert (got["status"], got["estimated"], got["error"]) == ("aborted", 1, "GeneratorExit")
    assert 0 < got["output_tokens"] < 8
    assert got["input_tokens"] > 0
    assert got["cost"] > 0


@pytest.mark.parametrize("how", ["plain", "streamed"])
async def test_a_call_that_is_cancelled_is_booked_at_once(
    simulator: ProviderSimulator, recorder: UsageRecorder, tmp_path: Path, how: str
) -> None:
    """LangChain's own `ainvoke` tells no handler: the row came when the process ended, or never."""
    settings = load_settings(
        environ={}, env_file=None, data_dir=tmp_path, redis={"embedded": False},
        openai={"api_key": "sk-test", "base_url": simulator.openai_url},
        ollama={"enabled": False},
        embedded={"enabled": False},
    )  # fmt: skip
    chain = build_chain(settings, callbacks=[recorder])
    simulator.script([Reply("one two three four five six seven eight", token_delay_s=0.3)])

    async def respond(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chain.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("respond", respond).add_edge(START, "respond")
    asked = {"messages": [{"role": "user", "content": "Count, please."}]}
    if how == "plain":
        turn = asyncio.create_task(graph.compile().ainvoke(asked))
        while not simulator.chats():  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.01)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
    else:
        stream = graph.compile().astream(asked, stream_mode="messages")
        async for chunk, _ in stream:
            if "three" in str(chunk.content):
                break
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator
    got = row(recorder)
    assert (got["status"], got["estimated"], got["error"]) == ("aborted", 1, "CancelledError")
    assert got["input_tokens"] > 0
    assert (0 < got["output_tokens"] < 8) == (how == "streamed")
    for model in (chain.runnable, *chain.fallbacks):
        await model.root_async_client.close()


async def test_a_call_that_is_cancelled_as_its_answer_comes_is_booked(
    simulator: ProviderSimulator, recorder: UsageRecorder, tmp_path: Path
) -> None:
    """The cancellation reaches LangChain's wait when the call in it is over already."""
    settings = load_settings(
        environ={}, env_file=None, data_dir=tmp_path, redis={"embedded": False},
        openai={"api_key": "sk-test", "base_url": simulator.openai_url},
        ollama={"enabled": False},
        embedded={"enabled": False},
    )  # fmt: skip
    chain = build_chain(settings, callbacks=[recorder])
    model = chain.runnable
    own = type(model)._agenerate

    async def and_cancel(self: Any, *given: Any, **more: Any) -> Any:
        result = await own(self, *given, **more)
        turn.cancel()
        return result

    turn = asyncio.create_task(chain.ainvoke("Hello"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "_agenerate", and_cancel)
        with pytest.raises(asyncio.CancelledError):
            await turn
    got = row(recorder)
    assert (got["status"], got["estimated"]) in [("ok", 0), ("aborted", 1)]
    assert got["input_tokens"] > 0
    for one in (chain.runnable, *chain.fallbacks):
        await one.root_async_client.close()


def test_a_stream_that_breaks_is_counted_and_marked(
    simulator: ProviderSimulator, recorder: UsageRecorder
) -> None:
    simulator.script(["one two three four five six"])
    simulator.faults.add(Fault(kind="cut", after_tokens=3))
    with pytest.raises(Exception):  # noqa: B017 - whatever the client makes of it
        list(chat(simulator).stream("Hello", {"callbacks": [recorder]}))
    got = row(recorder)
    assert (got["status"], got["estimated"]) == ("aborted", 1)
    assert got["output_tokens"] > 0


def test_a_stream_without_usage_is_estimated_exactly_by_the_vocabulary(
    simulator: ProviderSimulator, recorder: UsageRecorder
) -> None:
    simulator.script(["The quick brown fox"])
    model = ChatOpenAI(
        model="o3", api_key="sk-x", base_url=simulator.openai_url, stream_usage=False
    )
    list(model.stream("Hello", {"callbacks": [recorder]}))
    got = row(recorder)
    assert (got["status"], got["estimated"], got["output_tokens"]) == ("ok", 1, 4)


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -5, "output_tokens": 3, "total_tokens": -2},
        {"input_tokens": 10**15, "output_tokens": 3, "total_tokens": 10**15},
    ],
    ids=["negative", "huge"],
)
def test_nonsense_usage_is_replaced_and_said_once(
    recorder: UsageRecorder, usage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reply = AIMessage("four words are here", usage_metadata=usage)
    with caplog.at_level(logging.WARNING):
        model = ScriptedChatModel(answers=[reply, reply])
        for _ in range(2):
            model.invoke("q", {"callbacks": [recorder]})
        got = rows(recorder)
    assert [one["estimated"] for one in got] == [1, 1]
    assert all(0 < one["input_tokens"] < 50 for one in got)
    assert sum("can't be true" in record.message for record in caplog.records) == 1


def test_an_unknown_models_cost_is_null(recorder: UsageRecorder) -> None:
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    reply = AIMessage("x", usage_metadata=usage)
    GenericFakeChatModel(messages=iter([reply])).invoke("q", {"callbacks": [recorder]})
    got = row(recorder)
    assert (got["input_tokens"], got["cost"], got["estimated"]) == (5, None, 0)


def test_tools_offered_and_called_are_kept_by_name(
    simulator: ProviderSimulator, recorder: UsageRecorder
) -> None:
    @tool
    def weather(city: str) -> str:
        """Weather of a city."""
        return city

    @tool
    def stocks(name: str) -> str:
        """Price of a share."""
        return name

    model = chat(simulator).bind_tools([weather, stocks], tool_choice="weather")
    model.invoke("How is it in Rome?", {"callbacks": [recorder]})
    got = row(recorder)
    assert (got["tools_offered"], got["tools_called"]) == ("stocks,weather", "weather")
    assert got["tools_tokens"] > 10


def test_nothing_of_the_content_reaches_the_disk(
    simulator: ProviderSimulator, recorder: UsageRecorder, tmp_path: Path
) -> None:
    simulator.script(["A very secret answer: 4711-0815"])
    chat(simulator).invoke("My password is hunter2secret", {"callbacks": [recorder]})
    assert row(recorder)["prompt_hash"]
    recorder.close()
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        for secret in (b"hunter2", b"4711-0815", b"sk-test", b"password"):
            assert secret not in data


def test_the_memorys_saving_is_priced(
    simulator: ProviderSimulator, recorder: UsageRecorder
) -> None:
    metadata = {"allotrope_context_full_tokens": "51000", "allotrope_context_tokens": "1000"}
    chat(simulator).invoke("Hello", {"callbacks": [recorder], "metadata": metadata})
    got = row(recorder)
    assert got["context_saving"] == Decimal("0.1")  # 50,000 tokens at $2 per million


def test_a_refusal_is_recorded(recorder: UsageRecorder) -> None:
    model = ScriptedChatModel(answers=[BudgetExceededError("no more")])
    with pytest.raises(BudgetExceededError):
        model.invoke("q", {"callbacks": [recorder]})
    assert row(recorder)["status"] == "refused"


def test_what_breaks_in_the_recorder_never_breaks_a_turn(
    recorder: UsageRecorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Reader, "read", broken)
    with caplog.at_level(logging.WARNING):
        assert ScriptedChatModel().invoke("q", {"callbacks": [recorder]}).content
        assert recorder.flush()
    assert recorder.stats.lost == 1
    assert "could not be recorded" in caplog.text


def test_factory_gives_one_recorder_per_ledger(tmp_path: Path) -> None:
    settings = load_settings(environ={}, env_file=None, data_dir=tmp_path)
    first = from_settings(settings)
    assert first == from_settings(settings)
    assert isinstance(first[0], UsageRecorder)
    off = load_settings(environ={}, env_file=None, usage={"enabled": False})
    assert from_settings(off) == []


PROGRAM = """
import os, signal, sys, time
from langchain_core.language_models import FakeListChatModel
from allotrope.settings import load_settings
from allotrope.usage.assembly import from_settings
handlers = from_settings(load_settings(environ={}, env_file=None, data_dir=sys.argv[1]))
model = FakeListChatModel(responses=["x"], callbacks=handlers)
for _ in range(5):
    model.invoke("q")
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(5)
"""


def test_sigterm_flushes(tmp_path: Path) -> None:
    # That a normal exit flushes is part of test_accounting.
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGTERM
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger, ledger.engine.connect() as connection:
        assert len(connection.execute(select(schema.calls.c.id)).all()) == 5


def test_a_locked_ledger_spills_and_is_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allotrope.usage.ledger import database as database_module
    from allotrope.usage.recorder import writer as writer_module

    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 10)
    monkeypatch.setattr(writer_module, "RETRY_PAUSES_S", (0.01,))
    monkeypatch.setattr(writer_module, "SPILL_RETRY_S", 0.2)
    recorder = UsageRecorder(Ledger(f"sqlite:///{tmp_path}/usage.db"), flush_interval_s=0.05)
    model = ScriptedChatModel(callbacks=[recorder])
    model.invoke("q")
    assert recorder.flush()
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as other, other.transaction():
        for _ in range(3):
            model.invoke("q")
        assert recorder.flush()
        spilled = (tmp_path / "usage-spill.jsonl").read_text().splitlines()
        assert len(spilled) == 3
        assert "provider" in json.loads(spilled[0]) or "run" in json.loads(spilled[0])
    deadline = time.monotonic() + 60
    while recorder.stats.picked_up < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(rows(recorder)) == 4
    assert not (tmp_path / "usage-spill.jsonl").exists()
    recorder.close()


def test_a_full_queue_spills_at_once(tmp_path: Path) -> None:
    recorder = UsageRecorder(Ledger(f"sqlite:///{tmp_path}/usage.db"), queue_size=1)
    recorder.writer.waiting = lambda: 1  # type: ignore[method-assign] # as if the writer were slow
    model = ScriptedChatModel(callbacks=[recorder])
    for _ in range(3):
        model.invoke("q")
    assert recorder.close()
    assert recorder.stats.spilled == 3
    assert recorder.stats.lost == 0


def test_a_ledger_that_breaks_while_running_is_rebuilt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "usage.db"
    recorder = UsageRecorder(Ledger(f"sqlite:///{path}"), flush_interval_s=0.05)
    model = ScriptedChatModel(callbacks=[recorder])
    model.invoke("q")
    assert recorder.flush()
    recorder.close()
    path.write_bytes(b"garbage" * 1000)
    model.invoke("q")
    assert recorder.flush()
    assert len(rows(recorder)) == 1
    assert list(tmp_path.glob("usage.db.damaged-*"))
    assert "was damaged" in caplog.text
    recorder.close()
