"""Runs an app with uvicorn: says where it is, and drains on SIGTERM."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from allotrope.exceptions import StoreError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from allotrope.web.service import Service

MOST_DESCRIPTORS = 65_536
"""So many file descriptors are taken where the system allows more than it gives."""

SWITCH_S = 0.001
"""So long one thread computes while another one could, seconds: Python's own 5 ms would be added to
each of the many small steps of a turn while another thread reads a long text."""

BACKLOG = 2048
"""Connections that may wait to be accepted."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        StoreError: The address is taken, or isn't ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(BACKLOG)  # who comes before the server runs waits, and isn't refused
    except OSError as exc:
        made.close()
        raise StoreError(
            f"Can't listen on {host}:{port}: {exc.strerror or exc}.", hint="Choose another --port."
        ) from exc
    return made


def address(listening: socket.socket) -> str:
    """Where browsers find it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: "Starlette", listening: socket.socket, *, drain_s: float, level: str) -> None:
    """Serves until SIGTERM or Ctrl-C; running turns may end within `drain_s` seconds.

    Meanwhile new turns are refused with 503 and `Retry-After`, and `/healthz` says so, so that a
    load balancer asks elsewhere. What still runs after that is cut off with a sentence: its thread
    stands at the last checkpoint, and the next message there, or a resume, goes on. A second
    signal ends at once.

    SIGHUP reads keys, models, profiles and prompts anew (`Service.reload`) and ends no turn; where
    it comes because the terminal is gone, it drains like SIGTERM.

    Args:
        app: With a `Service` in its state, if it runs turns.
        listening: Where.
        drain_s: Seconds.
        level: Of uvicorn's log.
    """
    import uvicorn
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    from allotrope.web.access.slow import bounded_protocol
    from allotrope.web.chat.turns import CLEAN_UP_S

    service: Service | None = getattr(app.state, "service", None)

    class Draining(uvicorn.Server):
        """A server that goes on answering while its turns end."""

        _until: float | None = None
        _cut = False
        _reloading: asyncio.Task[None] | None = None
        hung_up = False

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # not kept for uvicorn to raise again: who drained has ended well, with exit code 0
            if service is None:
                self.should_exit = True  # pages alone have no turns to wait for
            elif self._until is None:
                self._until = time.monotonic() + drain_s
                service.stopping = True
            else:
                self.should_exit = self.force_exit = True

        async def on_tick(self, counter: int) -> bool:
            if self.hung_up:
                self.hung_up = False
                self._hang_up()
            if service is not None and self._until is not None:
                late = time.monotonic() - self._until
                if late >= 0 and not self._cut:
                    self._cut = True
                    service.cut()
                if not service.running or late > CLEAN_UP_S:
                    self.should_exit = True
            return await super().on_tick(counter)

        def _hang_up(self) -> None:
            if had_terminal and not has_terminal():
                self.handle_exit(signal.SIGHUP, None)
            elif service is not None:
                self._reloading = asyncio.create_task(reload(service))

    async def reload(service: "Service") -> None:
        await service.reload()
        app.state.settings = service.settings

    had_terminal = has_terminal()
    raise_descriptors()
    sys.setswitchinterval(SWITCH_S)
    if service is not None:
        service.when_warm = settle_memory

    config = uvicorn.Config(
        app,
        http=bounded_protocol(AutoHTTPProtocol, seconds=app.state.settings.serve.request_s),
        log_level=level.lower(),
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=round(CLEAN_UP_S),
        timeout_keep_alive=30,
        lifespan="on",
        loop="asyncio",
        proxy_headers=False,
    )
    server = Draining(config)
    with on_hangup(lambda: setattr(server, "hung_up", True)):
        server.run(sockets=[listening])


@contextlib.contextmanager
def on_hangup(do: Callable[[], None]) -> Iterator[None]:
    """Does something at SIGHUP instead of ending at once, where the system has that signal.

    Args:
        do: Called in the main thread, between any two instructions: it should only set a mark.
    """
    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda *_: do())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def has_terminal() -> bool:
    """Whether the process has a terminal that isn't gone."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def settle_memory() -> None:
    """Takes what was opened out of what the garbage collector looks through again and again.

    It looks in one go, in which no thread of this process does anything else: with all that a
    server has imported that takes some tenths of a second.
    """
    gc.collect()
    gc.freeze()


def raise_descriptors() -> None:
    """Takes as many file descriptors as the system allows: each connection needs one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
