"""What each family takes and refuses, on which endpoint, with the real error bodies."""

import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest
from langchain_openai import ChatOpenAI
from langchain_openai.data._profiles import _PROFILES
from openai import BadRequestError

from allotrope.testing import ProviderSimulator

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FLAT_TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TAKES = {
    "o3": "low medium high",
    "o4-mini": "low medium high",
    "gpt-5": "minimal low medium high",
    "gpt-5.1": "none low medium high",
    "gpt-5.2": "none low medium high xhigh",
    "gpt-5.4": "none low medium high xhigh",
    "gpt-5.5": "none low medium high xhigh",
    "gpt-5.6-terra": "none low medium high xhigh max",
    "gpt-6-luna": "none low medium high xhigh max",
    "gpt-6-sol": "none low medium high xhigh max",
    "gpt-6-astra": "low medium high xhigh max",
    "gpt-6.1-sol": "low medium high xhigh max",
    "gpt-6.1-terra": "none low medium high xhigh max",
    "gpt-6.2-sol": "low medium high xhigh max",
    "gpt-6.2-astra": "low medium high xhigh max",
}
INSTEAD = " Please use /v1/responses instead."
OR_NONE = " To use function tools, use /v1/responses or set reasoning_effort to 'none'."


def post(sim: ProviderSimulator, path: str, **body: object) -> httpx.Response:
    key = {"authorization": "Bearer sk-x"}
    # verify=False spares loading certificates: it is plain HTTP on loopback
    return httpx.post(f"{sim.openai_url}/{path}", json=body, headers=key, verify=False)


def chat(sim: ProviderSimulator, model: str, **body: object) -> httpx.Response:
    return post(sim, "chat/completions", model=model, messages=[USER], **body)


def responses(sim: ProviderSimulator, model: str, **body: object) -> httpx.Response:
    return post(sim, "responses", model=model, input="hi", **body)


@pytest.mark.parametrize("model", TAKES)
def test_efforts(sim: ProviderSimulator, model: str) -> None:
    taken = TAKES[model].split()
    for effort in EFFORTS:
        want = 200 if effort in taken else 400
        answers = (
            chat(sim, model, reasoning_effort=effort),
            responses(sim, model, reasoning={"effort": effort}),
        )
        assert [a.status_code for a in answers] == [want, want], effort
        if want == 400:
            errors = [a.json()["error"] for a in answers]
            assert {e["code"] for e in errors} == {"unsupported_value"}
            assert [e["param"] for e in errors] == ["reasoning_effort", "reasoning.effort"]
            listed = ", ".join(f"'{e}'" for e in taken[:-1]) + f", and '{taken[-1]}'."
            assert [e["message"] for e in errors] == [
                f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this "
                f"model. Supported values are: {listed}",
                f"Unsupported value: '{effort}' is not supported with the '{model}' model. "
                f"Supported values are: {listed}",
            ]


@pytest.mark.parametrize(
    ("model", "without", "low", "none", "tail"),
    [
        ("o3", 200, 200, None, ""),
        ("gpt-5.2", 200, 200, 200, ""),
        ("gpt-5.4", 200, 400, 200, INSTEAD),
        ("gpt-5.4-mini", 200, 400, 200, INSTEAD),
        ("gpt-5.5", 400, 400, 200, INSTEAD),
        ("gpt-5.6-terra", 400, 400, 200, OR_NONE),
        ("gpt-6-luna", 400, 400, 200, OR_NONE),
        ("gpt-6.1-terra", 400, 400, 200, OR_NONE),
        ("gpt-6.1-sol", 400, 400, None, INSTEAD),
        ("gpt-6.2-sol", 400, 400, None, INSTEAD),
    ],
)
def test_tools_and_effort_on_chat_completions(
    sim: ProviderSimulator, model: str, without: int, low: int, none: int | None, tail: str
) -> None:
    assert chat(sim, model, tools=[TOOL]).status_code == without
    assert chat(sim, model, tools=[TOOL], reasoning_effort="low").status_code == low
    if tail:
        error = chat(sim, model, tools=[TOOL], reasoning_effort="low").json()["error"]
        assert error == {
            "message": f"Function tools with reasoning_effort are not supported for {model} in "
            f"/v1/chat/completions.{tail}",
            "type": "invalid_request_error",
            "param": "reasoning_effort",
            "code": None,
        }
    if none is not None:
        assert chat(sim, model, tools=[TOOL], reasoning_effort="none").status_code == none
    fine = responses(sim, model, tools=[FLAT_TOOL], reasoning={"effort": "low"})
    assert fine.status_code == 200


