"""Informers against a real API server that is paused, killed, and restarted with a compacted etcd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random  # noqa: TID251 -- jitter of a watch
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Self

import orjson
import pytest

from cluster import client, resources
from cluster.clock import Clock
from cluster.informers.informer import Informer
from cluster.transport import METADATA_LIST, ApiError, Transport
from scripts import localcluster

pytestmark = pytest.mark.integration

PAUSE, OUTAGE = 12.0, 5.0
API = "kube-apiserver"


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[localcluster.Cluster]:
    """A control plane of its own: the API server of the others is not to be killed."""
    version = request.config.getoption("--kubernetes")
    with localcluster.running("informers", kubernetes=version) as found:
        yield found


@pytest.fixture
async def transport(plane: localcluster.Cluster) -> AsyncIterator[Transport]:
    connected = await client.connect(kubeconfig=plane.kubeconfig)
    yield connected
    await connected.close()


class Watched:
    """An informer of ConfigMaps of one namespace: what it was told, its ends, and when it was not ready."""

    def __init__(self, transport: Transport) -> None:
        self.changes: list[str] = []
        self.ends: list[str] = []
        self.refusals: list[str] = []
        self.informer: Informer[str] = Informer(
            transport,
            resources.CONFIG_MAPS,
            lambda manifest: str(manifest["metadata"]["name"]),
            clock=Clock(time.monotonic, asyncio.sleep, random.random),
            namespace="default",
            label_selector="test=informers",
            count=lambda _plural, end: self.ends.append(end),
        )
        self.informer.on_change(lambda key, _old, _new: self.changes.append(key[1]))
        self._tasks = [asyncio.ensure_future(self.informer.run()), asyncio.ensure_future(self._ask())]

    async def _ask(self) -> None:
        await self.informer.synced.wait()
        while True:
            if why := self.informer.unready():
                self.refusals.append(why)
            await asyncio.sleep(0.02)

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(30):
            await self.informer.synced.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, there: Callable[[], bool], seconds: float) -> float:
        """Seconds until it was so; fails after ``seconds``."""
        started = time.monotonic()
        async with asyncio.timeout(seconds):
            while not there():
                await asyncio.sleep(0.01)
        return time.monotonic() - started


def manifest(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": {"test": "informers"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def create(transport: Transport, name: str, seconds: float = 60.0) -> None:
    """Create a ConfigMap as soon as the API server does it."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await transport.request("POST", resources.CONFIG_MAPS.path("default"), body=manifest(name), timeout=5)
            except (ApiError, TimeoutError, OSError):
                await asyncio.sleep(0.05)
            else:
                return


def compact(plane: localcluster.Cluster, revision: int) -> None:
    """Have etcd forget what was before a revision."""
    url = plane.argument("etcd", "--listen-client-urls") + "/v3/kv/compaction"
    body = json.dumps({"revision": str(revision), "physical": True}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
        assert answer.status == 200


async def test_a_pause_of_the_api_server_costs_no_readiness(plane: localcluster.Cluster, transport: Transport) -> None:
    async with Watched(transport) as watched:
        await create(transport, "before-pause")
        await watched.until(lambda: "before-pause" in watched.changes, 5.0)
        plane.pause(API)
        await asyncio.sleep(PAUSE)
        plane.resume(API)
        await create(transport, "after-pause")
        await watched.until(lambda: "after-pause" in watched.changes, 1.0)

        assert watched.refusals == []
        assert watched.ends == []


async def test_a_restart_with_a_compacted_etcd_is_a_list_that_tells_what_changed(
    plane: localcluster.Cluster, transport: Transport
) -> None:
    await create(transport, "before-outage")
    async with Watched(transport) as watched:
        assert "before-outage" in watched.changes
        watched.changes.clear()
        # Others write, so that the version of this watch becomes old.
        for number in range(3):
            other = manifest(f"other-{number}")
            del other["metadata"]["labels"]
            await transport.request("POST", resources.CONFIG_MAPS.path("default"), body=other)
        listed = await transport.request("GET", resources.CONFIG_MAPS.path("default"), query={"limit": "1"})
        plane.kill(API)
        compact(plane, int(listed["metadata"]["resourceVersion"]))
        await asyncio.sleep(OUTAGE)
        plane.start(API)
        await create(transport, "after-outage")
        seconds = await watched.until(lambda: "after-outage" in watched.changes, 10.0)

        assert seconds < 2.0
        assert watched.refusals == []
        # What had not changed is not told again.
        assert watched.changes == ["after-outage"]
        assert {"unreachable", "expired"} >= set(watched.ends)
        assert "unreachable" in watched.ends


async def test_a_list_of_metadata_and_what_happens_before_a_changed_object_is_read(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, watch, expired = transport.fetch, transport.watch, asyncio.Event()
    kinds: list[str] = []

    async def write(name: str, text: str) -> None:
        path = resources.CONFIG_MAPS.path("default", name)
        await transport.request("PUT", path, body=manifest(name, text=text))

    async def changing(path: str, *, query: Mapping[str, str], accept: str = "application/json", **more: Any) -> bytes:
        if accept == METADATA_LIST:
            await write("changes", "before the list")
            await write("goes", "before the list")
        elif query.get("fieldSelector") == "metadata.name=changes":
            await write("changes", "before the read")
        elif query.get("fieldSelector") == "metadata.name=goes":
            await transport.request("DELETE", resources.CONFIG_MAPS.path("default", "goes"))
        payload = await fetch(path, query=query, accept=accept, **more)
        kinds.append(orjson.loads(payload)["kind"])
        return payload

    async def until_expired(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        end = asyncio.ensure_future(expired.wait())
        while True:
            event = asyncio.ensure_future(anext(events))
            await asyncio.wait({event, end}, return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                event.cancel()
                expired.clear()
                raise ApiError(410, "Expired", "too old")
            yield event.result()

    @contextlib.asynccontextmanager
    async def expiring(path: str, **options: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        async with watch(path, **options) as events:
            yield until_expired(events)

    for name in ("stays", "changes", "goes"):
        await create(transport, name)
    monkeypatch.setattr(transport, "watch", expiring)
    async with Watched(transport) as watched:
        monkeypatch.setattr(transport, "fetch", changing)
        watched.changes.clear()
        expired.set()
        await watched.until(lambda: len(kinds) == 3, 10.0)
        await create(transport, "last")
        await watched.until(lambda: "last" in watched.changes, 10.0)

        assert kinds == ["PartialObjectMetadataList", "ConfigMapList", "ConfigMapList"]
        assert watched.ends == ["expired"]
        assert watched.refusals == []
        assert "stays" not in watched.changes
        assert watched.informer.version("default", "goes") is None
        stored = await transport.request("GET", resources.CONFIG_MAPS.path("default", "changes"))
        assert stored["data"] == {"text": "before the read"}
        assert str(watched.informer.version("default", "changes")) == stored["metadata"]["resourceVersion"]
