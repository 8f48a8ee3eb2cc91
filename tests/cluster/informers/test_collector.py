"""The collector stays away while a page is decoded, and from what has been kept."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from cluster.informers import collector


def test_the_collector_is_off_in_a_pause_and_on_after_the_last_one() -> None:
    with collector.paused():
        with collector.paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector.paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


class Node:
    """Something that can be in a cycle."""

    def __init__(self) -> None:
        self.other: Node | None = None


def garbage() -> weakref.ref[Node]:
    node = Node()
    node.other = node
    return weakref.ref(node)


def containers(count: int) -> list[list[None]]:
    return [[] for _ in range(count)]


@pytest.fixture(autouse=True)
def aside() -> Iterator[None]:
    """What there is before the test is set aside; the collector does nothing by itself meanwhile."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000_000, 1_000, 1_000)
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_a_few_containers_are_left_to_the_collector() -> None:
    before, kept = gc.get_freeze_count(), containers(100)

    collector.sweep()

    assert gc.get_freeze_count() <= before
    assert len(gc.get_objects(0)) >= len(kept)


def test_garbage_among_many_new_containers_is_found() -> None:
    lost, kept = garbage(), containers(collector.YOUNG)

    collector.sweep()

    assert lost() is None
    assert len(gc.get_objects(0)) < len(kept)


def test_what_replaces_something_else_is_counted_too() -> None:
    """The thresholds of the collector do not see it: as many containers are freed as are made."""
    kept = containers(collector.OLD + 1)
    gc.freeze()
    before = gc.get_freeze_count()
    for index in range(len(kept)):
        kept[index] = []
    assert gc.get_count()[0] < collector.YOUNG

    collector.sweep(collector.sweep())

    assert len(gc.get_objects()) < collector.YOUNG
    assert gc.get_freeze_count() >= before


def test_garbage_that_has_become_old_is_found_before_what_stays_is_set_aside() -> None:
    lost, kept = garbage(), containers(collector.OLD + 1)
    node = lost()
    gc.collect(1)
    del node
    assert lost() is not None

    collector.sweep(passes=-1)

    assert lost() is None
    assert len(gc.get_objects(2)) < len(kept) <= gc.get_freeze_count()


def test_the_old_containers_are_not_counted_again_before_a_further_pass() -> None:
    kept = containers(collector.OLD + 1)
    gc.collect(1)
    passes = gc.get_count()[2]

    assert collector.sweep(passes) == passes
    assert len(gc.get_objects(2)) >= len(kept)

    assert collector.sweep(passes - 1) == 0
    assert len(gc.get_objects(2)) < len(kept)


def test_in_a_pause_many_containers_are_set_aside_and_not_looked_through() -> None:
    with collector.paused():
        lost, kept = garbage(), containers(collector.OLD + 1)
        collector.sweep()
        assert len(gc.get_objects(0)) < len(kept) <= gc.get_freeze_count()
        assert lost() is not None
    with collector.paused():
        few = containers(collector.OLD // 2)
        collector.sweep()
        assert len(gc.get_objects(0)) >= len(few)


async def test_a_program_sets_aside_what_there_is_and_sweeps_every_tenth_of_a_second() -> None:
    lost, pauses = garbage(), list[float]()
    gc.collect()
    assert lost() is None

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            assert len(gc.get_objects()) < collector.YOUNG
            found.extend((garbage(), *map(weakref.ref, [Node()])))
            kept.extend(containers(collector.YOUNG))
        if len(pauses) == 3:
            raise asyncio.CancelledError

    found: list[weakref.ref[Node]] = []
    kept: list[list[None]] = containers(collector.YOUNG)
    with pytest.raises(asyncio.CancelledError):
        await collector.keep_short(sleep)

    assert pauses == [0.1] * 3
    assert [each() for each in found] == [None, None]


def test_what_comes_all_the_time_is_set_aside_all_the_same() -> None:
    kept, passes, most = list[list[None]](), 0, 0
    for _ in range(20):
        kept += containers(collector.YOUNG + 1)
        passes = collector.sweep(passes)
        most = max(most, len(gc.get_objects()))

    assert most < collector.OLD + 4 * collector.YOUNG
