"""A connection of aiohttp's server that answers the usual request of an API server without aiohttp's machinery.

A review that needs no waiting is answered as soon as its last byte is there: without a task, a stream, a request and a
response object, which together cost several times as much as TLS. Every other request, and every one that is not
written as an API server writes it, goes to aiohttp with the very bytes that arrived.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

from certs import tls
from webhook.object_processes import SMALL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Answer", "Connection", "Server"]

logger = logging.getLogger(__name__)

# aiohttp refuses longer heads; the head of an API server has less than 500 bytes.
MAX_HEAD = 8190
# A longer body cannot be judged at once, and aiohttp's handler counts its bytes while it arrives.
MAX_BODY = SMALL
# The types of what the handler answers are known, so the head of an answer is, but for its length and the time.
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\nDate: %s\r\n"
    b"Server: mcp-operator\r\n\r\n"
)
_REQUEST = re.compile(rb"POST (/[!-~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[ \t]*[ -~]*\r\n)+)\r\n")
# Whatever else a header changes of how a request is read or answered is aiohttp's.
_OTHERS = frozenset(
    {b"transfer-encoding", b"connection", b"expect", b"upgrade", b"content-encoding", b"trailer", b"te"}
)
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,8}")


class Head(NamedTuple):
    """What the head of a plain request says."""

    path: str
    query: str
    length: int


if TYPE_CHECKING:
    Answer = Callable[[str, str, bytes], bytes | None]
    """Path, query and body to the body of an answer with status 200; None if it takes waiting, or another status."""


@lru_cache(maxsize=512)
def read_head(head: bytes) -> Head | None:
    """The head of a POST of JSON with a length; None for every other one, well formed or not."""
    found = _REQUEST.fullmatch(head)
    if found is None:
        return None
    headers: dict[bytes, bytes] = {}
    for line in found[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        if headers.setdefault(name.lower(), value) is not value:
            return None
    length = headers.get(b"content-length", b"").strip()
    is_json = headers.get(b"content-type", b"").strip() == b"application/json"
    if not is_json or b"host" not in headers or not _OTHERS.isdisjoint(headers) or not _LENGTH.fullmatch(length):
        return None
    path, _, query = found[1].decode().partition("?")
    return Head(path, query, int(length))


class Connection(web.RequestHandler):
    """One connection. After a request that is not plain, aiohttp reads it for good: it alone knows where that ends.

    ``heard_at`` is when bytes last came, by the clock of the event loop.
    """

    __slots__ = ("_allowed", "_answer", "_arrived", "_busy", "_owed", "_plain", "_size", "heard_at")

    def __init__(self, manager: Server, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._answer = manager.answer
        self._busy = manager.busy
        self._allowed = manager.client_names
        self.heard_at = loop.time()
        self._plain = True
        # How many bytes of the request that aiohttp has will still arrive.
        self._owed = 0
        # The bytes of a request that is not complete, and of how many bytes it will be once its head is known.
        self._arrived = bytearray()
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection of a client whose certificate has no name that is allowed."""
        super().connection_made(transport)
        allowed = self._allowed
        if allowed and tls.names(transport.get_extra_info("peercert")).isdisjoint(allowed):
            logger.warning(
                "a client was turned away: its certificate has none of the names %s", ", ".join(sorted(allowed))
            )
            self.force_close()

    def data_received(self, data: bytes) -> None:
        """Answer a plain request that is complete, and give others to aiohttp."""
        self.heard_at = self._loop.time()
        self._plain = self._plain and (not self._owed or len(data) <= self._owed)
        # aiohttp itself calls this without data, to go on with what it holds.
        if self._owed or not self._plain or not data or self._close or self._force_close:
            self._owed = max(0, self._owed - len(data))
            super().data_received(data)
            return
        if self._arrived:
            self._arrived += data
            if len(self._arrived) < self._size:
                return
            data = bytes(self._arrived)
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
        if end == 3 and len(data) < MAX_HEAD:
            self._collect(data, 0)
            return
        head = read_head(data[:end]) if end > 3 else None
        # A request that another one follows at once is not plain either.
        if head is None or len(data) > end + head.length:
            self._plain = False
            self._give(data)
        elif head.length > MAX_BODY:
            self._owed = end + head.length - len(data)
            self._give(data)
        elif len(data) < end + head.length:
            self._collect(data, end + head.length)
        else:
            # aiohttp has answered every request that it was given.
            waiter = self._waiter
            idle = not self._request_count or (waiter is not None and not waiter.done() and not self._messages)
            answer = self._answer(head.path, head.query, data[end:]) if idle else None
            if answer is None or self.transport is None:
                self._give(data)
                return
            if self._arrived:
                self._forget()
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            self.transport.write(_HEAD % (len(answer), rfc822_formatted_time().encode()) + answer)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget what arrived."""
        self._forget()
        super().connection_lost(exc)

    def _collect(self, data: bytes, size: int) -> None:
        """Wait for the rest of a request."""
        if not self._arrived:
            self._arrived += data
            self._busy.add(self)
        self._size = size

    def _give(self, data: bytes) -> None:
        """Give aiohttp what has arrived."""
        self._forget()
        super().data_received(data)

    def _forget(self) -> None:
        self._arrived.clear()
        self._size = 0
        self._busy.discard(self)


class Server(web.Server):
    """aiohttp's low-level server, with ``answer`` for requests that can be answered at once.

    ``busy`` holds, among others, the connections on which a request has begun to arrive. If there are ``client_names``,
    the certificate of a client must have one of them.
    """

    def __init__(
        self,
        handler: Any,
        *,
        answer: Answer,
        busy: set[Any],
        client_names: frozenset[str] = frozenset(),
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self.answer = answer
        self.busy = busy
        self.client_names = client_names

    def __call__(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)
