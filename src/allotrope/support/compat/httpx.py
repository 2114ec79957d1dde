"""Private parts of `httpx`, `httpx2` and the `httpcore` below them (the same names in both).

Reason: a deadline for a whole exchange must be known where bytes are read, and neither library
takes a network backend or a wrapper of bodies from outside. Without it: a server that sends a byte
a second holds a call for ever (`support.exchanges`).
"""

from collections.abc import Callable
from typing import Any


def transports_of(client: Any) -> list[Any]:
    """The transports of a client, those for proxies included.

    Args:
        client: An `httpx.Client` or `httpx2.Client`.
    """
    found = (client._transport, *client._mounts.values())
    return list({id(one): one for one in found if one is not None}.values())


def wrap_network(transport: Any, wrap: Callable[[Any], Any]) -> bool:
    """Puts something before the network that a transport speaks to; False where it has none.

    Args:
        transport: An `HTTPTransport`, before its first request.
        wrap: From `httpcore`'s backend to another.
    """
    pool = getattr(transport, "_pool", None)
    if pool is None:
        return False
    pool._network_backend = wrap(pool._network_backend)
    return True


def wrap_body(response: Any, wrap: Callable[[Any], Any]) -> None:
    """Puts something before the body of an answer; `httpx` goes on translating its errors.

    Args:
        response: What an `HTTPTransport` gave.
        wrap: From `httpcore`'s stream to another.
    """
    stream = response.stream
    stream._httpcore_stream = wrap(stream._httpcore_stream)
