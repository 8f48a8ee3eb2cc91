"""A connection to the API server by kubeconfig, through kubernetes_asyncio.

Configuration, credentials and TLS of a kubeconfig are the library's business. Bodies stay JSON: decoding into the
library's types costs many times the parsing, and drops fields that it does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from kubernetes_asyncio import client, config

from cluster import transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from kubernetes_asyncio.client import ApiClient

__all__ = ["KubeconfigTransport", "connect", "read_body"]

logger = logging.getLogger(__name__)

# A kubeconfig is read again at most this often: it may run a program that asks a person.
RELOAD_INTERVAL = 10.0

_JSON = (transport.JSON, transport.JSON)


async def connect(context: str | None, path: Path | None, *, refresh_failed: Callable[[], None]) -> KubeconfigTransport:
    """Connect by a context of a kubeconfig; see `cluster.client.connect`."""

    async def load() -> ApiClient:
        configuration = client.Configuration()
        # No limit, as in `PodTransport`.
        configuration.connection_pool_maxsize = 0
        # As client-go: the CA of many a cluster lacks extensions that Python 3.13 began to insist on.
        configuration.disable_strict_ssl_verification = True
        await config.load_kube_config(
            config_file=str(path) if path else None, context=context, client_configuration=configuration
        )
        return client.ApiClient(configuration)

    return KubeconfigTransport(await load(), load, refresh_failed=refresh_failed)


class KubeconfigTransport:
    """`cluster.transport.Transport` over the library's ApiClient.

    ``load`` reads the kubeconfig again. That is done when the API server does not accept the credentials: tokens and
    client certificates expire, and the file, or the program that it names, has new ones. Where that fails, the request
    fails with CredentialsError, and a later one tries again. ``refresh_failed`` is called each time.
    """

    def __init__(
        self,
        api: ApiClient,
        load: Callable[[], Awaitable[ApiClient]],
        *,
        refresh_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._refresh_failed = refresh_failed
        self._api = api
        self._load = load
        self._loading = asyncio.Lock()
        self._loaded_at: float | None = None

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
        payload = await self._exchange(method, path, query, body, (content_type, accept), timeout)
        answer = orjson.loads(payload)
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
        return await self._exchange("GET", path, query, None, (transport.JSON, accept), timeout, limit)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """See `Transport.watch`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=idle)
        with _losses():
            async with asyncio.timeout(transport.REQUEST_TIMEOUT):
                response = await self._send("GET", path, {**query, "watch": "true"}, None, _JSON, timeout)
                if response.status >= 400:
                    async with response:
                        raise transport.error_of(response.status, await response.read())
        async with response:
            yield transport.events_of(_chunks(response))

    async def close(self) -> None:
        """Close the library's session."""
        await self._api.close()

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        types: tuple[str, str],
        timeout: float,
        limit: int | None = None,
    ) -> bytes:
        with _losses():
            async with asyncio.timeout(timeout):
                response = await self._send(method, path, query, body, types, aiohttp.ClientTimeout(total=timeout))
                async with response:
                    payload = await read_body(response, limit)
        if response.status >= 400:
            raise transport.error_of(response.status, payload)
        return payload

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        types: tuple[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """The response, with new credentials if the present ones are not accepted and there are any."""
        api = self._api
        response = await self._sent(api, method, path, query, body, types, timeout)
        if response.status != 401:
            return response
        renewed = await self._renewed(api)
        if renewed is None:
            return response
        response.release()
        return await self._sent(renewed, method, path, query, body, types, timeout)

    async def _sent(
        self,
        api: ApiClient,
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
        try:
            await api.update_params_for_auth(headers, [], ["BearerToken"])
        except Exception as error:
            self._refresh_failed()
            raise transport.CredentialsError(f"the credentials cannot be refreshed: {error}") from error
        url = str(api.configuration.host).rstrip("/") + path
        response: aiohttp.ClientResponse = await api.rest_client.request(
            method,
            url,
            query_params=dict(query) if query else None,
            headers=headers,
            body=body,
            _preload_content=False,
            _request_timeout=timeout,
        )
        return response

    async def _renewed(self, refused: ApiClient) -> ApiClient | None:
        """A client with other credentials than the refused one; None if they were read a moment ago."""
        loop = asyncio.get_running_loop()
        async with self._loading:
            if self._api is not refused:
                return self._api
            if self._loaded_at is not None and loop.time() - self._loaded_at < RELOAD_INTERVAL:
                return None
            self._loaded_at = loop.time()
            logger.info("the API server does not accept the credentials; the kubeconfig is read again")
            try:
                self._api = await self._load()
            except Exception as error:
                self._refresh_failed()
                raise transport.CredentialsError(f"the kubeconfig cannot be read again: {error}") from error
        # Watches through the former client break, and are opened again through this one.
        await refused.close()
        return self._api


@contextlib.contextmanager
def _losses() -> Iterator[None]:
    """What aiohttp raises when a connection breaks is not always an OSError."""
    try:
        yield
    except aiohttp.ClientError as error:
        if isinstance(error, OSError):
            raise
        raise transport.LostConnectionError(f"{type(error).__name__}: {error}") from error


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with _losses():
        async for chunk in response.content.iter_any():
            yield chunk


async def read_body(response: aiohttp.ClientResponse, limit: int | None) -> bytes:
    """The body of a response; see `Transport.fetch` for ``limit``. The rest of a long answer is not read."""
    if limit is None:
        return await response.read()
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        response.close()
        raise transport.LongAnswerError("the answer is compressed, which was not asked for")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            raise transport.LongAnswerError(f"the answer is longer than {limit} bytes")
    return bytes(body)
