"""The law of one process: whatever reviews pause beside each other, those that it admits could have come in turn.

Each judgement pauses after each of its steps. Meanwhile others are admitted, and a watch shows objects that another
replica admitted.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.informers.turns import Turns
from crd import integrity, manifest
from crd.integrity import Change
from crd.ref import Kind
from crd.snapshot import Snapshot
from tests.webhook.replica import Replica
from tests.webhook.test_reviewer import Api, server, tool
from webhook import reviewer

if TYPE_CHECKING:
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
shown_later = st.builds(tool, st.sampled_from("uvw"), served, apps)
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
        self._replica.reviewer._turns = Turns(itertools.count().__next__)
        self.events: list[Change | Fact] = []
        expect = self._replica.live.expect

        def note(change: Change, placed: Any = None) -> None:
            self.events.append(change)
            expect(change, placed)

        self._replica.live.expect = note  # type: ignore[method-assign]

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
        self.events.append(fact)
        item["metadata"]["resourceVersion"] = "1"
        self._api.items[name_of(item)] = item
        self._replica.show(item)


async def run(world: Interleaved, asked: list[tuple[int, Raw]], shown: list[tuple[int, Raw]]) -> list[bool]:
    """Which changes were admitted."""
    showing = [asyncio.create_task(world.show(*each)) for each in shown]
    admitted = await asyncio.gather(*(world.ask(*each) for each in asked))
    await asyncio.gather(*showing)
    return admitted


@MANY
@given(
    st.lists(objects, max_size=6, unique_by=name_of),
    delayed(objects, 2),
    st.one_of(st.just([]), delayed(shown_later, 1)),
)
def test_what_is_admitted_between_the_steps_of_a_judgement_could_have_come_in_turn(
    stored: list[Raw], asked: list[tuple[int, Raw]], shown: list[tuple[int, Raw]]
) -> None:
    at_once = reviewer.STEPS_AT_ONCE
    reviewer.STEPS_AT_ONCE = 1
    world = Interleaved(stored)
    try:
        admitted = asyncio.run(run(world, asked, shown))
    finally:
        reviewer.STEPS_AT_ONCE = at_once

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
    at_once = reviewer.STEPS_AT_ONCE
    reviewer.STEPS_AT_ONCE = 1
    try:
        for delay in range(80):
            world = Interleaved([tool("a", "get"), tool("b", "put"), tool("c", "list")])
            asked = [(40, server("x")), (delay, tool("d", "get"))]
            assert sorted(asyncio.run(run(world, asked, []))) == [False, True], delay
            world = Interleaved([server("x"), tool("a", "put")])
            asked = [(40, tool("a", "get")), (delay, tool("d", "get"))]
            assert sorted(asyncio.run(run(world, asked, []))) == [False, True], delay
    finally:
        reviewer.STEPS_AT_ONCE = at_once
