"""When a webhook closes the connections that API servers keep to it.

An API server keeps a connection for 90 s without a request, and does not repeat a review of which it has sent a part.
So a connection must not be closed while a request may be on its way: best is to close it with an answer. A connection
without requests has no answer. It is closed when nothing has come for a while, which leaves the time that a packet
takes to arrive.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster.connections import Connections

__all__ = ["INTERVAL", "close_waiting", "until_closed"]

INTERVAL = 0.25
"""Seconds between two looks at whether connections that wait must be closed."""


async def close_waiting(
    connections: Connections, quiet: Callable[[], float | None], sleep: Callable[[float], Awaitable[None]]
) -> None:
    """Close connections that wait for a request, until cancelled.

    ``quiet`` says for how many seconds nothing must have come from them; None if none is to be closed now.
    """
    while True:
        await sleep(INTERVAL)
        seconds = quiet()
        if seconds is not None:
            connections.close_quiet(seconds)


async def until_closed(connections: Connections, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Wait until all connections are closed, or for so many seconds."""
    now = asyncio.get_running_loop().time
    end = now() + seconds
    while len(connections) and now() < end:
        await sleep(INTERVAL / 5)
