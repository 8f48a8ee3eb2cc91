"""What runs in a thread beside a test cannot fail unseen (tests/threads.py)."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.threads import Program, meanwhile


def test_what_fails_meanwhile_fails_the_test() -> None:
    def fail(stop: threading.Event) -> None:
        stop.wait()
        raise ValueError("a replica did not come back")

    with pytest.raises(ValueError, match="did not come back"), meanwhile(threading.Event.wait, fail):
        pass


def test_a_failure_of_the_test_itself_is_told_first() -> None:
    stopped = list[bool]()
    with pytest.raises(KeyError), meanwhile(lambda stop: stopped.append(stop.wait(10))):
        raise KeyError
    assert stopped == [True]


def test_a_program_ends_when_it_is_asked_to() -> None:
    ended = list[bool]()

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        ended.append(True)

    program = Program(run)
    program.stop()
    assert ended == [True]


def test_a_program_that_has_failed_fails_the_test_when_it_is_stopped() -> None:
    async def run(stop: asyncio.Event) -> None:
        raise OSError("the port is taken")

    program = Program(run)
    with pytest.raises(OSError, match="taken"):
        program.stop()


def test_a_program_that_does_not_end_fails_the_test() -> None:
    released = threading.Event()

    async def run(stop: asyncio.Event) -> None:
        await asyncio.to_thread(released.wait)

    program = Program(run)
    with pytest.raises(TimeoutError):
        program.stop(0.01)
    released.set()
    program.stop()
