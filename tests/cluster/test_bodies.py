"""Bodies have a limit, a deadline and a common budget: in simulated time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster.bodies import Bodies, BodyEvictedError
from cluster.message import Request


def body_of(length: int | None, *parts: bytes, complete: bool = True) -> Request:
    headers = {} if length is None else {"content-length": [str(length)]}
    request = Request("POST", "/a", headers)
    for part in parts:
        request.feed(part)
    if complete:
        request.end()
    return request


@pytest.mark.parametrize(("size", "expected"), [(10, b"x" * 10), (11, None)])
def test_a_body_has_a_limit(simulate: Any, size: int, expected: bytes | None) -> None:
    async def main() -> None:
        bodies = Bodies(30.0)
        assert await bodies.read(body_of(size, b"x" * size), 10) == expected
        assert Bodies.whole(body_of(size, b"x" * size), 10) == expected
        # As it arrives, with its length and without.
        for length in (size, None):
            request = body_of(length, b"x" * 5, complete=False)
            reading = asyncio.ensure_future(bodies.read(request, 10))
            await asyncio.sleep(1)
            request.feed(b"x" * (size - 5))
            request.end()
            assert await reading == expected
        assert bodies._held == 0

    simulate(main())


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(simulate: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await Bodies(30.0).read(body_of(11, complete=False), 10) is None
        assert loop.time() < 1
        with pytest.raises(TimeoutError) as raised:
            await Bodies(30.0).read(body_of(10, b"x", complete=False), 10)
        assert type(raised.value) is TimeoutError
        assert loop.time() == pytest.approx(30.0)

    simulate(main())


def test_at_the_budget_the_oldest_body_is_given_up(simulate: Any) -> None:
    async def main() -> None:
        bodies = Bodies(30.0, budget=100)
        requests = [body_of(None, complete=False) for _ in range(3)]
        reading = []
        for request in requests:
            reading.append(asyncio.ensure_future(bodies.read(request, 50)))
            await asyncio.sleep(0)
        for request in requests[:2]:
            request.feed(b"x" * 50)
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in reading)
        requests[2].feed(b"x")
        await asyncio.sleep(0.1)
        assert [task.done() for task in reading] == [True, False, False]
        assert isinstance(reading[0].exception(), BodyEvictedError)
        # What it held is free again.
        assert bodies._held == 51
        requests[2].feed(b"x" * 49)
        for request in requests[1:]:
            request.end()
        assert [len(await task or b"") for task in reading[1:]] == [50, 50]
        assert bodies._held == 0

    simulate(main())


def test_one_body_may_be_larger_than_the_budget(simulate: Any) -> None:
    async def main() -> None:
        request = body_of(None, b"x" * 200, complete=False)
        reading = asyncio.ensure_future(Bodies(30.0, budget=10).read(request, 200))
        await asyncio.sleep(1)
        request.end()
        assert await reading == b"x" * 200

    simulate(main())
