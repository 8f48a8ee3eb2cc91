"""A controller that is killed at any of its writes, on a real API server: its successor ends where nothing was killed.

For the API server a killed process is one whose last write was stored or was not, and from which nothing comes later.
No webhook is registered here: what is not judged has to be carried out as well.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import random  # noqa: TID251 -- jitter of watches
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cluster import client, objects, resources
from cluster.clock import Clock
from cluster.pod import PodTransport
from cluster.transport import JSON, REQUEST_TIMEOUT, Transport
from cluster.workqueue import Workqueue
from controller.cache import Cache
from controller.metrics import Metrics
from controller.planning.plan import APPLIED
from controller.pods import ProxiedPods
from controller.reconciler import Reconciler
from controller.signing import keys as signing
from crd.published import catalogs
from crd.ref import Ref
from scripts import localcluster
from tests.faults.replicas import server, tool

pytestmark = pytest.mark.integration

COLLECTION = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)/([^/]+)")
# How many lives are lived at once, and for how long nothing may happen in one before its state is looked at.
AT_ONCE, QUIET = 6, 0.3
SECONDS = 60.0


class FixedKeys:
    """Signing keys that all controllers of this module share, as if read from the Secret."""

    def __init__(self) -> None:
        self.keys = signing.generate(datetime.now(UTC))  # noqa: TID251 -- keys are made once

    async def reach(self, generation: int) -> None:
        raise AssertionError(f"generation {generation} was never signed")


KEYS = FixedKeys()


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


class Mortal:
    """A `Transport` that shows one namespace alone, and whose process is killed at its ``last`` write.

    The last write is stored if it ``lands``. After it nothing is answered, and nothing is sent.
    """

    def __init__(self, inner: Transport, namespace: str, last: int | None = None, *, lands: bool = False) -> None:
        self.killed = asyncio.Event()
        self.writes = 0
        self.written_at = time.monotonic()
        self.catalogs: list[catalogs.Catalog] = []
        self._inner = inner
        self._namespace = namespace
        self._last = last
        self._lands = lands

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = REQUEST_TIMEOUT,
    ) -> dict[str, Any]:
        is_last = False
        if method != "GET":
            self.writes += 1
            is_last = self.writes == self._last
        if self.killed.is_set() or (is_last and not self._lands):
            self.killed.set()
            await _never()
        self.written_at = time.monotonic() if method != "GET" else self.written_at
        answer = await self._inner.request(
            method, self._narrowed(path), query=query, body=body, content_type=content_type, accept=accept,
            timeout=timeout,
        )  # fmt: skip
        if method != "GET" and answer.get("kind") == "ConfigMap":
            self.catalogs.append(_catalog(answer))
        if is_last:
            self.killed.set()
        if self.killed.is_set():
            await _never()
        return answer

    async def fetch(
        self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = JSON, limit: int | None = None
    ) -> bytes:
        return await self._inner.fetch(self._narrowed(path), query=query, timeout=timeout, accept=accept, limit=limit)

    def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        return self._inner.watch(self._narrowed(path), query=query, idle=idle)

    async def close(self) -> None:
        """The connection belongs to the test."""

    def _narrowed(self, path: str) -> str:
        found = COLLECTION.fullmatch(path)
        return f"{found[1]}/namespaces/{self._namespace}/{found[2]}" if found else path


class Process:
    """A controller that leads: informers, queue and workers as its program has them."""

    def __init__(self, transport: Mortal) -> None:
        self.transport = transport
        self._queue: Workqueue[Ref] = Workqueue()
        clock = Clock(time.monotonic, asyncio.sleep, random.random)
        self._cache = Cache(
            transport,
            self._queue.add,
            keys=lambda: KEYS.keys,
            clock=clock,
            seconds=lambda: datetime.now(UTC).timestamp(),  # noqa: TID251
        )
        self._tasks = [asyncio.create_task(each.run()) for each in self._cache.informers]

    async def lead(self) -> None:
        for each in self._cache.informers:
            await each.synced.wait()
        reconciler = Reconciler(
            self.transport, self._cache, self._queue, ProxiedPods(self.transport), Metrics(), keyring=KEYS,
            image="localhost/none", identity="test", now=lambda: datetime.now(UTC),  # noqa: TID251
        )  # fmt: skip
        self._tasks.append(asyncio.create_task(reconciler.run()))

    async def end(self) -> None:
        """What is cancelled may not write any more: the process is dead."""
        self.transport.killed.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def rest(self, quiet: float) -> bool:
        """Wait until there is nothing to do, or the process was killed; whether it lives.

        Quiet begins with this call: a change that was just made has to arrive by the watch first.
        """
        begun = time.monotonic()
        while not self.transport.killed.is_set():
            busy = len(self._queue) or self._queue._running or self._queue._timers
            if not busy and time.monotonic() - max(begun, self.transport.written_at) > quiet:
                return True
            await asyncio.sleep(0.05)
        return False


class Life:
    """One server's life in a namespace of its own, and the controllers that follow one another in it."""

    def __init__(self, admin: Transport, account: Transport, namespace: str) -> None:
        self.namespace = namespace
        self.mortals: list[Mortal] = []
        self._admin = admin
        self._account = account
        self._process: Process | None = None

    async def run(self, expected: list[Any] | None, last: int | None = None, *, lands: bool = False) -> list[Any]:
        """Live, with a controller that is killed at a write. Returns the states after the stages."""
        metadata = {"name": self.namespace}
        await objects.create(self._admin, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        states: list[Any] = []
        try:
            await self._begin(Mortal(self._account, self.namespace, last, lands=lands))
            for number, stage in enumerate((self._create, self._edit, self._delete, self._rename)):
                await stage()
                states.append(await self._settled(expected[number] if expected else None))
        finally:
            if self._process is not None:
                await self._process.end()
            await objects.delete(self._admin, resources.NAMESPACES, None, self.namespace)
        return states

    async def _begin(self, mortal: Mortal) -> None:
        self.mortals.append(mortal)
        self._process = Process(mortal)
        await self._process.lead()

    async def _settled(self, expected: Any) -> Any:
        """The state once the controller rests; with ``expected``, once it is so too. A dead controller is followed."""
        state = None
        deadline = time.monotonic() + SECONDS
        while state is None or (expected is not None and state != expected and time.monotonic() < deadline):
            assert self._process is not None
            if not await self._process.rest(QUIET if expected else 1.5):
                await self._process.end()
                await self._begin(Mortal(self._account, self.namespace))
                continue
            state = await self._state()
        return state

    async def _create(self) -> None:
        made = [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "orders", "namespace": self.namespace},
                "spec": {"ports": [{"port": 80}], "selector": {"app": "orders"}},
            },
            # "elder" would win every name that both claim, if neither were served already.
            tool(self.namespace, "elder", "other"),
            server(self.namespace, "main", replicas=0),
            tool(self.namespace, "holder", "find"),
            tool(self.namespace, "third", "total"),
        ]
        for manifest in made:
            await objects.create(self._admin, manifest)

    async def _edit(self) -> None:
        await self._change(resources.TOOLS, "elder", name="find")

    async def _delete(self) -> None:
        await objects.delete(self._admin, resources.TOOLS, self.namespace, "third")

    async def _rename(self) -> None:
        await self._change(resources.SERVERS, "main", naming={"prefix": "shop_"})

    async def _change(self, kind: resources.ResourceType, name: str, /, **spec: Any) -> None:
        path = kind.path(self.namespace, name)
        patch = "application/merge-patch+json"
        await self._admin.request("PATCH", path, body={"spec": spec}, content_type=patch)

    async def _state(self) -> Any:
        kinds = (
            resources.SERVERS, resources.TOOLS, resources.CONFIG_MAPS, resources.DEPLOYMENTS, resources.SERVICES,
            resources.SERVICE_ACCOUNTS, resources.ROLES, resources.ROLE_BINDINGS,
        )  # fmt: skip
        found = {
            kind.plural: {
                each["metadata"]["name"]: _comparable(each, kind)
                for each in await objects.list_all(self._admin, kind, self.namespace)
            }
            for kind in kinds
        }
        digest = found["configmaps"].get("main-catalog", {}).pop("digest", None)
        status = found["mcpservers"]["main"].get("status", {})
        found["digest"] = status.pop("catalogDigest", None) == digest
        # It follows the time; `tests/controller/test_trust.py` has what it must be.
        found["version"] = bool(status.pop("catalogVersion", None))
        main = await objects.get(self._admin, resources.SERVERS, self.namespace, "main")
        assert main is not None
        uid = str(main["metadata"]["uid"])
        return json.loads(json.dumps(found).replace(self.namespace, "NAMESPACE").replace(uid, "UID"))


