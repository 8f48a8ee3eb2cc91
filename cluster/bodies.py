"""The bodies of the requests of a port, which are received within a time and a common budget of memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.message import Request

__all__ = ["Bodies", "BodyEvictedError"]

# The bytes of all bodies that are being received.
BUDGET = 32 * 1024 * 1024


class BodyEvictedError(Exception):
    """A body was given up, because bodies that arrived faster needed the memory."""


class Bodies:
    """Reads the bodies of requests within a time and a common budget of memory.

    A body counts with the bytes that have arrived. At the budget the oldest one is given up: it is the slowest, so
    half-sent bodies keep nobody out.
    """

    def __init__(self, seconds: float, budget: int = BUDGET) -> None:
        self._seconds = seconds
        self._budget = budget
        self._held = 0
        self._deadlines: dict[object, asyncio.Timeout] = {}

    @staticmethod
    def whole(request: Request, limit: int) -> bytes | None:
        """The body of a request that is complete; None if it has more than ``limit`` bytes."""
        body = request.take()
        return body if len(body) <= limit else None

    async def read(self, request: Request, limit: int) -> bytes | None:
        """The body; None if it has more than ``limit`` bytes.

        Raises TimeoutError if it is not there in time, BodyEvictedError, and ClientGoneError.
        """
        if request.complete:
            return self.whole(request, limit)
        if (request.content_length or 0) > limit:
            return None
        key, body = object(), bytearray()
        try:
            # No variable has it: it has the task, whose frames would have it after a cancellation.
            async with asyncio.timeout(self._seconds) as self._deadlines[key]:
                while chunk := await request.receive():
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
