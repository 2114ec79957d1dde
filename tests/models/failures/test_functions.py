"""What isn't critical is refused in an outage, with the reason; nobody stands in for it."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from allotrope import exceptions as ours
from allotrope.agents.agent import build_agent
from allotrope.experiments.offline.judge import Said
from allotrope.experiments.offline.subjects import AgentSubject, agent_judge
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.opening import circuits_of
from allotrope.models.cache.factory import open_verifier
from allotrope.models.chain import build_chain
from allotrope.models.failures.functions import FUNCTIONS
from allotrope.settings import Settings, load_settings
from allotrope.testing.simulator import ProviderSimulator


@pytest.fixture
def settings(simulator: ProviderSimulator, tmp_path: Path) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        openai={"api_key": "sk-simulator", "base_url": simulator.openai_url},
        ollama={"host": simulator.ollama_url},
        redis={"embedded": False},
        resilience={"first_wait_s": 0.01},
    )


def chain_for(settings: Settings, function: str) -> Any:
    return build_chain(settings, circuits=Circuits(chance=lambda: 0.0), function=function)


def test_every_function_says_what_becomes_of_it() -> None:
    assert {name for name, found in FUNCTIONS.items() if found.critical} == {"answer", "summarise"}


@pytest.mark.parametrize("function", ["answer", "summarise"])
async def test_the_critical_have_a_substitute(
    simulator: ProviderSimulator, settings: Settings, function: str
) -> None:
    simulator.faults.add("quota", provider="openai")
    message = await chain_for(settings, function).ainvoke("hi")
    assert message.response_metadata["allotrope"]["provider"] == "ollama"


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_the_others_are_refused_with_the_reason(
    simulator: ProviderSimulator, settings: Settings, way: str
) -> None:
    simulator.faults.add("quota", provider="openai")
    chain = chain_for(settings, "judge")

    async def ask() -> Any:
        if way == "invoke":
            return chain.invoke("A or B?")
        if way == "ainvoke":
            return await chain.ainvoke("A or B?")
        if way == "stream":
            return list(chain.stream("A or B?"))
        return [chunk async for chunk in chain.astream("A or B?")]

    for _ in range(2):  # asked, then held back
        with pytest.raises(ours.AllProvidersFailedError) as refused:
            await ask()
        assert refused.value.message == (
            "Judging answers isn't available now and has no local substitute: "
            "OpenAI has no credit left on this account, next try in 1 h."
        )
        assert refused.value.exit_code == 3
    assert len(simulator.chats("openai")) == 1
    assert simulator.chats("ollama") == []


async def test_an_experiments_judge_is_never_replaced(
    simulator: ProviderSimulator, settings: Settings
) -> None:
    subject = AgentSubject("assistant", settings, build=build_agent)
    said = await agent_judge(subject)([HumanMessage("A or B?")])
    assert isinstance(said, Said)
    assert said.text.strip()
    assert said.cost_usd
    simulator.faults.add("quota", provider="openai")
    with pytest.raises(ours.AllProvidersFailedError, match="Judging answers isn't available"):
        await agent_judge(subject)([HumanMessage("A or B?")])
    assert simulator.chats("ollama") == []


def test_a_verifying_model_behind_an_open_circuit_says_no_at_once(
    simulator: ProviderSimulator, settings: Settings
) -> None:
    simulator.script(["Yes."], provider="openai")
    verifier = open_verifier(settings, "openai:gpt-4o-mini")
    assert verifier.same("How tall is it?", "What is its height?")
    assert simulator.chats("openai")[0].body["model"] == "gpt-4o-mini"
    assert simulator.chats("openai")[0].body["temperature"] == 0
    simulator.faults.add("503", provider="openai")
    assert not verifier.same("a", "b")
    assert len(simulator.chats("openai")) == 2  # it isn't worth a retry
    name = next(n for n in circuits_of(settings).names() if n.endswith("/gpt-4o-mini"))
    circuits_of(settings).trip(name, reason="test")
    assert not verifier.same("a", "b")
    assert len(simulator.chats("openai")) == 2
