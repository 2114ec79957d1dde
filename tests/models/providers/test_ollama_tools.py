"""An Ollama model without tools, as a bare GGUF import is: the turn gets its answer anyway."""

import asyncio
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.opening import guard_models
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.chain import FailoverChain, build_chain, build_models, chain_of
from allotrope.models.providers import ollama_tools
from allotrope.operations.doctor import examine
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator, Reply, ToolCall
from allotrope.testing.ollama_api import show


@tool
def weather(city: str) -> str:
    """Says how the weather is."""
    return "sunny"


@pytest.fixture
def sim() -> Iterator[ProviderSimulator]:
    ollama_tools.forget_capabilities()
    with ProviderSimulator(ollama_models=["plain", "llama3.1"]) as simulator:
        yield simulator
        gc.collect()  # the test's clients close while their server still runs
    ollama_tools.forget_capabilities()


def settings_for(sim: ProviderSimulator, model: str = "plain") -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        openai={"api_key": "sk-simulator", "base_url": sim.openai_url},
        ollama={"host": sim.ollama_url, "model": model},
        embedded={"enabled": False},
        resilience={"attempts": 1},
    )


def chain_for(sim: ProviderSimulator, model: str = "plain") -> Any:
    chain: FailoverChain = build_chain(settings_for(sim, model), circuits=Circuits())
    sim.faults.add("503", provider="openai")
    return chain.bind_tools([weather])


def ollama_first(sim: ProviderSimulator) -> FailoverChain:
    """Ollama, then OpenAI."""
    models: dict[str, GuardedChatModel] = {}
    for model in build_models(settings_for(sim)):
        models.setdefault(model.provider, model)  # without its successors
    guard_models(list(models.values()), settings_for(sim), circuits=Circuits())
    return chain_of([models["ollama"], models["openai"]])


def asked_what_it_can(sim: ProviderSimulator) -> int:
    return sum(request.path == "/api/show" for request in sim.requests)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_tools_are_left_out_and_that_is_said(sim: ProviderSimulator, way: str) -> None:
    chain = chain_for(sim)
    messages = [
        HumanMessage("How is the weather in Oslo?"),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "1"}]),
        ToolMessage("sunny", name="weather", tool_call_id="1"),
    ]
    for _ in range(2):
        if way == "invoke":
            reply = chain.invoke(messages)
        elif way == "ainvoke":
            reply = await chain.ainvoke(messages)
        elif way == "stream":
            reply = sum_of(list(chain.stream(messages)))
        else:
            reply = sum_of([chunk async for chunk in chain.astream(messages)])
        told = reply.response_metadata["allotrope"]
        assert told["provider"] == "ollama"
        assert told["degraded"]["reason"] == "ProviderUnavailableError"
        assert told["degraded"]["message"].endswith("can't call tools and answered without them.")
    last = sim.chats("ollama")[-1].body
    assert not last.get("tools")
    assert last["messages"][-1] == {
        "role": "user",
        "content": "Result of weather:\nsunny",
    }
    assert asked_what_it_can(sim) == 1, "once per model and process"


async def test_a_model_with_tools_gets_them(sim: ProviderSimulator) -> None:
    sim.script([Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),))], provider="ollama")
    reply = await chain_for(sim, "llama3.1").ainvoke("How is the weather in Oslo?")
    assert reply.tool_calls[0]["name"] == "weather"
    assert "tools" not in reply.response_metadata["allotrope"]["degraded"]["message"]


async def test_when_ollama_does_not_say_the_turn_goes_on(
    sim: ProviderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama_tools, "ask_about", lambda host, model: None)
    reply = await ollama_first(sim).bind_tools([weather]).ainvoke("hello")
    assert reply.response_metadata["allotrope"]["provider"] == "openai", "the next one answered"


async def test_an_answer_that_needs_a_tool_comes_from_the_next_model(
    sim: ProviderSimulator,
) -> None:
    bound = ollama_first(sim).bind_tools([weather], tool_choice="any")
    reply = await bound.ainvoke("hello")
    assert reply.response_metadata["allotrope"]["provider"] == "openai"
    assert sim.chats("ollama") == []


async def test_the_doctor_warns(sim: ProviderSimulator) -> None:
    found = await asyncio.to_thread(examine, settings_for(sim))
    (ollama,) = [finding for finding in found if finding.part == "Ollama"]
    assert ollama.state == "warning"
    assert "can't call tools" in ollama.told


def sum_of(chunks: list[Any]) -> Any:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


@pytest.mark.parametrize("name", ["plain", "tools"])
def test_the_simulator_shows_a_model_as_ollama_does(name: str) -> None:
    """Held against answers of Ollama 0.24 about SmolLM2-135M, imported without a template and with
    one for tools; recorded on 1 December 2026."""
    path = Path(__file__).parent / "recorded" / "ollama_show.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))[name]
    ours = json.loads(show("plain" if name == "plain" else "llama3.1", 8192))
    assert ours["capabilities"] == recorded["capabilities"]
    for part in ("details", "model_info"):
        assert ours[part].keys() <= recorded[part].keys()
    assert ours.keys() - {"modelfile"} <= recorded.keys()
