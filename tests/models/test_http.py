"""One model, several event loops: each has its connections, and closes them with it."""

import asyncio
import gc
import warnings

import httpx2
import pytest

from allotrope.models.http import sync_client
from allotrope.models.openai import build_openai
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator


def test_a_model_survives_its_event_loop(
    simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    model = build_openai(simulator_settings.openai)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(3):
            assert asyncio.run(model.ainvoke(f"hi {number}")).content == f"Echo: hi {number}"
            gc.collect()
    assert len(simulator.requests) == 3


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
