"""A connection to the API server as a pod has it: the mounted token and certificate, and nothing else.

Webhook, controller and the servers' pods use it. The Kubernetes library would add 70 MiB to each of them, and aiohttp
10 MiB. It uses no proxy from the environment, follows no redirect, and inflates nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson

from cluster import transport
from cluster.api_connection import open_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from cluster.api_connection import Connection

__all__ = ["PodTransport"]

# Seconds for which a connection without a request is kept. The API server closes it after 90 s.
KEPT = 15.0
# What is sent again if a kept connection was closed just then (RFC 9110, section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})
# Characters of a path that are sent as they are (RFC 3986, section 3.3).
_PATH = "/:@!$&'()*+,;=~%"


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
        self._host, self._port = host, port
        self.authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._context: ssl.SSLContext | None = None
        self._changed = 0
        # No limit: every watch holds a connection, and there is one for each type, or for each type and namespace. A
        # request that waited for one of them to end would wait for minutes.
        self._open: set[Connection] = set()
        # Those without a request, and what closes each of them.
        self._kept: dict[Connection, asyncio.TimerHandle] = {}

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
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type, "Accept": accept}
        async with asyncio.timeout(timeout), self._exchange(method, path, query, data, headers) as connection:
            payload = await _read(connection, None)
        return transport.answer_of(payload)

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
        async with asyncio.timeout(timeout), self._exchange("GET", path, query, None, {"Accept": accept}) as connection:
            return await _read(connection, limit)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """See `Transport.watch`."""
        watching = {**query, "watch": "true"}
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(transport.REQUEST_TIMEOUT):
                exchange = self._exchange("GET", path, watching, None, {"Accept": transport.JSON})
                connection = await stack.enter_async_context(exchange)
            yield transport.events_of(_Chunks(connection, idle))

    async def close(self) -> None:
        """Close the connections."""
        for timer in self._kept.values():
            timer.cancel()
        self._kept.clear()
        for connection in self._open:
            connection.abort()
        self._open.clear()

    @contextlib.asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        headers: dict[str, str],
    ) -> AsyncIterator[Connection]:
        """A connection whose answer is to be read. Raises ApiError for a refusal."""
        context = await self._current_context()
        head = self._head(method, path, query, body, headers)
        connection = await self._send(context, method, head, body)
        try:
            if connection.status >= 300:
                raise transport.error_of(connection.status, await _read_start(connection, transport.ERROR_LIMIT))
            yield connection
        finally:
            self._release(connection)

    async def _send(self, context: ssl.SSLContext, method: str, head: bytes, body: bytes | None) -> Connection:
        while True:
            connection = self._take()
            if connection is None:
                connection = await open_connection(self._host, self._port, context)
                self._open.add(connection)
            try:
                await connection.send(head, body)
            except transport.LostConnectionError:
                self._release(connection)
                if connection.is_stale and method in _IDEMPOTENT:
                    continue
                raise
            except BaseException:
                self._release(connection)
                raise
            return connection

    def _take(self) -> Connection | None:
        """The kept connection that was used last."""
        while self._kept:
            connection, timer = self._kept.popitem()
            timer.cancel()
            if connection.is_open:
                return connection
            self._open.discard(connection)
        return None

    def _release(self, connection: Connection) -> None:
        """Keep a connection for the next exchange, or close it."""
        if connection.is_reusable and connection in self._open:
            self._kept[connection] = asyncio.get_running_loop().call_later(KEPT, self._drop, connection)
        else:
            self._open.discard(connection)
            connection.abort()

    def _drop(self, connection: Connection) -> None:
        self._kept.pop(connection, None)
        self._open.discard(connection)
        connection.abort()

    @contextlib.contextmanager
    def _refreshing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._refresh_failed()
            raise transport.CredentialsError(
                f"the credentials of the service account cannot be read: {error}"
            ) from error

    async def _current_context(self) -> ssl.SSLContext:
        path = self._directory / "ca.crt"
        with self._refreshing():
            changed = path.stat().st_mtime_ns
        if self._context is not None and changed != self._changed:
            # Watches through the former connections break, and are opened again through new ones.
            await self.close()
            self._context = None
        if self._context is None:
            with self._refreshing():
                context = ssl.create_default_context(cafile=str(path))
            # As client-go: the CA of many a cluster lacks extensions that Python 3.13 began to insist on.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            self._context, self._changed = context, changed
        return self._context

    def _head(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        headers: dict[str, str],
    ) -> bytes:
        with self._refreshing():
            token = (self._directory / "token").read_text().strip()
        target = quote(path, safe=_PATH) + (f"?{urlencode(query)}" if query else "")
        lines = {
            "Host": self.authority,
            # Fields that a request names no manager for are managed by this name. That of what the controller applies
            # is another one.
            "User-Agent": "mcp-operator-client",
            "Authorization": f"Bearer {token}",
            # A compressed page would have to be unpacked by the event loop; the API server is near.
            "Accept-Encoding": "identity",
            **headers,
        }
        if body is not None:
            lines["Content-Length"] = str(len(body))
        fields = "".join([f"{name}: {value}\r\n" for name, value in lines.items()])
        return f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode()


class _Chunks:
    """The parts of a body. Raises TimeoutError after ``idle`` seconds without any."""

    def __init__(self, connection: Connection, idle: float) -> None:
        self._connection = connection
        self._idle = idle

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        async with asyncio.timeout(self._idle):
            chunk = await self._connection.receive()
        if not chunk:
            raise StopAsyncIteration
        return chunk


async def _read_start(connection: Connection, limit: int) -> bytes:
    """The first bytes of the body, about ``limit`` of them at most. The rest is not read."""
    start = bytearray()
    while len(start) <= limit and (part := await connection.receive()):
        start += part
    return bytes(start)


async def _read(connection: Connection, limit: int | None) -> bytes:
    """The whole body; see `Transport.fetch` for ``limit``. The rest of a long answer is not read."""
    if connection.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise transport.LongAnswerError("the answer is compressed, which was not asked for")
    parts, size = [], 0
    while part := await connection.receive():
        parts.append(part)
        size += len(part)
        if limit is not None and size > limit:
            raise transport.LongAnswerError(f"the answer is longer than {limit} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)
