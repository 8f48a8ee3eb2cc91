"""A connection to the API server as a pod has it: the mounted token and certificate, and nothing else.

Webhook, controller and the servers' pods use it. The Kubernetes library would add 70 MiB to each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from yarl import URL

from cluster import transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["PodTransport"]

# A peer that is gone without a word is noticed after 45 s, as by client-go.
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
READ_BUFFER = 1024 * 1024


class PodTransport:
    """`cluster.transport.Transport` with the service account in ``directory`` (``token``, ``ca.crt``).

    The token is read for every request, the certificate when its file has changed: the kubelet renews both in place.
    ``refresh_failed`` is called whenever one of them cannot be read.
    """

    def __init__(
        self, directory: Path, host: str, port: int, *, refresh_failed: Callable[[], None] = lambda: None
    ) -> None:
        self._refresh_failed = refresh_failed
        self._directory = directory
        name = f"[{host}]" if ":" in host else host
        self._base = f"https://{name}:{port}"
        self._session: aiohttp.ClientSession | None = None
        self._authority = 0

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = transport.REQUEST_TIMEOUT,
    ) -> dict[str, Any]:
        """See `Transport.request`."""
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type, "Accept": accept}
        answer = orjson.loads(await self._exchange(method, path, query, data, headers, timeout))
        return answer if isinstance(answer, dict) else {"value": answer}

    async def fetch(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        timeout: float,
        accept: str = transport.JSON,
        limit: int | None = None,
    ) -> bytes:
        """See `Transport.fetch`."""
        return await self._exchange("GET", path, query, None, {"Accept": accept}, timeout, limit)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """See `Transport.watch`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=idle)
        url, headers = self._url(path, {**query, "watch": "true"}), {"Accept": "application/json"}
        async with asyncio.timeout(transport.REQUEST_TIMEOUT):
            session = await self._opened()
            response = await session.get(url, headers=self._authorized(headers), timeout=timeout)
            if response.status >= 400:
                async with response:
                    raise transport.error_of(response.status, await response.read())
        async with response:
            yield transport.events_of(response.content.iter_any())

    async def close(self) -> None:
        """Close the session, if one was opened."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: bytes | None,
        headers: dict[str, str],
        timeout: float,
        limit: int | None = None,
    ) -> bytes:
        session = await self._opened()
        async with session.request(
            method,
            self._url(path, query),
            data=data,
            headers=self._authorized(headers),
            timeout=aiohttp.ClientTimeout(total=timeout),
            auto_decompress=False if limit is not None else None,
            allow_redirects=limit is None,
        ) as response:
            payload = await transport.read_body(response, limit)
            if response.status >= 400:
                raise transport.error_of(response.status, payload)
            return payload

    @contextlib.contextmanager
    def _refreshing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._refresh_failed()
            raise transport.CredentialsError(
                f"the credentials of the service account cannot be read: {error}"
            ) from error

    async def _opened(self) -> aiohttp.ClientSession:
        path = self._directory / "ca.crt"
        with self._refreshing():
            changed = path.stat().st_mtime_ns
        if self._session is not None and changed != self._authority:
            # Watches through the former session break, and are opened again through the new one.
            await self.close()
        if self._session is None:
            with self._refreshing():
                context = ssl.create_default_context(cafile=str(path))
            # As client-go: the CA of many a cluster lacks extensions that Python 3.13 began to insist on.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            # No limit: every watch holds a connection, and there is one for each type, or for each type and namespace.
            # A request that waited for one of them to end would wait for minutes.
            connector = aiohttp.TCPConnector(ssl=context, socket_factory=_socket, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, read_bufsize=READ_BUFFER)
            self._authority = changed
        return self._session

    def _authorized(self, headers: dict[str, str]) -> dict[str, str]:
        with self._refreshing():
            token = (self._directory / "token").read_text().strip()
        # A compressed page would have to be unpacked by the event loop; the API server is near.
        return {**headers, "Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        return URL(self._base + path).with_query(query or {})


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        # Not every system names these options so.
        option = getattr(socket, name, None)
        if option is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
