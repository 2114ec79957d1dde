"""Turns of a server: never silent, stopped by a person, asked again, taken along."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator, Reply
from allotrope.web.chat.turns import RunningTurn
from allotrope.web.service import Service


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "assistant", "messages": [{"role": "user", "content": text}], **more}


def roles(served: str, thread: str) -> list[tuple[str, str]]:
    kept = httpx.get(f"{served}/api/threads/{thread}").json()
    return [(message["role"], message["text"]) for message in kept["messages"]]


def test_a_silent_agent_is_heard_to_work(serve: Any, simulator: ProviderSimulator) -> None:
    base = serve(heartbeat_s=0.1)
    simulator.script([Reply(text="At last.", delay_s=1.0)])
    with openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(**ask("Slow?", stream=True))
        stream = raw.parse()
        said = [c.choices[0].delta.content or "" for c in stream if c.choices]
    assert "".join(said) == "At last."
    simulator.script([Reply(text="At last.", delay_s=1.0)])
    with httpx.stream("POST", f"{base}/v1/chat/completions", json=ask("Slow?!", stream=True)) as r:
        lines = list(r.iter_lines())
    beats = [line for line in lines if line.startswith(":")]
    assert len(beats) >= 3
    assert lines.index(beats[0]) < next(n for n, one in enumerate(lines) if '"content": "A' in one)
    simulator.script([Reply(text="At last.", delay_s=1.0)])
    turn = {"agent": "assistant", "text": "Slow, page?"}
    with httpx.stream("POST", f"{base}/api/turns", json=turn) as answer:
        kinds = [json.loads(line)["type"] for line in answer.iter_lines()]
    assert kinds.count("beat") >= 3
    assert kinds[-1] == "reply"


def test_who_asks_again_without_an_answer_is_answered_once(
    served: str, simulator: ProviderSimulator
) -> None:
    named = ask("Anybody?", allotrope={"thread_id": "again"})
    unnamed = ask("Who is there?")
    simulator.down("openai")
    simulator.down("ollama")
    with httpx.Client(base_url=f"{served}/v1", timeout=30) as client:
        for body in (named, unnamed):
            assert client.post("/chat/completions", json=body).status_code == 503
        simulator.up("openai")
        simulator.up("ollama")
        httpx.post(f"{served}/v1/chat/completions", json=named)
        answers = []
        for body in (named, unnamed):
            deadline = time.monotonic() + 60
            while (again := client.post("/chat/completions", json=body)).status_code != 200:
                assert time.monotonic() < deadline, again.text
                time.sleep(0.5)
            answers.append(again.json()["allotrope"]["thread_id"])
    assert answers[0] == "again"
    assert [role for role, _ in roles(served, answers[0])][:2] == ["user", "assistant"]
    assert [role for role, _ in roles(served, answers[1])] == ["user", "assistant"]


def test_a_named_thread_that_is_new_takes_the_history_along(
    served: str, simulator: ProviderSimulator
) -> None:
    simulator.script(["Ben."])
    body = {
        "model": "assistant",
        "messages": [
            {"role": "user", "content": "I am Ben."},
            {"role": "assistant", "content": "Hello Ben."},
            {"role": "user", "content": "Who am I?"},
        ],
        "allotrope": {"thread_id": "fresh"},
    }
    httpx.post(f"{served}/v1/chat/completions", json=body, timeout=30)
    assert [text for _, text in roles(served, "fresh")] == [
        "I am Ben.",
        "Hello Ben.",
        "Who am I?",
        "Ben.",
    ]


@pytest.fixture
async def client(served: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served, timeout=30) as made:
        yield made


async def asked(simulator: ProviderSimulator) -> None:
    """Waits until the provider has the question."""
    while not simulator.chats():  # noqa: ASYNC110  # the simulator runs in a thread
        await asyncio.sleep(0.02)


async def stopped_after(
    client: httpx.AsyncClient, simulator: ProviderSimulator, text: str, *, thread: str, kind: str
) -> list[dict[str, Any]]:
    """The events of a turn that is stopped after its first event of a kind."""
    events = []
    turn = {"agent": "assistant", "text": text, "thread_id": thread}
    async with client.stream("POST", "/api/turns", json=turn) as answer:
        async for line in answer.aiter_lines():
            events.append(json.loads(line))
            if events[-1]["type"] == kind:
                await asked(simulator)
                ended = await client.post(f"/api/threads/{thread}/stop")
                assert ended.json() == {"stopped": True}
                kind = ""
    return events


async def test_a_stopped_answer_stays_as_far_as_it_was_said(
    client: httpx.AsyncClient, served: str, simulator: ProviderSimulator
) -> None:
    simulator.script([Reply(text="word " * 100, token_delay_s=0.05), "Twelve."])
    events = await stopped_after(client, simulator, "Tell me much", thread="stopped", kind="token")
    assert events[-1] == {"type": "stopped", "kept": True}
    said = "".join(event["text"] for event in events if event["type"] == "token")
    assert 0 < len(said) < 400
    kept = (await client.get("/api/threads/stopped")).json()
    assert kept["waits"] is False
    assert kept["messages"][1]["text"] == said
    assert kept["messages"][1]["from"]["stopped"] is True
    after = {"agent": "assistant", "text": "How many words?", "thread_id": "stopped"}
    lines = (await client.post("/api/turns", json=after)).text.splitlines()
    assert json.loads(lines[-1])["answer"] == "Twelve."
    prompt = [(turn.role, turn.text.strip()) for turn in simulator.chats()[-1].asked.turns]
    assert prompt[-2:] == [("assistant", said.strip()), ("user", "How many words?")]


async def test_stopped_before_a_word_the_question_waits(
    client: httpx.AsyncClient, simulator: ProviderSimulator
) -> None:
    simulator.script([Reply(text="Too late.", delay_s=5.0), "In time."])
    events = await stopped_after(client, simulator, "Hurry", thread="early", kind="context")
    assert events[-1] == {"type": "stopped", "kept": False}
    kept = (await client.get("/api/threads/early")).json()
    assert (kept["waits"], len(kept["messages"])) == (True, 1)
    again = {"agent": "assistant", "text": None, "thread_id": "early"}
    lines = (await client.post("/api/turns", json=again)).text.splitlines()
    assert json.loads(lines[-1])["answer"] == "In time."
    assert (await client.post("/api/threads/early/stop")).json() == {"stopped": False}


async def test_who_goes_away_frees_the_thread(
    client: httpx.AsyncClient, simulator: ProviderSimulator
) -> None:
    simulator.script([Reply(text="word " * 100, token_delay_s=0.05), "Welcome back."])
    turn = {"agent": "assistant", "text": "Tell me much", "thread_id": "left"}
    async with client.stream("POST", "/api/turns", json=turn) as answer:
        async for line in answer.aiter_lines():
            if json.loads(line)["type"] == "token":
                break
    deadline = time.monotonic() + 60
    again = {"agent": "assistant", "text": None, "thread_id": "left"}
    while True:  # the server hears of it a moment later
        last = json.loads((await client.post("/api/turns", json=again)).text.splitlines()[-1])
        if last["type"] == "reply" or time.monotonic() > deadline:
            break
    assert last["answer"] == "Welcome back."


async def test_two_servers_answer_a_thread_one_after_the_other(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    simulator.script([Reply(text="First.", delay_s=0.5), "Second."])
    servers = [Service(simulator_settings) for _ in range(2)]

    async def answer(server: Service, text: str) -> str:
        events = server.events("assistant", text, thread="both", context={})
        return [event async for event in events][-1]["answer"]

    try:
        first = asyncio.create_task(answer(servers[0], "One?"))
        await asked(simulator)
        assert await answer(servers[1], "Two?") == "Second."
        assert await first == "First."
        kept = await servers[1].state("assistant", "both", context={})
        assert [m.text for m in kept["messages"]] == ["One?", "First.", "Two?", "Second."]
    finally:
        for server in servers:
            await server.aclose()


async def test_a_turn_fails_where_it_is_read() -> None:
    async def source(turn: RunningTurn) -> Any:
        yield {"type": "token"}
        raise ValueError("at the end")

    ended = []
    turn = RunningTurn(source, beat_s=5, ended=lambda: ended.append(1))
    events = turn.events()
    assert await anext(events) == {"type": "token"}
    with pytest.raises(ValueError, match="at the end"):
        await anext(events)
    assert ended == [1]


def deaf_source(heard: list[str]) -> Any:
    """Events of a turn that swallows its first cancellation, as `asyncio.wait_for` can."""

    async def source(turn: RunningTurn) -> Any:
        yield {"type": "token"}
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            heard.append("swallowed")
        yield {"type": "token"}
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            heard.append("ended")
            turn.go_on()
        yield {"type": "stopped"}

    return source


async def test_a_stop_that_was_swallowed_is_said_again() -> None:
    heard: list[str] = []
    turn = RunningTurn(deaf_source(heard), beat_s=60, ended=lambda: None)
    events = turn.events()
    assert await anext(events) == {"type": "token"}
    turn.stop("person")
    assert [event["type"] async for event in events] == ["token", "stopped"]
    assert heard == ["swallowed", "ended"]


async def test_a_turn_whose_reader_went_away_ends_though_it_swallowed_that() -> None:
    heard: list[str] = []
    over = asyncio.Event()
    turn = RunningTurn(deaf_source(heard), beat_s=60, ended=over.set)
    events = turn.events()
    await anext(events)
    await events.aclose()
    await over.wait()
    assert heard == ["swallowed", "ended"]


async def test_closing_waits_for_no_turn_for_ever() -> None:
    async def deaf(turn: RunningTurn) -> Any:
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        yield {"type": "reply"}

    over = asyncio.Event()
    turn = RunningTurn(deaf, beat_s=60, ended=over.set)
    await asyncio.sleep(0)
    await turn.end(patience_s=0.01)
    assert over.is_set()
