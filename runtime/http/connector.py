"""Connections to other hosts, made only to addresses that `crd.addresses` allows.

The check is made on the address of each socket before it connects, whoever resolved the name and whenever, so a name
cannot resolve to one address for the check and to another for the connection. It covers literal addresses, too.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver

from crd import addresses

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

__all__ = ["ForbiddenAddressError", "ServiceResolver", "guarded_connector"]

_AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


class ForbiddenAddressError(OSError):
    """A host has an address that must not be connected."""


def guarded_connector(*, allow_loopback: bool = False, **options: Any) -> aiohttp.TCPConnector:
    """A connector that refuses forbidden addresses. ``options`` are those of aiohttp.TCPConnector."""
    return aiohttp.TCPConnector(socket_factory=partial(_open_socket, allow_loopback), **options)


def _open_socket(allow_loopback: bool, info: _AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    fault = addresses.find_fault(str(address[0]), allow_loopback=allow_loopback)
    if fault is not None:
        raise ForbiddenAddressError(f"{address[0]} is {fault}, which must not be called")
    return socket.socket(family, kind, protocol)


class ServiceResolver(AbstractResolver):
    """Resolves the host names of Services as absolute names, and every other name as it is."""

    def __init__(self, inner: AbstractResolver, cluster_domain: str) -> None:
        self._inner = inner
        self._cluster_domain = cluster_domain

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises OSError if there are none."""
        if addresses.is_service(host, self._cluster_domain):
            host = addresses.absolute_name(host, self._cluster_domain)
        return await self._inner.resolve(host, port, family)

    async def close(self) -> None:
        """Release the resolver."""
        await self._inner.close()
