"""One model, several event loops: each has its connections, and closes them with it."""

import asyncio
import gc
import warnings

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
