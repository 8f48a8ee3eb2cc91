"""Commands of many calls on one connection to Redis: what is asked within one turn of the event loop goes out together.

redis-py makes the connection, with its TLS, credentials and database. Then the connection belongs to `_Stream`, which
reads the answers with hiredis. They come in the order of the commands.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from redis.asyncio.connection import Connection

__all__ = ["Pipeline", "pack"]

# Commands that wait for their answers. More than that, and Redis does not keep up.
MAX_WAITING = 4096
_NOTHING = object()


def pack(*words: str | float) -> bytes:
    """A command as Redis reads it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


_ASKING = pack("ASKING")


class _Stream(asyncio.Protocol):
    """An open connection. Its answers go to ``pipeline``."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        # The exceptions are those of redis-py, by the first word of an error.
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=BaseParser.parse_error,
            encoding="utf-8",
            errors="strict",
            notEnoughData=_NOTHING,
        )

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _NOTHING:
                # What Redis says without being asked (RESP3) answers no command.
                if not isinstance(answer, hiredis.PushNotification):
                    self._pipeline.answer(self, answer)
        except (RedisError, ValueError) as error:
            # A ValueError: text that is not UTF-8, or a redirection without a server.
            self._pipeline.end(self, f"an answer cannot be read: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipeline.end(self, "the connection ended" if exc is None else f"the connection ended: {exc}")


class Pipeline:
    """``timeout`` is in seconds: for connecting, and from sending a command to its answer."""

    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._unsent: list[bytes] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        # None until there is a connection.
        self._stream: _Stream | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answers = 0
        # The end of the connection before, which must be over before there is another one.
        self._closing: asyncio.Future[Any] = self._loop.create_future()
        self._closing.set_result(None)

    async def execute(self, *words: str | float) -> Any:
        """The answer to a command. Raises RedisError."""
        return await self.execute_packed(pack(*words))

    def execute_packed(self, command: bytes) -> asyncio.Future[Any]:
        """The answer to a command that is packed already; or its RedisError."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if len(self._waiting) >= MAX_WAITING:
            answer.set_exception(RedisConnectionError(f"{MAX_WAITING} commands wait for an answer"))
            return answer
        self._waiting.append(answer)
        self._unsent.append(command)
        if len(self._unsent) == 1:
            # A later turn of the loop sends what is asked in this one, in one system call.
            self._loop.call_soon(self._send)
        if self._timer is None:
            self._watch()
        return answer

    def execute_asking(self, command: bytes) -> asyncio.Future[Any]:
        """Like `execute_packed`, of a node of a cluster that is taking over the slot."""
        # Its failure is that of the command, too.
        self.execute_packed(_ASKING).add_done_callback(lambda done: done.cancelled() or done.exception())
        return self.execute_packed(command)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._transport is not None

    @property
    def host(self) -> str:
        """The address to which the last connection was made."""
        return str(self._connection.host)

    def end_connection(self, reason: str) -> None:
        """Give up the connection. What waits for an answer fails."""
        self._fail(RedisConnectionError(reason))

    async def close(self) -> None:
        """Close the connection. What waits for an answer fails."""
        if self._timer is not None:
            self._timer.cancel()
        connecting = self._connecting
        if connecting is not None:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
        self._fail(RedisConnectionError("the connection is closed"))
        await self._closing

    def answer(self, stream: _Stream, answer: Any) -> None:
        """Hand out an answer, which may be an error, to whoever asked first."""
        if stream is not self._stream:
            return
        if not self._waiting:
            self._fail(RedisConnectionError("the connection ended: Redis answered what was not asked"))
            return
        if isinstance(answer, RedisConnectionError):
            # An error about the connection itself, such as too many clients or no authentication.
            self._fail(answer)
            return
        self._answers += 1
        future = self._waiting.popleft()
        # Whoever asked may have gone. The answer is taken all the same, because the next one is for somebody else.
        if future.done():
            return
        if isinstance(answer, RedisError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def end(self, stream: _Stream, reason: str) -> None:
        """The connection is of no more use."""
        if stream is self._stream:
            self._fail(RedisConnectionError(reason))

    def _send(self) -> None:
        """Send what has been asked until now, over a new connection if there is none."""
        if self._transport is not None:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()
        elif self._connecting is None and self._unsent:
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        """Make a connection, and send what has been asked until then."""
        try:
            await self._closing
            async with asyncio.timeout(self._timeout):
                await self._connection.connect()  # type: ignore[no-untyped-call]
        except TimeoutError:
            self._fail(RedisTimeoutError("no connection in time"))
        except (RedisError, OSError) as error:
            self._fail(error if isinstance(error, RedisError) else RedisConnectionError(str(error)))
        else:
            reader, writer = self._connection._reader, self._connection._writer
            if reader is None or writer is None or reader.at_eof() or writer.transport.is_closing():
                self._fail(RedisConnectionError("the connection ended"))
                return
            self._connecting = None
            self._stream, self._transport = _Stream(self), writer.transport
            writer.transport.set_protocol(self._stream)
            self._send()

    def _watch(self) -> None:
        """End the connection if nothing is answered for ``timeout`` seconds while something is asked."""
        self._timer = self._loop.call_later(self._timeout, self._look, self._answers)

    def _look(self, answers: int) -> None:
        self._timer = None
        if not self._waiting:
            return
        if self._answers == answers:
            self._fail(RedisTimeoutError(f"no answer within {self._timeout:g} s"))
        else:
            self._watch()

    def _fail(self, error: RedisError) -> None:
        """Give up the connection, and everything that was asked on it."""
        waiting, self._waiting = self._waiting, deque()
        self._unsent.clear()
        for answer in waiting:
            if not answer.done():
                answer.set_exception(error)
        self._stream = self._transport = None
        connecting, self._connecting = self._connecting, None
        if connecting is not None and connecting is not asyncio.current_task():
            connecting.cancel()
        # In a task of its own: outside of one, redis-py does not wait for anything.
        self._closing = self._loop.create_task(self._disconnect())

    async def _disconnect(self) -> None:
        try:
            await self._connection.disconnect(nowait=True)
        except (RedisError, OSError):
            # It is closed all the same.
            return
