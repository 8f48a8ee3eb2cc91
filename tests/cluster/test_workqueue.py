from __future__ import annotations

import asyncio
from typing import Any

from cluster.workqueue import FIRST_DELAY, MAX_DELAY, Workqueue


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


def test_what_failed_comes_back_after_its_delay_and_once(simulate: Any) -> None:
    async def main() -> None:
        queue, loop = Workqueue[str](), asyncio.get_running_loop()
        for expected in (2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY):
            queue.add("a")
            await queue.take()
            failed_at = loop.time()
            assert queue.failed("a") == expected
            assert len(queue) == 0
            assert await queue.take() == "a"
            assert abs(loop.time() - failed_at - expected) < 0.01
            queue._release("a")
        await asyncio.sleep(2 * MAX_DELAY)
        assert len(queue) == 0

    simulate(main())


def test_a_date_that_has_passed_is_forgotten(simulate: Any) -> None:
    async def main() -> None:
        queue = Workqueue[str]()
        queue.add_after("a", 10)
        queue.add_after("a", 5)
        queue.add_after("b", 7)
        queue.add_after("b", 7)
        await asyncio.sleep(6)
        assert len(queue) == 1
        assert await queue.take() == "a"
        queue.done("a")
        await asyncio.sleep(20)
        assert (await queue.take(), len(queue)) == ("b", 0)
        # A new date can be given.
        queue.add_after("a", 1)
        await asyncio.sleep(2)
        assert await queue.take() == "a"

    simulate(main())


async def test_an_addition_while_it_is_worked_on_keeps_the_higher_priority() -> None:
    queue = Workqueue[str]()
    for first, second, expected in ((True, True, "ba"), (True, False, "ab"), (False, True, "ab"), (False, False, "ab")):
        queue.add("a")
        assert await queue.take() == "a"
        queue.add("a", resync=first)
        queue.add("a", resync=second)
        queue.done("a")
        if expected == "ba":
            queue.add("b")
        else:
            queue.add("b", resync=True)
        found = [await queue.take(), await queue.take()]
        assert "".join(found) == expected
        queue.done("a")
        queue.done("b")
        assert len(queue) == 0
