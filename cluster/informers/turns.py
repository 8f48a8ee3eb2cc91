"""Turns of work on one event loop: however many informers have objects to take, one of them works at a time.

At a start all types are listed at once. If each informer worked until its own time is over before it yields, the event
loop would stand still for the sum of all of them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SLICE", "Turns"]

# Seconds of work after which a turn is over by default.
SLICE = 0.01


class Turns:
    """Shared by those who work on one event loop. In each of its iterations one of them has a turn, in order.

    It takes so many ``seconds`` at most, by ``monotonic``.
    """

    def __init__(self, monotonic: Callable[[], float], seconds: float = SLICE) -> None:
        self._monotonic = monotonic
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._begun = monotonic()

    def is_over(self) -> bool:
        """Whether whoever had the last turn has worked long enough."""
        return self._monotonic() - self._begun > self._seconds

    async def wait(self) -> None:
        """Let the event loop go on, and wait for a turn. It ends with the caller's next await."""
        await asyncio.sleep(0)
        await self._lock.acquire()
        # In the next iteration, which the caller's work holds up.
        asyncio.get_running_loop().call_soon(self._lock.release)
        self._begun = self._monotonic()
