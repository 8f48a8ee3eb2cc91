"""Two candidates for one Lease of a real API server that answers late, or never: there are never two leaders."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster import client
from cluster.election import Election, Timing
from cluster.transport import Transport
from scripts import localcluster
from tests.faults.replicas import NAMESPACE

pytestmark = pytest.mark.integration

TIMING = Timing(lease=3.0, deadline=2.0, retry=0.4)
# What is cancelled needs so long to end; it counts as leading meanwhile.
LEAVING = 0.3
TERMS = 3


class Delayed:
    """A connection whose writes are answered ``late`` seconds after they were stored, and at times not at all.

    While it ``hangs`` nothing is sent; after ``hang_after_write`` it hangs as soon as a write has been stored.
    """

    def __init__(self, inner: Transport, late: float) -> None:
        self.hangs = asyncio.Event()
        self.hang_after_write = False
        self._inner = inner
        self._late = late

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        await self._hang()
        answer = await self._inner.request(method, path, **options)
        if method != "GET":
            if self.hang_after_write:
                self.hangs.set()
            await asyncio.sleep(self._late)
        await self._hang()
        return answer

    def heal(self) -> None:
        self.hang_after_write = False
        self.hangs.clear()

    async def _hang(self) -> None:
        if self.hangs.is_set():
            await asyncio.get_running_loop().create_future()


class Candidate:
    """A process that takes part in the election again and again; ``terms`` are when it led, ``now`` since when."""

    def __init__(self, connection: Delayed, lease: str, name: str) -> None:
        self.connection = connection
        self.terms: list[tuple[float, float]] = []
        self.now: float | None = None
        self._election = Election(
            connection,  # type: ignore[arg-type]
            namespace=NAMESPACE,
            name=lease,
            identity=name,
            monotonic=time.monotonic,
            now=lambda: datetime.now(UTC),  # noqa: TID251
            timing=TIMING,
        )

    async def run(self) -> None:
        while True:
            await self._election.run(self._lead)

    async def _lead(self) -> None:
        self.now = time.monotonic()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(LEAVING)
            self.terms.append((self.now, time.monotonic()))
            self.now = None


@pytest.fixture
async def transport(cluster: localcluster.Cluster) -> AsyncIterator[Transport]:
    cluster.run("create", "namespace", NAMESPACE, check=False)
    connected = await client.connect(None, cluster.kubeconfig)
    yield connected
    await connected.close()


async def changes_of_leaders(transport: Transport, lease: str, *, late: float, after_write: bool) -> list[Any]:
    """Have whoever leads lose the API server, until there were enough terms. Returns the terms in their order."""
    pair = [Candidate(Delayed(transport, late), lease, name) for name in ("one", "two")]
    tasks = [asyncio.create_task(each.run()) for each in pair]
    try:
        async with asyncio.timeout(60):
            while sum(len(each.terms) for each in pair) < TERMS:
                leader = next((each for each in pair if each.now is not None), None)
                if leader is not None and time.monotonic() - (leader.now or 0.0) > 0.6:
                    if after_write:
                        leader.connection.hang_after_write = True
                    else:
                        leader.connection.hangs.set()
                    while leader.now is not None:
                        await asyncio.sleep(0.02)
                    # It comes back at once, and asks for the lease that is not over yet.
                    leader.connection.heal()
                await asyncio.sleep(0.02)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return sorted(term for each in pair for term in each.terms)


async def test_there_are_never_two_leaders(transport: Transport) -> None:
    troubles = {
        "lease-hangs": changes_of_leaders(transport, "lease-hangs", late=0.0, after_write=False),
        "lease-unanswered": changes_of_leaders(transport, "lease-unanswered", late=0.0, after_write=True),
        "lease-late": changes_of_leaders(transport, "lease-late", late=0.6, after_write=False),
        "lease-late-unanswered": changes_of_leaders(transport, "lease-late-unanswered", late=0.6, after_write=True),
    }
    found = dict(zip(troubles, await asyncio.gather(*troubles.values()), strict=True))

    for name, terms in found.items():
        assert len(terms) >= TERMS, name
        for (_, ended), (began, _) in itertools.pairwise(terms):
            assert ended <= began, f"{name}: a leader began {ended - began:.3f} s before another had ended"
