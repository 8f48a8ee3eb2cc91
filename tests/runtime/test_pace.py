"""Long work leaves half of the time to others."""

from __future__ import annotations

import pytest

from runtime.pace import SLICE, Pace


class Time:
    """A clock that a test sets; ``slept`` are the waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += 3 * seconds


async def test_after_a_slice_others_have_as_much_time() -> None:
    time = Time()
    pace = Pace(time.monotonic, time.sleep)
    for _ in range(8):
        time.now += SLICE / 4 + 1e-9
        await pace.step()
    time.now += 10 * SLICE
    await pace.step()

    assert time.slept == [pytest.approx(SLICE, rel=0.01)] * 2 + [pytest.approx(10 * SLICE, rel=0.01)]


async def test_what_was_waited_for_is_no_work() -> None:
    time = Time()
    pace = Pace(time.monotonic, time.sleep)
    time.now += SLICE / 2
    await pace.step()
    time.now += 60.0
    pace.begin()
    time.now += SLICE / 2
    await pace.step()

    assert time.slept == []
