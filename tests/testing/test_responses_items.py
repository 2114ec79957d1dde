"""The Responses API without a store: sealed reasoning items, replayed, refused, streamed."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import BadRequestError
from pydantic import BaseModel

from allotrope.testing import ProviderSimulator, Reply, ToolCall

SEALED = {"store": False, "include": ["reasoning.encrypted_content"]}
Builder = Callable[..., ChatOpenAI]


class City(BaseModel):
    """A city."""

    name: str


def ask(sim: ProviderSimulator, key: str = "sk-x", **body: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    fields = {"model": "gpt-6.1-sol", "input": "hi", **body}
    return httpx.post(f"{sim.openai_url}/responses", json=fields, headers=headers, verify=False)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_sealed_items_are_replayed_within_the_model(sim: ProviderSimulator) -> None:
    output = ask(sim, **SEALED).json()["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]
    assert output[0]["encrypted_content"].startswith("gAAAAA")
    again = ask(sim, input=[user("hi"), *output, user("more")], **SEALED)
    assert again.status_code == 200
    assert [turn.text for turn in sim.requests[-1].asked.turns] == ["hi", "Echo: hi", "more"]
    plain = ask(sim, store=False).json()["output"][0]
    assert "encrypted_content" not in plain


@pytest.mark.parametrize("who", ["model", "account", "provider", "broken"])
def test_sealed_items_are_refused_by_everybody_else(sim: ProviderSimulator, who: str) -> None:
    output = ask(sim, **SEALED).json()["output"]
    given = [user("hi"), *output, user("more")]
    if who == "model":
        refused = ask(sim, model="gpt-6.2-sol", input=given, **SEALED)
    elif who == "account":
        refused = ask(sim, key="sk-other", input=given, **SEALED)
    elif who == "provider":
        with ProviderSimulator() as other:
            refused = ask(other, input=given, **SEALED)
    else:
        output[0]["encrypted_content"] = "gAAAAABnonsense"
        refused = ask(sim, input=given, **SEALED)
    assert refused.status_code == 400
    assert refused.json()["error"] == {
        "message": f"The encrypted content for item {output[0]['id']} could not be verified. "
        "Reason: Encrypted content could not be decrypted or parsed.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_encrypted_content",
    }
    stripped = [item for item in given if item.get("type") != "reasoning"]
    assert ask(sim, model="gpt-6.2-sol", input=stripped, **SEALED).status_code == 200


def test_the_snapshot_and_its_alias_are_one_model(sim: ProviderSimulator) -> None:
    output = ask(sim, model="o3", **SEALED).json()["output"]
    given = [user("hi"), *output, user("more")]
    assert ask(sim, model="o3-2025-04-16", input=given, **SEALED).status_code == 200


def test_an_item_nobody_kept_is_not_found(sim: ProviderSimulator) -> None:
    output = ask(sim, store=False).json()["output"]
    refused = ask(sim, input=[user("hi"), *output, user("more")], store=False)
    assert refused.status_code == 404
    error = refused.json()["error"]
    assert error["message"].startswith(
        f"Item with id '{output[0]['id']}' not found. Items are not persisted when `store` is set"
    )
    assert error["param"] == "input"
    kept = ask(sim).json()["output"]
    assert ask(sim, input=[user("hi"), *kept, user("more")]).status_code == 200
    references = [{"type": "item_reference", "id": item["id"]} for item in kept]
    assert ask(sim, input=[user("hi"), *references, user("more")]).status_code == 200
    assert sim.requests[-1].asked.turns[1].text == "Echo: hi"
    assert ask(sim, key="sk-other", input=[*references, user("x")]).status_code == 404


def test_reasoning_and_what_follows_it_stay_together(sim: ProviderSimulator) -> None:
    reasoning, message = ask(sim).json()["output"]
    alone = ask(sim, input=[user("hi"), reasoning, user("more")]).json()["error"]["message"]
    assert alone == (
        f"Item '{reasoning['id']}' of type 'reasoning' was provided without its required "
        "following item."
    )
    torn = ask(sim, input=[user("hi"), message, user("more")]).json()["error"]["message"]
    assert torn == (
        f"Item '{message['id']}' of type 'message' was provided without its required 'reasoning' "
        f"item: '{reasoning['id']}'."
    )


def test_streams_carry_the_same_items(sim: ProviderSimulator) -> None:
    body = {**SEALED, "reasoning": {"effort": "low", "summary": "auto"}}
    streamed = events(ask(sim, stream=True, **body))
    done = [e["item"] for e in streamed if e["type"] == "response.output_item.done"]
    final = streamed[-1]
    assert final["type"] == "response.completed"
    assert done == final["response"]["output"]
    assert done[0]["encrypted_content"].startswith("gAAAAA")
    assert done[0]["summary"][0]["type"] == "summary_text"
    assert final["response"]["reasoning"] == {"effort": "low", "summary": "auto"}
    assert [e["sequence_number"] for e in streamed] == list(range(len(streamed)))
    replayed = ask(sim, input=[user("hi"), *done, user("more")], **SEALED)
    assert replayed.status_code == 200


def test_efforts_spend_hidden_tokens(sim: ProviderSimulator) -> None:
    def hidden(**body: Any) -> int:
        usage = ask(sim, **body).json()["usage"]
        return int(usage["output_tokens_details"]["reasoning_tokens"])

    model = "gpt-6.1-terra"
    efforts = ("none", "low", "medium", "high", "xhigh", "max")
    spent = [hidden(model=model, reasoning={"effort": effort}) for effort in efforts]
    assert spent == [0, 32, 64, 128, 256, 512]
    assert hidden(model=model) == 64
    assert hidden(model="gpt-5.2") == 0  # its default is none
    quiet = ask(sim, model=model, reasoning={"effort": "none"}).json()
    assert [item["type"] for item in quiet["output"]] == ["message"]


def test_cut_refused_and_filtered(sim: ProviderSimulator) -> None:
    cut = ask(sim, input="one two three", max_output_tokens=66).json()
    assert (cut["status"], cut["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert cut["output"][1]["content"][0]["text"] == "Echo: one "
    streamed = events(ask(sim, input="one two three", max_output_tokens=66, stream=True))
    assert streamed[-1]["type"] == "response.incomplete"
    sim.script([Reply(refusal="I won't."), Reply(refusal="I won't.")])
    part = ask(sim).json()["output"][1]["content"][0]
    assert part == {"type": "refusal", "refusal": "I won't."}
    assert "response.refusal.done" in [e["type"] for e in events(ask(sim, stream=True))]


def test_tool_calls_and_outputs_must_pair(sim: ProviderSimulator) -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "ok"}
    assert ask(sim, input=[user("hi"), call, output]).status_code == 200
    for given, words in (
        ([user("hi"), call], "No tool output found for function call call_1."),
        ([user("hi"), output], "No tool call found for function call output with call_id call_1."),
    ):
        refused = ask(sim, input=given)
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, words)
    sim.script([Reply(tool_calls=(ToolCall("f", {}, id="call_2"),))])
    first = ask(sim).json()["id"]
    assert ask(sim, previous_response_id=first).status_code == 400
    late = {**output, "call_id": "call_2"}
    assert ask(sim, input=[late], previous_response_id=first).status_code == 200


def test_json_mode_wants_the_word(sim: ProviderSimulator) -> None:
    wanted = {"text": {"format": {"type": "json_object"}}}
    assert ask(sim, **wanted).json()["error"]["param"] == "input"
    assert ask(sim, input="give me JSON", **wanted).status_code == 200


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_langchain_replays_a_tool_turn_statelessly(
    sim: ProviderSimulator, openai_chat: Builder, stream: bool
) -> None:
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    fields = {
        "use_responses_api": True,
        "output_version": "responses/v1",
        "reasoning": {"effort": "low"},
        **SEALED,
    }
    model = openai_chat(model="gpt-6.1-sol", **fields).bind_tools([add])
    sim.script([Reply(tool_calls=(ToolCall("add", {"a": 1, "b": 2}, id="call_1"),))])
    question = HumanMessage("1+2?")
    called: Any = None
    if stream:
        for chunk in model.stream([question]):
            called = chunk if called is None else called + chunk
    else:
        called = model.invoke([question])
    history = [question, called, ToolMessage("3", tool_call_id="call_1")]
    assert model.invoke(history).text == "The tool said: 3"
    sent = sim.requests[-1].body["input"]
    assert [item["type"] for item in sent if "type" in item and item["type"] != "message"] == [
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    other = openai_chat(model="gpt-6.2-sol", **fields).bind_tools([add])
    with pytest.raises(BadRequestError) as caught:
        other.invoke(history)
    assert caught.value.code == "invalid_encrypted_content"


def test_schema_and_image_through_langchain(sim: ProviderSimulator, openai_chat: Builder) -> None:
    model = openai_chat(model="gpt-6.2-sol", use_responses_api=True)
    city = model.with_structured_output(City, method="json_schema").invoke("name 'Rome'")
    assert city == City(name="Rome")
    assert sim.requests[-1].body["text"]["format"]["type"] == "json_schema"
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    seen = model.invoke([HumanMessage([{"type": "text", "text": "look"}, image])])
    assert seen.text == "Echo: look"
    assert seen.usage_metadata is not None
    assert seen.usage_metadata["input_tokens"] == 3 + 4 + 1 + 255
