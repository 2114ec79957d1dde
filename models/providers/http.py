"""HTTP clients that survive more than one event loop."""

import asyncio
import contextlib
import ssl
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import httpx2

from allotrope.support.compat.httpx import transports_of
from allotrope.support.exchanges import limit


@dataclass(frozen=True)
class _Pool:
    transport: Any
    keeper: AsyncGenerator[None, None]


async def _kept(transport: Any) -> AsyncGenerator[None, None]:
    """Closes the pool with its loop: `asyncio.run` ends the generators that its loop began."""
    try:
        yield
    finally:
        await transport.aclose()


_closing: set["asyncio.Task[None]"] = set()


def _close_all(pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool]") -> None:
    """Closes each pool on its loop: whoever used them is gone, from whatever thread."""
    for loop, pool in list(pools.items()):
        with contextlib.suppress(RuntimeError):  # the loop has ended, and its pools with it
            loop.call_soon_threadsafe(_close, loop, pool)


def _close(loop: asyncio.AbstractEventLoop, pool: _Pool) -> None:
    task = loop.create_task(pool.keeper.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


class PerLoopTransport(httpx2.AsyncBaseTransport):
    """An async transport with one connection pool per event loop.

    A pool's connections belong to the loop that opened them; `asyncio.run` twice in a process, or
    two threads with a loop each, would otherwise meet `RuntimeError: Event loop is closed`
    (langchain-openai caches one client for all).

    Args:
        max_connections: Most connections at once, per loop.
        library: `httpx2`, or `httpx`, which has the same names: Ollama's client is built on that.
    """

    def __init__(self, *, max_connections: int = 1000, library: Any = httpx2) -> None:
        self._max_connections = max_connections
        self._library = library
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = WeakKeyDictionary()
        close_with(self, partial(_close_all, self._pools))

    async def handle_async_request(self, request: Any) -> Any:
        """Sends the request over the pool of the running loop."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            limits = self._library.Limits(
                max_connections=self._max_connections, max_keepalive_connections=100
            )
            transport = self._library.AsyncHTTPTransport(verify=tls(), limits=limits)
            pool = self._pools[loop] = _Pool(transport, _kept(transport))
            await anext(pool.keeper)
        return await pool.transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes the pool of the running loop; those of other loops went with their loop."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.keeper.aclose()


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """The certificates every client checks against, read once: that takes 20 ms."""
    return httpx2.create_ssl_context()


def async_client(timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    """An async client that any event loop may use.

    Args:
        timeout: Seconds to connect, read and write.
    """
    return httpx2.AsyncClient(transport=PerLoopTransport(), timeout=timeout, follow_redirects=True)


def sync_client(timeout: httpx2.Timeout, *, total_s: float | None = None) -> httpx2.Client:
    """A client for sync calls, for any number of threads.

    Args:
        timeout: Seconds to connect, read and write.
        total_s: Seconds for each exchange as a whole; None: no limit.
    """
    limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
    client = httpx2.Client(verify=tls(), limits=limits, timeout=timeout, follow_redirects=True)
    # not client.close: what closes must not hold the client, or it would never be let go
    for transport in transports_of(client):
        close_with(client, transport.close)
    return client if total_s is None else limit(client, total_s)


def close_with(holder: object, close: Callable[[], None]) -> None:
    """Closes what nobody closes explicitly once its holder is gone, also out of a cycle.

    A `__del__` isn't enough: in a cycle the collector may take the sockets before it.

    Args:
        holder: Whose end is waited for.
        close: Closes; it must not hold the holder.
    """
    weakref.finalize(holder, close).atexit = False
