"""A connection to the API server, with one HTTP/1.1 exchange after another on it (RFC 9112).

The body of an answer is given as it arrives, so a watch can last. Deadlines are set by who calls. A connection whose
answer was not read to its end is of no more use: `Connection.abort` closes it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

import httptools

from cluster.transport import LostConnectionError
from cluster.waiter import Waiter

if TYPE_CHECKING:
    import ssl

__all__ = ["Connection", "open_connection"]

# A peer that is gone without a word is noticed after 45 s, as by client-go.
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
MAX_HEAD = 64 * 1024
# Bytes of a body that are read ahead of who takes them.
READ_AHEAD = 1024 * 1024


async def open_connection(host: str, port: int, context: ssl.SSLContext) -> Connection:
    """A connection to this host, whose certificate is valid by ``context``. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, host, port, ssl=context)
    return connection


class Connection(asyncio.Protocol):
    """One connection. ``status`` and ``headers`` (by lower-case name) are those of the answer that `send` waited for.

    ``is_stale``: the connection had been used before, and ended before anything came of the answer.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter = Waiter()
        self._was_used = False
        # No exchange is in progress.
        self._is_complete = True
        self._keeps_alive = True
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_stale = False
        self._error: LostConnectionError | None = None
        self._unread = 0
        self._has_started = False
        self._parts: list[bytes] = []
        self._held = 0
        self._is_paused = False

    @property
    def is_reusable(self) -> bool:
        """Whether the answer was read to its end, and the connection serves another exchange."""
        return self._is_complete and self._keeps_alive and not self._parts and self.is_open

    @property
    def is_open(self) -> bool:
        """Whether the connection is neither closed nor being closed."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, head: bytes, body: bytes | None) -> None:
        """Send a request, whose ``head`` ends with the empty line, and wait for the head of the answer.

        Raises LostConnectionError.
        """
        if self._transport is None:
            raise LostConnectionError("the connection is closed")
        self._begin()
        self._is_complete = False
        self._transport.write(head + body if body else head)
        while self.status < 200:
            if self._error is not None:
                raise self._error
            await self._waiter.wait()

    async def receive(self) -> bytes:
        """The parts of the body that have come since the last call; empty at its end. Raises LostConnectionError."""
        while not self._parts:
            if self._is_complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._waiter.wait()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return body

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, message: str) -> None:
        if not self._is_complete and self._error is None:
            self._error = LostConnectionError(message)
        self.abort()
        self._waiter.wake()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        _notice_lost_peers(self._transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        if self._is_complete:
            # A server that speaks before it is asked: what comes would be taken for the next answer.
            self.abort()
            return
        self._has_started = True
        held = self._held
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # Or it is more than the answer that was asked for.
            self._fail("the answer is not valid HTTP/1.1")
            return
        if not self._is_complete:
            # A header that never ends is kept by the parser, also in a trailer. Nothing comes of it.
            self._unread = self._unread + len(data) if self._held == held else 0
            if self._unread > MAX_HEAD:
                what = "head" if self.status < 200 else "trailer"
                self._fail(f"the {what} of the answer has more than {MAX_HEAD} bytes")
        if self._held > READ_AHEAD and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._waiter.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        # It refers to this connection: without it, no cycle is left for the garbage collector.
        del self._parser
        if not self._is_complete:
            has_end = "content-length" in self.headers or "transfer-encoding" in self.headers
            if self.status >= 200 and not has_end and exc is None and self._error is None:
                # The end of the connection is that of the answer.
                self._is_complete = True
            else:
                self.is_stale = self._was_used and not self._has_started
                what = "the API server closed the connection" if exc is None else f"{type(exc).__name__}: {exc}"
                self._fail(f"{what}, and the answer is not complete")
        self._waiter.wake()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status >= 200:
            return  # a trailer
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        earlier = self.headers.get(key)
        self.headers[key] = text if earlier is None else f"{earlier}, {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            # An interim response: the one that counts is still to come.
            self.headers.clear()
        else:
            self.status = status

    def on_message_begin(self) -> None:
        if self._is_complete:
            # It was not asked for.
            self._keeps_alive = False

    def on_body(self, chunk: bytes) -> None:
        if not self._is_complete:
            self._parts.append(chunk)
            self._held += len(chunk)

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self._is_complete = self._was_used = True
            self._keeps_alive = self._keeps_alive and self._parser.should_keep_alive()


def _notice_lost_peers(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        # Not every system names these options so.
        option = getattr(socket, name, None)
        if option is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
