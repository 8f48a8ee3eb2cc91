"""Redis in trouble: limits follow onStoreFailure, sessions answer 503, and all is well again when Redis is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio as driver

from crd.published.policy import Bucket
from crd.published.settings import Limits
from runtime.state.limits import Charge
from runtime.state.redis import Redis, RedisBuckets
from tests.runtime.raw_http import INITIALIZE, rpc, send

LEGACY = {"MCP-Protocol-Version": "2025-11-25"}


async def tell(server: Any, *words: str) -> None:
    async with driver.Redis(port=server.port) as client:
        await client.execute_command(*words)


async def make_read_only(server: Any) -> None:
    await tell(server, "REPLICAOF", "127.0.0.1", "1")


async def make_writable(server: Any) -> None:
    await tell(server, "REPLICAOF", "NO", "ONE")


async def fill(server: Any) -> None:
    await tell(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    await tell(server, "CONFIG", "SET", "maxmemory", "1")


async def empty(server: Any) -> None:
    await tell(server, "CONFIG", "SET", "maxmemory", "0")


async def kill(server: Any) -> None:
    server.kill()


async def restart(server: Any) -> None:
    server.start()


async def stop(server: Any) -> None:
    """It accepts connections, and answers nothing."""
    server.process.send_signal(19)


async def resume(server: Any) -> None:
    server.process.send_signal(18)


Change = Callable[[Any], Awaitable[None]]
FAULTS = [(make_read_only, make_writable), (fill, empty), (kill, restart), (stop, resume)]


@pytest.mark.parametrize(("break_it", "repair"), FAULTS)
@pytest.mark.parametrize(("policy", "status"), [("Open", 200), ("Closed", 503)])
async def test_limits_follow_their_policy(
    replicas: Any, catalog_of: Any, redis: Any, break_it: Change, repair: Change, policy: str, status: int
) -> None:
    limits = Limits(Bucket(1, 3600), on_store_failure=policy)
    replica = await replicas.start(catalog_of(sessions="Stateless", limits=limits), redis)

    async def ping() -> tuple[int, Any]:
        return (await send(replica.mcp, body=rpc("ping"), **LEGACY))[:2]

    await break_it(redis)
    async with asyncio.timeout(10):
        found = await asyncio.gather(*(ping() for _ in range(20)))
    assert {code for code, _ in found} == {status}
    assert status == 200 or {headers["Retry-After"] for _, headers in found} == {"1"}
    assert replica.count("mcp_server_limit_store_failures_total") == 20

    await repair(redis)
    async with asyncio.timeout(15):
        # One token is there: the first call that is counted takes it.
        while (await ping())[0] != 429:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("break_it", "repair"), FAULTS)
async def test_sessions_answer_503_and_work_again(
    replicas: Any, catalog_of: Any, redis: Any, break_it: Change, repair: Change
) -> None:
    replica = await replicas.start(catalog_of(sessions="Redis"), redis)
    assert (await send(replica.mcp, body=INITIALIZE))[0] == 200

    await break_it(redis)
    async with asyncio.timeout(10):
        found = await asyncio.gather(*(send(replica.mcp, body=INITIALIZE) for _ in range(20)))
    assert {(code, headers.get("Retry-After")) for code, headers, _ in found} == {(503, "1")}

    await repair(redis)
    async with asyncio.timeout(15):
        while (answer := await send(replica.mcp, body=INITIALIZE))[0] != 200:
            await asyncio.sleep(0.05)
    session = {**LEGACY, "Mcp-Session-Id": answer[1]["Mcp-Session-Id"]}
    assert (await send(replica.mcp, body=rpc("ping"), **session))[0] == 200


async def test_a_clock_that_goes_back_takes_no_tokens_and_refuses_for_no_longer_than_a_period(redis: Any) -> None:
    connection = Redis(redis.options(), monotonic=time.monotonic, jitter=lambda: 0.0)
    buckets, bucket = RedisBuckets(connection, "x:"), Bucket(2, 60)
    charge = Charge("server", "k", bucket)
    for _ in range(2):
        assert (await buckets.take([charge])).scope is None
    async with driver.Redis(port=redis.port) as client:
        (key,) = await client.keys("*")
        hour = 3_600_000
        await client.hset(key, "at", int(await client.hget(key, "at") or 0) + hour)
        refused = await buckets.take([charge])
        assert (refused.scope, refused.wait <= 30_000) == ("server", True)
        # The bucket is forgotten when it would be full, by a clock that does not jump.
        assert 0 < await client.pttl(key) <= 61_000
        await client.hset(key, "level", 60_000)
        assert (await buckets.take([charge])).scope is None
        assert int(await client.hget(key, "at")) < time.time() * 1000 + hour / 2  # noqa: TID251 -- what Redis wrote
    await connection.close()
