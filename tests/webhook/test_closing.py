"""When connections that wait are closed, in simulated time."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.cluster.conftest import simulated
from webhook import closing


class Open:
    """Connections, of which one is closed after each of some times."""

    def __init__(self, *ends: float) -> None:
        self.ends = ends
        self.closed: list[tuple[float, float]] = []

    def __len__(self) -> int:
        now = asyncio.get_running_loop().time()
        return sum(end > now for end in self.ends)

    def close_quiet(self, seconds: float) -> None:
        self.closed.append((round(asyncio.get_running_loop().time(), 3), seconds))


def test_quiet_connections_are_looked_for_again_and_again() -> None:
    async def main() -> None:
        found: Any = Open()
        limits = iter([None, 0.5, None, 0.02])
        task = asyncio.create_task(closing.close_waiting(found, lambda: next(limits), asyncio.sleep))
        await asyncio.sleep(1.1)
        task.cancel()
        assert found.closed == [(0.5, 0.5), (1.0, 0.02)]

    simulated(main())


def test_the_end_comes_with_the_last_connection_or_with_the_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await closing.until_closed(Open(), 6.0, asyncio.sleep)  # type: ignore[arg-type]
        assert loop.time() == 0
        await closing.until_closed(Open(1.0, 2.0), 6.0, asyncio.sleep)  # type: ignore[arg-type]
        assert 2.0 <= loop.time() <= 2.1
        began = loop.time()
        await closing.until_closed(Open(1000.0), 6.0, asyncio.sleep)  # type: ignore[arg-type]
        assert 6.0 <= loop.time() - began <= 6.1

    simulated(main())
