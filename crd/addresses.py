"""PURE. Which hosts and addresses the runtime may call.

A catalog may name Services only. But whoever can write the Endpoints or the DNS records of a Service decides what
answers for it. So the address to connect to is checked, too: in no notation may it reach the pod itself, its node, or
the metadata service of a cloud. Behind a ClusterIP, that address says nothing about the endpoints, so the controller
checks the EndpointSlices of Services that are not written by Kubernetes itself (docs/decisions/0024, 0030).
"""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["absolute_name", "find_fault", "forbidden_endpoint", "is_domain", "is_label", "is_service"]

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_A_LABEL = re.compile(_LABEL)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SERVICE = re.compile(rf"{_LABEL}\.{_LABEL}\.svc")

_REFUSED: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ipaddress.ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        # Metadata services that are not link-local: Alibaba Cloud, Azure, Oracle Cloud.
        ("100.100.100.200/32", "a metadata address"),
        ("168.63.129.16/32", "a metadata address"),
        ("192.0.0.192/32", "a metadata address"),
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("fe80::/10", "a link-local address"),
        ("ff00::/8", "a multicast address"),
        # AWS (all of its instance services), Google Cloud.
        ("fd00:ec2::/32", "a metadata address"),
        ("fd20:ce::254/128", "a metadata address"),
        # Translation prefixes from which the IPv4 address cannot be extracted: RFC 8215, RFC 4380.
        ("64:ff9b:1::/48", "a translated address"),
        ("2001::/32", "a Teredo address"),
    )
)
# IPv6 networks whose last 32 bits are an IPv4 address: RFC 4291 (compatible, mapped), RFC 2765, RFC 6052.
_EMBEDDING = tuple(IPv6Network(net) for net in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
_6TO4 = IPv6Network("2002::/16")
# The interface identifiers of ISATAP (RFC 5214, section 6.1), which end in an IPv4 address, too.
_ISATAP = (0x00005EFE, 0x02005EFE)


def find_fault(address: str, *, allow_loopback: bool = False) -> str | None:
    """Why the runtime must not connect to an IP address, as a noun phrase ("a loopback address"); None if it may.

    If an IPv6 address embeds an IPv4 address, both are checked. ``allow_loopback`` allows 127.0.0.0/8 and ::1,
    written as such, for local use and tests.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "not an IP address"
    if allow_loopback and parsed.is_loopback and _embedded(parsed) is None:
        return None
    for network, kind in _REFUSED:
        if parsed in network:
            return kind
    inner = _embedded(parsed)
    return None if inner is None else find_fault(str(inner))


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    number = int(address)
    if address in _6TO4:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    # :: and ::1 are within ::/96 but embed nothing.
    is_isatap = (number >> 32 & 0xFFFFFFFF) in _ISATAP
    if (is_isatap or any(address in network for network in _EMBEDDING)) and number > 1:
        return IPv4Address(number & 0xFFFFFFFF)
    return None


def forbidden_endpoint(raw: Mapping[str, Any]) -> str:
    """The first address of an EndpointSlice that must not be called, and why; empty if there is none.

    A host name (the address type FQDN) is refused: it may resolve to any address at any time.
    """
    is_name = raw.get("addressType") == "FQDN"
    for endpoint in raw.get("endpoints") or ():
        for address in endpoint.get("addresses") or ():
            fault = "a host name" if is_name else find_fault(str(address))
            if fault is not None:
                return f"{address} ({fault})"
    return ""


def is_service(host: str, cluster_domain: str) -> bool:
    """Whether a host is that of a Service: ``name.namespace.svc``, alone or followed by the cluster domain."""
    return _SERVICE.fullmatch(host.removesuffix(f".{cluster_domain}")) is not None


def is_label(text: str) -> bool:
    """Whether a text is a DNS label (RFC 1123), as the name of a namespace is."""
    return _A_LABEL.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    """Whether a text is a DNS domain (RFC 1123), in small letters and without a trailing dot."""
    return len(text) <= 253 and _DOMAIN.fullmatch(text) is not None


def absolute_name(host: str, cluster_domain: str) -> str:
    """The absolute DNS name of a Service: it ends in a dot, so the resolver does not apply the pod's search list.

    With the search list, ``orders.shop.svc`` could become ``orders.shop.svc.svc.<domain>``: a pod ``orders`` of a
    Service ``shop`` in a namespace called ``svc``.
    """
    return f"{host.removesuffix(f'.{cluster_domain}')}.{cluster_domain}."
