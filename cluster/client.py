"""A connection to the API server through kubernetes_asyncio: configuration, credentials, TLS and pool are its own.

Bodies stay JSON: decoding into the library's types costs many times the parsing, and drops fields it does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from kubernetes_asyncio import client, config

from cluster import transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

__all__ = ["LibraryTransport", "connect"]

_JSON = ("application/json", "application/json")


async def connect(context: str | None = None, kubeconfig: Path | None = None) -> LibraryTransport:
    """Connect as the pod's service account; by kubeconfig where one or a context is named, or where there is no pod.

    Raises kubernetes_asyncio.config.ConfigException when neither is usable.
    """
    configuration = client.Configuration()
    configuration.connection_pool_maxsize = 100
    # As client-go: the CA of many a cluster lacks extensions that Python 3.13 began to insist on.
    configuration.disable_strict_ssl_verification = True
    if context is None and kubeconfig is None:
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            await config.load_kube_config(client_configuration=configuration)
    else:
        await config.load_kube_config(
            config_file=str(kubeconfig) if kubeconfig else None, context=context, client_configuration=configuration
        )
    return LibraryTransport(client.ApiClient(configuration))


class LibraryTransport:
    """`cluster.transport.Transport` over the library's ApiClient."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

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
        response = await self._send(
            method, path, query, body, (content_type, accept), aiohttp.ClientTimeout(total=timeout)
        )
        async with response:
            payload = await response.read()
        if response.status >= 400:
            raise transport.error_of(response.status, payload)
        answer = orjson.loads(payload)
        return answer if isinstance(answer, dict) else {"value": answer}

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float) -> bytes:
        """See `Transport.fetch`."""
        response = await self._send("GET", path, query, None, _JSON, aiohttp.ClientTimeout(total=timeout))
        async with response:
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
        async with asyncio.timeout(transport.REQUEST_TIMEOUT):
            response = await self._send("GET", path, {**query, "watch": "true"}, None, _JSON, timeout)
        async with response:
            if response.status >= 400:
                raise transport.error_of(response.status, await response.read())
            yield transport.events_of(response.content.iter_any())

    async def close(self) -> None:
        """Close the library's session."""
        await self._api.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        types: tuple[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        content_type, accept = types
        # A compressed page would have to be unpacked by the event loop; the API server is near.
        headers = {"Accept": accept, "Accept-Encoding": "identity", "Content-Type": content_type}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"])
        url = str(self._api.configuration.host).rstrip("/") + path
        response: aiohttp.ClientResponse = await self._api.rest_client.request(
            method,
            url,
            query_params=dict(query) if query else None,
            headers=headers,
            body=body,
            _preload_content=False,
            _request_timeout=timeout,
        )
        return response
