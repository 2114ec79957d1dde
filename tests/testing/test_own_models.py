"""Models nobody knows: rules of their own, and refusals that name what to change."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI
from openai import BadRequestError

from allotrope.testing import ProviderSimulator, SimModel, model_rules

TOOL = {"type": "function", "name": "f", "function": {"name": "f"}}


@pytest.fixture
def sim() -> Iterator[ProviderSimulator]:
    strange = replace(
        model_rules("gpt-6.2-sol"),
        name="gpt-7-sol",
        efforts=("low", "deep"),
        default_effort="deep",
        verbosities=("medium",),
        refused=frozenset({"seed", "truncation", "reasoning.summary", "text.format"}),
        unknown=frozenset({"user", "service_tier"}),
        values={"store": (False,)},
    )
    chatty = replace(model_rules("gpt-4.1"), name="gpt-7-chat", responses=False)
    silent = SimModel(name="gpt-7-pro", efforts=("high",), default_effort="high", chat=False)
    with ProviderSimulator(models=[strange, chatty, silent, "gpt-7-luna"]) as simulator:
        yield simulator


def ask(sim: ProviderSimulator, path: str, model: str = "gpt-7-sol", **body: Any) -> httpx.Response:
    fields: dict[str, Any] = {"model": model, "input": "hi"}
    if path == "chat/completions":
        fields = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    key = {"authorization": "Bearer sk-x"}
    url = f"{sim.openai_url}/{path}"
    return httpx.post(url, json={**fields, **body}, headers=key, verify=False)


@pytest.mark.parametrize(
    ("path", "body", "code", "param", "words"),
    [
        (
            "chat/completions",
            {"reasoning_effort": "high"},
            "unsupported_value",
            "reasoning_effort",
            "Unsupported value: 'reasoning_effort' does not support 'high' with this model. "
            "Supported values are: 'low' and 'deep'.",
        ),
        (
            "responses",
            {"reasoning": {"effort": "none"}},
            "unsupported_value",
            "reasoning.effort",
            "Unsupported value: 'none' is not supported with the 'gpt-7-sol' model. "
            "Supported values are: 'low' and 'deep'.",
        ),
        (
            "chat/completions",
            {"verbosity": "low"},
            "unsupported_value",
            "verbosity",
            "Unsupported value: 'verbosity' does not support 'low' with this model. "
            "Supported values are: 'medium'.",
        ),
        (
            "responses",
            {"store": True},
            "unsupported_value",
            "store",
            "Unsupported value: 'store' does not support True with this model. "
            "Supported values are: 'False'.",
        ),
        (
            "chat/completions",
            {"seed": 1},
            "unsupported_parameter",
            "seed",
            "Unsupported parameter: 'seed' is not supported with this model.",
        ),
        (
            "responses",
            {"reasoning": {"summary": "auto"}},
            "unsupported_parameter",
            "reasoning.summary",
            "Unsupported parameter: 'reasoning.summary' is not supported with this model.",
        ),
        (
            "responses",
            {"service_tier": "flex"},
            "unknown_parameter",
            "service_tier",
            "Unknown parameter: 'service_tier'.",
        ),
        (
            "chat/completions",
            {"tools": [TOOL], "reasoning_effort": "low"},
            None,
            "reasoning_effort",
            "Function tools with reasoning_effort are not supported for gpt-7-sol in "
            "/v1/chat/completions. Please use /v1/responses instead.",
        ),
        (
            "responses",
            {"temperature": 0.3},
            "unsupported_parameter",
            "temperature",
            "Unsupported parameter: 'temperature' is not supported with this model.",
        ),
    ],
)
def test_refusals_name_what_to_change(
    sim: ProviderSimulator,
    path: str,
    body: dict[str, Any],
    code: str | None,
    param: str,
    words: str,
) -> None:
    answer = ask(sim, path, **body)
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": words,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


def test_what_it_takes_is_answered(sim: ProviderSimulator) -> None:
    fine = ask(
        sim, "responses", reasoning={"effort": "deep"}, tools=[TOOL], text={"verbosity": "medium"}
    )
    assert fine.status_code == 200
    assert fine.json()["model"] == "gpt-7-sol"
    assert fine.json()["reasoning"]["effort"] == "deep"
    assert ask(sim, "chat/completions", reasoning_effort="low").status_code == 200


def test_endpoints(sim: ProviderSimulator) -> None:
    only = ask(sim, "responses", "gpt-7-chat")
    assert only.status_code == 404
    assert only.json()["error"]["message"] == (
        "This model is only supported in v1/chat/completions and not in v1/responses."
    )
    assert ask(sim, "chat/completions", "gpt-7-chat").status_code == 200
    assert ask(sim, "chat/completions", "gpt-7-pro").status_code == 404
    assert ask(sim, "responses", "gpt-7-pro").status_code == 200


def test_a_name_alone_goes_by_its_family(sim: ProviderSimulator) -> None:
    assert ask(sim, "responses", "gpt-7-luna", reasoning={"effort": "none"}).status_code == 400
    assert ask(sim, "responses", "gpt-7-luna", reasoning={"effort": "max"}).status_code == 200
    assert ask(sim, "responses", "gpt-7-terra").status_code == 404
    key = {"authorization": "Bearer sk-x"}
    listed = httpx.get(f"{sim.openai_url}/models", headers=key, verify=False).json()["data"]
    assert {"gpt-7-sol", "gpt-7-luna"} <= {card["id"] for card in listed}
    for name, family in (
        ("o5", "o3"),
        ("gpt-5.1-2025-11-13", "gpt-5.1"),
        ("ft:gpt-4.1:acme::x", "gpt-4.1"),
        ("gpt-5.7-sol", "gpt-5.6"),
        ("gpt-10", "gpt-6.2-sol"),
    ):
        rules = model_rules(name)
        assert rules == replace(model_rules(family), name=name, snapshot=name), name
    assert not model_rules("my-model").reasons


def test_the_real_client_gets_parameter_and_code(sim: ProviderSimulator) -> None:
    build: Callable[..., ChatOpenAI] = ChatOpenAI
    model = build(
        model="gpt-7-sol",
        base_url=sim.openai_url,
        api_key="sk-x",
        max_retries=0,
        use_responses_api=True,
        reasoning={"effort": "medium"},
    )
    with pytest.raises(BadRequestError) as caught:
        model.invoke("hi")
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "reasoning.effort")
