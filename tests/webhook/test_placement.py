"""What is late is placed in slices of the event loop, for as long as somebody does so."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

import pytest

from cluster.informers.turns import Turns
from crd.ref import Kind, Ref
from tests.webhook.replica import Replica
from tests.webhook.test_reviewer import Api, server, tool
from webhook import live_snapshot, placement, reader
from webhook.live_snapshot import LiveSnapshot

if TYPE_CHECKING:
    from crd.steps import Steps

MAIN = Ref(Kind.SERVER, "shop", "main")


def replica_of_many(monkeypatch: pytest.MonkeyPatch) -> Replica:
    """A replica that has some tools, for which everything takes long and each slice is one step."""
    monkeypatch.setattr(live_snapshot, "QUICK", 3)
    tools = [tool(f"t{number}", f"get_{number}") for number in range(9)]
    return Replica(Api(server("main"), *tools), *tools, turns=Turns(itertools.count().__next__))


async def test_what_a_watch_shows_is_placed_while_others_get_on(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = replica_of_many(monkeypatch)
    keeping = asyncio.create_task(placement.keep_up(replica.live, replica.slices))
    await asyncio.sleep(0)

    replica.show(server("main"))
    iterations = 0
    while replica.live.is_behind("shop"):
        await asyncio.sleep(0)
        iterations += 1

    assert iterations > 20
    assert len(replica.live.current.view(MAIN).members) == 9
    keeping.cancel()
    await asyncio.wait([keeping])
    replica.show(server("other"))
    assert len(replica.live.current.view(Ref(Kind.SERVER, "shop", "other")).members) == 9


async def test_after_a_bug_everything_is_placed_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replica = replica_of_many(monkeypatch)
    place = LiveSnapshot._place_some
    failures = [ZeroDivisionError()]

    def fail_once(self: LiveSnapshot, namespace: str) -> Steps[None]:
        if failures:
            raise failures.pop()
        yield from place(self, namespace)

    monkeypatch.setattr(LiveSnapshot, "_place_some", fail_once)
    keeping = asyncio.create_task(placement.keep_up(replica.live, replica.slices))
    await asyncio.sleep(0)
    replica.show(server("main"))
    with caplog.at_level(logging.ERROR):
        await keeping

    assert "in one piece from now on" in caplog.text
    assert len(replica.live.current.view(MAIN).members) == 9


async def test_who_reads_an_object_finds_it_in_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A denial reads whom it blames, and is judged again by the state that was read."""
    renamed = tool("rival", "put")
    renamed["metadata"]["resourceVersion"] = "7"
    replica = Replica(Api(server("main"), renamed), server("main"), tool("rival", "get"))
    keeping = asyncio.create_task(placement.keep_up(replica.live, replica.slices))
    await asyncio.sleep(0)
    monkeypatch.setattr(live_snapshot, "QUICK", 0)

    decision = await replica.judge(tool("new", "get"))

    assert decision.allowed, decision.verdict
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_a_reader_does_not_wait_for_ever_for_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = replica_of_many(monkeypatch)
    monkeypatch.setattr(reader, "LATE_SECONDS", 0.02)
    replica.live.spread(lambda: None)
    replica.show(server("main"))

    await replica.reviewer._reader.look([MAIN, Ref(Kind.TOOL, "shop", "t0")])

    assert replica.live.is_late([MAIN])
