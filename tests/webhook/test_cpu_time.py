"""The time of the garbage collector is nobody's."""

from __future__ import annotations

import gc
import time

from webhook import cpu_time


def test_computing_counts_and_collecting_does_not() -> None:
    held = [[number] for number in range(200_000)]
    gc.collect()
    started, whole = cpu_time.seconds(), time.thread_time()
    gc.collect()
    took, whole = cpu_time.seconds() - started, time.thread_time() - whole

    assert took < whole / 4
    started = cpu_time.seconds()
    assert sum(len(each) for each in held) == 200_000
    assert cpu_time.seconds() > started


def test_each_collection_counts_by_itself() -> None:
    """What was computed between two collections is not taken for a part of the second."""
    gc.collect()
    started, whole = cpu_time.seconds(), time.thread_time()
    assert sum(number * number for number in range(300_000))
    computed = time.thread_time() - whole
    gc.collect()

    assert cpu_time.seconds() - started >= computed