def _catalog(config_map: Mapping[str, Any]) -> catalogs.Catalog:
    binary = {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}
    return catalogs.load(catalogs.unpack(config_map.get("data") or {}, binary))


def _comparable(stored: dict[str, Any], kind: resources.ResourceType) -> dict[str, Any]:
    """What does not depend on when and under which uid an object was created."""
    stored, metadata = copy.deepcopy(stored), stored["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    for changing in ("deployment.kubernetes.io/revision", APPLIED):
        annotations.pop(changing, None)
    digest = annotations.pop(catalogs.DIGEST_ANNOTATION, None)
    owners = [(owner["kind"], owner["name"]) for owner in metadata.get("ownerReferences") or ()]
    found = {"labels": metadata.get("labels"), "annotations": annotations, "owners": owners}
    for part in ("spec", "roleRef", "subjects", "rules"):
        if part in stored:
            found[part] = stored[part]
    if kind is resources.CONFIG_MAPS and digest is not None:
        found |= {"catalog": asdict(_catalog(stored)), "digest": digest}
    if kind is resources.SERVICES:
        for assigned in ("clusterIP", "clusterIPs"):
            found["spec"].pop(assigned, None)
    if kind in (resources.SERVERS, resources.TOOLS):
        status = stored.get("status", {})
        for condition in status.get("conditions", ()):
            condition.pop("lastTransitionTime", None)
        found["status"] = status
    return found


def incumbents(mortals: list[Mortal]) -> dict[str, set[str]]:
    """Of each name without prefix, the objects that were served under it in any published catalog."""
    found: dict[str, set[str]] = {}
    for mortal in mortals:
        for catalog in mortal.catalogs:
            for entry in catalog.tools:
                found.setdefault(entry.name.removeprefix("shop_"), set()).add(entry.source.partition("/")[2])
    return found


@contextlib.asynccontextmanager
async def connected(cluster: localcluster.Cluster, account: Path) -> AsyncIterator[Callable[[str], Life]]:
    """Makes lives: their users are administrators, their controllers have the rights of the ServiceAccount."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    url = urlsplit(config["clusters"][0]["cluster"]["server"])
    admin = await client.connect(None, cluster.kubeconfig)
    controller = PodTransport(account, str(url.hostname), int(url.port or 443))
    try:
        yield lambda namespace: Life(admin, controller, namespace)
    finally:
        await controller.close()
        await admin.close()


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.long), 4])
async def test_a_controller_killed_at_any_write_is_followed_to_the_same_end(
    cluster: localcluster.Cluster, accounts: dict[str, Path], step: int
) -> None:
    """At every write, or at every fourth one."""
    async with connected(cluster, accounts["controller"]) as life:
        undisturbed = life(f"life-whole-{step}")
        expected = await undisturbed.run(None)
        total = undisturbed.mortals[0].writes
        assert all(state["digest"] for state in expected)
        assert incumbents(undisturbed.mortals) == {"other": {"elder"}, "find": {"holder"}, "total": {"third"}}
        gate = asyncio.Semaphore(AT_ONCE)

        async def killed(last: int, *, lands: bool) -> str | None:
            async with gate:
                again = life(f"life-{step}-{last:03}-{'a' if lands else 'b'}")
                states = await again.run(expected, last, lands=lands)
            where = f"killed at write {last} of {total}, {'stored' if lands else 'not stored'}"
            if len(again.mortals) < 2:
                return f"{where}: never killed"
            if states != expected:
                return f"{where}: {next(pair for pair in zip(states, expected, strict=True) if pair[0] != pair[1])}"
            moved = {name: who for name, who in incumbents(again.mortals).items() if len(who) > 1}
            return f"{where}: moved {moved}" if moved else None

        runs: list[Coroutine[Any, Any, str | None]] = [
            killed(last, lands=lands) for last in range(1, total + 1, step) for lands in (True, False)
        ]
        wrong = [found for found in await asyncio.gather(*runs) if found is not None]

    print(f"{total} writes")
    assert total >= 15
    assert wrong == []
