"""There are never two leaders: rows with a clock of their own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.election import Election, Timing
from cluster.transport import ApiError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAST = Timing(lease=0.3, deadline=0.2, retry=0.02)


class Leases:
    """One Lease with optimistic concurrency; ``broken`` makes it refuse, ``hanging`` makes it silent."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.broken = self.hanging = False

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        if self.hanging:
            await asyncio.Event().wait()
        if self.broken:
            raise ApiError(500, "InternalError", "no")
        if method == "GET":
            if self.lease is None:
                raise ApiError(404, "NotFound", "no lease")
            return self.lease
        if method == "POST" and self.lease is not None:
            raise ApiError(409, "AlreadyExists", "there is one")
        if method == "PUT" and body["metadata"].get("resourceVersion") != str(self.version):
            raise ApiError(409, "Conflict", "somebody was faster")
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.lease

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""


class Candidate:
    def __init__(self, api: Leases, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.working = False
        self.terms = 0
        self.election = Election(
            api,  # type: ignore[arg-type]
            namespace="mcp-system",
            name="lease",
            identity=name,
            monotonic=loop.time,
            now=lambda: NOW,
            timing=FAST,
        )
        self.task = asyncio.create_task(self.election.run(self.lead))

    async def lead(self) -> None:
        self.working = True
        self.terms += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def until(there: Any) -> None:
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0.005)


async def test_the_first_takes_the_lease_and_the_second_waits() -> None:
    api = Leases()
    first = Candidate(api, "first")
    await until(lambda: first.working)
    second = Candidate(api, "second")
    await asyncio.sleep(0.5)

    assert first.working
    assert not second.working
    assert api.holder == "first"
    await asyncio.gather(first.stop(), second.stop())


async def test_a_leader_that_leaves_gives_the_lease_back() -> None:
    api = Leases()
    first = Candidate(api, "first")
    await until(lambda: first.working)

    await first.stop()

    assert api.holder == ""
    assert not first.working


@pytest.mark.parametrize("trouble", ["broken", "hanging"])
async def test_a_leader_that_cannot_renew_stops_before_another_may_start(trouble: str) -> None:
    api, working = Leases(), Leases()
    first = Candidate(api, "first")
    await until(lambda: first.working)
    setattr(api, trouble, True)
    working.lease, working.version = api.lease, api.version
    second = Candidate(working, "second")

    while not second.working:
        await asyncio.sleep(0.002)
        assert not (first.working and second.working)

    assert not first.working
    assert working.holder == "second"
    await asyncio.gather(first.stop(), second.stop())


async def test_an_error_of_the_work_ends_the_term_and_is_raised() -> None:
    api = Leases()
    candidate = Candidate(api, "first")
    await until(lambda: candidate.working)
    await candidate.stop()

    async def failing() -> None:
        raise RuntimeError("the work failed")

    with pytest.raises(RuntimeError, match="the work failed"):
        await candidate.election.run(failing)
    assert api.holder == ""


async def test_a_lease_held_by_a_dead_leader_is_taken_after_its_time() -> None:
    api = Leases()
    api.lease = {
        "metadata": {"resourceVersion": "0"},
        "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 0, "leaseTransitions": 4},
    }

    candidate = Candidate(api, "heir")
    await until(lambda: candidate.working)

    assert api.lease["spec"]["leaseTransitions"] == 5
    await candidate.stop()
