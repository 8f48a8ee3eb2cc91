"""Token buckets: the same in memory and in Redis, exact under concurrent calls."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- of a fixed seed
import time
from typing import Any

import pytest
import redis.asyncio as driver
from hypothesis import given
from hypothesis import strategies as st

from crd.published.policy import Bucket
from crd.published.settings import Limits, ToolLimit
from runtime.state import limits
from runtime.state.limits import PASSED, Charge, Limiter, MemoryBuckets, Verdict
from runtime.state.redis import Redis, RedisBuckets
from runtime.state.sessions import StoreUnavailableError
from tests.runtime.raw_http import INITIALIZE, modern, rpc, send

HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def charge(bucket: Bucket, key: str = "a", scope: str = "server") -> Charge:
    return Charge(scope, key, bucket)


async def test_a_bucket_allows_its_burst_then_its_rate() -> None:
    clock, bucket = Clock(), Bucket(2, 10, burst=3)
    buckets = MemoryBuckets(clock)
    wanted = [charge(bucket)]

    assert [await buckets.take(wanted) for _ in range(3)] == [PASSED] * 3
    assert await buckets.take(wanted) == Verdict("server", 5000)
    clock.now += 4.999
    assert await buckets.take(wanted) == Verdict("server", 1)
    clock.now += 0.001
    assert await buckets.take(wanted) == PASSED
    clock.now += 1000
    assert [(await buckets.take(wanted)).scope for _ in range(4)] == [None, None, None, "server"]


async def test_a_call_rejected_by_one_bucket_takes_no_token_from_the_others() -> None:
    buckets = MemoryBuckets(Clock())
    wide, narrow = charge(Bucket(2, HOUR), "wide"), charge(Bucket(1, HOUR), "narrow", "tool")
    assert await buckets.take([wide, narrow]) == PASSED

    assert (await buckets.take([wide, narrow])).scope == "tool"
    assert (await buckets.take([wide, narrow])).scope == "tool"
    assert await buckets.take([wide]) == PASSED
    assert (await buckets.take([wide, narrow])).scope == "server"


@pytest.mark.parametrize(("wait", "seconds"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)])
def test_retry_after_is_in_whole_seconds(wait: int, seconds: int) -> None:
    assert Verdict("server", wait).retry_after == seconds


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 30), st.lists(st.integers(0, 4000), max_size=60))
async def test_never_do_more_calls_pass_than_burst_and_rate_allow(
    requests: int, period: int, burst: int, gaps: list[int]
) -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket(requests, period, burst)
    passed = 0
    clock.now = 0.0
    for gap in gaps:
        clock.now = round(clock.now + gap / 1000, 3)
        passed += (await buckets.take([charge(bucket)])).scope is None

        assert passed <= burst + clock.now * requests / period + 1e-6


async def test_full_buckets_are_evicted_first_then_the_oldest() -> None:
    clock = Clock()
    buckets, quick, slow = MemoryBuckets(clock, limit=2), Bucket(1000, 1), Bucket(1, HOUR)
    await buckets.take([charge(quick, "quick")])
    await buckets.take([charge(slow, "old")])
    clock.now += 1
    await buckets.take([charge(slow, "new")])
    assert (await buckets.take([charge(slow, "old")])).scope == "server"
    clock.now += 1
    await buckets.take([charge(slow, "newest")])

    assert (await buckets.take([charge(slow, "new")])).scope == "server"
    assert await buckets.take([charge(slow, "old")]) == PASSED


async def test_buckets_of_many_clients_take_a_bounded_time_and_leave_the_used_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, quick, slow = Clock(), Bucket(1, 1), Bucket(1, HOUR)
    buckets = MemoryBuckets(clock, limit=1000)
    looked: list[str] = []
    level = buckets._level

    def count(key: str, bucket: Bucket, now: int) -> int:
        looked.append(key)
        return level(key, bucket, now)

    monkeypatch.setattr(buckets, "_level", count)
    used = [charge(slow, f"slow-{number}") for number in range(500)]
    for each in used:
        await buckets.take([each])
    most = 0
    for number in range(10_000):
        clock.now += 0.01
        looked.clear()
        await buckets.take([charge(quick, f"quick-{number}")])
        most = max(most, len(looked))

    # Each is full again after a second, so room is made by them alone.
    assert most <= 1 + limits.LOOKED_AT < 100
    assert [(await buckets.take([each])).scope for each in used] == ["server"] * 500
    assert len(buckets._levels) <= 1000


async def test_of_buckets_that_are_all_in_use_the_oldest_give_way() -> None:
    slow = Bucket(1, HOUR)
    buckets = MemoryBuckets(Clock(), limit=1000)
    for number in range(5000):
        await buckets.take([charge(slow, str(number))])

    assert len(buckets._levels) <= 1000
    assert [(await buckets.take([charge(slow, str(number))])).scope for number in range(4100, 5000)] == ["server"] * 900
    assert await buckets.take([charge(slow, "0")]) == PASSED


def test_a_call_is_charged_to_server_client_and_tool(catalog_of: Any) -> None:
    bucket = Bucket(1, 1)
    rare = catalog_of().tools[1]
    wanted = Limits(bucket, bucket, (ToolLimit("rare", bucket), ToolLimit("echo", bucket)))

    found = limits.charges_for(wanted, limits.client_key("ada", ""), rare)

    assert [each.scope for each in found] == ["server", "client", "tool", "tool"]
    assert len({each.key for each in found}) == 4
    assert "ada" not in "".join(each.key for each in found)
    assert limits.charges_for(Limits(), "x", None) == ()


def test_a_client_is_identified_by_principal_else_by_address() -> None:
    assert [limits.client_key(*who) for who in (("a", "c"), ("", "c"))] == ["user:a", "at:c"]


class Broken:
    async def take(self, wanted: Any) -> Verdict:
        raise StoreUnavailableError("gone")


@pytest.mark.parametrize("policy", ["Open", "Closed"])
async def test_without_a_store_the_policy_decides_and_the_failure_is_counted(policy: str) -> None:
    failures: list[int] = []
    limiter = Limiter(Broken(), lambda: failures.append(1))
    wanted = Limits(Bucket(1, 1), on_store_failure=policy)

    if policy == "Open":
        assert await limiter.admit(wanted, "x", None) == PASSED
    else:
        with pytest.raises(StoreUnavailableError):
            await limiter.admit(wanted, "x", None)
    assert failures == [1]
    assert await limiter.admit(Limits(on_store_failure=policy), "x", None) == PASSED


def connect(redis: Any) -> Redis:
    return Redis(redis.options(), monotonic=time.monotonic, jitter=lambda: 0.0)


async def test_all_replicas_together_pass_exactly_the_burst(redis: Any) -> None:
    connections = [connect(redis) for _ in range(3)]
    stores = [RedisBuckets(connection, "x:") for connection in connections]
    wide, narrow = charge(Bucket(100, 24 * HOUR), "wide"), charge(Bucket(30, 24 * HOUR), "narrow", "tool")

    asked = [stores[number % 3].take([wide, narrow] if number % 2 else [wide]) for number in range(300)]
    verdicts = await asyncio.gather(*asked)

    assert sum(v.scope is None for v in verdicts) == 100
    assert {v.scope for v in verdicts} == {None, "server", "tool"}
    for connection in connections:
        await connection.close()


async def test_concurrent_calls_pass_exactly_as_the_narrow_bucket_allows(redis: Any) -> None:
    connections = [connect(redis) for _ in range(2)]
    stores = [RedisBuckets(connection, "x:") for connection in connections]
    wide, narrow = charge(Bucket(100, 24 * HOUR), "wide"), charge(Bucket(30, 24 * HOUR), "narrow", "tool")

    verdicts = await asyncio.gather(*(stores[number % 2].take([wide, narrow]) for number in range(200)))

    assert sum(v.scope is None for v in verdicts) == 30
    # Calls that the narrow bucket rejected took no token from the wide one.
    rest = [await stores[0].take([wide]) for _ in range(71)]
    assert [v.scope for v in rest] == [None] * 70 + ["server"]
    assert rest[-1].retry_after == pytest.approx(864, abs=1)
    for connection in connections:
        await connection.close()


async def test_redis_and_memory_decide_alike(redis: Any) -> None:
    """With periods so long that no token is added while the test runs."""
    connection, clock = connect(redis), Clock()
    ours, theirs = MemoryBuckets(clock), RedisBuckets(connection, "x:")
    choice = random.Random(7)
    pool = [
        charge(Bucket(requests, 24 * HOUR, burst), f"{requests}:{burst}", f"s{requests}")
        for requests, burst in ((3, 0), (5, 9), (7, 1), (1, 20), (1000, 40))
    ]
    for _ in range(300):
        wanted = choice.sample(pool, choice.randint(1, 5))
        if choice.random() < 0.1:
            passed = choice.randint(0, 6 * 3600)
            clock.now += passed
            await _age(redis.port, passed * 1000)

        mine, other = await ours.take(wanted), await theirs.take(wanted)

        assert mine.scope == other.scope
        assert mine.retry_after == pytest.approx(other.retry_after, abs=60)
    await connection.close()


async def _age(port: int, milliseconds: int) -> None:
    """Move the stored times back, as if this much time had passed."""
    async with driver.Redis(port=port) as client:
        for key in await client.keys("{x:}limit:*"):
            await client.hincrby(key, "at", -milliseconds)


async def test_keys_in_redis_expire(redis: Any) -> None:
    connection = connect(redis)
    await RedisBuckets(connection, "x:").take([charge(Bucket(2, 10, 4))])

    async with driver.Redis(port=redis.port, decode_responses=True) as client:
        (key,) = await client.keys("*")
        left = await client.pttl(key)

    assert key == "{x:}limit:a"
    assert 0 < left <= 6000
    await connection.close()


async def test_a_request_over_the_server_s_limit_is_answered_with_429(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(limits=Limits(Bucket(2, HOUR)), sessions="Stateless"))
    await modern(replica.mcp, "tools/list")
    await send(f"{replica.mcp}/greet?who=Ada", "GET")

    status, headers, answer = await modern(replica.mcp, "tools/list")
    assert (status, headers["Retry-After"], answer["error"]["code"], answer["id"]) == (429, "1800", 429, 1)
    assert (await send(replica.mcp, body=INITIALIZE))[0] == 429
    assert (await send(f"{replica.mcp}/greet?who=Ada", "GET"))[0] == 429
    assert replica.count("mcp_server_rate_limited_total", scope="server") == 3


async def test_a_tool_s_limit_is_reported_to_the_model_and_applies_to_its_rest_path(
    replicas: Any, catalog_of: Any
) -> None:
    wanted = Limits(tools=(ToolLimit("echo", Bucket(1, HOUR)),))
    replica = await replicas.start(catalog_of(limits=wanted))
    for name in ("echo", "rare"):
        assert "isError" not in (await modern(replica.mcp, "tools/call", name=name))[2]["result"]

        status, _, answer = await modern(replica.mcp, "tools/call", name=name)

        assert (status, answer["result"]["isError"]) == (200, True)
        assert '"rate_limited"' in answer["result"]["content"][0]["text"]
        assert '"retryAfter":3600' in answer["result"]["content"][0]["text"]
        assert (await send(f"{replica.mcp}/{name}", body={}))[0] == 429
    assert replica.count("mcp_server_rate_limited_total", scope="tool") == 4


async def test_anonymous_clients_are_identified_by_address_and_not_by_session(replicas: Any, catalog_of: Any) -> None:
    wanted = catalog_of(limits=Limits(per_client=Bucket(3, HOUR)), trusted_proxies=("127.0.0.0/8",))
    replica = await replicas.start(wanted)

    async def open_and_ping(forwarded: str) -> list[int]:
        at, statuses = {"X-Forwarded-For": forwarded}, []
        for _ in range(2):
            status, headers, _ = await send(replica.mcp, body=INITIALIZE, **at)
            session = {"Mcp-Session-Id": headers.get("Mcp-Session-Id", "none")}
            statuses += [status, (await send(replica.mcp, body=rpc("ping"), **session, **at))[0]]
        return statuses

    # The fourth request is refused, although its session is a new one.
    assert await open_and_ping("6.6.6.6, 10.0.0.1") == [200, 200, 200, 429]
    assert await open_and_ping("6.6.6.7, 10.0.0.1") == [429, 429, 429, 429]
    assert await open_and_ping("10.0.0.2") == [200, 200, 200, 429]


async def test_without_trusted_proxies_nobody_chooses_an_address(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(limits=Limits(per_client=Bucket(1, HOUR)), hosts=("shop.example.com",)))

    forged = [{"X-Forwarded-For": f"10.0.0.{number}"} for number in range(3)]

    assert [(await modern(replica.mcp, "tools/list", sent=each))[0] for each in forged] == [200, 429, 429]


@pytest.mark.parametrize(("policy", "status"), [("Open", 200), ("Closed", 503)])
async def test_while_redis_is_down_the_policy_decides(
    replicas: Any, catalog_of: Any, redis: Any, policy: str, status: int
) -> None:
    wanted = catalog_of(limits=Limits(Bucket(100, HOUR), on_store_failure=policy), sessions="Stateless")
    replica = await replicas.start(wanted, redis)
    assert (await modern(replica.mcp, "tools/list"))[0] == 200
    redis.kill()

    assert (await modern(replica.mcp, "tools/list"))[0] == status
    assert replica.count("mcp_server_limit_store_failures_total") == 1
    redis.start()
    assert (await modern(replica.mcp, "tools/list"))[0] == 200
