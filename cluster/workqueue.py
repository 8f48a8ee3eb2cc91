"""Keys that need work: each once however often it is added, never two workers on one, later each time it fails.

There are two priorities: what somebody has changed goes before what is looked at again without a reason.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Workqueue"]

K = TypeVar("K", bound="Hashable")

FIRST_DELAY = 0.05
MAX_DELAY = 60.0


class Workqueue(Generic[K]):
    """Two ordered sets of keys. A key added while it is being worked on is handed out again afterwards."""

    def __init__(self) -> None:
        self._changed: OrderedDict[K, None] = OrderedDict()
        # Ordered, because the first key of a plain dict is searched for behind all that were taken.
        self._resync: OrderedDict[K, None] = OrderedDict()
        self._running: set[K] = set()
        # Of the keys being worked on, those added meanwhile, and whether as a resync.
        self._again: dict[K, bool] = {}
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._waker = asyncio.Event()

    def __len__(self) -> int:
        return len(self._changed) + len(self._resync)

    def add(self, key: K, *, resync: bool = False) -> None:
        """Have the key worked on as soon as a worker is free; as a ``resync``, when nothing else is left to do."""
        if key in self._running:
            self._again[key] = resync and self._again.get(key, True)
        elif not resync:
            self._resync.pop(key, None)
            self._changed[key] = None
        elif key not in self._changed:
            self._resync[key] = None
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
        """The next key; the caller owes `done`, `failed` or `put_back` for it."""
        while not len(self):
            self._waker.clear()
            await self._waker.wait()
        ready = self._changed or self._resync
        key = next(iter(ready))
        del ready[key]
        self._running.add(key)
        return key

    def put_back(self, key: K) -> None:
        """The work on the key was cancelled; it is handed out again, before others."""
        self._again.pop(key, None)
        self._running.discard(key)
        self._changed[key] = None
        self._changed.move_to_end(key, last=False)
        self._waker.set()

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
            self.add(key, resync=self._again.pop(key))

    def _due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)
