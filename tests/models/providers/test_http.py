"""One model, several event loops: each has its connections, and closes them with it."""

import asyncio
import contextlib
import gc
import socket
import socketserver
import threading
import warnings
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from allotrope.models.providers.http import proxy_for, sync_client
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


class ForwardProxy(socketserver.ThreadingTCPServer):
    """A proxy for plain HTTP: it takes whole addresses and asks one server, whatever the host."""

    daemon_threads = True
    asked: list[bytes]
    server: tuple[str, int]


class Forwarding(socketserver.BaseRequestHandler):
    server: ForwardProxy

    def handle(self) -> None:
        head = self.request.recv(65_536)
        method, address, rest = head.split(b" ", 2)
        self.server.asked.append(address)
        path = b"/" + address.split(b"/", 3)[3]
        with socket.create_connection(self.server.server) as onward:
            onward.sendall(b" ".join((method, path, rest)))
            self.request.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                while more := self.request.recv(65_536):
                    onward.sendall(more)
            onward.settimeout(5)
            with contextlib.suppress(TimeoutError):
                while answer := onward.recv(65_536):
                    self.request.sendall(answer)
                    onward.settimeout(0.3)


@pytest.mark.parametrize("call", ["sync", "async"])
def test_requests_go_through_the_proxy_of_the_environment(
    call: str,
    simulator: ProviderSimulator,
    simulator_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = urlsplit(simulator_settings.openai.base_url or "")
    with ForwardProxy(("127.0.0.1", 0), Forwarding) as proxy:
        proxy.asked, proxy.server = [], (at.hostname or "", at.port or 0)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
        elsewhere = f"http://openai.example{at.path}"
        model = build_openai(simulator_settings.openai.model_copy(update={"base_url": elsewhere}))
        asked = model.invoke("hi") if call == "sync" else asyncio.run(model.ainvoke("hi"))
        assert asked.content == "Echo: hi"
        assert proxy.asked == [f"{elsewhere}/chat/completions".encode()]
        proxy.shutdown()


@pytest.mark.parametrize(
    ("host", "proxy"),
    [
        ("api.openai.com", "http://proxy.example:3128"),
        ("127.0.0.1", None),
        ("::1", None),
        ("localhost", None),
        ("ollama.intern.example", None),
    ],
)
def test_this_machine_and_no_proxy_are_asked_directly(
    host: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "intern.example")
    assert proxy_for("https", host, {"https": "proxy.example:3128"}) == proxy
