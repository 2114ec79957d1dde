"""The endpoint, as the official `openai` client sees it."""

import json
from datetime import date

import httpx
import openai
import pytest
from tests.web.conftest import running

from allotrope.settings import Settings
from allotrope.testing import Fault, ProviderSimulator
from allotrope.testing import Reply as Said
from allotrope.web.apps import serve_app
from allotrope.web.chat.sharing import Sharing


@pytest.fixture
def client(served: str) -> openai.OpenAI:
    with openai.OpenAI(base_url=f"{served}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_an_answer_has_text_usage_and_provenance(
    client: openai.OpenAI, simulator: ProviderSimulator
) -> None:
    simulator.script(["Paris."])
    answer = client.chat.completions.create(
        model="assistant",
        messages=[{"role": "user", "content": "Capital of France?"}],
        temperature=0.2,
        user="ann",
    )
    assert answer.choices[0].message.content == "Paris."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model == "assistant"
    ours = answer.model_extra["allotrope"]
    assert (ours["provider"], ours["cached"], ours["degraded"]) == ("openai", None, None)
    assert ours["model"].startswith("o3")
    assert ours["ignored"] == ["temperature"]


def test_a_history_goes_on_in_its_thread_and_an_unknown_one_is_taken_along(
    client: openai.OpenAI, simulator: ProviderSimulator
) -> None:
    simulator.script(["Hello Ann.", "You are Ann.", "Ben, of course."])
    turns = [{"role": "user", "content": "I am Ann."}]
    first = client.chat.completions.create(model="assistant", messages=turns)
    turns += [
        {"role": "assistant", "content": "Hello Ann."},
        {"role": "user", "content": "Who am I?"},
    ]
    second = client.chat.completions.create(model="assistant", messages=turns)
    threads = [answer.model_extra["allotrope"]["thread_id"] for answer in (first, second)]
    assert threads[0] == threads[1]
    third = client.chat.completions.create(
        model="assistant",
        messages=[
            {"role": "system", "content": "Answer in one line."},
            {"role": "user", "content": "I am Ben."},
            {"role": "assistant", "content": "Hello Ben."},
            {"role": "user", "content": [{"type": "text", "text": "Who am I?"}]},
        ],
    )
    assert third.choices[0].message.content == "Ben, of course."
    assert third.model_extra["allotrope"]["thread_id"] not in threads
    asked = [(turn.role, turn.text) for turn in simulator.chats()[-1].asked.turns]
    assert ("user", "I am Ben.") in asked
    assert ("assistant", "Hello Ben.") in asked
    assert any("Answer in one line." in text for _, text in asked)


def test_a_named_thread_keeps_the_history_itself(
    client: openai.OpenAI, simulator: ProviderSimulator
) -> None:
    simulator.script(["Noted.", "Blue."])
    for text in ("My colour is blue.", "Which is my colour?"):
        answer = client.chat.completions.create(
            model="assistant",
            messages=[{"role": "user", "content": text}],
            extra_headers={"X-Allotrope-Thread": "colours"},
        )
    assert answer.choices[0].message.content == "Blue."
    assert "My colour is blue." in [turn.text for turn in simulator.chats()[-1].asked.turns]


def test_a_stream_arrives_in_pieces_with_usage_last(
    client: openai.OpenAI, simulator: ProviderSimulator
) -> None:
    simulator.script(["one two three four"])
    chunks = list(
        client.chat.completions.create(
            model="assistant",
            messages=[{"role": "user", "content": "Count"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    pieces = [
        c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content
    ]
    assert "".join(pieces) == "one two three four"
    assert len(pieces) > 2
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    finish = [c for c in chunks if c.choices and c.choices[0].finish_reason == "stop"]
    assert finish[0].model_extra["allotrope"]["provider"] == "openai"


async def test_the_async_client_streams_too(served: str, simulator: ProviderSimulator) -> None:
    simulator.script(["a b c"])
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "Letters"}], stream=True
        )
        said = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        assert "".join(said) == "a b c"
        assert [model.id async for model in client.models.list()] == [
            "assistant",
            "analyst",
            "coder",
            "creative",
            "researcher",
        ]
        assert (await client.models.retrieve("coder")).owned_by == "allotrope"


def test_a_takeover_is_told(client: openai.OpenAI, simulator: ProviderSimulator) -> None:
    simulator.down("openai")
    try:
        answer = client.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "Are you there?"}]
        )
    finally:
        simulator.up("openai")
    ours = answer.model_extra["allotrope"]
    assert ours["provider"] == "ollama"
    assert "can't be reached" in ours["degraded"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_up_is_a_503_and_the_question_is_kept(
    client: openai.OpenAI, served: str, simulator: ProviderSimulator, stream: bool
) -> None:
    simulator.down("openai")
    simulator.down("ollama")
    try:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(
                model="assistant",
                messages=[{"role": "user", "content": "Anybody?"}],
                stream=stream,
                extra_body={"allotrope": {"thread_id": "kept"}},
            )
    finally:
        simulator.up("openai")
        simulator.up("ollama")
    assert caught.value.status_code == 503
    assert caught.value.code == "no_model_available"
    assert "No model can answer now" in caught.value.message
    kept = httpx.get(f"{served}/api/threads/kept").json()
    assert [message["text"] for message in kept["messages"]] == ["Anybody?"]
    assert kept["waits"] is True


def test_a_stream_that_breaks_says_so_and_ends_whole(
    client: openai.OpenAI, simulator: ProviderSimulator
) -> None:
    simulator.script([Fault(kind="cut", after_tokens=2)], provider="openai")
    text = ""
    last = None
    for chunk in client.chat.completions.create(
        model="assistant", messages=[{"role": "user", "content": "Tell me a story"}], stream=True
    ):
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            last = chunk
    assert last is not None
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra["allotrope"]["degraded"] or "begins again" in text


BAD = [
    ({"messages": []}, 400, "messages"),
    ({"model": "gpt-9"}, 404, "model"),
    ({"messages": [{"role": "user", "content": "  "}]}, 400, None),
    ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages"),
    ({"n": 2}, 400, "n"),
    ({"response_format": {"type": "json_object"}}, 400, "response_format"),
    ({"allotrope": {"thread": "x"}}, 400, "allotrope.thread"),
    ({"allotrope": {"thread_id": "../etc"}}, 400, None),
    ({"allotrope": {"profile": "nonesuch"}}, 400, None),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        400,
        "messages[0].content",
    ),
]


