"""Servers of the HTTP side: the app in a uvicorn thread, talking to the simulator."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from allotrope.settings import Settings
from allotrope.web.apps import serve_app
from allotrope.web.running import address, bind

Serve = Callable[..., str]


@contextlib.contextmanager
def running(app: Any) -> Iterator[str]:
    """An app on a free port of loopback."""
    listening = bind("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=2, loop="asyncio", lifespan="on"
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server didn't start"
        time.sleep(0.01)
    try:
        yield address(listening)
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture
def served(simulator_settings: Settings) -> Iterator[str]:
    """`allotrope serve` on loopback; its address."""
    with running(serve_app(simulator_settings, host="127.0.0.1")) as base:
        yield base


@pytest.fixture
def serve(simulator_settings: Settings) -> Iterator[Serve]:
    """Starts `allotrope serve` with settings of the section `serve` changed."""
    with contextlib.ExitStack() as stack:

        def start(make: Any = serve_app, **changes: Any) -> str:
            section = simulator_settings.serve.model_validate(changes)
            settings = simulator_settings.model_copy(update={"serve": section})
            return stack.enter_context(running(make(settings, host="127.0.0.1")))

        yield start
