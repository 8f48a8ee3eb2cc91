"""The connections of the clients of a port: how many there are, and how long each may take to send and to receive.

`Connections` stands between the sockets and aiohttp's protocol. A connection *waits* until a request of its client is
there as a whole, and again after the answer. At the limit, a new connection replaces the one that has waited longest,
so open connections that send nothing, or send slowly, keep nobody out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

__all__ = ["Bodies", "BodyEvictedError", "Connections", "Deadlines", "Listener"]

# The bytes of all bodies that are being received.
BODY_BUDGET = 32 * 1024 * 1024
# Bytes that aiohttp reads ahead on one connection.
READ_AHEAD = 64 * 1024
BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Deadlines:
    """All in seconds, except ``connections``, their highest number.

    ``headers``: from the first byte of a request, or from the start of a connection, to the end of the headers.
    ``body``: for the body. ``idle``: between an answer and the headers of the next request; longer than the 60 s after
    which common proxies close a connection. ``write``: for which a client may leave a full buffer unread.
    """

    headers: float = 10.0
    body: float = 30.0
    idle: float = 75.0
    write: float = 30.0
    linger: float = 2.0
    connections: int = 1000


class Connections:
    """The open connections of a listener. ``on_abort`` is called for each that is closed at the limit or a deadline."""

    def __init__(self, deadlines: Deadlines, on_abort: Callable[[], None] = lambda: None) -> None:
        self.deadlines = deadlines
        self._on_abort = on_abort
        self._open: dict[asyncio.BaseTransport, _Connection] = {}
        # In the order in which they began to wait.
        self._waiting: dict[asyncio.BaseTransport, None] = {}

    def wrap(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """A protocol that passes everything on to ``inner`` and keeps the deadlines."""
        return _Connection(self, inner)

    def headers_received(self, transport: asyncio.BaseTransport | None) -> None:
        """The headers of a request are there. The body has a deadline of its own (`Bodies`)."""
        connection = self._find(transport)
        if connection is not None:
            connection.end_headers()

    def request_received(self, transport: asyncio.BaseTransport | None) -> None:
        """The whole request is there: the connection is in use until it is answered."""
        if transport is not None:
            self._waiting.pop(transport, None)

    def answered(self, transport: asyncio.BaseTransport | None) -> None:
        """The request is answered; the connection waits for the next one."""
        connection = self._find(transport)
        if transport is not None and connection is not None:
            self._waiting.pop(transport, None)
            self._waiting[transport] = None
            connection.become_idle()

    def opened(self, transport: asyncio.Transport, connection: _Connection) -> None:
        """Count a new connection, at the limit instead of another one."""
        if len(self._open) >= self.deadlines.connections:
            oldest = next(iter(self._waiting), transport)
            self.abort(cast("asyncio.Transport", oldest))
            self.lost(oldest)
            if oldest is transport:
                return
        self._open[transport] = connection
        self._waiting[transport] = None

    def abort(self, transport: asyncio.Transport) -> None:
        """Close a connection at once."""
        self._on_abort()
        transport.abort()

    def lost(self, transport: asyncio.BaseTransport) -> None:
        """Forget a connection."""
        self._open.pop(transport, None)
        self._waiting.pop(transport, None)

    def _find(self, transport: asyncio.BaseTransport | None) -> _Connection | None:
        return None if transport is None else self._open.get(transport)


class _Connection(asyncio.Protocol):
    """One connection, in front of aiohttp's protocol."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._header_deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        # Between the headers of a request and its answer no header deadline applies.
        self._is_idle = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.opened(self._transport, self)
        self._inner.connection_made(transport)
        self.begin_headers()

    def data_received(self, data: bytes) -> None:
        if self._is_idle:
            self.begin_headers()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._write_deadline = self._call_later(self._connections.deadlines.write)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        _cancel(self._write_deadline)
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._header_deadline)
        _cancel(self._write_deadline)
        if self._transport is not None:
            self._connections.lost(self._transport)
        self._inner.connection_lost(exc)

    def begin_headers(self) -> None:
        self._is_idle = False
        self._header_deadline = self._call_later(self._connections.deadlines.headers)

    def end_headers(self) -> None:
        _cancel(self._header_deadline)

    def become_idle(self) -> None:
        self._is_idle = True

    def _call_later(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        if self._transport is not None:
            self._connections.abort(self._transport)


def _cancel(handle: asyncio.TimerHandle | None) -> None:
    if handle is not None:
        handle.cancel()


class BodyEvictedError(Exception):
    """A body was given up, because bodies that arrived faster needed the memory."""


class Bodies:
    """Reads the bodies of requests within a time and a common budget of memory.

    A body counts with the bytes that have arrived. At the budget the oldest one is given up: it is the slowest, so
    half-sent bodies keep nobody out.
    """

    def __init__(self, seconds: float, budget: int = BODY_BUDGET) -> None:
        self._seconds = seconds
        self._budget = budget
        self._held = 0
        self._deadlines: dict[object, asyncio.Timeout] = {}

    async def read(self, request: web.BaseRequest, limit: int) -> bytes | None:
        """The body; None if it has more than ``limit`` bytes.

        Raises TimeoutError if it is not there in time, and BodyEvictedError.
        """
        if not request.body_exists:
            return b""
        if (request.content_length or 0) > limit:
            return None
        key, body = object(), bytearray()
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                self._deadlines[key] = deadline
                async for chunk in request.content.iter_any():
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > limit:
                        return None
                    # One body may be larger than the budget, if the author's limit is.
                    if self._held > max(self._budget, 2 * limit):
                        self._evict()
        except TimeoutError as error:
            if key not in self._deadlines:
                raise BodyEvictedError from error
            raise
        finally:
            self._deadlines.pop(key, None)
            self._held -= len(body)
        return bytes(body)

    def _evict(self) -> None:
        oldest = next(iter(self._deadlines), None)
        if oldest is not None:
            self._deadlines.pop(oldest).reschedule(asyncio.get_running_loop().time())


class Listener:
    """The serving port. ``runner`` has been set up; its connections are guarded by ``connections``."""

    def __init__(self, runner: web.AppRunner, connections: Connections) -> None:
        self._runner = runner
        self._connections = connections
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return 0 if self._server is None else int(self._server.sockets[0].getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listen; on any free port if ``port`` is 0."""
        make = cast("Callable[[], asyncio.Protocol]", self._runner.server)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: self._connections.wrap(make()), host, port, backlog=BACKLOG, reuse_address=True
        )

    async def close(self) -> None:
        """Stop listening, and end the connections."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
