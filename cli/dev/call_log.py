"""The calls of a run, newest last, for the page that waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

__all__ = ["CallLog"]

MAX_CALLS = 200


class CallLog:
    """``revision`` is that of the files; `reload` raises it. Whoever waits sees calls and revisions at once."""

    def __init__(self) -> None:
        self.revision = 0
        self._number = 0
        self._calls: deque[dict[str, Any]] = deque(maxlen=MAX_CALLS)
        self._news = asyncio.Event()

    def add(self, call: dict[str, Any]) -> None:
        """A call has ended."""
        self._number += 1
        self._calls.append({"number": self._number, **call})
        self._announce()

    def reload(self) -> None:
        """The files have changed."""
        self.revision += 1
        self._announce()

    async def wait(self, after: int, revision: int, seconds: float) -> dict[str, Any]:
        """The calls after a number, and the revision; after ``seconds`` if there is nothing new."""
        if self._number <= after and self.revision == revision:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                pass
        calls = [call for call in self._calls if call["number"] > after]
        return {"revision": self.revision, "last": self._number, "calls": calls}

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
