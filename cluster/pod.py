"""A connection to the API server for a pod that wants little: the mounted token and certificate, and nothing else.

The servers' pods watch one ConfigMap; loading the Kubernetes library for that would double their memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from yarl import URL

from cluster import transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

__all__ = ["PodTransport"]


class PodTransport:
    """`cluster.transport.Transport` with the service account in ``directory`` (``token``, ``ca.crt``).

    The token is read for every request: the kubelet renews it in place.
    """

    def __init__(self, directory: Path, host: str, port: int) -> None:
        self._directory = directory
        name = f"[{host}]" if ":" in host else host
        self._base = f"https://{name}:{port}"
        self._session: aiohttp.ClientSession | None = None

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
        async with self._opened().request(
            method,
            self._url(path, query),
            data=None if body is None else orjson.dumps(body),
            headers={**self._authorization(), "Content-Type": content_type, "Accept": accept},
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            payload = await response.read()
            if response.status >= 400:
                raise transport.error_of(response.status, payload)
            answer: dict[str, Any] = orjson.loads(payload)
            return answer

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float) -> bytes:
        """See `Transport.fetch`."""
        total = aiohttp.ClientTimeout(total=timeout)
        async with self._opened().get(self._url(path, query), headers=self._authorization(), timeout=total) as response:
            payload = await response.read()
            if response.status >= 400:
                raise transport.error_of(response.status, payload)
            return payload

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """See `Transport.watch`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=idle)
        url = self._url(path, {**query, "watch": "true"})
        async with asyncio.timeout(transport.REQUEST_TIMEOUT):
            response = await self._opened().get(url, headers=self._authorization(), timeout=timeout)
        async with response:
            if response.status >= 400:
                raise transport.error_of(response.status, await response.read())
            yield transport.events_of(response.content.iter_any())

    async def close(self) -> None:
        """Close the session, if one was opened."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=str(self._directory / "ca.crt"))
            # As client-go: the CA of many a cluster lacks extensions that Python 3.13 began to insist on.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), trust_env=False)
        return self._session

    def _authorization(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {(self._directory / 'token').read_text().strip()}",
            "Accept": "application/json",
        }

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        return URL(self._base + path).with_query(query or {})
