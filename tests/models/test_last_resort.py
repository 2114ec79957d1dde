"""All circuits open must not mean that nobody answers, nor that a dead provider is stampeded."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import tool

from allotrope import exceptions as ours
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.opening import deployment
from allotrope.models.breaker.permits import circuit_name
from allotrope.models.chain import FailoverChain, build_chain
from allotrope.settings import load_settings
from allotrope.testing.simulator import ProviderSimulator


@pytest.fixture(scope="module")
def sim() -> Iterator[ProviderSimulator]:
    with ProviderSimulator() as simulator:
        yield simulator


class World:
    """A chain of OpenAI and Ollama with circuits that a test opens by hand."""

    def __init__(self, sim: ProviderSimulator, **sections: Any) -> None:
        sim.reset()
        self.settings = load_settings(
            environ={},
            env_file=None,
            **{
                "openai": {"api_key": "sk-simulator", "base_url": sim.openai_url},
                "ollama": {"host": sim.ollama_url},
                "embedded": {"enabled": False},
                "resilience": {"attempts": 1},
                **sections,
            },
        )
        self.now = 1000.0
        self.circuits = Circuits(clock=lambda: self.now, chance=lambda: 0.0)
        self.chain: FailoverChain = build_chain(self.settings, circuits=self.circuits)

    def name(self, provider: str, model: str | None = None) -> str:
        return circuit_name(provider, model, deployment=deployment(self.settings, provider))

    def open(self, provider: str, model: str, kind: type[ours.ProviderError], **more: Any) -> None:
        where = deployment(self.settings, provider)
        for _ in range(3):
            permit = self.circuits.admit(provider, model, deployment=where, lease_s=5)
            permit.fail(kind("x", provider=provider, model=model, **more))
            if self.circuits.next_try_s(provider, model, deployment=where):
                return

    async def ask(self, way: str, chain: Any = None) -> Any:
        chain = chain or self.chain
        if way == "invoke":
            return await asyncio.to_thread(chain.invoke, "hi")
        if way == "ainvoke":
            return await chain.ainvoke("hi")
        parts = chain.stream("hi") if way == "stream" else None
        chunks = list(parts) if parts is not None else [c async for c in chain.astream("hi")]
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole = whole + chunk
        return whole


@pytest.fixture
def asked(sim: ProviderSimulator) -> Any:
    return lambda provider: len(sim.chats(provider))


WAYS = ["invoke", "ainvoke", "stream", "astream"]


@pytest.mark.parametrize("way", WAYS)
async def test_ollama_is_tried_though_its_circuit_is_open(
    sim: ProviderSimulator, asked: Any, way: str
) -> None:
    world = World(sim)
    world.open("openai", "o3", ours.QuotaExhaustedError)
    world.open("ollama", "llama3.1", ours.ProviderUnreachableError, code="connect")
    message = await world.ask(way)
    told = message.response_metadata["allotrope"]
    assert told["provider"] == "ollama"
    assert "Ollama" not in told["degraded"]["message"].partition(";")[0]
    assert world.circuits.look(world.name("ollama")).state == "closed"
    assert (asked("openai"), asked("ollama")) == (0, 1)


async def test_twenty_users_at_once_are_all_answered_by_it(sim: ProviderSimulator) -> None:
    world = World(sim)
    world.open("openai", "o3", ours.QuotaExhaustedError)
    world.open("ollama", "llama3.1", ours.ProviderUnreachableError, code="connect")
    answers = await asyncio.gather(*(world.chain.ainvoke("hi") for _ in range(20)))
    assert all(a.response_metadata["allotrope"]["provider"] == "ollama" for a in answers)


@pytest.mark.parametrize("way", WAYS)
async def test_what_an_operator_isolated_stays_so(
    sim: ProviderSimulator, asked: Any, way: str
) -> None:
    world = World(sim)
    world.circuits.isolate(world.name("openai"))
    world.circuits.isolate(world.name("ollama", "llama3.1"))
    with pytest.raises(ours.AllProvidersFailedError) as failed:
        await world.ask(way)
    assert len(failed.value.causes) == 2
    assert (asked("openai"), asked("ollama")) == (0, 0)


async def test_the_hosted_one_is_probed_early_by_one_caller_only(
    sim: ProviderSimulator, asked: Any
) -> None:
    world = World(sim)
    world.open("openai", "o3", ours.ProviderUnavailableError)
    world.circuits.isolate(world.name("ollama"))
    sim.faults.add("503", provider="openai")
    outcomes = await asyncio.gather(
        *(world.chain.ainvoke("hi") for _ in range(20)), return_exceptions=True
    )
    assert all(isinstance(o, ours.AllProvidersFailedError) for o in outcomes)
    assert asked("openai") == 0  # open for less than `early_probe_s`
    world.now += 2.5
    await asyncio.gather(*(world.chain.ainvoke("hi") for _ in range(20)), return_exceptions=True)
    assert asked("openai") == 1
    sim.faults.clear()
    world.now += 2.5
    message = await world.chain.ainvoke("hi")
    assert message.response_metadata["allotrope"]["provider"] == "openai"
    assert world.circuits.look(world.name("openai", "o3")).state == "closed"


@pytest.mark.parametrize("kind", [ours.QuotaExhaustedError, ours.RateLimitedError])
async def test_who_would_refuse_again_for_sure_is_not_asked_early(
    sim: ProviderSimulator, asked: Any, kind: type[ours.ProviderError]
) -> None:
    world = World(sim, ollama={"enabled": False})
    world.open("openai", "o3", kind, retry_after_s=600.0)
    world.now += 60
    with pytest.raises(ours.AllProvidersFailedError, match="next try in"):
        await world.chain.ainvoke("hi")
    assert asked("openai") == 0


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def test_it_works_with_tools_and_parsers_around_the_model(sim: ProviderSimulator) -> None:
    world = World(sim)
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}
    for made in (
        world.chain.bind_tools([weather]),
        world.chain.with_structured_output(schema, method="json_schema"),
        world.chain.with_structured_output(schema, method="json_schema", include_raw=True),
    ):
        sim.script(['{"name": "Rome"}'], provider="ollama")
        world.open("openai", "o3", ours.QuotaExhaustedError)
        world.open("ollama", "llama3.1", ours.ProviderUnreachableError, code="connect")
        assert await made.ainvoke("hi")
        world.circuits.reset(world.name("ollama"))
        world.circuits.reset(world.name("openai"))
