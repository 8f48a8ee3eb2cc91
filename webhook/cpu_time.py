"""The CPU time of this thread without the cyclic garbage collector, which interrupts anybody."""

from __future__ import annotations

import gc
import time

__all__ = ["seconds"]

# When the collection in progress began, and what all of them took.
_collector = [0.0, 0.0]


def seconds() -> float:
    """Seconds that count up while this thread computes."""
    return time.thread_time() - _collector[1]


def _note(phase: str, _info: dict[str, int]) -> None:
    if phase == "start":
        _collector[0] = time.thread_time()
    else:
        _collector[1] += time.thread_time() - _collector[0]


gc.callbacks.append(_note)
