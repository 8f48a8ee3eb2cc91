"""Commands of many calls on one connection to Redis: what is asked within one turn of the event loop goes out together.

redis-py makes the connection, with its TLS, credentials and database. Answers come in the order of the commands.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

__all__ = ["Pipeline", "pack"]

# Commands that wait for their answers. More than that, and Redis does not keep up.
MAX_WAITING = 4096


def pack(*words: str | float) -> bytes:
    """A command as Redis reads it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


class Pipeline:
    """``timeout`` is in seconds: for connecting, and from sending a command to its answer."""

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._unsent: list[bytes] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._connected = False
        self._work: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answers = 0
        # The end of the connection before, which must be over before there is another one.
        self._closing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._closing.set_result(None)

    async def execute(self, *words: str | float) -> Any:
        """The answer to a command. Raises RedisError."""
        return await self.execute_packed(pack(*words))

    async def execute_packed(self, command: bytes) -> Any:
        """The answer to a command that is packed already. Raises RedisError."""
        if len(self._waiting) >= MAX_WAITING:
            raise RedisConnectionError(f"{MAX_WAITING} commands wait for an answer")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._unsent.append(command)
        self._waiting.append(answer)
        if self._work is None:
            self._work = loop.create_task(self._send())
        if self._timer is None:
            self._watch(loop)
        return await answer

    async def close(self) -> None:
        """Close the connection. What waits for an answer fails."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = [task for task in (self._work, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail(RedisConnectionError("the connection is closed"))
        await self._connection.disconnect(nowait=True)

    async def _send(self) -> None:
        """Send what has been asked until now, over a new connection if there is none."""
        try:
            if not self._connected:
                await self._closing
                async with asyncio.timeout(self._timeout):
                    await self._connection.connect()  # type: ignore[no-untyped-call]
                self._connected = True
                self._reading = asyncio.create_task(self._read())
            while self._unsent:
                packed = b"".join(self._unsent)
                self._unsent.clear()
                await self._connection.send_packed_command([packed], check_health=False)
        except TimeoutError:
            self._fail(RedisTimeoutError("no connection in time"))
        except (RedisError, OSError) as error:
            self._fail(error if isinstance(error, RedisError) else RedisConnectionError(str(error)))
        finally:
            if self._work is asyncio.current_task():
                self._work = None

    async def _read(self) -> None:
        """Hand out the answers as they come."""
        try:
            while True:
                try:
                    answer = await self._connection.read_response(timeout=math.inf)
                except RedisConnectionError:
                    raise
                except RedisError as error:
                    # An answer, too: the command failed.
                    self._next().set_exception(error)
                else:
                    self._next().set_result(answer)
        except (RedisError, OSError, IndexError) as error:
            self._fail(RedisConnectionError(f"the connection ended: {error}"))

    def _next(self) -> asyncio.Future[Any]:
        self._answers += 1
        answer = self._waiting.popleft()
        # Whoever asked may have gone. The answer is taken all the same, because the next one is for somebody else.
        return asyncio.get_running_loop().create_future() if answer.done() else answer

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the connection if nothing is answered for ``timeout`` seconds while something is asked."""
        answers = self._answers
        self._timer = loop.call_later(self._timeout, self._look, answers)

    def _look(self, answers: int) -> None:
        self._timer = None
        if not self._waiting:
            return
        if self._answers == answers:
            self._fail(RedisTimeoutError(f"no answer within {self._timeout:g} s"))
        else:
            self._watch(asyncio.get_running_loop())

    def _fail(self, error: RedisError) -> None:
        """Give up the connection, and everything that was asked on it."""
        waiting, self._waiting = self._waiting, deque()
        self._unsent.clear()
        for answer in waiting:
            if not answer.done():
                answer.set_exception(error)
        self._connected = False
        current = asyncio.current_task()
        for task in (self._reading, self._work):
            if task is not None and task is not current:
                task.cancel()
        self._reading = None
        self._work = None
        self._closing = asyncio.gather(self._connection.disconnect(nowait=True), return_exceptions=True)
