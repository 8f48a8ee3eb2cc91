"""What a coroutine awaits until a callback of the same event loop has something for it, such as a part of a body."""

from __future__ import annotations

import asyncio

__all__ = ["Waiter"]


class Waiter:
    """One coroutine at a time waits. Between two calls of `wait`, a `wake` has no effect: look first, then wait."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Return after the next `wake`."""
        self._future = asyncio.get_running_loop().create_future()
        try:
            await self._future
        finally:
            self._future = None

    def wake(self) -> None:
        """Let the coroutine that waits go on, if there is one."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