@pytest.mark.parametrize(
    ("model", "without", "at_none"),
    [
        ("gpt-4.1", 200, None),
        ("gpt-5", 400, None),
        ("gpt-5.1", 200, 200),
        ("gpt-5.4", 200, 200),
        ("gpt-5.5", 400, 200),
        ("gpt-5.6-sol", 400, 200),
        ("gpt-6-sol", 400, 200),
        ("gpt-6.1-sol", 400, None),
        ("gpt-6.2-astra", 400, None),
    ],
)
def test_sampling_only_at_effort_none(
    sim: ProviderSimulator, model: str, without: int, at_none: int | None
) -> None:
    for name in ("temperature", "top_p"):
        option = {name: 0.3}
        for answer in (chat(sim, model, **option), responses(sim, model, **option)):
            assert answer.status_code == without, name
            if without == 400:
                assert answer.json()["error"]["param"] == name
        if at_none is not None:
            assert chat(sim, model, reasoning_effort="none", **option).status_code == at_none
            low = responses(sim, model, reasoning={"effort": "low"}, **option)
            assert low.json()["error"]["code"] == "unsupported_parameter"
    stop = chat(sim, model, stop=["x"])
    assert stop.status_code == (200 if model == "gpt-4.1" else 400)


def test_pro_models_answer_on_responses_only(sim: ProviderSimulator) -> None:
    for model in ("o1-pro", "o3-pro", "gpt-5-pro", "gpt-5.2-pro", "gpt-5.4-pro", "gpt-5.5-pro"):
        refused = chat(sim, model)
        assert refused.status_code == 404
        assert refused.json()["error"]["message"] == (
            "This model is only supported in v1/responses and not in v1/chat/completions."
        )
        assert responses(sim, model).status_code == 200


def test_every_chat_model_of_the_installed_table_is_there(sim: ProviderSimulator) -> None:
    not_for_chat = ("image", "realtime", "embedding")
    for model in _PROFILES:
        if not any(word in model for word in not_for_chat):
            assert responses(sim, model).status_code == 200, model
    for model in ("gpt-6.2-sol", "gpt-6.2-astra"):
        assert responses(sim, model).json()["model"] == model  # no snapshots from GPT-6 on
    assert responses(sim, "gpt-5.1").json()["model"] == "gpt-5.1-2025-11-13"


