"""Pods of a server are replaced under load through the Service: no call is lost.

Clients keep their connections, as agents do, and repeat nothing. A call is lost if it has no answer, or the answer of
a failure.
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
from tests.e2e.test_path import address, pods
from tests.runtime.raw_http import rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

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

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = False
        self.outcomes = Counter[str]()
        self._tasks = [asyncio.create_task(self._repeat()) for _ in range(CLIENTS)]

    @property
    def answered(self) -> int:
        return self.outcomes["answered"]

    async def _repeat(self) -> None:
        number = 0
        async with aiohttp.ClientSession(headers=HEADERS, timeout=aiohttp.ClientTimeout(total=20)) as session:
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
async def loaded(cluster: Cluster) -> AsyncIterator[Load]:
    """A load that has begun; at the end, nothing of it was lost."""
    load = Load(address(cluster))
    try:
        async with asyncio.timeout(30):
            while load.answered < 100:
                await asyncio.sleep(0.05)
        yield load
    finally:
        await load.stop()
    print(f"{load.answered} calls were answered, others: {load.outcomes - Counter(answered=load.answered)}")
    assert set(load.outcomes) == {"answered"}, load.outcomes


def names(cluster: Cluster) -> set[str]:
    return {str(pod["metadata"]["name"]) for pod in pods(cluster)}


def exist(cluster: Cluster, wanted: set[str]) -> bool:
    found = cluster.run("-n", "shop", "get", "pods", "-o", "name").stdout.split()
    return any(f"pod/{name}" in found for name in wanted)


async def wait(what: str, there: Callable[[], bool]) -> None:
    await asyncio.to_thread(installation.until, what, there, 120)


async def kubectl(cluster: Cluster, *words: str) -> None:
    await asyncio.to_thread(cluster.run, *words)


def are_ready(cluster: Cluster, number: int = 2) -> bool:
    """Whether there are so many pods, all of them ready."""
    states = [
        condition["status"]
        for pod in pods(cluster)
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "Ready"
    ]
    return states == ["True"] * number


async def restart(cluster: Cluster) -> None:
    """Replace all pods, one after the other, and wait until the old ones are gone."""
    old = names(cluster)
    await kubectl(cluster, "-n", "shop", "rollout", "restart", "deployment/main-mcp")
    await kubectl(cluster, "-n", "shop", "rollout", "status", "deployment/main-mcp", "--timeout=120s")
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
