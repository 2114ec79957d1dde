"""The simulator as real clients see it: plain, streamed, tools, schemas, usage, refusals."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import BadRequestError
from pydantic import BaseModel

from allotrope.exceptions import InputError
from allotrope.testing import ProviderSimulator, Reply, SimRequest, ToolCall

OpenAIBuilder = Callable[..., ChatOpenAI]
OllamaBuilder = Callable[..., ChatOllama]


class Joke(BaseModel):
    """A joke."""

    setup: str
    score: int


def get_weather(location: str) -> str:
    """Tells the weather."""
    return f"sunny in {location}"


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_openai_plain_and_streamed_say_the_same(
    sim: ProviderSimulator, openai_chat: OpenAIBuilder, responses: bool
) -> None:
    model = openai_chat(use_responses_api=responses, stream_usage=True)
    plain = model.invoke("hello world")
    chunks = list(model.stream("hello world"))
    streamed = chunks[0]
    for chunk in chunks[1:]:
        streamed += chunk
    assert plain.text == streamed.text == "Echo: hello world"
    assert len([chunk for chunk in chunks if chunk.text]) == 3
    assert plain.usage_metadata is not None
    assert plain.usage_metadata["output_token_details"]["reasoning"] == 64
    assert streamed.usage_metadata is not None
    assert streamed.usage_metadata["total_tokens"] == plain.usage_metadata["total_tokens"]
    assert plain.response_metadata["model_name"] == "o3-2025-04-16"
    assert [r.api for r in sim.requests] == ["responses" if responses else "chat"] * 2
    assert [r.stream for r in sim.requests] == [False, True]


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
async def test_openai_async(
    sim: ProviderSimulator, openai_chat: OpenAIBuilder, responses: bool
) -> None:
    model = openai_chat(use_responses_api=responses)
    assert (await model.ainvoke("hi")).text == "Echo: hi"
    assert "".join([c.text async for c in model.astream("hi")]) == "Echo: hi"


async def test_ollama_all_four_ways(sim: ProviderSimulator, ollama_chat: OllamaBuilder) -> None:
    model = ollama_chat(num_ctx=2048)
    plain = model.invoke("hi")
    assert plain.content == "Echo: hi"
    assert plain.usage_metadata is not None
    assert plain.usage_metadata["output_tokens"] == 2
    assert "".join(str(c.content) for c in model.stream("hi")) == "Echo: hi"
    assert (await model.ainvoke("hi")).content == "Echo: hi"
    assert "".join([str(c.content) async for c in model.astream("hi")]) == "Echo: hi"
    assert sim.requests[0].body["options"]["num_ctx"] == 2048


def test_usage_comes_in_streams_only_when_asked(
    sim: ProviderSimulator, openai_chat: OpenAIBuilder
) -> None:
    usages = [c.usage_metadata for c in openai_chat(stream_usage=False).stream("hi")]
    assert not any(usages)
    assert any(c.usage_metadata for c in openai_chat(stream_usage=True).stream("hi"))


@pytest.mark.parametrize("api", ["chat", "responses", "ollama"])
def test_tools_and_schemas(
    sim: ProviderSimulator, openai_chat: OpenAIBuilder, api: str, ollama_chat: OllamaBuilder
) -> None:
    model = ollama_chat() if api == "ollama" else openai_chat(use_responses_api=api == "responses")
    called = model.bind_tools([get_weather]).invoke("What is the weather in Rome?")
    assert [call["name"] for call in called.tool_calls] == ["get_weather"]
    assert called.tool_calls[0]["args"] == {"location": "location"}
    assert model.with_structured_output(Joke).invoke("rate it 7") == Joke(setup="setup", score=7)


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_scripted_tool_calls_stream_in_pieces(
    sim: ProviderSimulator, openai_chat: OpenAIBuilder, responses: bool
) -> None:
    arguments = {"location": "Ulan Bator, 第二區"}
    sim.script([Reply(tool_calls=(ToolCall("get_weather", arguments),))])
    model = openai_chat(use_responses_api=responses).bind_tools([get_weather])
    chunks = list(model.stream("go"))
    assert sum(len(chunk.tool_call_chunks) for chunk in chunks) > 2
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.tool_calls[0]["args"] == arguments


def test_script_match_and_callable(
    sim: ProviderSimulator, openai_chat: OpenAIBuilder, ollama_chat: OllamaBuilder
) -> None:
    seen: list[SimRequest] = []

    def remember(request: SimRequest) -> str:
        seen.append(request)
        return "from the callable"

    sim.when("capital", "Paris")
    sim.when(re.compile(r"^\d+$"), "a number")
    sim.script(["first", remember])
    sim.script(["ollama's own"], provider="ollama")
    model, local = openai_chat(), ollama_chat()
    asked = ["x", "the capital?", "42", "y", "z"]
    answers = [model.invoke(text).content for text in asked]
    assert answers == ["first", "Paris", "a number", "from the callable", "Echo: z"]
    assert local.invoke("x").content == "ollama's own"
    assert [request.text for request in seen] == ["y"]


def test_records_without_the_key(sim: ProviderSimulator, openai_chat: OpenAIBuilder) -> None:
    openai_chat(api_key="sk-very-secret").invoke("hi")
    [request] = sim.requests
    assert "sk-very-secret" not in repr(request)
    deadline = time.monotonic() + 60  # the record ends just after the client has the last byte
    while not request.finished and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (request.number, request.status, request.finished) == (1, 200, True)
    assert request.body["messages"][-1]["content"] == "hi"


@pytest.mark.parametrize(
    ("model", "options", "code", "param"),
    [
        ("o3", {"temperature": 0.2}, "unsupported_value", "temperature"),
        ("o3-mini", {"temperature": 0.2}, "unsupported_parameter", "temperature"),
        ("o3", {"top_p": 0.5}, "unsupported_parameter", "top_p"),
        ("o3", {"max_tokens": 9}, "unsupported_parameter", "max_tokens"),
        ("o3", {"presence_penalty": 1}, "unsupported_parameter", "presence_penalty"),
        ("o3", {"logprobs": True}, "unsupported_parameter", "logprobs"),
        ("o3", {"stop": ["x"]}, "unsupported_parameter", "stop"),
        ("o3", {"parallel_tool_calls": False}, "unsupported_parameter", "parallel_tool_calls"),
        ("o3", {"reasoning_effort": "minimal"}, "unsupported_value", "reasoning_effort"),
        ("o3", {"reasoning_effort": "huge"}, "invalid_value", "reasoning_effort"),
        ("gpt-4.1", {"reasoning_effort": "low"}, None, None),
        ("o3", {"num_ctx": 8192}, None, None),
    ],
)
def test_models_refuse_what_the_real_ones_refuse(
    sim: ProviderSimulator, model: str, options: dict[str, object], code: str, param: str
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **options}
    response = post(sim, body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    allowed = {"temperature": 0.2, "top_p": 0.5, "max_tokens": 9, "stop": ["x"]}
    if model == "o3" and set(options) <= set(allowed):
        assert post(sim, {**body, "model": "gpt-4.1"}).status_code == 200


def post(sim: ProviderSimulator, body: dict[str, object], key: str = "sk-x") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{sim.openai_url}/chat/completions", json=body, headers=headers)


def test_tool_messages_must_pair(sim: ProviderSimulator) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    user, assistant = {"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "ok"}
    cases = {
        200: [[user, assistant, result], [user, assistant, result, user]],
        400: [[user, result], [user, assistant], [user, assistant, user], []],
    }
    for status, conversations in cases.items():
        for messages in conversations:
            response = post(sim, {"model": "o3", "messages": messages})
            assert response.status_code == status, messages


def test_real_context_overflow(sim: ProviderSimulator, openai_chat: OpenAIBuilder) -> None:
    with pytest.raises(BadRequestError) as caught:
        openai_chat().invoke("word " * 200_000)
    assert caught.value.code == "context_length_exceeded"


def test_length_limit_spends_hidden_tokens_first(
    sim: ProviderSimulator, openai_chat: OpenAIBuilder
) -> None:
    text = "one two three four five"
    short = openai_chat(max_completion_tokens=66).invoke(text)
    assert short.content == "Echo: one "
    assert short.response_metadata["finish_reason"] == "length"
    assert openai_chat(max_completion_tokens=10).invoke(text).content == ""
    low = openai_chat(reasoning_effort="low").invoke(text)
    assert low.usage_metadata is not None
    assert low.usage_metadata["output_token_details"]["reasoning"] == 32


def test_keys_models_and_headers(sim: ProviderSimulator) -> None:
    body = {"model": "o3", "messages": [{"role": "user", "content": "hi"}]}
    good = post(sim, body)
    assert good.headers["x-request-id"].startswith("req_")
    assert good.headers["x-ratelimit-limit-requests"] == "10000"
    assert post(sim, body, key="").status_code == 401
    assert post(sim, {**body, "model": "gpt-99"}).json()["error"]["code"] == "model_not_found"
    with ProviderSimulator(keys=["sk-good"], models=["my-model"]) as own:
        assert post(own, body, key="sk-bad-key-0000").json()["error"]["code"] == "invalid_api_key"
        assert "bad-key" not in post(own, body, key="sk-bad-key-0000").text
        assert post(own, {**body, "model": "my-model"}, key="sk-good").status_code == 200
    ids = {m["id"] for m in httpx.get(f"{sim.openai_url}/models", headers=auth()).json()["data"]}
    assert {"o3", "o3-2025-04-16", "text-embedding-3-small"} <= ids


def auth() -> dict[str, str]:
    return {"authorization": "Bearer sk-x"}


def test_embeddings_are_deterministic_and_sensible(sim: ProviderSimulator) -> None:
    model = OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=sim.openai_url,
        api_key="sk-x",  # type: ignore[arg-type]  # pydantic makes it a secret
        check_embedding_ctx_length=False,
    )
    near, far, same = model.embed_documents(["red big car", "quantum field", "big red car"])
    assert len(near) == 1536
    assert near == pytest.approx(same, abs=1e-6)
    assert sum(a * b for a, b in zip(near, far, strict=True)) < 0.5
    response = httpx.post(
        f"{sim.ollama_url}/api/embed", json={"model": "nomic-embed-text", "input": ["a", "b"]}
    )
    assert [len(vector) for vector in response.json()["embeddings"]] == [768, 768]


def test_ollama_client_sees_its_models(sim: ProviderSimulator) -> None:
    import ollama

    client = ollama.Client(host=sim.ollama_url)
    try:
        assert client.list().models[0].model == "llama3.1:latest"
        info = client.show("llama3.1").modelinfo
        assert info is not None
        assert info["llama.context_length"] == 131_072
        steps = [step.status for step in client.pull("qwen3", stream=True)]
        assert steps[-1] == "success"
        assert client.show("qwen3").capabilities == ["completion", "tools"]
        with pytest.raises(ollama.ResponseError, match="not found"):
            client.chat("unheard-of", [{"role": "user", "content": "hi"}])
    finally:
        client.close()


def test_ollama_cuts_long_prompts_silently(
    sim: ProviderSimulator, ollama_chat: OllamaBuilder
) -> None:
    model = ollama_chat(num_ctx=512)
    usage = model.invoke("word " * 4000).usage_metadata
    assert usage is not None
    assert usage["input_tokens"] == 512


def test_responses_remember_the_previous_one(sim: ProviderSimulator) -> None:
    url = f"{sim.openai_url}/responses"
    first = httpx.post(url, json={"model": "o3", "input": "I am Ada"}, headers=auth()).json()
    more = {"model": "o3", "input": "who am I?", "previous_response_id": first["id"]}
    httpx.post(url, json=more, headers=auth()).raise_for_status()
    assert [t.text for t in sim.requests[-1].asked.turns] == [
        "I am Ada",
        "Echo: I am Ada",
        "who am I?",
    ]
    lost = httpx.post(url, json={**more, "previous_response_id": "resp_0"}, headers=auth())
    assert lost.json()["error"]["code"] == "previous_response_not_found"


def test_passes_on_to_a_real_server(sim: ProviderSimulator, ollama_chat: OllamaBuilder) -> None:
    sim.script([Reply("from behind", input_tokens=11, output_tokens=7)])
    with ProviderSimulator(upstream=sim.openai_url, upstream_model="gpt-4.1") as front:
        answer = ollama_chat(base_url=front.ollama_url).invoke("hi")
    assert answer.content == "from behind"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 18
    assert sim.requests[-1].body["messages"] == [{"role": "user", "content": "hi"}]


def test_another_process_reaches_it(sim: ProviderSimulator) -> None:
    code = (
        "import httpx, os\n"
        "url = os.environ['OPENAI_BASE_URL'] + '/models'\n"
        "key = {'authorization': 'Bearer ' + os.environ['OPENAI_API_KEY']}\n"
        "print(httpx.get(url, headers=key).status_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=sim.environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "200", done.stderr
    assert len(sim.requests) == 1


def test_a_taken_port_is_one_clear_sentence(sim: ProviderSimulator) -> None:
    port = int(sim.openai_url.split(":")[2].removesuffix("/v1"))
    with pytest.raises(InputError, match=f"can't listen on 127.0.0.1.*{port}.*another port"):
        ProviderSimulator(port=port).start()


def test_a_broken_script_reaches_the_client(sim: ProviderSimulator) -> None:
    sim.when("hi", lambda request: json.loads("{"))
    body = {"model": "o3", "messages": [{"role": "user", "content": "hi"}]}
    response = post(sim, body)
    assert response.status_code == 500
    assert "JSONDecodeError" in response.text
