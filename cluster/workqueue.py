"""Keys that need work: each once however often it is added, never two workers on one, later each time it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Workqueue"]

K = TypeVar("K", bound="Hashable")

FIRST_DELAY = 0.05
MAX_DELAY = 60.0


class Workqueue(Generic[K]):
    """An ordered set of keys. A key added while it is being worked on is handed out again afterwards."""

    def __init__(self) -> None:
        self._ready: dict[K, None] = {}
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._waker = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Have the key worked on as soon as a worker is free."""
        if key in self._running:
            self._again.add(key)
            return
        self._ready[key] = None
        self._waker.set()

    def add_after(self, key: K, delay: float) -> None:
        """Have the key worked on in ``delay`` seconds, or earlier if it was due earlier."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay, self._due, key)

    async def take(self) -> K:
        """The next key; the caller owes `done` or `failed` for it."""
        while not self._ready:
            self._waker.clear()
            await self._waker.wait()
        key = next(iter(self._ready))
        del self._ready[key]
        self._running.add(key)
        return key

    def done(self, key: K) -> None:
        """The work on the key went well."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K) -> float:
        """The work on the key failed; it comes back after the returned seconds, twice as long each time."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = float(min(MAX_DELAY, FIRST_DELAY * 2 ** min(failures, 20)))
        self._release(key)
        self.add_after(key, delay)
        return delay

    def _release(self, key: K) -> None:
        self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
