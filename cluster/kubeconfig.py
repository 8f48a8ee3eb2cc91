"""A connection to the API server by kubeconfig, through kubernetes_asyncio.

Configuration, credentials and TLS of a kubeconfig are the library's business. Bodies stay JSON: decoding into the
library's types costs many times the parsing, and drops fields that it does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping  # noqa: TC003 -- a NamedTuple evaluates its annotations
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from kubernetes_asyncio import client, config

from cluster import transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from kubernetes_asyncio.client import ApiClient

__all__ = ["KubeconfigTransport", "connect", "read_body"]

logger = logging.getLogger(__name__)

# A kubeconfig is read again at most this often: it may run a program that asks a person.
RELOAD_INTERVAL = 10.0


class _Call(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str] | None
    body: Any = None
    content_type: str = transport.JSON
    accept: str = transport.JSON


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
        content_type: str = transport.JSON,
        accept: str = transport.JSON,
        timeout: float = transport.REQUEST_TIMEOUT,
    ) -> dict[str, Any]:
        """See `Transport.request`."""
        call = _Call(method, path, query, body, content_type, accept)
        return transport.answer_of(await self._exchange(call, timeout))

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
        return await self._exchange(_Call("GET", path, query, accept=accept), timeout, limit)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """See `Transport.watch`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=idle)
        with _losses():
            async with asyncio.timeout(transport.REQUEST_TIMEOUT):
                response = await self._send(_Call("GET", path, {**query, "watch": "true"}), timeout)
                if response.status >= 400:
                    async with response:
                        raise transport.error_of(response.status, await _read_start(response, transport.ERROR_LIMIT))
        async with response:
            yield transport.events_of(_chunks(response))

    async def close(self) -> None:
        """Close the library's session."""
        await self._api.close()

    async def _exchange(self, call: _Call, timeout: float, limit: int | None = None) -> bytes:
        with _losses():
            async with asyncio.timeout(timeout):
                response = await self._send(call, aiohttp.ClientTimeout(total=timeout))
                async with response:
                    if response.status >= 400:
                        raise transport.error_of(response.status, await _read_start(response, transport.ERROR_LIMIT))
                    return await read_body(response, limit)

    async def _send(self, call: _Call, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """The response, with new credentials if the present ones are not accepted and there are any."""
        api = self._api
        response = await self._sent(api, call, timeout)
        if response.status != 401:
            return response
        renewed = await self._renewed(api)
        if renewed is None:
            return response
        response.release()
        return await self._sent(renewed, call, timeout)

    async def _sent(self, api: ApiClient, call: _Call, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        # A compressed page would have to be unpacked by the event loop; the API server is near.
        headers = {"Accept": call.accept, "Accept-Encoding": "identity", "Content-Type": call.content_type}
        try:
            await api.update_params_for_auth(headers, [], ["BearerToken"])
        except Exception as error:
            self._refresh_failed()
            raise transport.CredentialsError(f"the credentials cannot be refreshed: {error}") from error
        url = str(api.configuration.host).rstrip("/") + call.path
        response: aiohttp.ClientResponse = await api.rest_client.request(
            call.method,
            url,
            query_params=dict(call.query) if call.query else None,
            headers=headers,
            body=call.body,
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


async def _read_start(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The first bytes of the body, about ``limit`` of them at most. The rest is not read."""
    start = bytearray()
    async for chunk in response.content.iter_any():
        start += chunk
        if len(start) > limit:
            response.close()
            break
    return bytes(start)


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
