"""Which connections a pool keeps, for how long, and that it looks again as long as it keeps some."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.http.pool import KEEP_ALIVE, Origin, Pool, _Exchange
from tests.cluster.conftest import simulated

A, B = Origin("a", 1), Origin("b", 1)


class Transport(asyncio.Transport):
    """A connection that is open until it is aborted."""

    aborted = False

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connection(pool: Pool, origin: Origin) -> _Exchange:
    made = _Exchange(pool, origin)
    made.connection_made(Transport())
    return made


def a_pool() -> Pool:
    async def resolve(_: str) -> tuple[str, ...]:
        return ()

    return Pool(resolve, lambda _: None, lambda: 0.0)


def test_a_connection_that_is_not_used_is_closed_and_the_pool_looks_again_while_it_keeps_some() -> None:
    async def main() -> None:
        pool = a_pool()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        old, young, other = connection(pool, A), connection(pool, A), connection(pool, B)
        pool.keep(A, old)
        sweep = pool._sweep
        assert sweep is not None
        assert sweep.when() == begun + KEEP_ALIVE
        await asyncio.sleep(1)
        pool.keep(A, young)
        pool.keep(B, other)
        assert pool._sweep is sweep

        await asyncio.sleep(KEEP_ALIVE - 0.5)
        assert [each.is_open() for each in (old, young, other)] == [False, True, True]
        assert pool._idle == {A: [young], B: [other]}
        await asyncio.sleep(KEEP_ALIVE)
        assert [each.is_open() for each in (young, other)] == [False, False]
        assert (pool._idle, pool._sweep) == ({}, None)

        again = connection(pool, A)
        pool.keep(A, again)
        await asyncio.sleep(2 * KEEP_ALIVE)
        assert not again.is_open()

    simulated(main())


def test_the_connection_that_was_used_last_is_taken_while_it_is_young_and_open() -> None:
    async def main() -> None:
        pool = a_pool()
        loop = asyncio.get_running_loop()
        made: list[Any] = [connection(pool, A) for _ in range(3)]
        for each in made:
            pool.keep(A, each)
        now = loop.time()

        assert pool._take(B, now) is None
        assert pool._take(A, now) is made[2]
        made[1].abort()
        assert pool._take(A, now) is made[0]
        assert (pool._take(A, now), pool._idle) == (None, {})
        pool.keep(A, made[0])
        assert pool._take(A, now + KEEP_ALIVE) is None
        assert (made[0].is_open(), pool._idle) == (False, {})
        pool.keep(A, made[2])
        assert pool._take(A, now + KEEP_ALIVE - 0.1) is made[2]
        await pool.close()

    simulated(main())


def test_a_connection_that_its_backend_closed_is_forgotten_alone() -> None:
    async def main() -> None:
        pool = a_pool()
        first, second = connection(pool, A), connection(pool, A)
        pool.keep(A, first)
        pool.keep(A, second)

        first.connection_lost(None)
        assert pool._idle == {A: [second]}
        second.connection_lost(None)
        assert pool._idle == {}
        pool.forget(B, first)
        await pool.close()

    simulated(main())


def test_a_pool_that_is_closed_keeps_nothing_and_looks_no_more() -> None:
    async def main() -> None:
        pool = a_pool()
        await pool.close()
        kept = [connection(pool, A), connection(pool, B)]
        pool.keep(A, kept[0])
        pool.keep(B, kept[1])
        sweep = pool._sweep
        assert sweep is not None

        await pool.close()

        assert (pool._idle, sweep.cancelled()) == ({}, True)
        assert not any(each.is_open() for each in kept)

    simulated(main())


@pytest.mark.parametrize(
    ("data", "is_open"), [(b"HTTP/1.1 408 Request Timeout\r\n\r\n", False), (b"", True)], ids=["speaks", "is silent"]
)
def test_a_server_that_speaks_unasked_is_left(data: bytes, is_open: bool) -> None:
    async def main() -> None:
        pool = a_pool()
        kept = connection(pool, A)
        pool.keep(A, kept)
        if data:
            kept.data_received(data)
        assert (pool._take(A, 0.0) is not None) is is_open
        await pool.close()

    simulated(main())
