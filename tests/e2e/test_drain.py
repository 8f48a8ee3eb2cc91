"""Pods of a server are replaced under load through the Service: no call is lost.

Clients keep their connections, as agents do, and repeat nothing. A call is lost if it has no answer, or the answer of
a failure. Others listen for changes of lists: their streams end with their results, and they listen again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from runtime.mcp.eras import MODERN
from scripts.localcluster import installation
from tests.e2e.listeners import Listener, listening
from tests.e2e.test_path import address, pods, tool
from tests.runtime.raw_http import rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e

CLIENTS = 6
# Seconds for which a part of the node stands still: shorter than the time for which a pod that ends serves on (5 s).
LAG = 4.0
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
HEADERS = {
    "MCP-Protocol-Version": MODERN,
    "Mcp-Method": "tools/call",
    "Mcp-Name": "search_orders",
    "Accept": "application/json, text/event-stream",
}


class Load:
    """Calls through the Service of the shop, from several clients, one after the other on a kept connection each."""

    def __init__(self, url: str, **headers: str) -> None:
        self._url = url
        self._headers = {**HEADERS, **headers}
        self._stopping = False
        self.outcomes = Counter[str]()
        self._tasks = [asyncio.create_task(self._repeat()) for _ in range(CLIENTS)]

    @property
    def answered(self) -> int:
        return self.outcomes["answered"]

    async def _repeat(self) -> None:
        number = 0
        async with aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=20)) as session:
            while not self._stopping:
                number += 1
                body = rpc("tools/call", number, name="search_orders", arguments={"status": "open"}, _meta=META)
                try:
                    async with session.post(self._url, json=body) as answer:
                        text = await answer.text()
                    is_good = answer.status == 200 and not json.loads(text)["result"].get("isError")
                    self.outcomes["answered" if is_good else f"{answer.status}: {text[:200]}"] += 1
                except (TimeoutError, aiohttp.ClientError, KeyError, ValueError) as error:
                    self.outcomes[f"lost: {error!r}"] += 1

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)


@contextlib.asynccontextmanager
async def loaded(cluster: Cluster, server: str = "main", **headers: str) -> AsyncIterator[Load]:
    """A load that has begun; at the end, nothing of it was lost."""
    load = Load(address(cluster, server), **headers)
    try:
        async with asyncio.timeout(30):
            while load.answered < 100:
                await asyncio.sleep(0.05)
        yield load
    finally:
        await load.stop()
    print(f"{load.answered} calls were answered, others: {load.outcomes - Counter(answered=load.answered)}")
    assert set(load.outcomes) == {"answered"}, load.outcomes


def names(cluster: Cluster, server: str = "main") -> set[str]:
    return {str(pod["metadata"]["name"]) for pod in pods(cluster, server)}


def exist(cluster: Cluster, wanted: set[str]) -> bool:
    found = cluster.run("-n", "shop", "get", "pods", "-o", "name").stdout.split()
    return any(f"pod/{name}" in found for name in wanted)


async def wait(what: str, there: Callable[[], bool]) -> None:
    await asyncio.to_thread(installation.until, what, there, 120)


async def kubectl(cluster: Cluster, *words: str) -> None:
    await asyncio.to_thread(cluster.run, *words)


def are_ready(cluster: Cluster, number: int = 2, server: str = "main") -> bool:
    """Whether there are so many pods, all of them ready."""
    states = [
        condition["status"]
        for pod in pods(cluster, server)
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "Ready"
    ]
    return states == ["True"] * number


async def restart(cluster: Cluster, server: str = "main") -> None:
    """Replace all pods, one after the other, and wait until the old ones are gone."""
    old = names(cluster, server)
    await kubectl(cluster, "-n", "shop", "rollout", "restart", f"deployment/{server}-mcp")
    await kubectl(cluster, "-n", "shop", "rollout", "status", f"deployment/{server}-mcp", "--timeout=120s")
    await wait("the old pods are gone", lambda: not exist(cluster, old))


async def delete(cluster: Cluster) -> None:
    """Delete one pod directly, and wait until it is gone and another one is ready."""
    victim = min(names(cluster))
    await kubectl(cluster, "-n", "shop", "delete", "pod", victim, "--wait=false")
    await wait("the pod is gone", lambda: not exist(cluster, {victim}))
    await wait("two pods are ready", lambda: are_ready(cluster))


def behind(component: str) -> Callable[[Cluster], Awaitable[None]]:
    """Delete a pod while a part of the cluster stands still for a while."""

    async def act(cluster: Cluster) -> None:
        cluster.pause(component)
        try:
            begun = time.monotonic()
            deletion = asyncio.create_task(delete(cluster))
            await asyncio.sleep(max(0.0, begun + LAG - time.monotonic()))
        finally:
            cluster.resume(component)
        await deletion

    return act


async def test_no_call_is_lost_when_a_pod_is_deleted(shop: Cluster) -> None:
    async with loaded(shop):
        await delete(shop)


@pytest.mark.long
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(restart, id="rolling restart"),
        pytest.param(delete, id="pod deleted"),
        # The pod receives SIGTERM late, when new calls no longer reach it.
        pytest.param(behind("kubelet"), id="slow kubelet"),
        # New calls reach a pod that ends: the rules of the Service, or its endpoints, are changed late.
        pytest.param(behind("kube-proxy"), id="slow kube-proxy"),
        pytest.param(behind("kube-controller-manager"), id="slow endpoints"),
    ],
)
async def test_no_call_of_ten_thousand_is_lost(shop: Cluster, act: Callable[[Any], Awaitable[None]]) -> None:
    async with loaded(shop) as load:
        while load.answered < 10_000:
            await act(shop)


# Clients with keys of their own: the streams and sessions of one client are limited.
KEYS = [f"key-of-client-{number}" for number in range(8)]
# Listeners that keep a connection for their calls: a pod has 1,000 places for connections without streams.
KEEPING = 400


@pytest.fixture
def listened(shop: Cluster) -> Iterator[Cluster]:
    """Server "listened" with two pods, whose clients have keys, and a tool of its own, "edited"."""
    metadata = {"name": "listened", "namespace": "shop"}
    spec = {
        "replicas": 2,
        "redis": {"mode": "Standalone", "serviceName": "redis", "port": 6379},
        "sessions": {"mode": "Redis"},
        "toolSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["shop", "listened"]}]},
        "auth": {"type": "APIKey", "apiKey": {"secretName": "listened"}},
    }
    edited = json.loads(tool("edited"))
    edited["metadata"]["labels"] = {"app": "listened"}
    keys = {f"client-{number}": key for number, key in enumerate(KEYS)}
    items = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys},
        {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPServer", "metadata": metadata, "spec": spec},
        edited,
    ]
    shop.run("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    shop.run("-n", "shop", "wait", "mcpserver/listened", "--for=condition=Ready", "--timeout=120s")
    installation.until("two pods are ready", lambda: are_ready(shop, server="listened"))
    yield shop
    shop.run("-n", "shop", "delete", "mcpserver/listened", "mcptool/edited", "secret/listened")


async def streams(cluster: Cluster) -> list[int]:
    """The open streams of each pod."""
    found = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        for pod in await asyncio.to_thread(pods, cluster, "listened"):
            async with session.get(f"http://{pod['status']['podIP']}:9090/statusz") as answer:
                found.append((await answer.json())["streams"])
    return found


@pytest.mark.parametrize("number", [50, pytest.param(2000, marks=pytest.mark.long)])
async def test_listeners_hear_of_a_change_after_a_rolling_restart(listened: Cluster, number: int) -> None:
    async with listening(address(listened, "listened"), KEYS, number, KEEPING) as clients:

        async def until(what: str, there: Callable[[], bool]) -> None:
            try:
                async with asyncio.timeout(120):
                    while not there():
                        await asyncio.sleep(0.05)
            except TimeoutError:
                pytest.fail(f"not within two minutes: {what}; streams ended so: {ends(clients)}")

        await until("all listen", lambda: all(client.is_open for client in clients))
        assert min(await streams(listened)) > 0
        async with loaded(listened, "listened", Authorization=f"Bearer {KEYS[0]}"):
            await restart(listened, "listened")
            await until("all listen again", lambda: all(client.is_open for client in clients))

        # No stream was cut, and nobody was refused.
        waits = sum(client.waits for client in clients)
        print(f"{number} listeners had {sum(client.opened for client in clients)} streams: {ends(clients)}")
        print(f"{waits} times, a client was told to come back later")
        assert set(ends(clients)) == {"complete"}
        assert all(client.opened == client.ends.total() + 1 >= 2 for client in clients)
        assert sum(await streams(listened)) == number
        change = "notifications/tools/list_changed"
        assert not any(client.heard[change] for client in clients)

        title = json.dumps({"spec": {"title": "Another title"}})
        await kubectl(listened, "-n", "shop", "patch", "mcptool", "edited", "--type=merge", "-p", title)
        begun = time.monotonic()
        await until("all have heard", lambda: all(client.heard[change] for client in clients))
        print(f"all had heard of a change after {time.monotonic() - begun:.1f} s")
        assert {client.heard[change] for client in clients} == {1}


def ends(clients: list[Listener]) -> Counter[str]:
    """How the streams ended, and the attempts to open one."""
    return sum((client.ends for client in clients), Counter[str]())
