"""Runs an app with uvicorn: says where it is, and drains on SIGTERM."""

import socket
from typing import TYPE_CHECKING

from allotrope.exceptions import StoreError

if TYPE_CHECKING:
    from starlette.applications import Starlette


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
    """Serves until SIGTERM or Ctrl-C; running requests may end within `drain_s` seconds.

    What still runs after that is cancelled: its thread stands at the last checkpoint, and the
    next message there, or a resume, goes on.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level=level.lower(),
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=max(1, round(drain_s)),
        timeout_keep_alive=30,
        lifespan="on",
        loop="asyncio",
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listening])
