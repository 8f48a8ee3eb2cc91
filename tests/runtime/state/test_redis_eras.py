"""What one replica learns of a backend, the others know: the era, for a time, and who is asking at present."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import redis.asyncio as driver

from crd.published.entries import Backend, Mcp, Tool
from crd.published.policy import ForwardHeader, HeaderFrom, Policy
from runtime.backends.faults import CallError
from runtime.backends.mcp.client import LEGACY_TTL, MODERN_TTL, McpClient
from runtime.http.exchange import Reply, Request
from runtime.mcp.context import Context
from runtime.state.redis import Redis
from runtime.state.redis_eras import RedisEras

SECRET = HeaderFrom("Authorization", "Secret", "crm", "token")
FORWARDED = ForwardHeader("Authorization", "Authorization")
JSON = {"content-type": "application/json"}


class Server:
    """Answers to server/discover with ``statuses``, in that order, as soon as ``open`` is set; and to tools/call."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, request: Request, timeout: float, **_: Any) -> Reply:
        message = json.loads(request.body or b"{}")
        method, result = message.get("method"), {"content": [], "resultType": "complete"}
        if method == "server/discover":
            self.asked += 1
            await self.open.wait()
            status = self.statuses.pop(0)
            if status != 200:
                return Reply(status, JSON, b"{}")
            result = {"supportedVersions": ["2026-07-28"], "resultType": "complete"}
        elif method == "initialize":
            result = {"protocolVersion": "2025-06-18"}
        return Reply(200, JSON, json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result}).encode())


def tool(**policy: Any) -> Tool:
    backend = Backend("erp.shop.svc", 80)
    return Tool("a", "shop/a", "POST", backend, {"type": "object"}, mcp=Mcp("/mcp", "a"), policy=Policy(**policy))


def replica(redis: Any, server: Server, prefix: str = "x:") -> tuple[Redis, McpClient]:
    connection = Redis(redis.options(), monotonic=time.monotonic, jitter=lambda: 0.0)
    numbers = iter(range(10_000))
    eras = RedisEras(connection, prefix)
    return connection, McpClient(server, new_id=lambda: str(next(numbers)), eras=eras)


async def call(client: McpClient, wanted: Tool | None = None, token: str = "t") -> dict[str, Any]:
    return await client.call(wanted or tool(), {}, Context("r"), (("Authorization", token),), 10.0)


@pytest.mark.parametrize(("status", "ttl"), [(200, MODERN_TTL), (404, LEGACY_TTL)])
async def test_one_replica_asks_for_all(redis: Any, status: int, ttl: float) -> None:
    server = Server(status)
    server.open.clear()
    replicas = [replica(redis, server) for _ in range(3)]
    calls = [asyncio.create_task(call(client)) for _, client in replicas for _ in range(3)]
    async with asyncio.timeout(10):
        while not server.asked:
            await asyncio.sleep(0.01)
    server.open.set()
    await asyncio.gather(*calls)
    assert server.asked == 1
    async with driver.Redis(port=redis.port, decode_responses=True) as client:
        (key,) = await client.keys("*")
        assert key.startswith("{x:}era:")
        assert 0 < await client.pttl(key) <= ttl * 1000
    # A replica that starts later, with another value of the same Secret.
    late, client = replica(redis, server)
    await call(client, token="other")
    assert server.asked == 1
    for connection, _ in (*replicas, (late, client)):
        await connection.close()


async def test_a_verdict_ends_and_is_made_anew(redis: Any) -> None:
    server = Server(404, 200)
    first, second = replica(redis, server), replica(redis, server)
    await call(first[1])
    async with driver.Redis(port=redis.port) as client:
        # As after its time.
        await client.delete(*await client.keys("*"))
    await call(second[1])
    assert server.asked == 2
    for connection, _ in (first, second):
        await connection.close()


async def test_who_could_not_ask_lets_the_next_one_ask(redis: Any) -> None:
    server = Server(503, 200)
    first, second = replica(redis, server), replica(redis, server)
    with pytest.raises(CallError):
        await call(first[1])
    begun = time.monotonic()
    await call(second[1])
    assert (server.asked, time.monotonic() - begun < 1.5) == (2, True)
    for connection, _ in (first, second):
        await connection.close()


async def test_other_credentials_and_other_servers_are_asked_for_themselves(redis: Any) -> None:
    server = Server(200, 404, 200)
    first, other = replica(redis, server), replica(redis, server, "y:")
    await call(first[1])
    await call(first[1], tool(headers_from=(SECRET,)), token="of the Secret")
    await call(other[1])
    assert server.asked == 3
    async with driver.Redis(port=redis.port, decode_responses=True) as client:
        stored = await client.keys("*")
    assert len(stored) == 3
    for connection, _ in (first, other):
        await connection.close()


async def test_a_client_whose_headers_are_sent_on_says_nothing_to_other_clients(redis: Any) -> None:
    """One header may lead to a backend of another era, or to none."""
    server = Server(404, 200)
    first, second = replica(redis, server), replica(redis, server)
    wanted = tool(forward_headers=(FORWARDED,))
    await call(first[1], wanted, token="of one client")
    await call(second[1], wanted, token="of another client")
    assert server.asked == 2
    async with driver.Redis(port=redis.port) as client:
        assert not await client.keys("*")
    for connection, _ in (first, second):
        await connection.close()


async def test_without_redis_each_replica_asks_for_itself(redis: Any) -> None:
    server = Server(200, 200)
    redis.kill()
    replicas = [replica(redis, server) for _ in range(2)]
    for connection, client in replicas:
        await call(client)
        await connection.close()
    assert server.asked == 2
