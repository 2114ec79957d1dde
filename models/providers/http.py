"""HTTP clients that survive more than one event loop."""

import asyncio
import ssl
import urllib.request
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import httpx2

from allotrope.support.compat.httpx import transports_of
from allotrope.support.exchanges import is_loopback, limit
from allotrope.support.tasks import end_on


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


_LoopPools = dict[str | None, _Pool]
"""The pools of a loop, by the proxy that they go through; None goes through none."""


def _close_all(pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPools]") -> None:
    """Closes each pool on its loop: whoever used them is gone, from whatever thread."""
    for loop, of_loop in list(pools.items()):
        for pool in of_loop.values():
            end_on(loop, pool.keeper)


class PerLoopTransport(httpx2.AsyncBaseTransport):
    """An async transport with one connection pool per event loop and proxy.

    A pool's connections belong to the loop that opened them; `asyncio.run` twice in a process, or
    two threads with a loop each, would otherwise meet `RuntimeError: Event loop is closed`
    (langchain-openai caches one client for all). httpx looks at the proxies of the environment only
    where it is given no transport, so this one does it (see `proxy_for`).

    Args:
        max_connections: Most connections at once, per loop.
        library: `httpx2`, or `httpx`, which has the same names: Ollama's client is built on that.
    """

    def __init__(self, *, max_connections: int = 1000, library: Any = httpx2) -> None:
        self._max_connections = max_connections
        self._library = library
        self._proxies = proxies()
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPools] = WeakKeyDictionary()
        close_with(self, partial(_close_all, self._pools))

    async def handle_async_request(self, request: Any) -> Any:
        """Sends the request over the pool of the running loop."""
        proxy = proxy_for(request.url.scheme, request.url.host, self._proxies)
        pools = self._pools.setdefault(asyncio.get_running_loop(), {})
        pool = pools.get(proxy)
        if pool is None:
            limits = self._library.Limits(
                max_connections=self._max_connections, max_keepalive_connections=100
            )
            transport = self._library.AsyncHTTPTransport(verify=tls(), limits=limits, proxy=proxy)
            pool = pools[proxy] = _Pool(transport, _kept(transport))
            await anext(pool.keeper)
        return await pool.transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes the pools of the running loop; those of other loops went with their loop."""
        for pool in self._pools.pop(asyncio.get_running_loop(), {}).values():
            await pool.keeper.aclose()


def proxies() -> dict[str, str]:
    """The proxies of the environment (`HTTPS_PROXY`, `ALL_PROXY` …), by scheme."""
    return urllib.request.getproxies()


def proxy_for(scheme: str, host: str, known: dict[str, str]) -> str | None:
    """The proxy that a request goes through; none for this machine, and none that `NO_PROXY` names.

    Args:
        scheme: Of the request's address.
        host: Of the request's address.
        known: As `proxies` gives them.
    """
    found = known.get(scheme) or known.get("all")
    if not found or is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return found if "://" in found else f"http://{found}"


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
