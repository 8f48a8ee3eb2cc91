"""A controller's informers and reconciler at work on an API server in memory, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from cluster.clock import Clock
from cluster.workqueue import Workqueue
from controller.cache import Cache
from controller.kept import KeptPod
from controller.metrics import Metrics
from controller.pods import PodReport
from controller.reconciler import Reconciler
from controller.signing.keyring import Keyring
from crd.ref import Ref
from tests.cluster.conftest import simulated
from tests.controller.fake_api import FakeApi

START = datetime(2026, 1, 1, tzinfo=UTC)
LIFETIME = timedelta(hours=1)


class Pods:
    """A `PodReader`: every pod answers with its digest after ``delay`` seconds, or not at all if it has none."""

    def __init__(self) -> None:
        self.digest_of: dict[str, str | None] = {}
        self.pins = ""
        self.delay = 0.0
        self.asked: list[tuple[float, str]] = []

    async def report(self, pod: KeptPod) -> PodReport | None:
        self.asked.append((asyncio.get_running_loop().time(), pod.name))
        await asyncio.sleep(self.delay)
        digest = self.digest_of.get(pod.name)
        return PodReport(digest, self.pins) if digest is not None else None


class Controller:
    """The controller; `lead` begins a term, `depose` ends it."""

    def __init__(self, api: FakeApi, pods: Pods | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.api = api
        self.pods = pods or Pods()
        self.foreign: list[str] = []
        self.queue: Workqueue[Ref] = Workqueue()
        clock = Clock(self.loop.time, asyncio.sleep, lambda: 0.5)
        self.keyring = Keyring(
            api, namespace="mcp-system", name="keys", lifetime=LIFETIME, now=self.now, clock=clock, changed=self.resign
        )
        self.cache = Cache(
            api,
            self.queue.add,
            keys=lambda: self.keyring.keys,
            clock=clock,
            seconds=lambda: self.now().timestamp(),
            foreign=self.foreign.append,
        )
        self.metrics = Metrics()
        self.term: asyncio.Task[None] | None = None
        self._watches: list[asyncio.Task[None]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.loop.time())

    def resign(self) -> None:
        for ref in self.cache.everything():
            self.queue.add(ref, resync=True)

    async def __aenter__(self) -> Self:
        await self.keyring.open()
        self.api.writes.clear()
        self._watches = [asyncio.create_task(informer.run()) for informer in self.cache.informers]
        self._watches.append(asyncio.create_task(self.cache.endpoints.run()))
        for informer in self.cache.informers:
            await informer.synced.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.depose()
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    def lead(self) -> Reconciler:
        reconciler = Reconciler(
            self.api, self.cache, self.queue, self.pods, self.metrics,
            keyring=self.keyring, image="operator:1", identity="me", now=self.now,
        )  # fmt: skip
        self.term = asyncio.create_task(reconciler.run())
        return reconciler

    async def depose(self) -> None:
        if self.term is not None:
            self.term.cancel()
            await asyncio.gather(self.term, return_exceptions=True)
            self.term = None

    def count(self, kind: str, result: str) -> float:
        """How many reconciles of a kind ended so."""
        return self.metrics.reconciles.labels(kind, result)._value.get()  # type: ignore[no-any-return]


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test in simulated time: what it sleeps costs nothing."""
    simulated(main)
