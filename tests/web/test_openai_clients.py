"""What clients of OpenAI's API send and expect beyond the plain question."""

import json
from typing import Any

import httpx
import openai
import pytest

from allotrope.testing import ProviderSimulator, Reply

TOOL = {"type": "function", "function": {"name": "search_notes", "parameters": {"type": "object"}}}


@pytest.fixture
def client(served: str) -> Any:
    with httpx.Client(base_url=f"{served}/v1", timeout=60) as made:
        yield made


def ask(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    messages = [{"role": role, "content": content} for role, content in turns]
    return {"model": "assistant", "messages": messages, **more}


def streamed(client: httpx.Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """The text of a streamed answer, its finish reason, and our part of its last chunk."""
    with client.stream(
        "POST", "/chat/completions", json={**body, "stream": True}, headers=headers
    ) as answer:
        assert answer.status_code == 200, answer.read()
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: {")]
    chunks = [json.loads(line) for line in lines]
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    return {
        "text": "".join(choice["delta"].get("content") or "" for choice in choices),
        "finish": choices[-1]["finish_reason"],
        "ours": next(
            c["allotrope"] for c in reversed(chunks) if "cached" in c.get("allotrope", {})
        ),
        "headers": answer.headers,
    }


def plain(client: httpx.Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = client.post("/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    return {
        "text": choice["message"]["content"],
        "finish": choice["finish_reason"],
        "ours": answer.json()["allotrope"],
        "headers": answer.headers,
    }


@pytest.mark.parametrize("get", [plain, streamed])
def test_an_answer_that_the_limit_cut_off_says_so(
    get: Any, client: httpx.Client, simulator: ProviderSimulator
) -> None:
    simulator.script([Reply(text="It was a dark and", finish_reason="length"), "Whole."])
    assert get(client, ask(("user", "A story")))["finish"] == "length"
    assert get(client, ask(("user", "Another")))["finish"] == "stop"


@pytest.mark.parametrize("get", [plain, streamed])
def test_what_is_ignored_is_named(
    get: Any, client: httpx.Client, simulator: ProviderSimulator
) -> None:
    simulator.script(["Fine."])
    body = ask(
        ("user", "Hello"), tools=[TOOL] * 20, tool_choice="auto", temperature=0.1, top_k=None
    )
    answer = get(client, body)
    assert answer["text"] == "Fine."
    assert answer["ours"]["ignored"] == ["temperature", "tool_choice", "tools"]
    assert answer["headers"]["x-allotrope-ignored"] == "temperature, tool_choice, tools"
    sent = {tool["function"]["name"] for tool in simulator.chats()[-1].body.get("tools", [])}
    assert "search_notes" not in sent


def test_the_log_names_what_is_ignored_once(
    client: httpx.Client, simulator: ProviderSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "allotrope.web")
    simulator.script(["One.", "Two."])
    for text in ("one", "two"):
        plain(client, ask(("user", text), a_new_parameter=1))
    assert caplog.text.count("a_new_parameter") == 1


def test_continue_response_goes_on(client: httpx.Client, simulator: ProviderSimulator) -> None:
    simulator.script(["Once upon a", "time."])
    first = plain(client, ask(("user", "Tell")))
    again = plain(client, ask(("user", "Tell"), ("assistant", "Once upon a")))
    assert again["text"] == "time."
    assert again["ours"]["thread_id"] == first["ours"]["thread_id"]
    prompt = [(turn.role, turn.text) for turn in simulator.chats()[-1].asked.turns]
    assert ("assistant", "Once upon a") in prompt
    assert prompt[-1][1].startswith("Go on")


def test_a_reminder_of_the_system_after_the_question_isnt_the_question(
    client: httpx.Client, simulator: ProviderSimulator
) -> None:
    simulator.script(["Short."])
    assert plain(client, ask(("user", "Tell"), ("system", "Be short.")))["text"] == "Short."
    prompt = [(turn.role, turn.text) for turn in simulator.chats()[-1].asked.turns]
    assert prompt[-1] == ("user", "Tell")
    assert any("Be short." in text for _, text in prompt)


def test_a_picture_earlier_in_the_history_doesnt_end_the_conversation(
    client: httpx.Client, simulator: ProviderSimulator
) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    seen = [{"type": "text", "text": "What is this?"}, picture]
    simulator.script(["Grey."])
    turns = ask(("user", seen), ("assistant", "A cat."), ("user", "Of which colour?"))
    assert plain(client, turns)["text"] == "Grey."
    prompt = [turn.text for turn in simulator.chats()[-1].asked.turns]
    assert any("[image_url left out]" in text for text in prompt)
    refused = client.post("/chat/completions", json=ask(("user", seen)))
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "unsupported_content"


REFUSED = [
    ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"n": 2}, "n"),
    ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
    (
        {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": None},
                {"role": "tool", "content": "3", "tool_call_id": "1"},
            ]
        },
        "messages",
    ),
]


@pytest.mark.parametrize(("change", "param"), REFUSED)
def test_what_cant_be_had_is_refused_by_name(
    client: httpx.Client, simulator: ProviderSimulator, change: dict[str, Any], param: str
) -> None:
    answer = client.post("/chat/completions", json={**ask(("user", "Hi")), **change})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert not simulator.chats()


def test_what_says_nothing_is_taken(client: httpx.Client, simulator: ProviderSimulator) -> None:
    simulator.script(["Yes."])
    body = ask(("user", "Hi"), n=1, logprobs=False, tools=[], response_format={"type": "text"})
    assert plain(client, body)["text"] == "Yes."


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/completions", "/nowhere"])
def test_unknown_addresses_answer_in_openais_shape(served: str, path: str) -> None:
    answer = httpx.post(served + path, json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_url"
    assert f"POST {path}" in answer.json()["error"]["message"]
    with (
        openai.OpenAI(base_url=f"{served}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.NotFoundError) as caught,
    ):
        client.embeddings.create(model="assistant", input="x")
    assert caught.value.code == "unknown_url"


def test_a_wrong_method_answers_in_openais_shape(served: str) -> None:
    answer = httpx.get(f"{served}/v1/chat/completions")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["error"]["code"] == "method_not_supported"


def test_regenerate_asks_anew_and_a_program_gets_the_kept_answer(
    client: httpx.Client, simulator: ProviderSimulator
) -> None:
    simulator.script(["Blue.", "Green.", "Red."])
    body = ask(("user", "Name a colour."))
    assert streamed(client, body)["text"] == "Blue."
    assert plain(client, body)["ours"]["cached"] == "exact"
    again = streamed(client, body)
    assert (again["text"], again["ours"]["cached"]) == ("Green.", None)
    assert streamed(client, body)["text"] == "Red."
    kept = streamed(client, {**body, "allotrope": {"cache": "use"}})
    assert (kept["text"], kept["ours"]["cached"]) == ("Red.", "exact")


def test_another_chat_of_the_interface_gets_the_kept_answer(
    client: httpx.Client, simulator: ProviderSimulator
) -> None:
    simulator.script(["Blue.", "Green."])
    body = ask(("user", "Name a colour!"))
    assert streamed(client, body, **{"x-openwebui-chat-id": "a"})["text"] == "Blue."
    assert streamed(client, body, **{"x-openwebui-chat-id": "b"})["ours"]["cached"] == "exact"
    assert streamed(client, body, **{"x-openwebui-chat-id": "a"})["text"] == "Green."


def test_http_s_own_header_goes_past_the_cache(
    client: httpx.Client, simulator: ProviderSimulator
) -> None:
    simulator.script(["Blue.", "Green."])
    body = ask(("user", "Name one colour."))
    assert plain(client, body)["text"] == "Blue."
    assert plain(client, body, **{"cache-control": "no-cache"})["text"] == "Green."
    assert plain(client, body)["text"] == "Green."
