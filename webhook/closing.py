"""When a webhook closes the connections that API servers keep to it.

An API server keeps a connection for 90 s without a request, and does not repeat a review of which it has sent a part.
So a connection must not be closed while a request may be on its way: best is to close it with an answer. A connection
without requests has no answer. It is closed when nothing has come for a while, which leaves the time that a packet
takes to arrive.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from webhook.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from aiohttp import web

__all__ = ["INTERVAL", "close_waiting", "until_closed"]

INTERVAL = 0.25
"""Seconds between two looks at whether connections that wait must be closed."""


async def close_waiting(
    server: web.Server,
    busy: Container[web.RequestHandler],
    quiet: Callable[[], float | None],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Close connections that wait for a request, until cancelled.

    ``busy`` are those with a request in progress. ``quiet`` says for how many seconds nothing must have come from the
    others; None if none is to be closed now.
    """
    now = asyncio.get_running_loop().time
    while True:
        await sleep(INTERVAL)
        seconds = quiet()
        if seconds is not None:
            for connection in server.connections:
                # Bytes that have just come may be a request that no handler has seen yet.
                heard_at = connection.heard_at if isinstance(connection, Connection) else now()
                if connection not in busy and now() - heard_at >= seconds:
                    connection.force_close()


async def until_closed(server: web.Server, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Wait until all connections are closed, or for so many seconds."""
    now = asyncio.get_running_loop().time
    end = now() + seconds
    while server.connections and now() < end:
        await sleep(INTERVAL / 5)
