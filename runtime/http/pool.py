"""Kept connections to backends, and one exchange after the other on each of them (HTTP/1.1, RFC 9112).

An exchange has one deadline for everything: the name, the connection, the request and the whole reply.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Callable  # noqa: TC003 -- a NamedTuple evaluates its annotations
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools

from runtime.http.exchange import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable


__all__ = ["LateError", "Limits", "LostError", "MalformedError", "NotConnectedError", "Origin", "Pool"]

# Seconds. Shorter than the idle timeout of common servers, so that few requests meet a connection that is being closed.
KEEP_ALIVE = 4.0
# Seconds for which an address that does not answer is waited for, if the host has others.
NEXT_ADDRESS = 2.0
MAX_HEAD = 64 * 1024
# Bytes of a part of a body that is kept by itself.
SMALL_PART = 1024


class NotConnectedError(ConnectionError):
    """There is no connection to the backend, so nothing was sent. ``is_permanent``: there will not be one, either."""

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


class LostError(ConnectionError):
    """The connection ended before the head of the reply was there.

    ``is_stale``: it was a kept connection, and nothing at all came of the reply.
    """

    def __init__(self, message: str, *, is_stale: bool = False) -> None:
        super().__init__(message)
        self.is_stale = is_stale


class LateError(TimeoutError):
    """The request was sent, and the reply was not complete in time. ``status`` is None if not even its head was."""

    def __init__(self, status: int | None) -> None:
        super().__init__("no complete reply in time")
        self.status = status


class MalformedError(Exception):
    """What the backend answered cannot be read as an HTTP/1.1 response."""


class Origin(NamedTuple):
    """Where a connection leads to. ``context`` is None without TLS. ``server_name`` is that of the certificate."""

    host: str
    port: int
    context: ssl.SSLContext | None = None
    server_name: str | None = None


class Limits(NamedTuple):
    """``body`` bytes at most, after decompression. With ``cut`` a longer body is cut there, else it is broken.

    ``ends`` is called with each part of an event stream, and says whether the rest is not needed: the stream may go on
    for long after the event that was waited for.
    """

    body: int
    cut: bool = False
    ends: Callable[[bytes], bool] | None = None


class _Exchange(asyncio.Protocol):
    """A connection. ``idle_since`` is the time at which its last exchange ended."""

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self._pool = pool
        self._origin = origin
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._limits = Limits(0)
        self._used = False
        self.idle_since = 0.0
        # One timer serves the deadlines of many exchanges: it looks at the present one when it ends.
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._rings = 0.0
        self._begin()

    def _begin(self) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._unread = 0
        # The first part is bytes. Small ones after it are collected: each object takes a hundred bytes more.
        self._body: list[bytes | bytearray] = []
        self._size = 0
        self._received = 0
        self._inflater: zlib._Decompress | None = None
        self._ends: Callable[[bytes], bool] | None = None
        self._has_started = False

    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(
        self, head: bytes, body: bytes | None, limits: Limits, deadline: float, loop: asyncio.AbstractEventLoop
    ) -> asyncio.Future[Reply]:
        """Send a request. The future has its reply. ``deadline`` is a time of the loop."""
        assert self._transport is not None
        self._begin()
        self._limits = limits
        self._reply = reply = loop.create_future()
        self._deadline = deadline
        if self._timer is None or deadline < self._rings:
            self._set_timer(loop)
        self._transport.write(head + body if body else head)
        return reply

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = self._deadline
        self._timer = loop.call_at(self._deadline, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._reply is None:
            return
        if loop.time() < self._deadline:
            self._set_timer(loop)
        else:
            self._fail(LateError(self._status if self._status >= 200 else None))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._reply = None

    def give_up(self, reply: asyncio.Future[Reply]) -> None:
        """Nobody waits for this reply any more. If it has come all the same, another call may have the connection."""
        if self._reply is reply:
            self.abort()

    def _waits(self) -> bool:
        return self._reply is not None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Not before: both refer to each other until the connection is lost, which one that is never made is not.
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        if self._reply is None:
            # A server that speaks before it is asked: what comes would be taken for the next reply.
            self.abort()
            return
        self._has_started = True
        received = self._received
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._waits():
                # More than the reply that was asked for.
                self.abort()
            elif self._status >= 200 and self._status != 304:
                self._end(self._build(broken="the reply is not valid HTTP"))
                self.abort()
            else:
                what = f"has more than {MAX_HEAD} bytes" if self._head_size > MAX_HEAD else "is not valid HTTP/1.1"
                self._fail(MalformedError(f"the head of the reply {what}"))
            return
        if self._reply is not None:
            # A header that never ends is kept by the parser, also in a trailer. Nothing comes of it.
            self._unread = self._unread + len(data) if self._received == received else 0
            if self._unread <= MAX_HEAD:
                return
            if self._status < 200:
                self._fail(MalformedError(f"the head of the reply has more than {MAX_HEAD} bytes"))
            else:
                self._end(self._build(broken=f"the reply has trailers of more than {MAX_HEAD} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        # It refers to this connection: without it, no cycle is left for the garbage collector.
        del self._parser
        if self._timer is not None:
            self._timer.cancel()
        if self._reply is None:
            self._pool.forget(self._origin, self)
            return
        if self._status < 200:
            what = "the connection was closed" if exc is None else type(exc).__name__
            self._fail(LostError(what, is_stale=self._used and not self._has_started))
            return
        has_length = "content-length" in self._headers
        if not has_length and "transfer-encoding" not in self._headers and exc is None:
            self._finish()
            return
        promised = f" of {self._headers['content-length'][:20]}" if has_length else ""
        broken = f"the reply ended after {self._received}{promised} bytes, before it was complete"
        self._end(self._build(broken=broken, is_incomplete=True))

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD:
            raise ValueError
        if self._status >= 200:
            # A trailer. What it says of the body was not known when the body was read (RFC 9110, section 6.5.1).
            return
        key = _NAMES.get(name) or name.decode("latin-1").lower()
        text = value.decode("utf-8", "replace")
        earlier = self._headers.get(key)
        self._headers[key] = text if earlier is None else f"{earlier}, {text}"

    def on_headers_complete(self) -> None:
        self._status = status = self._parser.get_status_code()
        if status < 200:
            # An interim response: the one that counts is still to come.
            self._headers.clear()
            return
        if self._limits.ends is not None:
            is_stream = self._headers.get("content-type", "").lower().startswith("text/event-stream")
            self._ends = self._limits.ends if is_stream else None
        encoding = self._headers.get("content-encoding")
        if encoding is not None:
            encoding = encoding.strip().lower()
            if encoding in ("gzip", "x-gzip"):
                self._inflater = zlib.decompressobj(wbits=31)
            elif encoding not in ("", "identity"):
                self._end(self._build(broken="the reply has a Content-Encoding that was not asked for"))

    def on_body(self, chunk: bytes) -> None:
        if self._reply is None:
            return
        limit = self._limits.body
        self._received += len(chunk)
        if self._inflater is not None:
            if self._inflater.eof:
                # What follows the gzip does not count.
                return
            try:
                chunk = self._inflater.decompress(chunk, limit + 1 - self._size)
            except zlib.error:
                self._end(self._build(broken="the reply is not valid gzip"))
                return
        if self._body and len(chunk) < SMALL_PART:
            if type(self._body[-1]) is bytearray:
                self._body[-1] += chunk
            else:
                self._body.append(bytearray(chunk))
        else:
            self._body.append(chunk)
        self._size += len(chunk)
        if self._size <= limit:
            if self._ends is not None and self._ends(chunk):
                # What follows belongs to nobody.
                self._end(self._build())
                self.abort()
            return
        if self._limits.cut:
            length = self._headers.get("content-length", "")
            full = int(length) if self._inflater is None and length.isdecimal() and len(length) < 16 else 0
            self._end(self._build(cut=full))
        else:
            self._end(self._build(broken=f"the reply is larger than {limit} bytes"))

    def on_message_complete(self) -> None:
        if self._status < 200:
            return
        if self._reply is None:
            # It was broken or too long, and is over all the same: only its end was worth waiting for.
            self.abort()
            return
        self._finish()

    def _finish(self) -> None:
        keep = self._transport is not None and self._parser.should_keep_alive()
        if self._inflater is not None and self._received and not self._inflater.eof:
            self._end(self._build(broken="the reply ends within its gzip", is_incomplete=True))
        elif self._reply is not None:
            future, self._reply = self._reply, None
            body = b"".join(self._body)
            if not future.done():
                future.set_result(Reply(self._status, self._headers, body, received_at=self._pool.now()))
        if keep:
            self._used = True
            self._pool.keep(self._origin, self)
        elif self._transport is not None:
            self._transport.close()

    def _build(self, *, cut: int | None = None, broken: str = "", is_incomplete: bool = False) -> Reply:
        body = b"".join(self._body)
        if self._size > self._limits.body:
            body = body[: self._limits.body]
        return Reply(self._status, self._headers, body, cut, broken, is_incomplete, self._pool.now())

    def _end(self, reply: Reply) -> None:
        """Hand out the reply. Where it was not read to its end, the connection is of no more use."""
        future, self._reply = self._reply, None
        if future is not None and not future.done():
            future.set_result(reply)
        if reply.broken or reply.cut is not None:
            self.abort()

    def _fail(self, error: Exception) -> None:
        future = self._reply
        self.abort()
        if future is not None and not future.done():
            future.set_exception(error)


# The names of the headers that most replies have, as servers write them.
_NAMES = {
    name.encode(): key
    for key in ("connection", "content-encoding", "content-length", "content-type", "date", "server", "vary")
    for name in (key, key.title())
}


class Pool:
    """The connections of one process. ``resolve`` gives the addresses of a host, ``fault`` says what is wrong with one.

    ``now`` gives the Unix time, at which a reply is received.

    Only an address in which ``fault`` finds nothing is connected. The check is made on the address itself, whoever
    resolved the name and whenever, so a name cannot resolve to one address for the check and to another afterwards.
    """

    def __init__(
        self,
        resolve: Callable[[str], Awaitable[tuple[str, ...]]],
        fault: Callable[[str], str | None],
        now: Callable[[], float],
    ) -> None:
        self.now = now
        self._resolve = resolve
        self._fault = fault
        self._idle: dict[Origin, list[_Exchange]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    async def exchange(
        self,
        origin: Origin,
        head: bytes,
        body: bytes | None,
        timeout: float,
        limits: Limits,
        *,
        idempotent: bool = False,
    ) -> Reply:
        """The reply to a request. ``head`` ends with the empty line.

        If the backend closes a kept connection just then, an ``idempotent`` request is sent again (RFC 9110, 9.2.2).
        Raises NotConnectedError, LostError, LateError or MalformedError.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            connection = self._take(origin, loop.time())
            if connection is None:
                try:
                    async with asyncio.timeout_at(deadline):
                        connection = await self._connect(origin, deadline)
                except TimeoutError as error:
                    shown = max(0.1, round(timeout, 1))
                    raise NotConnectedError(f"no connection to {origin.host} within {shown:g} s") from error
            reply = connection.send(head, body, limits, deadline, loop)
            try:
                return await reply
            except asyncio.CancelledError:
                connection.give_up(reply)
                raise
            except LostError as error:
                if not (error.is_stale and idempotent):
                    raise
                idempotent = False
            finally:
                # A fault refers to this frame, and the reply to the fault: a cycle for the garbage collector.
                del reply

    def keep(self, origin: Origin, connection: _Exchange) -> None:
        """Keep a connection for the next exchange."""
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(KEEP_ALIVE, self._close_unused)

    def forget(self, origin: Origin, connection: _Exchange) -> None:
        """A kept connection was closed by the backend."""
        kept = self._idle.get(origin)
        if kept is not None and connection in kept:
            kept.remove(connection)
            if not kept:
                del self._idle[origin]

    async def close(self) -> None:
        """Close the kept connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        for kept in list(self._idle.values()):
            for connection in list(kept):
                connection.abort()
        self._idle.clear()

    def _take(self, origin: Origin, now: float) -> _Exchange | None:
        """The kept connection that was used last; None if there is none that is young enough."""
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if not kept:
                del self._idle[origin]
            if connection.is_open():
                if now - connection.idle_since < KEEP_ALIVE:
                    return connection
                connection.abort()
        return None

    def _close_unused(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEP_ALIVE
        for kept in list(self._idle.values()):
            for connection in list(kept):
                if connection.idle_since <= oldest:
                    connection.abort()
        self._idle = {
            origin: young
            for origin, kept in self._idle.items()
            if (young := [c for c in kept if c.idle_since > oldest])
        }
        self._sweep = loop.call_later(KEEP_ALIVE, self._close_unused) if self._idle else None

    async def _connect(self, origin: Origin, deadline: float) -> _Exchange:
        """Connect to the first address of the host that answers."""
        loop, host = asyncio.get_running_loop(), origin.host
        try:
            addresses = await self._resolve(host)
        except OSError as error:
            raise NotConnectedError(f"the name {host} cannot be resolved") from error
        failure, is_permanent = f"the name {host} has no address", False
        for index, address in enumerate(addresses):
            fault = self._fault(address)
            if fault is not None:
                failure = f"the connection to {host} failed: {address} is {fault}, which must not be called"
                is_permanent = True
                continue
            # One that does not answer leaves time for the others.
            left = len(addresses) - index
            share = min(NEXT_ADDRESS, (deadline - loop.time()) / left) if left > 1 else None
            try:
                async with asyncio.timeout(share):
                    _, connection = await loop.create_connection(
                        lambda: _Exchange(self, origin),
                        address,
                        origin.port,
                        ssl=origin.context,
                        server_hostname=(origin.server_name or host.rstrip(".")) if origin.context else None,
                    )
            except ssl.SSLCertVerificationError as error:
                failure, is_permanent = f"the certificate of {host} is not valid: {error.verify_message}", True
            except (OSError, ValueError) as error:
                failure = f"the connection to {host} failed: {type(error).__name__}"
                is_permanent = isinstance(error, ssl.SSLError)
            else:
                return connection
        raise NotConnectedError(failure[:300], is_permanent=is_permanent)
