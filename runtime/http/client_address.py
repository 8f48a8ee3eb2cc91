"""PURE. The address of a client, for its rate limits.

Anybody can send X-Forwarded-For, so it counts only as far as trusted proxies appended to it.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["identify"]

# A site has this much of IPv6 at least (RFC 6177), so each single address of it would be no limit at all.
PREFIX = 64
# Proxies in a row. What lies before them is not looked at.
MAX_HOPS = 16


def identify(peer: str, forwarded: Sequence[str], trusted: tuple[str, ...]) -> str:
    """The client's IPv4 address, or its /64 of IPv6, in one notation.

    ``peer`` is the address of the connection, ``forwarded`` are the X-Forwarded-For headers in order, and ``trusted``
    the networks of proxies in CIDR notation. From the peer backwards, the first address that is not a trusted proxy
    is the client. An entry that is not an address ends the search: the proxy that wrote it is then the client.
    """
    if not trusted:
        return _name(peer)
    address = _parse(peer)
    if address is None:
        return peer
    networks = _networks(trusted)
    if networks:
        # The last entries only, however long the header is.
        entries = ",".join(forwarded).rsplit(",", MAX_HOPS)[-MAX_HOPS:]
        for entry in reversed(entries):
            if not _contains(networks, address):
                break
            before = _parse(entry.strip())
            if before is None:
                break
            address = before
    return _name(str(address))


@lru_cache(maxsize=4096)
def _name(text: str) -> str:
    """An address as a client's name; the text itself if it is not one."""
    address = _parse(text)
    if address is None or isinstance(address, IPv4Address):
        return text if address is None else str(address)
    return str(IPv6Network((int(address), PREFIX), strict=False))


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _contains(networks: Sequence[IPv4Network | IPv6Network], address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=16)
def _networks(trusted: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ipaddress.ip_network(cidr, strict=False) for cidr in trusted)
