"""Runs an app with uvicorn: says where it is, and drains on SIGTERM."""

import socket
import time
from types import FrameType
from typing import TYPE_CHECKING

from allotrope.exceptions import StoreError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from allotrope.web.service import Service

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

    Args:
        app: With a `Service` in its state, if it runs turns.
        listening: Where.
        drain_s: Seconds.
        level: Of uvicorn's log.
    """
    import uvicorn

    from allotrope.web.turns import CLEAN_UP_S

    service: Service | None = getattr(app.state, "service", None)

    class Draining(uvicorn.Server):
        """A server that goes on answering while its turns end."""

        _until: float | None = None
        _cut = False

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
            if service is not None and self._until is not None:
                late = time.monotonic() - self._until
                if late >= 0 and not self._cut:
                    self._cut = True
                    service.cut()
                if not service.running or late > CLEAN_UP_S:
                    self.should_exit = True
            return await super().on_tick(counter)

    config = uvicorn.Config(
        app,
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
    Draining(config).run(sockets=[listening])
