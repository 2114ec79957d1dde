"""Which network addresses may be fetched: public ones only, unless a setting names the host.

The lists are IANA's special-purpose registries (RFC 6890 and its updates) plus the metadata
addresses of clouds that lie outside them. `ipaddress.is_global` isn't used: before Python 3.11.10
it called several of these ranges public.
"""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from allotrope.exceptions import InputError

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""Host and port to addresses."""

_CLOSED_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier NAT; Alibaba's metadata lies here
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent
        "169.254.0.0/16",  # link-local; AWS, GCP and Azure metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # Oracle's metadata
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_OPEN_6 = IPv6Network("2000::/3")
_CLOSED_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo carries IPv4 addresses inside
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries IPv4 addresses inside
        "3fff::/20",
    )
)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet.

    Args:
        address: An IP address; IPv4 inside IPv6 (mapped, 6to4, NAT64, Teredo) is never public.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_4)
    return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, by the system's resolver.

    Raises:
        InputError: There are none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise InputError(f"The host {host[:100]!r} has no address.") from exc
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def checked_address(
    host: str, port: int, *, private_hosts: Sequence[str] = (), resolver: Resolver = resolve
) -> str:
    """Resolves a host once and gives the address to connect to.

    Args:
        host: Name or address.
        port: TCP port.
        private_hosts: Hosts and networks that may be private.
        resolver: Asked exactly once, so that a second answer (DNS rebinding) can't matter.

    Returns:
        An address that passed; connect to this one, not to the name.

    Raises:
        InputError: No address, or one of them is private and not allowed.
    """
    named = host.lower().rstrip(".") in {entry.lower() for entry in private_hosts}
    networks = _networks(private_hosts)
    addresses = [ip_address(text.split("%", 1)[0]) for text in resolver(host, port)]
    if not addresses:
        raise InputError(f"The host {host[:100]!r} has no address.")
    for address in addresses:
        allowed = named or any(address in network for network in networks)
        if not allowed and not is_public(address):
            raise InputError(
                f"{host[:100]} is at {address}, which is not a public address; it isn't fetched.",
                hint="To allow it, name it in ALLOTROPE_AGENTS__PRIVATE_HOSTS.",
            )
    return str(addresses[0])


def _networks(entries: Sequence[str]) -> list[IPv4Network | IPv6Network]:
    networks = []
    for entry in entries:
        try:
            networks.append(ip_network(entry, strict=False))
        except ValueError:  # a name, compared as such
            continue
    return networks