@pytest.mark.parametrize(("change", "status", "param"), BAD)
def test_bad_requests_get_openais_error_shape(
    served: str, simulator: ProviderSimulator, change: dict, status: int, param: str | None
) -> None:
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], **change}
    answer = httpx.post(f"{served}/v1/chat/completions", json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert error["message"]
    assert not simulator.chats()


def test_no_json_and_a_huge_body_are_refused(served: str) -> None:
    answer = httpx.post(f"{served}/v1/chat/completions", content=b"\xff{")
    assert answer.status_code == 400
    assert "no JSON" in answer.json()["error"]["message"]


@pytest.mark.parametrize("shared", [True, False])
async def test_conversations_are_recognised_once_and_forgotten_in_order(
    simulator_settings: Settings, shared: bool
) -> None:
    key = Sharing.key("assistant", [None], [("user", "hi"), ("assistant", " ho ")])
    assert key == Sharing.key("assistant", [None], [("user", "hi "), ("assistant", "ho")])
    assert key != Sharing.key("assistant", ["ann"], [("user", "hi"), ("assistant", "ho")])
    known, other = Sharing(simulator_settings, most=2), Sharing(simulator_settings)
    if shared:
        await known.open()
        await other.open()
    await known.ends(key, "t1")
    assert await other.goes_on(key) == ("t1" if shared else None)
    assert await known.goes_on(key) == (None if shared else "t1")
    assert await known.goes_on(key) is None
    for number in range(3):
        await known.put(str(number), "t")
    assert await known.take("0") == ("t" if shared else None)
    await known.aclose()
    await other.aclose()


@pytest.mark.parametrize("shared", [False, True])
async def test_a_history_that_two_threads_end_with_leads_to_neither(
    simulator_settings: Settings, shared: bool
) -> None:
    known = Sharing(simulator_settings)
    if shared:
        await known.open()
    await known.ends("both", "t1")
    await known.ends("both", "t1")  # the same thread, said twice
    await known.ends("both", "t2")
    assert await known.goes_on("both") is None
    await known.ends("used", "t1")
    assert await known.goes_on("used") == "t1"
    await known.ends("used", "t2")
    assert await known.goes_on("used") is None
    await known.aclose()


def test_two_turns_in_one_thread_at_once_get_a_409(
    served: str, simulator: ProviderSimulator
) -> None:
    simulator.script([Said(text="slowly " * 15, token_delay_s=0.1)])
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Slow"}]}
    headers = {"X-Allotrope-Thread": "one"}
    url = f"{served}/v1/chat/completions"
    with (
        httpx.Client(timeout=60) as client,  # one client: a second one takes long to make
        client.stream("POST", url, json={**body, "stream": True}, headers=headers) as first,
    ):
        assert first.status_code == 200
        second = client.post(url, json=body, headers=headers)
        assert second.status_code == 409
        assert second.json()["error"]["code"] == "thread_busy"
        assert "slowly" in first.read().decode()


def test_the_answer_of_a_successor_says_in_whose_place(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    simulator.script(["Paris."])
    section = simulator_settings.openai.model_copy(update={"today": date(2026, 12, 11)})
    after = simulator_settings.model_copy(update={"openai": section})
    with running(serve_app(after, host="127.0.0.1")) as base:
        body = {"model": "assistant", "messages": [{"role": "user", "content": "Capital?"}]}
        ours = httpx.post(f"{base}/v1/chat/completions", json=body).json()["allotrope"]
        assert ours["succession"] == {"from": "o3", "to": "gpt-6.1-sol", "reason": "date"}
        assert ours["repairs"] == []
        kept = httpx.get(f"{base}/api/threads/{ours['thread_id']}").json()["messages"][-1]
        told = "o3 has ended; gpt-6.1-sol answered in its place."
        assert kept["from"]["succession"]["message"] == told
        turn = {"agent": "assistant", "text": "And of Spain?", "thread_id": "after"}
        lines = httpx.post(f"{base}/api/turns", json=turn).text.splitlines()
        assert json.loads(lines[-1])["succession"]["message"] == told


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/turns"])
@pytest.mark.parametrize("depth", [150, 900, 90_000])
def test_a_deeply_nested_body_is_refused_in_a_sentence(served: str, path: str, depth: int) -> None:
    body = '{"messages": ' + "[" * depth + "]" * depth + "}"
    answer = httpx.post(f"{served}{path}", content=body, timeout=30)
    assert (answer.status_code, "levels" in answer.text) == (400, True), answer.text
