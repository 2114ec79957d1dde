"""What proxies in front of us say of a client: believed only of those that the settings name."""

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope


class Proxies:
    """The proxies that are trusted.

    Args:
        trusted: Addresses or networks.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(one, strict=False) for one in trusted]

    def trusts(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)

    def seen(self, scope: Scope) -> Scope:
        """A request as the client sent it, where a trusted proxy passed it on.

        The client is the last address in `X-Forwarded-For` that is no trusted proxy: what stands
        before it, the client may have written itself.

        Args:
            scope: As it arrived.
        """
        client = scope.get("client")
        if not self._networks or client is None or not self.trusts(client[0]):
            return scope
        headers = Headers(scope=scope)
        addresses = [
            one.strip() for line in headers.getlist("x-forwarded-for") for one in line.split(",")
        ]
        address = client[0]
        for one in reversed(addresses):
            try:
                address = str(ipaddress.ip_address(one))
            except ValueError:
                break
            if not self.trusts(address):
                break
        proto = headers.getlist("x-forwarded-proto")
        scheme = proto[0].strip().lower() if len(proto) == 1 else ""
        found = {**scope, "client": (address, 0)}
        return {**found, "scheme": scheme} if scheme in ("http", "https") else found
