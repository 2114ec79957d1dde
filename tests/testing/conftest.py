"""One simulator for the room's tests, and clients that are closed after each."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from allotrope.testing import ProviderSimulator


@pytest.fixture(scope="session")
def server() -> Iterator[ProviderSimulator]:
    with ProviderSimulator() as simulator:
        yield simulator


@pytest.fixture
def sim(server: ProviderSimulator) -> ProviderSimulator:
    server.reset()
    return server


@pytest.fixture
def openai_chat(sim: ProviderSimulator) -> Callable[..., ChatOpenAI]:
    """Builds ChatOpenAI on the simulator."""

    def build(**options: object) -> ChatOpenAI:
        fields = {
            "model": "o3",
            "base_url": sim.openai_url,
            "api_key": "sk-test",
            "max_retries": 0,
            "timeout": 5,
        }
        return ChatOpenAI(**{**fields, **options})

    return build


@pytest.fixture
def ollama_chat(sim: ProviderSimulator) -> Iterator[Callable[..., ChatOllama]]:
    """Builds ChatOllama and closes its two clients, which it never does itself."""
    made: list[ChatOllama] = []

    def build(**options: object) -> ChatOllama:
        made.append(ChatOllama(**{"model": "llama3.1", "base_url": sim.ollama_url, **options}))
        return made[-1]

    yield build
    for model in made:
        model._client.close()
        asyncio.run(model._async_client.close())
