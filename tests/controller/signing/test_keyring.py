"""How the keys are read, made and replaced in their Secret, by one or several controllers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.clock import Clock
from cluster.transport import ApiError
from controller.signing.keyring import INTERVAL, Keyring
from tests.cluster.conftest import simulated
from tests.controller.fake_api import FakeApi

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = 3600


class Ring:
    """A keyring in simulated time, and how often its keys have changed."""

    def __init__(self, api: FakeApi) -> None:
        self.changes = 0
        loop = asyncio.get_running_loop()
        self.ring = Keyring(
            api,
            namespace="mcp-system",
            name="keys",
            lifetime=timedelta(hours=1),
            now=lambda: START + timedelta(seconds=loop.time()),
            clock=Clock(loop.time, asyncio.sleep, lambda: 0.5),
            changed=self._count,
        )

    def _count(self) -> None:
        self.changes += 1

    async def maintained(self, seconds: float, *, lead: bool = True) -> None:
        task = asyncio.create_task(self.ring.maintain(lead=lambda: lead))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def stored(api: FakeApi) -> dict[str, Any]:
    found = api.get("Secret", "keys", "mcp-system")
    assert found is not None
    return found


def test_the_secret_is_made_when_it_is_needed_and_read_by_the_next() -> None:
    async def main() -> None:
        api = FakeApi()
        first, second = Ring(api), Ring(api)
        with pytest.raises(RuntimeError):
            _ = first.ring.keys
        await first.ring.open()
        await second.ring.open()
        assert [method for method, _, _ in api.writes] == ["POST"]
        assert first.ring.keys.argument == second.ring.keys.argument

    simulated(main())


def test_of_two_that_make_it_at_once_one_reads_what_the_other_has_written() -> None:
    async def main() -> None:
        api = FakeApi()
        first, second = Ring(api), Ring(api)
        gate = asyncio.Event()

        async def wait(method: str, _path: str) -> None:
            if method == "POST":
                await gate.wait()

        api.before = wait
        tasks = [asyncio.create_task(each.ring.open()) for each in (first, second)]
        await asyncio.sleep(1)
        gate.set()
        await asyncio.gather(*tasks)
        assert first.ring.keys.argument == second.ring.keys.argument

    simulated(main())


def test_an_api_server_that_does_not_answer_is_asked_again() -> None:
    async def main() -> None:
        api, failures = FakeApi(), [TimeoutError(), ApiError(500, "InternalError", "down")]

        async def fail(_method: str, _path: str) -> None:
            if failures:
                raise failures.pop()

        api.before = fail
        ring = Ring(api)
        await ring.ring.open()
        assert not failures
        failures += [TimeoutError()]
        await ring.maintained(INTERVAL)
        assert not failures

    simulated(main())


def test_a_leader_rotates_the_working_key_and_a_standby_takes_it_over() -> None:
    async def main() -> None:
        api = FakeApi()
        leader, standby = Ring(api), Ring(api)
        await leader.ring.open()
        await standby.ring.open()
        root, generation = leader.ring.keys.argument, leader.ring.keys.generation
        await standby.maintained(HOUR + 60, lead=False)
        assert standby.ring.keys.generation == generation
        await leader.maintained(INTERVAL)
        await standby.maintained(INTERVAL, lead=False)
        assert leader.ring.keys.generation == standby.ring.keys.generation > generation
        assert leader.ring.keys.argument == standby.ring.keys.argument == root
        assert (leader.changes, standby.changes) == (1, 1)
        writes = len(api.writes)
        await leader.maintained(HOUR / 2)
        assert len(api.writes) == writes

    simulated(main())


@pytest.mark.parametrize("lead", [True, False])
def test_a_lost_root_key_is_replaced_by_the_leader_alone(lead: bool) -> None:
    async def main() -> None:
        api = FakeApi()
        ring = Ring(api)
        await ring.ring.open()
        before = ring.ring.keys.argument
        api.remove("Secret", "mcp-system", "keys")
        await ring.maintained(INTERVAL, lead=lead)
        assert (ring.ring.keys.argument != before) == lead
        assert (api.get("Secret", "keys", "mcp-system") is not None) == lead

    simulated(main())


@pytest.mark.parametrize("of_other_type", [True, False])
def test_a_damaged_secret_is_repaired_at_the_start(of_other_type: bool) -> None:
    async def main() -> None:
        api = FakeApi()
        metadata = {"namespace": "mcp-system", "name": "keys"}
        api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"root.key": "?"}})
        request = api.request

        async def refuse(method: str, path: str, **options: Any) -> Any:
            if method == "PUT" and of_other_type:
                raise ApiError(422, "Invalid", "field is immutable")
            return await request(method, path, **options)

        api.request = refuse  # type: ignore[method-assign]
        ring = Ring(api)
        await ring.ring.open()
        assert stored(api)["data"].keys() == {"root.key", "working.key", "working.certificate"}
        assert ring.ring.keys.generation

    simulated(main())


def test_another_refusal_is_not_taken_for_success() -> None:
    async def main() -> None:
        api = FakeApi()
        ring = Ring(api)

        async def refuse(method: str, _path: str) -> None:
            if method == "POST":
                raise ApiError(403, "Forbidden", "no")

        api.before = refuse
        with pytest.raises(ApiError):
            await ring.ring.refresh()

    simulated(main())


def test_writes_that_always_come_too_late_end() -> None:
    async def main() -> None:
        api = FakeApi()
        ring = Ring(api)

        async def refuse(method: str, path: str) -> None:
            if method == "POST":
                raise ApiError(409, "AlreadyExists", path)

        api.before = refuse
        with pytest.raises(TimeoutError, match="changed by others"):
            await ring.ring.refresh()

    simulated(main())


def test_a_generation_that_a_catalog_has_is_reached() -> None:
    async def main() -> None:
        api = FakeApi()
        ring = Ring(api)
        await ring.ring.open()
        await ring.ring.reach(2**40)
        assert ring.ring.keys.generation == 2**40

    simulated(main())
