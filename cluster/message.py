"""A request of a client as it arrives, and the response to it. Both are independent of the connection's parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cluster.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["READ_AHEAD", "Channel", "ClientGoneError", "Request", "Response", "Stream"]

# Bytes of a body that are read ahead of its handler.
READ_AHEAD = 64 * 1024


class ClientGoneError(ConnectionError):
    """The client closed the connection before its request was complete."""


class Request:
    """One request. ``headers`` has all values of each header, by lower-case name. ``remote`` is the peer's address.

    ``path`` and ``query`` are as they were sent. The body arrives while the request is handled already.

    Whoever handles it sets ``is_recognised`` if only a client that is meant to use this port can have sent it.
    ``held`` is the number of bytes of the body that have arrived since the last call of `take`.
    ``operation`` and ``identifier`` are set by whoever finds out what is asked for: a name for logs and metrics, and
    the id of its message.
    """

    # What most requests leave as it is.
    version = "1.1"
    keep_alive = True
    operation = "-"
    identifier: str | int | None = None
    complete = False
    gone = False
    is_recognised = False
    on_receive: Callable[[], None] | None = None
    held = 0
    # Made for a body that is waited for.
    _waiter: Waiter | None = None
    _pause: Callable[[], None] | None = None
    _resume: Callable[[], None] | None = None

    def __init__(self, method: str, target: str, headers: Mapping[str, list[str]], remote: str = "") -> None:
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.remote = remote
        self._chunks: list[bytes] = []

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        values = self.headers.get(name)
        return values[0] if values else None

    def values(self, name: str) -> Sequence[str]:
        """All values of a header."""
        return self.headers.get(name, ())

    @property
    def media_type(self) -> str:
        """Content-Type without parameters, in lower case. The first of several counts, as proxies join them."""
        return (self.header("content-type") or "").partition(";")[0].partition(",")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """The Content-Length header; None for a body in chunks, and without a body."""
        value = self.header("content-length")
        return int(value) if value is not None else None

    def limit(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """``pause`` is called when more than `READ_AHEAD` bytes wait for the handler, then ``resume``."""
        self._pause, self._resume = pause, resume

    def put(self, body: bytes) -> None:
        """The whole body is there, at once."""
        if body:
            self._chunks.append(body)
            self.held = len(body)
        self.complete = True

    def feed(self, chunk: bytes) -> None:
        """A part of the body is there."""
        self._chunks.append(chunk)
        self.held += len(chunk)
        if self.held > READ_AHEAD and self._pause is not None:
            self._pause()
        if self._waiter is not None:
            self._waiter.wake()

    def end(self, *, gone: bool = False) -> None:
        """The body is complete; or the client is gone, and the rest will never come."""
        if gone:
            self.gone = True
        else:
            self.complete = True
        if self._waiter is not None:
            self._waiter.wake()

    def peek(self) -> bytes:
        """The parts of the body that have arrived since the last call of `take`, which still returns them."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def take(self) -> bytes:
        """The parts of the body that have arrived since the last call."""
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.held = 0
        if self._resume is not None:
            self._resume()
        return body

    async def receive(self) -> bytes:
        """The parts of the body that have arrived since the last call; empty at the end. Raises ClientGoneError."""
        while True:
            if self._chunks:
                return self.take()
            if self.complete:
                return b""
            if self.gone:
                raise ClientGoneError("the client closed the connection within the body of its request")
            if self.on_receive is not None:
                self.on_receive()
                self.on_receive = None
            if self._waiter is None:
                self._waiter = Waiter()
            await self._waiter.wait()


class Channel(Protocol):
    """Where the parts of a stream are sent."""

    @property
    def is_full(self) -> bool:
        """Whether the client leaves unread what was sent. Whoever sends waits for `Stream.drained`.

        The connection is lost if the client goes on so (`cluster.connections.Deadlines.write`).
        """
        ...

    def send(self, part: bytes) -> None:
        """Send a part, which is not empty. It is kept if the channel is full."""
        ...

    def finish(self) -> None:
        """The body is complete. The connection is closed when it is sent."""
        ...


class Stream(Protocol):
    """The body of a response that is sent over time. Its methods are called by the connection and must not raise.

    After ``begin`` either the stream finishes the channel, or ``lost`` is called; without ``begin``, only ``lost``.
    """

    def begin(self, channel: Channel) -> None:
        """The head of the response is sent."""
        ...

    def drained(self) -> None:
        """The client has read what was sent: the channel is full no more."""
        ...

    def lost(self) -> None:
        """The connection is closed, and nothing can be sent any more."""
        ...


@dataclass(slots=True)
class Response:
    """``headers`` are those besides Content-Type, Content-Length, Date and Connection.

    ``parts`` follow ``body``: bytes that many responses share are not copied.
    ``close``: the connection is closed after it. ``stream`` sends the body, instead of ``body``, in chunks.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False
    parts: tuple[bytes, ...] = ()
    stream: Stream | None = None

    @property
    def size(self) -> int:
        """The bytes of the body, if it is not a stream."""
        return len(self.body) + (sum(map(len, self.parts)) if self.parts else 0)
