"""Keeps Python's cyclic garbage collector away from what informers decode and keep.

A decoded page is thousands of containers that reference counting frees a moment later; looking through them for cycles
takes longer than decoding them. What is kept is data without cycles, by the hundred thousand; looking through all of it
stops the event loop for a good part of a second, again and again.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Growth", "paused"]

# So many more items are worth being set aside. Fewer are not: with them goes what garbage there is at that moment.
STEP = 2000

_pauses = 0


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """While any such block is entered, the collector does not run by itself, unless it was off before."""
    global _pauses
    if _pauses == 0 and not gc.isenabled():
        yield
        return
    _pauses += 1
    gc.disable()
    try:
        yield
    finally:
        _pauses -= 1
        if _pauses == 0:
            gc.enable()


class Growth:
    """Sets everything aside from the collector (`gc.freeze`) each time a collection has grown by `STEP` items."""

    def __init__(self) -> None:
        self._aside = 0

    def check(self, size: int) -> None:
        """The collection has this many items now."""
        if size - self._aside >= STEP:
            gc.freeze()
            self._aside = size