@pytest.mark.parametrize(
    ("model", "longest"), [("o3", 200_000), ("gpt-5.4-mini", 272_000), ("gpt-6.2-sol", 922_000)]
)
def test_longest_prompt_and_answer(sim: ProviderSimulator, model: str, longest: int) -> None:
    def ask(tokens: int) -> httpx.Response:
        text = "x" * (4 * tokens)
        return post(
            sim, "chat/completions", model=model, messages=[{"role": "user", "content": text}]
        )

    assert ask(longest - 100).status_code == 200
    assert ask(longest).json()["error"]["code"] == "context_length_exceeded"
    most = 100_000 if model == "o3" else 128_000
    assert chat(sim, model, max_completion_tokens=most).status_code == 200
    error = chat(sim, model, max_completion_tokens=most + 1).json()["error"]
    assert (error["param"], error["code"]) == ("max_completion_tokens", "invalid_value")
    assert f"at most {most} completion tokens" in error["message"]
    error = responses(sim, model, max_output_tokens=most + 1).json()["error"]
    assert (error["param"], error["code"]) == ("max_output_tokens", "integer_above_max_value")
    error = responses(sim, model, max_output_tokens=15).json()["error"]
    assert error["code"] == "integer_below_min_value"
    assert error["message"].startswith("Invalid 'max_output_tokens': integer below minimum value.")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"num_ctx": 1}, "unknown_parameter", "num_ctx"),
        ({"stop": ["x"]}, "unknown_parameter", "stop"),
        ({"messages": [USER]}, "unsupported_parameter", "messages"),
        ({"reasoning_effort": "low"}, "unsupported_parameter", "reasoning_effort"),
        ({"reasoning": {"strength": 1}}, "unknown_parameter", "reasoning.strength"),
        ({"text": {"tone": "dry"}}, "unknown_parameter", "text.tone"),
        ({"text": {"verbosity": "low"}}, "unsupported_value", "text.verbosity"),
        ({"include": ["everything"]}, "invalid_value", "include[0]"),
        ({"tools": [TOOL]}, "missing_required_parameter", "tools[0].name"),
        ({"reasoning": {"mode": "pro"}}, "unsupported_parameter", "reasoning.mode"),
        ({"service_tier": "cheap"}, "invalid_value", "service_tier"),
    ],
)
def test_parameters_the_responses_api_refuses(
    sim: ProviderSimulator, body: dict[str, object], code: str, param: str
) -> None:
    answer = responses(sim, "o3", **body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


def test_parameters_of_newer_and_older_models(sim: ProviderSimulator) -> None:
    assert responses(sim, "gpt-6.2-sol", reasoning={"mode": "pro"}).status_code == 200
    assert responses(sim, "gpt-6.2-sol", text={"verbosity": "low"}).status_code == 200
    assert responses(sim, "gpt-4.1", reasoning={"summary": "auto"}).status_code == 400
    sealed = responses(sim, "gpt-4.1", include=["reasoning.encrypted_content"])
    assert sealed.json()["error"]["message"] == (
        "Encrypted content is not supported with this model."
    )
    retention = chat(sim, "gpt-6.1-sol", prompt_cache_retention="24h").json()["error"]
    assert retention["code"] == "invalid_parameter"
    assert chat(sim, "o3", prompt_cache_retention="24h").status_code == 200
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with_image = [{"role": "user", "content": [{"type": "text", "text": "see"}, image]}]
    seen = post(sim, "chat/completions", model="o3", messages=with_image)
    assert seen.json()["usage"]["prompt_tokens"] == 3 + 4 + 1 + 255
    blind = post(sim, "chat/completions", model="o3-mini", messages=with_image).json()["error"]
    assert blind["param"] == "messages[0].content[1].type"
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    assert chat(sim, "gpt-4", response_format=schema).json()["error"]["param"] == "response_format"


def test_the_real_client_meets_the_endpoint_rule(
    sim: ProviderSimulator, openai_chat: Callable[..., ChatOpenAI]
) -> None:
    model = openai_chat(model="gpt-5.6-terra", use_responses_api=False).bind_tools([TOOL])
    with pytest.raises(BadRequestError, match="use /v1/responses or set reasoning_effort"):
        model.invoke("hi")
    through = openai_chat(model="gpt-5.6-terra", use_responses_api=True).bind_tools([TOOL])
    assert through.invoke("hi").text == "Echo: hi"


def test_the_stand_in_knows_nothing_of_the_product() -> None:
    code = (
        "import sys, allotrope.testing.simulator\n"
        "ours = {n.split('.')[1] for n in sys.modules if n.startswith('allotrope.')}\n"
        "print(sorted(ours))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "['exceptions', 'support', 'testing']", done.stderr
