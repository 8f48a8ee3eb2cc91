"""Keeps the passes of Python's cyclic garbage collector short in a process that keeps much.

What informers keep is data without cycles, by the hundred thousand containers. A pass through all of it would stop the
event loop for a good part of a second, again and again. The collector's own thresholds do not prevent that: they count
the containers that were made less those that were freed, so where each new one replaces an old one, a pass begins late
and looks at all that came since the last one. So the containers themselves are counted here. What has outlived a full
pass is set aside (`gc.freeze`) when it is much: no pass looks at it again, and reference counting frees it all the
same. Garbage in cycles is found unless it was set aside alive.

A decoded page is thousands of containers that reference counting frees a moment later; looking through them for cycles
takes longer than decoding them. So lists pause the collector.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["keep_short", "paused", "sweep"]

# Seconds between two sweeps: what is kept meanwhile is what a pass has to look at. One that finds little takes 5 us
# and wakes the event loop: in all 0.1 % of a CPU of an idle process.
INTERVAL = 0.1
# From so many young containers on, a sweep looks at them; so many that have outlived this are worth being set aside. A
# pass takes up to 2 us for each, with what they refer to, on a busy machine.
YOUNG, OLD = 2_000, 5_000

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


async def keep_short(sleep: Callable[[float], Awaitable[None]]) -> None:
    """Set aside all there is, and from now on what stays, until cancelled."""
    gc.freeze()
    passes = 0
    while True:
        await sleep(INTERVAL)
        passes = sweep(passes)


def sweep(passes: int = 0) -> int:
    """Look for garbage among the containers that came since the last sweep, and set aside those that have come to stay.

    In a pause, they are set aside at once: nothing of a page is in a cycle. Returns the number of passes that have
    added to the old containers since the last full one; it is given to the next sweep, which counts the old ones only
    after a further pass, as that takes time.
    """
    young = len(gc.get_objects(0))
    if not gc.isenabled():
        if young > OLD:
            gc.freeze()
        return passes
    # One pass is enough for one sweep.
    if gc.get_count()[2] != passes and len(gc.get_objects(2)) > OLD:
        gc.collect()
        gc.freeze()
    elif young > YOUNG:
        gc.collect(1)
        return passes
    return gc.get_count()[2]
