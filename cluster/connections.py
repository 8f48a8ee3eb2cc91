"""The connections of the clients of a port: how many there are, and how long each may take to send and to receive.

A connection *waits* until a request of its client is there as a whole, and again after the answer. At the limit, a new
connection replaces the one that has waited longest, so open connections that send nothing, or send slowly, keep nobody
out. Those whose clients a handler has recognised (`Request.is_recognised`) are replaced only if there are no others.
Connections with a stream do not count: whoever makes streams limits them.
What connections keep for clients that send ahead or do not read has a common budget (`Connections.keeps`).
`Connection` speaks HTTP/1.1 (RFC 9112) with the parser of Node.js.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import sys
from collections import deque
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from cluster import known_heads
from cluster.message import READ_AHEAD, ClientGoneError, Request, Response, Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cluster.known_heads import KnownHead

__all__ = ["Connection", "Connections", "Deadlines"]

logger = logging.getLogger(__name__)

# The bytes that all connections keep of requests that were sent ahead of an answer, and of answers that are not read.
KEPT_BUDGET = 32 * 1024 * 1024
MAX_HEAD = 64 * 1024
# The most chunks of a body that have less than `SMALL_CHUNK` bytes. To read one takes as long as to read a large one.
MAX_SMALL_CHUNKS, SMALL_CHUNK = 4096, 64
# Requests that a client may send ahead of an answer on one connection. It is not read from while there are more.
PIPELINED = 8
# One read may hold thousands of short requests. A client that sends so many ahead is refused.
MAX_PENDING = 64
# Milliseconds after which a connection with a stream is lost if what was sent is not acknowledged, or the client takes
# nothing more; and the bytes that the kernel keeps for it. Messages of streams are short.
STREAM_ACKNOWLEDGED_MS = 60_000
STREAM_SEND_BUFFER = 16 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_NO_BODY = frozenset({204, 304})
# Heads that are remembered of one connection.
KNOWN_HEADS = 4
# Host and port (RFC 3986, section 3.2), and a target in absolute form: host and port, and what follows them.
_HOST = r"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]"
_AUTHORITY = re.compile(f"{_HOST}*")
_ABSOLUTE = re.compile(rf"(?i:https?)://({_HOST}+)((?:[/?].*)?)")
_TOO_LARGE = f"the headers must have at most {MAX_HEAD} bytes"
_TOO_SMALL = (
    f"the body has more than {MAX_SMALL_CHUNKS} parts of less than {SMALL_CHUNK} bytes; send larger ones, or a "
    "Content-Length"
)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """All in seconds, except ``connections``, their highest number.

    ``headers``: from the first byte of a request to the end of the headers. ``first``: from the start of a connection
    to the first byte; without it, the headers of the first request have ``headers`` seconds from there.
    ``body``: for the body. ``idle``: between an answer and the headers of the next request; longer than the 60 s after
    which common proxies close a connection. ``write``: for which a client may leave a full buffer unread. ``linger``:
    for which the rest of a request is read and dropped after a refusal, so that the client can read the answer.
    """

    headers: float = 10.0
    body: float = 30.0
    idle: float = 75.0
    write: float = 30.0
    linger: float = 2.0
    connections: int = 1000
    first: float | None = None


# The names of the headers that most requests have, as clients write them.
_NAMES = {
    name.encode(): key
    for key in (
        "accept", "accept-encoding", "accept-language", "authorization", "connection", "content-length", "content-type",
        "host", "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id", "origin", "traceparent",
        "user-agent", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
        "x-request-id",
    )
    for name in (key, key.title(), key.replace("mcp", "MCP").title().replace("Mcp-P", "MCP-P"))
}  # fmt: skip


class Connections:
    """The open connections of a port. ``handle`` answers a request; a raised exception becomes a 500.

    ``answer_at_once`` answers a complete request if it can without waiting; else it returns None, and ``handle``
    answers. ``added`` are headers that every response gets. ``now`` is the Unix time, for the Date header.
    ``on_abort`` is called for each connection that is closed at the limit or a deadline.
    """

    def __init__(
        self,
        handle: Callable[[Request], Awaitable[Response]],
        deadlines: Deadlines,
        *,
        now: Callable[[], float],
        added: Mapping[str, str],
        on_abort: Callable[[], None] = lambda: None,
        answer_at_once: Callable[[Request], Response | None] = lambda request: None,
    ) -> None:
        self.handle = handle
        self.answer_at_once = answer_at_once
        self.deadlines = deadlines
        self.closing = False
        self.empty = asyncio.Event()
        self.empty.set()
        self._now = now
        self._on_abort = on_abort
        self._added = "".join(f"{name}: {value}\r\n" for name, value in added.items())
        self._open: set[Connection] = set()
        # Those of them that have a stream.
        self._streaming: set[Connection] = set()
        # What they keep, in the order in which they began to.
        self._kept: dict[Connection, int] = {}
        self._kept_bytes = 0
        # In the order in which they began to wait: those of clients that were recognised, and all others.
        self._recognised: dict[Connection, None] = {}
        self._waiting: dict[Connection, None] = {}
        self._second = -1
        self._heads: dict[tuple[int, str], bytes] = {}

    def __len__(self) -> int:
        return len(self._open)

    def make(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self)

    def opened(self, connection: Connection) -> None:
        """Count a new connection, at the limit instead of another one."""
        if len(self._open) - len(self._streaming) >= self.deadlines.connections:
            oldest = next(iter(self._waiting), None) or next(iter(self._recognised), connection)
            self.abort(oldest)
            self.lost(oldest)
            if oldest is connection:
                return
        self._open.add(connection)
        self.empty.clear()
        self._waiting[connection] = None

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._streaming.discard(connection)
        if not self._open:
            self.empty.set()
        self.in_use(connection)
        self._kept_bytes -= self._kept.pop(connection, 0)

    def abort(self, connection: Connection) -> None:
        """Close a connection at once."""
        self._on_abort()
        connection.abort()

    def in_use(self, connection: Connection) -> None:
        """A whole request is there: the connection does not wait until it is answered."""
        self._waiting.pop(connection, None)
        self._recognised.pop(connection, None)

    def keeps(self, connection: Connection, size: int) -> None:
        """The connection keeps so many bytes for its client. At the budget, the one that began first is closed."""
        if connection not in self._open:
            return
        self._kept_bytes += size - self._kept.get(connection, 0)
        if size:
            self._kept[connection] = size
        else:
            self._kept.pop(connection, None)
        # One answer may be larger than the budget.
        while self._kept_bytes > KEPT_BUDGET and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            self.abort(oldest)
            self.lost(oldest)

    def streams(self, connection: Connection) -> None:
        """The connection has a stream, until it is closed."""
        if connection in self._open:
            self._streaming.add(connection)

    def waits(self, connection: Connection) -> None:
        """The connection waits for a request."""
        if connection in self._open:
            self.in_use(connection)
            waiting = self._recognised if connection.is_recognised else self._waiting
            waiting[connection] = None

    def close_waiting(self) -> None:
        """Close the connections on which nothing is in progress, and let the others end with their answer."""
        self.closing = True
        for connection in list(self._open):
            connection.close_if_idle()

    def close_quiet(self, seconds: float) -> None:
        """Close the connections on which nothing is in progress, and nothing has come for so many seconds."""
        latest = asyncio.get_running_loop().time() - seconds
        for connection in [*self._waiting, *self._recognised]:
            if connection.heard_at <= latest and connection.is_between_requests:
                connection.close_if_idle()

    def abort_all(self) -> None:
        """Close every connection at once."""
        for connection in list(self._open):
            connection.abort()

    def head(self, response: Response) -> bytes:
        """Status line and headers of a response, but for those that depend on its body and connection."""
        second = int(self._now())
        if second != self._second:
            # The Date header has changed.
            self._second = second
            self._heads.clear()
        key = (response.status, response.content_type)
        head = self._heads.get(key)
        if head is None:
            media = f"Content-Type: {response.content_type}\r\n" if response.content_type else ""
            head = (
                f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}\r\n"
                f"Date: {formatdate(second, usegmt=True)}\r\n{self._added}{media}"
            ).encode("latin-1", "replace")
            if len(self._heads) < 256:
                self._heads[key] = head
        if not response.headers:
            return head
        more = "".join(f"{name}: {_one_line(value)}\r\n" for name, value in response.headers.items())
        return head + more.encode("latin-1", "replace")


def _one_line(value: str) -> str:
    """A header value without what would begin another header."""
    return value.replace("\r", " ").replace("\n", " ").replace("\0", " ")


class Connection(asyncio.Protocol):
    """One connection. Its requests are answered one after the other. It is the `cluster.message.Channel` of a stream.

    ``heard_at`` is when bytes last came, by the clock of the event loop. ``is_recognised``: a handler has recognised
    the client by one of its requests.
    """

    __slots__ = (
        "_ahead",
        "_connections",
        "_deadline",
        "_discards",
        "_head_size",
        "_headers",
        "_in_head",
        "_is_chunked",
        "_is_full",
        "_is_idle",
        "_is_paused",
        "_known",
        "_loop",
        "_parser",
        "_pending",
        "_receiving",
        "_remote",
        "_request",
        "_small_chunks",
        "_stream",
        "_target",
        "_task",
        "_timer",
        "_transport",
        "_unbegun",
        "_unparsed",
        "_unread",
        "_unsent",
        "heard_at",
        "is_recognised",
    )

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self.is_recognised = False
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._remote = ""
        self._target = b""
        self._headers: dict[str, list[str]] = {}
        self._head_size = 0
        self._unread = 0
        self._small_chunks = 0
        # Bytes of a body that the parser leaves out.
        self._unparsed = 0
        self._in_head = False
        # Between an answer and the first byte of the next request.
        self._is_idle = False
        # The request whose body is arriving, the one that is being answered, and those that wait for that.
        self._receiving: Request | None = None
        self._request: Request | None = None
        # The same, until all bytes that came with its head are read.
        self._unbegun: Request | None = None
        self._pending: deque[Request] = deque()
        # Bytes of the bodies of those that wait, and of the answer that the client does not read.
        self._ahead = 0
        self._unsent = 0
        self._task: asyncio.Task[None] | None = None
        # The client does not read what was sent.
        self._is_full = False
        self._stream: Stream | None = None
        self._is_chunked = True
        self._is_paused = False
        self._discards = False
        # The one that was used last comes first.
        self._known: list[KnownHead] = []
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._remote = str(peer[0]) if isinstance(peer, tuple) else ""
        self._connections.opened(self)
        deadlines = self._connections.deadlines
        self._is_idle = deadlines.first is not None
        self._expire_in(deadlines.headers if deadlines.first is None else deadlines.first)

    @property
    def is_between_requests(self) -> bool:
        """Whether nothing of a request has come that is not answered, and the client has read the answers."""
        return (
            self._request is None
            and not self._is_full
            and self._receiving is None
            and not (self._in_head or self._discards or self._pending)
            and self._transport is not None
        )

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        if self._discards:
            return
        is_first = self.is_between_requests
        if is_first and self._known and self._begin_known(data):
            return
        receiving = self._receiving
        held = receiving.held if receiving is not None else 0
        try:
            self._feed(data)
        except (httptools.HttpParserError, ValueError):
            too_large, too_small = self._head_size > MAX_HEAD, self._small_chunks > MAX_SMALL_CHUNKS
            self._begin_read()
            malformed = _TOO_SMALL if too_small else "the request is malformed"
            self._refuse(431 if too_large else 400, _TOO_LARGE if too_large else malformed)
            return
        request = self._unbegun
        if is_first and request is not None and request.complete and not self._pending and not self._in_head:
            known = known_heads.learn(data, request)
            if known is not None:
                self._known = [known, *self._known[: KNOWN_HEADS - 1]]
        self._begin_read()
        if self._in_head:
            if self._is_idle:
                self._is_idle = False
                self._expire_in(self._connections.deadlines.headers)
            # A header that never ends is kept by the parser.
            self._unread += len(data)
            if self._unread > MAX_HEAD:
                self._refuse(431, _TOO_LARGE)
        elif receiving is not None and receiving is self._receiving:
            # So is a trailer. Nothing comes of it, unlike of the rest of a body.
            self._unread = self._unread + len(data) if receiving.held == held else 0
            if self._unread > MAX_HEAD:
                self._refuse(431, _TOO_LARGE)

    def _begin_known(self, data: bytes) -> bool:
        """Begin the request that ``data`` is, if its head is known and its body is there. The parser is not needed."""
        for index, known in enumerate(self._known):
            read = known.read(data)
            if read is not None:
                if index:
                    self._known.insert(0, self._known.pop(index))
                headers, body = read
                request = Request(known.method, known.target, headers, self._remote)
                request.put(body)
                self._is_idle = False
                self._connections.in_use(self)
                self._begin(request)
                return True
        return False

    def _feed(self, data: bytes) -> None:
        while data:
            if self._unparsed:
                part, data = data[: self._unparsed], data[self._unparsed :]
                self._unparsed -= len(part)
                self.on_body(part)
                if not self._unparsed:
                    self._end_message()
                continue
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                # No other protocol is spoken here, so the request is answered as if nothing else had been offered. Its
                # body was not parsed. (Java's HttpClient offers HTTP/2 with every first request.)
                data = data[int(upgrade.args[0]) :]
                self._parser = httptools.HttpRequestParser(self)
                length = self._receiving.header("content-length") if self._receiving is not None else None
                self._unparsed = int(length) if length else 0
                if not self._unparsed:
                    self._end_message()

    def pause_writing(self) -> None:
        self._is_full = True
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()
            self._keep()
        self._expire_in(self._connections.deadlines.write)

    def resume_writing(self) -> None:
        self._is_full = False
        self._unsent = 0
        self._keep()
        if self._request is not None:
            self._deadline = None
            if self._stream is not None:
                self._stream.drained()
        elif self._pending:
            self._begin_next()
        else:
            self._expire_in(self._connections.deadlines.idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        # It refers to this connection: without it, no cycle is left for the garbage collector.
        del self._parser
        self._connections.lost(self)
        if self._timer is not None:
            self._timer.cancel()
        for request in (self._receiving, self._request):
            if request is not None:
                request.end(gone=True)
        self._drop_pending()
        # Each refers to this connection.
        self._receiving = self._request = self._unbegun = None
        task, self._task = self._task, None
        if task is not None:
            # Nobody waits for the answer: what is asked of a backend is given up, too. The frames of a cancelled task
            # have this connection: if it had the task, both would be left to the garbage collector.
            task.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.lost()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._in_head = True
        # The parser reports the trailers of the message before like headers. They are not those of this one.
        self._headers, self._head_size, self._unread = {}, 0, 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD:
            raise ValueError
        key = _NAMES.get(name) or name.decode("latin-1").lower()
        text = value.decode("utf-8", "surrogateescape")
        values = self._headers.get(key)
        if values is None:
            self._headers[key] = [text]
        else:
            values.append(text)

    def on_headers_complete(self) -> None:
        method, target = self._parser.get_method().decode("latin-1"), self._target.decode("latin-1")
        version = self._parser.get_http_version()
        # What a proxy may read in another way (RFC 9112, section 3.2).
        hosts = self._headers.get("host", ())
        if len(hosts) > 1 or (version == "1.1" and not hosts) or (hosts and not _AUTHORITY.fullmatch(hosts[0])):
            raise ValueError
        found = None if target.startswith("/") else _ABSOLUTE.fullmatch(target)
        if found is not None:
            # What it says of the host counts, and not the header (RFC 9112, section 3.2.2).
            self._headers["host"] = [found[1]]
            target = found[2] if found[2].startswith("/") else f"/{found[2]}"
        request = Request(method, target, self._headers, self._remote)
        if self._parser.should_upgrade() and "transfer-encoding" in self._headers:
            # Where its body ends cannot be told.
            raise ValueError
        request.version = version
        # So may it here (section 6.1).
        codings = self._headers.get("transfer-encoding")
        if codings is not None and (version != "1.1" or [each.lower() for each in codings] != ["chunked"]):
            raise ValueError
        request.keep_alive = self._parser.should_keep_alive()
        self._target, self._headers, self._head_size, self._unread, self._small_chunks = b"", {}, 0, 0, 0
        self._in_head = self._is_idle = False
        self._receiving = request
        if self._request is None and not self._is_full:
            self._request = self._unbegun = request
        else:
            if len(self._pending) >= MAX_PENDING:
                raise ValueError
            self._pending.append(request)
            if len(self._pending) > PIPELINED:
                self._pause_reading()

    def on_body(self, chunk: bytes) -> None:
        if self._receiving is None:
            return
        if len(chunk) < SMALL_CHUNK:
            self._small_chunks += 1
            if self._small_chunks > MAX_SMALL_CHUNKS:
                raise ValueError
        self._receiving.feed(chunk)
        if self._receiving is not self._request:
            self._ahead += len(chunk)
            self._keep()
            if self._ahead > READ_AHEAD:
                self._pause_reading()

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._end_message()

    def _end_message(self) -> None:
        if self._receiving is not None:
            self._receiving.end()
            self._receiving = None
            self._connections.in_use(self)

    # The life of a request.

    def _begin_read(self) -> None:
        """Begin the request whose head was read."""
        request, self._unbegun = self._unbegun, None
        if request is not None:
            self._begin(request)

    def _begin(self, request: Request) -> None:
        self._request = request
        # Its handler has deadlines of its own for the body, and for the answer.
        self._deadline = None
        if not request.complete:
            request.limit(self._pause_reading, self._resume_reading)
            expects = request.headers.get("expect")
            # A client of HTTP/1.0 does not know what a 100 is (RFC 9110, section 10.1.1).
            if expects is not None and expects[0].lower() == "100-continue" and request.version != "1.0":
                request.on_receive = self._continue
        else:
            response = self._answer_at_once(request)
            if response is not None:
                self._respond(request, response)
                return
        self._task = self._loop.create_task(self._answer(request))

    def _answer_at_once(self, request: Request) -> Response | None:
        try:
            return self._connections.answer_at_once(request)
        except Exception:
            logger.exception("a request could not be answered at once")
            return None

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._connections.handle(request)
        except ClientGoneError:
            return
        except Exception:
            logger.exception("a request failed")
            response = Response(500, b"the server failed; its log says how\n")
        self._task = None
        if response.stream is None:
            self._respond(request, response)
        else:
            self._begin_stream(request, response, response.stream)

    def _head(self, request: Request, response: Response) -> tuple[bytes, bool]:
        """The head of a response up to what tells its length, and whether the connection is closed after it."""
        close = response.close or not request.keep_alive or not request.complete or self._connections.closing
        head = self._connections.head(response)
        if close:
            head += b"Connection: close\r\n"
        elif request.version == "1.0":
            head += b"Connection: keep-alive\r\n"
        return head, close

    def _respond(self, request: Request, response: Response) -> None:
        """Send a response that is there as a whole."""
        head, close = self._head(request, response)
        if self._transport is None:
            return
        if response.status in _NO_BODY:
            self._transport.write(head + b"\r\n")
        else:
            head += b"Content-Length: %d\r\n\r\n" % (response.size if response.parts else len(response.body))
            if request.method == "HEAD":
                self._transport.write(head)
            elif response.parts:
                self._transport.writelines((head + response.body, *response.parts))
            else:
                self._transport.write(head + response.body)
        self.is_recognised = self.is_recognised or request.is_recognised
        self._request = None
        self._end(request, close=close)

    def answer_at_once(self, answer: bytes) -> None:
        """Send the answer to a request that came between requests as a whole, and that the parser has not seen.

        Its client is recognised.
        """
        assert self._transport is not None
        self.heard_at = self._loop.time()
        self.is_recognised = True
        self._is_idle = True
        self._connections.waits(self)
        self._expire_in(self._connections.deadlines.idle)
        self._transport.write(answer)

    # A response that is a stream.

    def _begin_stream(self, request: Request, response: Response, stream: Stream) -> None:
        response.close = True
        head, _ = self._head(request, response)
        if self._transport is None:
            stream.lost()
            return
        self._is_chunked = request.version != "1.0"
        # What is not needed any more is not kept for as long as the stream lasts.
        request.headers = {}
        self._known = []
        self._connections.streams(self)
        _limit_kernel(self._transport)
        self._transport.write(head + (b"Transfer-Encoding: chunked\r\n\r\n" if self._is_chunked else b"\r\n"))
        self._stream = stream
        stream.begin(self)

    @property
    def is_full(self) -> bool:
        """See `cluster.message.Channel`."""
        return self._is_full

    def send(self, part: bytes) -> None:
        """See `cluster.message.Channel`."""
        if self._transport is not None:
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part) if self._is_chunked else part)

    def finish(self) -> None:
        """See `cluster.message.Channel`."""
        self._stream = None
        self._discards = True
        self._drop_pending()
        if self._transport is not None:
            if self._is_chunked:
                self._transport.write(b"0\r\n\r\n")
            self._request = None
            self._close(linger=False)

    def _end(self, request: Request, *, close: bool) -> None:
        """Close the connection after an answer, or go on with its next request."""
        if close:
            self._close(linger=self._discards or not request.complete)
        elif self._pending:
            # A client that does not read gets no further answers.
            if not self._is_full:
                self._begin_next()
        else:
            self._connections.waits(self)
            # A handler that has answered without the body has left it unread.
            self._resume_reading()
            self._is_idle = not self._in_head
            if not self._is_full:
                deadlines = self._connections.deadlines
                self._expire_in(deadlines.headers if self._in_head else deadlines.idle)

    def _begin_next(self) -> None:
        following = self._pending.popleft()
        self._ahead -= following.held
        self._keep()
        self._resume_reading()
        self._begin(following)

    def _close(self, *, linger: bool) -> None:
        """Close; with ``linger``, what the client still sends is read first, or it might never see the answer."""
        self._drop_pending()
        if self._transport is None:
            return
        if not linger:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                # What is left is sent within this time.
                self._expire_in(self._connections.deadlines.write)
            return
        self._discards = True
        self._resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._expire_in(self._connections.deadlines.linger)

    def close_if_idle(self) -> None:
        """Close the connection if no request is in progress on it."""
        if self._request is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read as a request, and close."""
        if self._transport is None:
            return
        if self._request is not None and self._request.complete:
            # What is being answered was sent in order. Nothing after it is.
            self._discards = True
            self._drop_pending()
            self._request.keep_alive = False
            return
        if self._task is not None:
            # Its body is what cannot be read.
            self._task.cancel()
            self._task = self._request = None
        response = Response(status, f"{message}\n".encode())
        head = self._connections.head(response) + b"Content-Length: %d\r\nConnection: close\r\n\r\n"
        self._transport.write(head % len(response.body) + response.body)
        self._close(linger=True)

    def _keep(self) -> None:
        self._connections.keeps(self, self._ahead + self._unsent)

    def _drop_pending(self) -> None:
        """Nothing that was sent ahead is answered."""
        self._pending.clear()
        self._ahead = 0
        self._keep()

    def _continue(self) -> None:
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pause_reading(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        """Read on, unless too much is sent ahead."""
        is_ahead = self._ahead > READ_AHEAD or len(self._pending) > PIPELINED
        if self._is_paused and not is_ahead and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def _expire_in(self, seconds: float) -> None:
        """Set the deadline. One timer serves many deadlines: it looks at the current one when it ends."""
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer is None or deadline < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._deadline is None or self._transport is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._expire)
        else:
            self._connections.abort(self)


def _limit_kernel(transport: asyncio.Transport) -> None:
    """Let the kernel find out that a client is gone, and keep little for one that does not read."""
    connected = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_SEND_BUFFER)
        if sys.platform == "linux":
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STREAM_ACKNOWLEDGED_MS)
