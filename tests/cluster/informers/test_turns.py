"""Those who share an event loop work one after another, and the loop goes on between them."""

from __future__ import annotations

import asyncio

from cluster.informers.turns import SLICE, Turns


class Iterations:
    """Counts the iterations of the running event loop."""

    def __init__(self) -> None:
        self.number = 0
        self._count()

    def _count(self) -> None:
        self.number += 1
        asyncio.get_running_loop().call_soon(self._count)


async def test_in_one_iteration_of_the_loop_one_has_a_turn_and_all_have_as_many() -> None:
    turns, iterations = Turns(lambda: 0.0), Iterations()
    had: list[tuple[str, int]] = []

    async def work(name: str) -> None:
        for _ in range(5):
            await turns.wait()
            had.append((name, iterations.number))

    await asyncio.gather(*map(work, "abc"))
    assert len({iteration for _, iteration in had}) == len(had) == 15
    assert [name for name, _ in had] == ["a", "b", "c"] * 5


async def test_who_works_alone_has_a_turn_in_each_iteration() -> None:
    turns, iterations = Turns(lambda: 0.0), Iterations()
    had = []
    for _ in range(5):
        await turns.wait()
        had.append(iterations.number)
    assert had == list(range(had[0], had[0] + 5))


async def test_who_is_cancelled_leaves_the_turn_to_others() -> None:
    turns = Turns(lambda: 0.0)
    waiting = [asyncio.ensure_future(turns.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.wait(waiting, timeout=5)
    assert [one.cancelled() for one in waiting] == [False, True, False]
    await asyncio.wait_for(turns.wait(), 5)


async def test_a_turn_is_over_after_a_slice() -> None:
    now = [7.0]
    turns = Turns(lambda: now[0])
    now[0] += 2 * SLICE
    assert turns.is_over()
    await turns.wait()
    now[0] += SLICE / 2
    assert not turns.is_over()
    now[0] += SLICE
    assert turns.is_over()
