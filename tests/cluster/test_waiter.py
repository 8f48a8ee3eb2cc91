"""A coroutine waits for a callback."""

from __future__ import annotations

import asyncio

import pytest

from cluster.waiter import Waiter


async def test_each_wait_ends_with_the_next_wake() -> None:
    waiter, ended = Waiter(), list[int]()

    async def wait_twice() -> None:
        for number in (1, 2):
            await waiter.wait()
            ended.append(number)

    task = asyncio.ensure_future(wait_twice())
    for expected in ([], [1], [1, 2]):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ended == expected
        waiter.wake()
    await task


async def test_a_wake_before_a_wait_has_no_effect() -> None:
    waiter = Waiter()
    waiter.wake()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await waiter.wait()
    waiter.wake()


async def test_two_wakes_in_a_row_are_one() -> None:
    waiter = Waiter()
    task = asyncio.ensure_future(waiter.wait())
    await asyncio.sleep(0)
    waiter.wake()
    waiter.wake()
    await task
