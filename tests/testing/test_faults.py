"""Each fault arrives at real clients as the exception the real outage gives, four ways."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import langchain_openai
import ollama
import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models import base as lc
from pydantic import ValidationError

from allotrope.exceptions import InputError
from allotrope.testing import KINDS, Fault, ProviderSimulator
from allotrope.testing.content.replies import SimRequest
from allotrope.testing.errors import OVERFLOW_MESSAGES
from allotrope.testing.faults import FaultPlan

PROMPT = "hello my dear friend"
WAYS = ("invoke", "ainvoke", "stream", "astream")

Arrival = tuple[type[BaseException], str | None, bool | None]
"""Exception class, `code`, `is_retryable` (None: the attribute is absent)."""

OPENAI: dict[str, Arrival] = {
    "400": (lc.OpenAIInvalidRequestError, None, False),
    "401": (lc.OpenAIAuthenticationError, "invalid_api_key", False),
    "403": (lc.OpenAIPermissionDeniedError, "model_not_found", False),
    "404": (lc.OpenAIModelNotFoundError, "model_not_found", False),
    "408": (openai.APIStatusError, None, None),
    "409": (openai.ConflictError, None, None),
    "422": (openai.UnprocessableEntityError, None, None),
    "429": (lc.OpenAIRateLimitError, "rate_limit_exceeded", True),
    "quota": (lc.OpenAIRateLimitError, "insufficient_quota", True),
    "500": (lc.OpenAIAPIError, None, True),
    "502": (lc.OpenAIAPIError, None, True),
    "503": (lc.OpenAIAPIError, "server_is_overloaded", True),
    "hang": (lc.OpenAITimeoutError, None, True),
    "stall": (lc.OpenAITimeoutError, None, True),
    "reset": (lc.OpenAIConnectionError, None, True),
    "reset_mid_stream": (lc.OpenAIConnectionError, None, True),
    "cut": (lc.OpenAIConnectionError, None, True),
    "malformed_json": (json.JSONDecodeError, None, None),
    "context_overflow": (lc.OpenAIInvalidRequestError, "context_length_exceeded", False),
    "content_policy": (lc.OpenAIInvalidRequestError, "invalid_prompt", False),
}

OLLAMA: dict[str, type[BaseException]] = {
    "404": ollama.ResponseError,
    "500": ollama.ResponseError,
    "503": ollama.ResponseError,
    "hang": httpx.ReadTimeout,
    "stall": httpx.ReadTimeout,
    "reset": httpx.ReadError,
    "cut": httpx.RemoteProtocolError,
    "sse_error": ollama.ResponseError,
    "malformed_json": json.JSONDecodeError,
    "broken_tool_call": ValidationError,
}


async def run(model: BaseChatModel, way: str) -> list[Any]:
    if way == "invoke":
        return [model.invoke(PROMPT)]
    if way == "ainvoke":
        return [await model.ainvoke(PROMPT)]
    if way == "stream":
        return list(model.stream(PROMPT))
    return [chunk async for chunk in model.astream(PROMPT)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", OPENAI)
async def test_openai(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI], kind: str, way: str
) -> None:
    expected, code, retryable = OPENAI[kind]
    sim.faults.add(kind, provider="openai")
    with pytest.raises(expected) as caught:
        await run(openai_chat(timeout=0.15), way)
    assert type(caught.value) is expected
    assert getattr(caught.value, "code", None) == code
    assert getattr(caught.value, "is_retryable", None) is retryable
    assert sim.requests[-1].fault == kind


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_an_error_event_in_the_stream(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI], way: str
) -> None:
    sim.faults.add("sse_error", after_tokens=2)
    with pytest.raises(openai.APIError, match="had an error while processing"):
        await run(openai_chat(), way)
    with pytest.raises(ValueError, match="server_error"):
        await run(openai_chat(use_responses_api=True), way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", OLLAMA)
async def test_ollama(
    sim: ProviderSimulator, ollama_chat: Callable[..., ChatOllama], kind: str, way: str
) -> None:
    sim.faults.add(kind, provider="ollama")
    with pytest.raises(OLLAMA[kind]):
        await run(ollama_chat(client_kwargs={"timeout": 0.15}), way)


def test_tokens_before_the_cut_arrive(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI]
) -> None:
    for kind in ("cut", "reset_mid_stream", "sse_error"):
        sim.reset()
        sim.faults.add(kind, after_tokens=3)
        seen: list[str] = []
        with pytest.raises(openai.APIError):
            seen.extend(str(chunk.text) for chunk in openai_chat().stream(PROMPT))
        assert "".join(seen) == "Echo: hello my ", kind


@pytest.mark.parametrize("variant", range(3))
def test_every_wording_of_an_overflow_has_the_code(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI], variant: int
) -> None:
    sim.faults.add("context_overflow", variant=variant)
    with pytest.raises(openai.BadRequestError) as caught:
        openai_chat().invoke("hi")
    assert caught.value.code == "context_length_exceeded"
    assert OVERFLOW_MESSAGES[variant][:20] in str(caught.value)
    named = isinstance(caught.value, langchain_openai.chat_models.base.OpenAIContextOverflowError)
    assert named is (variant == 1)  # langchain-openai 1.7 looks at the wording, and misses two


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_answers_that_are_no_use(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI], responses: bool
) -> None:
    model = openai_chat(use_responses_api=responses)
    for kind in ("empty", "content_filter", "broken_tool_call"):
        sim.faults.add(kind, times=1)
    assert model.invoke("hi").text == ""
    filtered = model.invoke("hi").response_metadata
    reason = filtered.get("finish_reason") or filtered["incomplete_details"]["reason"]
    assert reason == "content_filter"
    broken = model.invoke("hi")
    assert [call["args"] for call in broken.invalid_tool_calls] == ['{"unfinished": ']
    assert model.invoke("hi").text == "Echo: hi"


def test_rate_limits_carry_their_headers(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI]
) -> None:
    sim.faults.add(429, retry_after=42, times=1)
    sim.faults.add(429, times=1)
    headers = []
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as caught:
            openai_chat().invoke("hi")
        headers.append(caught.value.response.headers)
    assert headers[0]["retry-after"] == "42"
    assert "retry-after" not in headers[1]
    assert headers[0]["x-ratelimit-remaining-requests"] == "0"


# -- schedules -----------------------------------------------------------------------------------


def statuses(sim: ProviderSimulator, count: int, *, model: str = "o3") -> list[int]:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    key = {"authorization": "Bearer sk-x"}
    with httpx.Client() as client:
        url = f"{sim.openai_url}/chat/completions"
        return [client.post(url, json=body, headers=key).status_code for _ in range(count)]


def test_by_number_and_times(sim: ProviderSimulator) -> None:
    sim.faults.add(503, requests={2, 4})
    sim.faults.add(500, times=1)
    assert statuses(sim, 5) == [500, 503, 200, 503, 200]


def test_by_time_window_on_an_injected_clock() -> None:
    now = 100.0
    with ProviderSimulator(clock=lambda: now) as sim:
        sim.faults.add(503, after_s=10, until_s=20)
        seen = []
        for at in (0.0, 9.9, 10.0, 19.9, 20.0):
            now = 100.0 + at
            seen += statuses(sim, 1)
        assert seen == [200, 200, 503, 503, 200]
        assert [request.at for request in sim.requests] == pytest.approx([0, 9.9, 10, 19.9, 20])
        sim.reset()
        assert sim.elapsed_s == 0.0


def test_by_chance_with_a_seed(sim: ProviderSimulator) -> None:
    def play() -> list[int]:
        sim.reset()
        sim.faults.add(503, probability=0.4)
        return statuses(sim, 40)

    first = play()
    assert play() == first
    assert 5 < first.count(503) < 30


def test_by_model_and_provider(
    sim: ProviderSimulator, ollama_chat: Callable[..., ChatOllama]
) -> None:
    sim.faults.add(503, provider="openai", model="o3")
    assert statuses(sim, 1) == [503]
    assert statuses(sim, 1, model="o4-mini") == [200]
    assert ollama_chat().invoke("hi").content == "Echo: hi"


def test_a_healed_fault_leaves_its_count_to_nobody() -> None:
    asked = SimRequest(
        number=1, at=0.0, provider="openai", api="chat", path="/", model="o3", headers={}, body={}
    )
    for _ in range(100):  # a new fault often lies where the healed one lay
        plan = FaultPlan()
        healed = plan.add(503, times=1)
        assert plan.next_for(asked) is healed
        plan.remove(healed)
        del healed
        later = plan.add(429, times=1)
        assert plan.next_for(asked) is later


def test_healing(sim: ProviderSimulator) -> None:
    fault = sim.faults.add(503)
    assert statuses(sim, 1) == [503]
    sim.faults.remove(fault)
    assert statuses(sim, 1) == [200]


def test_a_fault_may_stand_in_a_script(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI]
) -> None:
    sim.script(["fine", Fault(kind="503"), "fine again"])
    assert statuses(sim, 4) == [200, 503, 200, 200]


def test_down_refuses_and_up_answers(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI]
) -> None:
    model = openai_chat()
    sim.down("openai")
    with pytest.raises(lc.OpenAIConnectionError):
        model.invoke("hi")
    sim.up("openai")
    assert model.invoke("hi").text == "Echo: hi"


def test_an_unknown_kind_is_refused_at_once(sim: ProviderSimulator) -> None:
    with pytest.raises(InputError, match=r"'explode' is no kind of fault.*reset_mid_stream"):
        sim.faults.add("explode")
    with pytest.raises(InputError, match="probability"):
        sim.faults.add(503, probability=2.0)
    assert set(KINDS) >= {"hang", "stall", "reset", "cut", "quota"}


def test_slow_answers_wait_on_the_injected_sleep() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    with ProviderSimulator(sleep=sleep, latency_s=1.0, token_delay_s=0.5) as sim:
        sim.faults.add("slow", seconds=30.0, times=1)
        assert statuses(sim, 2) == [200, 200]
    assert slept == [30.0, 1.0, 1.0, 1.0, 1.0]
