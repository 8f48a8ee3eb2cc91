from __future__ import annotations

import asyncio

from cluster.workqueue import MAX_DELAY, Workqueue


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue = Workqueue[str]()
    queue.add("a")
    queue.add("a")

    assert await queue.take() == "a"
    assert len(queue) == 0


async def test_a_key_added_while_it_is_worked_on_comes_again_afterwards() -> None:
    queue = Workqueue[str]()
    queue.add("a")
    await queue.take()

    queue.add("a")
    assert len(queue) == 0
    queue.done("a")

    assert await queue.take() == "a"


async def test_a_taker_waits_until_there_is_work() -> None:
    queue = Workqueue[str]()
    taker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)

    queue.add("late")

    assert await taker == "late"


async def test_each_failure_doubles_the_delay_up_to_a_bound_and_success_forgets_them() -> None:
    queue = Workqueue[str]()

    async def failed() -> float:
        queue.add("a")
        await queue.take()
        return queue.failed("a")

    delays = [await failed() for _ in range(15)]

    assert delays[1] == 2 * delays[0]
    assert delays[-1] == MAX_DELAY
    queue.add("a")
    await queue.take()
    queue.done("a")
    assert await failed() == delays[0]


async def test_of_two_dates_the_earlier_one_counts() -> None:
    queue = Workqueue[str]()

    queue.add_after("a", 60)
    queue.add_after("a", 0.01)
    queue.add_after("a", 60)

    assert await asyncio.wait_for(queue.take(), 5) == "a"
