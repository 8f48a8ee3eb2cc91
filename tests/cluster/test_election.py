"""There are never two leaders, whatever the API server does; in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.election import Election, Timing
from cluster.transport import ApiError, LostConnectionError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIMING = Timing()


class Leases:
    """One Lease with optimistic concurrency. ``present`` are the candidates that work; there may be one at most."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.present: list[str] = []

    def do(self, method: str, body: Any) -> dict[str, Any]:
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
    """One process and its own way to the API server.

    ``state`` is ``up``, ``broken`` (answers with errors), ``cut`` (breaks connections), ``slow to refuse``,
    ``read-only`` or ``hung``; answers to writes come ``slow`` seconds late. Work that is cancelled needs ``leaving``
    seconds to end.
    """

    def __init__(self, api: Leases, name: str, *, slow: float = 0.0, leaving: float = 0.0) -> None:
        self.api = api
        self.name = name
        self.state = "up"
        self.slow = slow
        self.leaving = leaving
        self.hang_after_write = False
        self.terms = 0
        self.election = Election(
            self,  # type: ignore[arg-type]
            namespace="mcp-system",
            name="lease",
            identity=name,
            monotonic=asyncio.get_running_loop().time,
            now=lambda: NOW,
            timing=TIMING,
        )
        self.task = asyncio.ensure_future(self.election.run(self.lead))

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        await asyncio.sleep(0.001)
        if self.state == "hung":
            await asyncio.sleep(1e6)
        if self.state == "cut":
            raise LostConnectionError("the connection broke")
        if self.state == "broken":
            raise ApiError(500, "InternalError", "no")
        if self.state == "slow to refuse":
            await asyncio.sleep(0.4)
            raise ApiError(503, "Unavailable", "not now")
        if self.state == "read-only" and method != "GET":
            raise ApiError(403, "Forbidden", "no")
        answer = self.api.do(method, body)
        if method != "GET":
            self.state = "hung" if self.hang_after_write else self.state
            await asyncio.sleep(self.slow)
        return answer

    async def lead(self) -> None:
        self.terms += 1
        self.api.present.append(self.name)
        assert self.api.present == [self.name], "two leaders"
        try:
            await asyncio.sleep(1e6)
        finally:
            try:
                await asyncio.sleep(self.leaving)
            finally:
                self.api.present.remove(self.name)

    @property
    def working(self) -> bool:
        return self.name in self.api.present

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def watch(candidates: list[Candidate], seconds: float) -> None:
    """Let time pass; whatever failed in a candidate fails here."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        assert len(candidates[0].api.present) <= 1
        for candidate in candidates:
            if candidate.task.done() and not candidate.task.cancelled():
                candidate.task.result()
        await asyncio.sleep(0.05)


@pytest.fixture
def play(simulate: Any) -> Callable[[Callable[[], Awaitable[None]]], None]:
    return lambda main: simulate(main())


def test_the_first_takes_the_lease_and_the_second_waits(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first")
        await watch([first], 1)
        second = Candidate(api, "second")
        await watch([first, second], 120)
        assert first.working
        assert api.holder.startswith("first_")
        await first.stop()
        await second.stop()

    play(main)


def test_a_leader_that_leaves_gives_the_lease_back_once_its_work_has_ended(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first", leaving=3)
        await watch([first], 1)
        second = Candidate(api, "second")
        await watch([second], 3)

        first.task.cancel()
        await watch([second], 2.5)
        assert first.working
        assert api.holder.startswith("first_")
        first.task.cancel()  # impatience changes nothing
        await watch([second], 3.0)
        assert second.working
        assert first.task.done()
        await second.stop()

    play(main)


@pytest.mark.parametrize("trouble", ["broken", "hung"])
def test_a_leader_that_cannot_renew_stops_before_another_may_start(play: Any, trouble: str) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first", leaving=2)
        await watch([first], 7)
        first.state = trouble
        second = Candidate(api, "second")
        await watch([first, second], 60)
        assert first.task.done()
        assert second.working
        assert api.holder.startswith("second_")
        await second.stop()

    play(main)


@pytest.mark.parametrize("released", [False, True])
def test_a_slow_answer_to_the_lease_makes_the_term_shorter_not_the_lease_longer(play: Any, released: bool) -> None:
    async def main() -> None:
        api = Leases()
        if released:
            api.lease = {"metadata": {"resourceVersion": "0"}, "spec": {"holderIdentity": ""}}
        first = Candidate(api, "first", slow=9)
        first.hang_after_write = True
        await watch([first], 0.5)
        second = Candidate(api, "second")
        began = asyncio.get_running_loop().time()
        while not first.working:
            await asyncio.sleep(0.05)
        while first.working:
            await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - began < TIMING.deadline
        await watch([first, second], 60)
        assert second.working
        await second.stop()

    play(main)


def test_an_answer_that_comes_after_the_deadline_makes_no_leader(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first", slow=11)
        await watch([first], 11)
        assert first.terms == 0
        await first.stop()

    play(main)


def test_slow_renewals_keep_the_lease_while_they_come_in_time(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first", slow=3)
        second = Candidate(api, "second")
        second.state = "broken"
        await watch([first], 5)
        second.state = "up"
        await watch([first, second], 120)
        assert (first.terms, second.terms) == (1, 0)
        await first.stop()
        await second.stop()

    play(main)


def test_two_processes_of_one_name_are_two_candidates(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "same")
        await watch([first], 1)
        holder = api.holder
        second = Candidate(api, "same")
        await watch([first, second], 60)
        assert second.terms == 0
        assert api.holder == holder
        await first.stop()
        await second.stop()

    play(main)


def test_a_lease_that_somebody_else_took_ends_the_term(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first")
        await watch([first], 1)
        assert api.lease is not None
        api.version += 1
        spec = {**api.lease["spec"], "holderIdentity": "thief"}
        api.lease = {"metadata": {**api.lease["metadata"], "resourceVersion": str(api.version)}, "spec": spec}
        await watch([first], 3)
        assert not first.working
        assert first.task.done()
        assert api.holder == "thief"

    play(main)


def test_a_lease_is_renewed_within_the_last_second(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first")
        await watch([first], 1)
        assert first.working
        first.state = "slow to refuse"
        # Refused 2.4, 4.8 and 7.2 s after the last renewal; asked again 0.8 s before the end.
        await watch([first], 8)
        first.state = "up"
        await watch([first], 60)
        assert (first.working, first.terms) == (True, 1)
        await first.stop()

    play(main)


def test_a_lease_without_a_holder_ends_no_term_while_it_can_still_be_renewed_in_time(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first")
        await watch([first], 1)
        assert api.lease is not None
        api.version += 1
        metadata = {**api.lease["metadata"], "resourceVersion": str(api.version)}
        api.lease = {"metadata": metadata, "spec": {**api.lease["spec"], "holderIdentity": ""}}
        first.state = "read-only"
        await watch([first], 5)
        assert first.working
        first.state = "up"
        await watch([first], 60)
        assert (first.working, first.terms) == (True, 1)
        assert api.holder.startswith("first_")
        await first.stop()

    play(main)


def test_an_error_of_the_work_ends_the_term_and_is_raised(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        candidate = Candidate(api, "first")
        await watch([candidate], 1)
        await candidate.stop()

        async def failing() -> None:
            raise RuntimeError("the work failed")

        with pytest.raises(RuntimeError, match="the work failed"):
            await candidate.election.run(failing)
        assert api.holder == ""

    play(main)


def test_a_lease_held_by_a_dead_leader_is_taken_after_its_time(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        api.lease = {
            "metadata": {"resourceVersion": "0"},
            "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 30, "leaseTransitions": 4},
        }
        heir = Candidate(api, "heir")
        await watch([heir], 29)
        assert not heir.working
        await watch([heir], 4)
        assert heir.working
        assert api.lease["spec"]["leaseTransitions"] == 5
        await heir.stop()

    play(main)


def test_the_lease_counts_its_holders_and_says_since_when_it_is_held(play: Any) -> None:
    async def main() -> None:
        api = Leases()
        first = Candidate(api, "first")
        await watch([first], 1)
        assert api.lease is not None
        taken = dict(api.lease["spec"])
        assert (taken["leaseTransitions"], taken["leaseDurationSeconds"]) == (0, round(TIMING.lease))
        assert taken["acquireTime"] == taken["renewTime"] == NOW.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        await watch([first], 30)
        assert api.lease["spec"]["leaseTransitions"] == 0
        await first.stop()
        assert (api.lease["spec"]["holderIdentity"], api.lease["spec"]["leaseDurationSeconds"]) == ("", 1)

        second = Candidate(api, "second")
        await watch([second], 30)
        assert api.lease["spec"]["leaseTransitions"] == 1
        await second.stop()

    play(main)


@pytest.mark.parametrize(("lease", "seconds"), [(0.4, 1), (1.4, 1), (2.0, 2), (15.0, 15)])
def test_a_lease_says_in_whole_seconds_how_long_it_lasts(lease: float, seconds: int) -> None:
    election = Election(
        None,  # type: ignore[arg-type]
        namespace="mcp-system",
        name="lease",
        identity="me",
        monotonic=lambda: 0.0,
        now=lambda: NOW,
        timing=Timing(lease=lease),
        unique=lambda: "1",
    )

    assert election._manifest({}, transitions=3) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": "mcp-system", "name": "lease"},
        "spec": {
            "holderIdentity": "me_1",
            "leaseDurationSeconds": seconds,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": 3,
        },
    }
    seen = {
        "metadata": {"resourceVersion": "7"},
        "spec": {"holderIdentity": "me_1", "acquireTime": "2025-12-31T00:00:00.000000Z"},
    }
    renewed = election._manifest(seen, transitions=3)
    assert renewed["metadata"]["resourceVersion"] == "7"
    assert renewed["spec"]["acquireTime"] == "2025-12-31T00:00:00.000000Z"
    taken = election._manifest({**seen, "spec": {**seen["spec"], "holderIdentity": "other_1"}}, transitions=4)
    assert taken["spec"]["acquireTime"] == "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("state", ["broken", "hung", "cut"])
def test_a_lease_that_cannot_be_given_back_fails_nobody(play: Any, state: str) -> None:
    async def main() -> None:
        candidate = Candidate(Leases(), "one")
        ended = asyncio.Event()
        await asyncio.sleep(1)
        assert candidate.working
        candidate.task.cancel()
        await asyncio.gather(candidate.task, return_exceptions=True)

        async def lead() -> None:
            candidate.state = state
            ended.set()

        candidate.state = "up"
        began = asyncio.get_running_loop().time()
        await candidate.election.run(lead)
        assert ended.is_set()
        assert asyncio.get_running_loop().time() - began <= 2 * TIMING.retry + 1

    play(main)
