"""The collector stays away while a page is decoded, and from what has been kept."""

from __future__ import annotations

import gc

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


def test_what_has_grown_by_a_step_is_set_aside() -> None:
    growth = collector.Growth()
    before = gc.get_freeze_count()
    try:
        growth.check(collector.STEP - 1)
        assert gc.get_freeze_count() == before
        growth.check(collector.STEP)
        aside = gc.get_freeze_count()
        assert aside > before
        growth.check(collector.STEP + 1)
        assert gc.get_freeze_count() <= aside
    finally:
        gc.unfreeze()
