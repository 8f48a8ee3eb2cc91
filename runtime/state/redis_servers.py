"""Connections to the servers of a Redis: which one, at which address, over TLS or not, with which credentials.

redis-py makes them. A standalone server is where its host leads to. With Sentinels, they are asked for the master
before each connection. A cluster has many servers; which of them to use, the answers to commands say.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import redis.asyncio as driver
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from crd import addresses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

__all__ = ["Node", "Options", "Sentinels", "Servers"]


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels of a host, and the name by which they know the master. ``credentials`` as in `Options`."""

    host: str
    master: str
    port: int = 26379
    credentials: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect. Without ``ca_file``, TLS trusts the certificate authorities of the system.

    With ``is_cluster``, ``host`` leads to any nodes of a Redis Cluster. With ``sentinels``, they name the server; a
    certificate of a server has to be valid for ``host`` all the same, and one of a Sentinel for their host.
    ``credentials`` is a folder (a mounted Secret) with the files ``password`` and, optionally, ``username``. They are
    read for every connection, so a rotated password applies to the next one.
    A host that is a Service of ``cluster_domain`` is resolved by its absolute name. Addresses that
    `crd.addresses` forbids are not connected; ``allow_loopback`` allows loopback addresses.
    """

    host: str
    port: int = 6379
    db: int = 0
    tls: bool = False
    ca_file: Path | None = None
    credentials: Path | None = None
    sentinels: Sentinels | None = None
    is_cluster: bool = False
    cluster_domain: str = "cluster.local"
    allow_loopback: bool = False


class Node(NamedTuple):
    """A server of a cluster."""

    host: str
    port: int


class _MountedCredentials(CredentialProvider):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """See `CredentialProvider`."""
        username, password = self._folder / "username", (self._folder / "password").read_text().strip()
        name = username.read_text().strip() if username.is_file() else ""
        return (name, password) if name else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same. The inherited method logs a warning for every connection."""
        return self.get_credentials()


class _GuardedConnection(driver.Connection):
    """Connects to an address that was checked, so no other answer of the resolver can take its place.

    ``find`` gives the addresses of the server, and its port. ``name`` is that of its certificate.
    """

    def __init__(
        self, *, find: Callable[[], Awaitable[tuple[Sequence[str], int]]], options: Options, name: str, **more: Any
    ) -> None:
        super().__init__(**more)
        self._find = find
        self._options = options
        self._name = name

    async def _connect(self) -> None:
        found, self.port = await self._find()
        # One that does not answer leaves time for the others.
        share = (self.socket_connect_timeout or 0.0) / len(found)
        for index, address in enumerate(found):
            fault = addresses.find_fault(address, allow_loopback=self._options.allow_loopback)
            if fault is not None:
                raise RedisConnectionError(f"{address} is {fault}, which must not be called")
            self.host = address
            try:
                async with asyncio.timeout(share):
                    await super()._connect()  # type: ignore[no-untyped-call]
            except OSError:
                if index == len(found) - 1:
                    raise
            else:
                return

    def _connection_arguments(self) -> Mapping[str, Any]:
        given = super()._connection_arguments()
        return {**given, "server_hostname": self._name} if "ssl" in given else given


# Knows what a Sentinel says of a master.
_JUDGE = Sentinel([])  # type: ignore[no-untyped-call]


class _GuardedTlsConnection(_GuardedConnection, driver.SSLConnection):
    """The same with TLS. ``context`` gives what verifies the certificate.

    The driver makes a context for every connection, which takes 35 ms and trusts the authorities of the system, too.
    """

    def __init__(self, *, context: Callable[[], ssl.SSLContext], **more: Any) -> None:
        super().__init__(**more)
        self._context = context

    async def _connect(self) -> None:
        self.ssl_context.context = self._context()
        await super()._connect()


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Servers:
    """Makes connections. ``timeout`` is in seconds: for finding a server, and for connecting to it.

    ``resolve`` gives the addresses of a host.
    """

    def __init__(self, options: Options, timeout: float, resolve: Resolve = _resolve) -> None:
        self._options = options
        self._timeout = timeout
        self._resolve = resolve
        self._turn = -1
        # With the content of the CA file.
        self._verifying: tuple[bytes | None, ssl.SSLContext] | None = None

    def connection(self, node: Node | None = None) -> driver.Connection:
        """A connection that is not made yet: to this node of the cluster, or to where the options lead."""
        options = self._options

        async def find() -> tuple[Sequence[str], int]:
            host, port = node or (options.host, options.port)
            if options.sentinels is not None:
                host, port = await self._find_master(options.sentinels)
            return await self._addresses(host, port), port

        # Who uses the connection has deadlines of its own.
        pool = self._pool(find, options.host, options.credentials, self._timeout, socket_timeout=None, db=options.db)
        connection: driver.Connection = pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    def _pool(
        self,
        find: Callable[[], Awaitable[tuple[Sequence[str], int]]],
        name: str,
        credentials: Path | None,
        timeout: float,
        **more: Any,
    ) -> driver.ConnectionPool:
        options = self._options
        security: dict[str, Any] = {"context": self._context} if options.tls else {}
        if credentials is not None:
            security["credential_provider"] = _MountedCredentials(credentials)
        return driver.ConnectionPool(
            connection_class=_GuardedTlsConnection if options.tls else _GuardedConnection,
            find=find,
            options=options,
            name=name,
            host=name,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            **security,
            **more,
        )

    def _context(self) -> ssl.SSLContext:
        """What verifies certificates: the same until the CA file has another content. Raises OSError."""
        file = self._options.ca_file
        authorities = file.read_bytes() if file is not None else None
        if self._verifying is None or self._verifying[0] != authorities:
            # An empty file is none of a CA; empty data would be those of the system.
            self._verifying = authorities, ssl.create_default_context(cafile=file)
        return self._verifying[1]

    async def _addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host. Each time it begins with another one, because the first may not answer."""
        domain = self._options.cluster_domain
        if addresses.is_service(host, domain):
            host = addresses.absolute_name(host, domain)
        elif host.endswith(f".{domain}"):
            host = f"{host}."
        async with asyncio.timeout(self._timeout):
            found = list(dict.fromkeys(await self._resolve(host, port)))
        if not found:
            raise RedisConnectionError(f"{host} has no address")
        self._turn += 1
        first = self._turn % len(found)
        return found[first:] + found[:first]

    async def _find_master(self, sentinels: Sentinels) -> Node:
        """The master that the first Sentinel names that sees it well. Raises RedisError."""
        found = await self._addresses(sentinels.host, sentinels.port)
        # The last one leaves time for the master.
        share = self._timeout / (len(found) + 1)
        faults = []
        for address in found:
            try:
                master = await self._ask(sentinels, address, share)
            except (RedisError, OSError) as error:
                faults.append(f"{address}: {error}")
            else:
                if master is not None:
                    return master
                faults.append(f"{address} knows no such master, or sees that it is down")
        raise RedisConnectionError(f'no Sentinel names the master "{sentinels.master}": {"; ".join(faults)}')

    async def _ask(self, sentinels: Sentinels, address: str, timeout: float) -> Node | None:
        async def find() -> tuple[Sequence[str], int]:
            return (address,), sentinels.port

        pool = self._pool(find, sentinels.host, sentinels.credentials, timeout, socket_timeout=timeout)
        async with driver.Redis.from_pool(pool) as client:
            # By their names.
            masters: Any = await client.sentinel_masters()
        state = masters.get(sentinels.master)
        is_well = state is not None and _JUDGE.check_master_state(state, sentinels.master)
        return Node(state["ip"], state["port"]) if is_well else None
