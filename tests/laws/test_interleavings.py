"""The law of one process: whatever reviews pause beside each other, those that it admits could have come in turn.

Each judgement pauses after each of its steps. Meanwhile others are admitted, and a watch shows objects that another
replica admitted. These are put into the snapshot in steps too, and whoever judges sees each of them as a whole or not
at all.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.informers.turns import Turns
from crd import integrity, manifest
from crd.integrity import Change
from crd.ref import Kind
from crd.snapshot import Snapshot
from tests.webhook.replica import Replica
from tests.webhook.test_reviewer import Api, server, tool
from webhook import live_snapshot, placement, reviewer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.facts import Fact

MANY = settings(max_examples=150, deadline=None)
Raw = dict[str, Any]


def budgeted(name: str, app: str, budget: int | None) -> Raw:
    found = server(name, app)
    return {**found, "spec": {**found["spec"], **({"contextBudget": budget} if budget else {})}}


served = st.sampled_from(["get", "put", "list"])
apps = st.sampled_from(["shop", "shop", "other"])
tools = st.builds(tool, st.sampled_from("abcdef"), served, apps)
servers = st.builds(budgeted, st.sampled_from("xy"), apps, st.sampled_from([None, None, 60]))
objects = st.one_of(tools, tools, servers)
shown_later = st.one_of(
    st.builds(tool, st.sampled_from("uvw"), served, apps),
    st.builds(budgeted, st.sampled_from("z"), apps, st.sampled_from([None, 60])),
)
# Iterations of the event loop. A judgement of these objects takes about fifty.
delays = st.integers(0, 60)


def name_of(item: Raw) -> str:
    return str(item["metadata"]["name"])


def delayed(items: st.SearchStrategy[Raw], at_least: int) -> st.SearchStrategy[list[tuple[int, Raw]]]:
    some = st.tuples(delays, items)
    return st.lists(some, min_size=at_least, max_size=5, unique_by=lambda each: name_of(each[1]))


class Interleaved:
    """A replica, and in order what it admitted and what its watch showed."""

    def __init__(self, stored: list[Raw]) -> None:
        self.snapshot = Snapshot().mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
        self._stored: dict[str, Raw] = {}
        for item in stored:
            new = manifest.decode(item)
            change = Change(new.ref, None, new)
            if integrity.judge(self.snapshot, change).allowed:
                self.snapshot = integrity.place(self.snapshot, change)[1]
                item["metadata"]["resourceVersion"] = "1"
                self._stored[name_of(item)] = item
        self._api = Api(*self._stored.values())
        self._replica = Replica(self._api, *self._stored.values())
        # A turn is over after one step.
        self._replica.slices._turns = Turns(itertools.count().__next__)
        self.events: list[Change | Fact] = []
        self._shown: list[Fact] = []
        expect = self._replica.live.expect

        def note(change: Change, placed: Any = None) -> None:
            self.note_shown()
            self.events.append(change)
            expect(change, placed)

        self._replica.live.expect = note  # type: ignore[method-assign]

    def note_shown(self) -> None:
        """Note what the watch has shown and the snapshot has by now."""
        current = self._replica.live.current
        assert current == Snapshot.of(current).mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
        seen = [fact for fact in self._shown if current.get(fact.ref) == fact]
        self._shown = [fact for fact in self._shown if fact not in seen]
        self.events += seen

    async def keep_up(self) -> None:
        """Put what the watch shows into the snapshot."""
        await placement.keep_up(self._replica.live, self._replica.slices)

    async def ask(self, delay: int, item: Raw) -> bool:
        """Whether the change is admitted that is asked about after so many iterations."""
        for _ in range(delay):
            await asyncio.sleep(0)
        old = self._stored.get(name_of(item))
        new = copy.deepcopy(item)
        if old is not None:
            new["metadata"]["resourceVersion"] = "1"
        return (await self._replica.judge(new, old, seconds=600.0)).allowed

    async def show(self, delay: int, item: Raw) -> None:
        """After so many iterations a watch shows an object."""
        for _ in range(delay):
            await asyncio.sleep(0)
        fact = manifest.decode(item).fact
        assert fact is not None
        self._shown.append(fact)
        item["metadata"]["resourceVersion"] = "1"
        self._api.items[name_of(item)] = item
        self._replica.show(item)


async def run(world: Interleaved, asked: list[tuple[int, Raw]], shown: list[tuple[int, Raw]]) -> list[bool]:
    """Which changes were admitted. After a single step, a change of the snapshot pauses."""
    keeping = asyncio.create_task(world.keep_up())
    showing = [asyncio.create_task(world.show(*each)) for each in shown]
    admitted = await asyncio.gather(*(world.ask(*each) for each in asked))
    await asyncio.gather(*showing)
    keeping.cancel()
    await asyncio.wait([keeping])
    world.note_shown()
    return admitted


@pytest.fixture(autouse=True, scope="module")
def everything_takes_long() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reviewer, "STEPS_AT_ONCE", 1)
        patch.setattr(live_snapshot, "QUICK", -1)
        yield


@MANY
@given(
    st.lists(objects, max_size=6, unique_by=name_of),
    delayed(objects, 2),
    st.one_of(st.just([]), delayed(shown_later, 1)),
)
def test_what_is_admitted_between_the_steps_of_a_judgement_could_have_come_in_turn(
    stored: list[Raw], asked: list[tuple[int, Raw]], shown: list[tuple[int, Raw]]
) -> None:
    world = Interleaved(stored)

    admitted = asyncio.run(run(world, asked, shown))

    in_turn = world.snapshot
    for event in world.events:
        if isinstance(event, Change):
            verdict = integrity.judge(in_turn, event)
            assert verdict.allowed, verdict.errors
            in_turn = integrity.place(in_turn, event)[1]
        else:
            in_turn = in_turn.put(event)
    assert sum(isinstance(event, Change) for event in world.events) == admitted.count(True)


def test_of_two_that_conflict_one_is_admitted_however_they_interleave() -> None:
    for delay in range(80):
        world = Interleaved([tool("a", "get"), tool("b", "put"), tool("c", "list")])
        asked = [(40, server("x")), (delay, tool("d", "get"))]
        assert sorted(asyncio.run(run(world, asked, []))) == [False, True], delay
        world = Interleaved([server("x"), tool("a", "put")])
        asked = [(40, tool("a", "get")), (delay, tool("d", "get"))]
        assert sorted(asyncio.run(run(world, asked, []))) == [False, True], delay


def test_what_a_watch_shows_in_the_middle_of_a_judgement_is_seen_by_it() -> None:
    admitted = []
    for delay in range(0, 120, 3):
        world = Interleaved([server("x"), tool("a", "put"), tool("b", "list")])
        asked = [(40, tool("d", "get"))]
        admitted += asyncio.run(run(world, asked, [(delay, tool("u", "get"))]))
    # It is denied once the snapshot has the other tool, and admitted before.
    assert admitted[0] is False
    assert admitted == sorted(admitted)
    assert admitted[-1] is True
