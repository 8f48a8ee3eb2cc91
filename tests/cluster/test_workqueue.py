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


async def test_what_changed_goes_before_what_is_looked_at_again() -> None:
    queue = Workqueue[str]()
    for key in ("a", "b", "c"):
        queue.add(key, resync=True)
    queue.add("d")
    queue.add("c")
    queue.add("c", resync=True)

    assert [await queue.take() for _ in range(4)] == ["d", "c", "a", "b"]
    queue.add("a", resync=True)
    queue.add("b", resync=True)
    queue.add("b")
    queue.add("e", resync=True)
    queue.done("a")
    queue.done("b")
    assert [await queue.take() for _ in range(3)] == ["b", "e", "a"]


async def test_a_key_whose_work_was_cancelled_is_handed_out_again_before_others() -> None:
    queue = Workqueue[str]()
    queue.add("a")
    queue.add("b")
    await queue.take()
    queue.add("a")

    queue.put_back("a")

    assert await queue.take() == "a"
    queue.done("a")
    assert await queue.take() == "b"
    assert len(queue) == 0


async def test_put_back_wakes_a_taker() -> None:
    queue = Workqueue[str]()
    queue.add("a")
    await queue.take()
    taker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)

    queue.put_back("a")

    assert await asyncio.wait_for(taker, 5) == "a"


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
