"""One model, several event loops: each has its connections, and closes them with it."""

import asyncio
import gc
import warnings
from typing import Any

import httpx2
import pytest

from allotrope.models.providers.http import sync_client
from allotrope.models.providers.ollama import build_ollama
from allotrope.models.providers.openai import build_openai
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator


@pytest.mark.parametrize("provider", ["openai", "ollama"])
def test_a_model_survives_its_event_loop(
    provider: str, simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    model: Any
    if provider == "openai":
        model = build_openai(simulator_settings.openai)
    else:
        model = build_ollama(simulator_settings.ollama)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(3):
            assert asyncio.run(model.ainvoke(f"hi {number}")).content == f"Echo: hi {number}"
            gc.collect()
    asked = [request for request in simulator.requests if request.path != "/api/show"]
    assert len(asked) == 3


@pytest.mark.parametrize("provider", ["openai", "ollama"])
def test_a_model_that_nobody_holds_leaves_no_connection_even_out_of_a_cycle(
    provider: str, simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    model: Any
    if provider == "openai":
        model = build_openai(simulator_settings.openai)
    else:
        model = build_ollama(simulator_settings.ollama)
    assert model.invoke("hi").content == "Echo: hi"
    cycle: list[Any] = [model]
    cycle.append(cycle)
    del model, cycle
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        gc.collect()
    assert not [str(one.message) for one in warned]


def test_a_sync_client_closes_its_connections_when_it_is_collected(
    simulator: ProviderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[httpx2.HTTPTransport] = []
    close = httpx2.HTTPTransport.close

    def noted(self: httpx2.HTTPTransport) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(httpx2.HTTPTransport, "close", noted)
    client = sync_client(httpx2.Timeout(5))
    assert client.get(f"{simulator.openai_url}/models").status_code in (200, 401)
    assert not closed
    del client
    gc.collect()
    assert closed
