"""Pytest fixtures for users: `pytest_plugins = ["allotrope.testing.plugin"]`."""

from collections.abc import Iterator

import pytest

from allotrope.testing.simulator import ProviderSimulator


@pytest.fixture(scope="session")
def provider_simulator_server() -> Iterator[ProviderSimulator]:
    """One simulator for the whole test session."""
    with ProviderSimulator() as simulator:
        yield simulator


@pytest.fixture
def provider_simulator(provider_simulator_server: ProviderSimulator) -> ProviderSimulator:
    """The session's simulator, reset: no requests, no script, no faults."""
    provider_simulator_server.reset()
    return provider_simulator_server
