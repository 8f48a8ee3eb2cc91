"""Long work on the event loop, in slices between which calls are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["SLICE", "Pace"]

# Seconds for which the event loop is held. One step more may come on top.
SLICE = 0.004


class Pace:
    """The pace of one piece of work, which leaves half of the time to others. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._begun = monotonic()

    def begin(self) -> None:
        """A slice begins: the work has waited for something."""
        self._begun = self._monotonic()

    async def step(self) -> None:
        """A step is done. At the end of a slice, wait for as long as it has taken."""
        spent = self._monotonic() - self._begun
        if spent >= SLICE:
            await self._sleep(spent)
            self._begun = self._monotonic()
