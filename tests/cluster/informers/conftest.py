"""An API server of one resource, and an informer that runs against it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import orjson
import pytest

from cluster import resources
from cluster.clock import Clock
from cluster.informers.informer import Informer
from cluster.transport import ApiError, LostConnectionError

PATHS = (resources.TOOLS.path(), resources.TOOLS.path("shop"))


class Api:
    """A Transport to an API server that holds tools, can be hung and killed, and remembers what it was asked.

    ``state`` is ``up``, ``hung`` (accepts, never answers) or ``down`` (refuses). Bookmarks come every ``bookmarks``
    seconds. ``compacted`` is the version up to which watches are too old. ``ends`` makes that many watches end at once.
    Unless ``leaves_out`` is False, it leaves out all but the metadata where it is asked to. ``before_read`` is called
    before an object is read by its name. A metadata list is asked as ``METADATA``, a read as ``READ``.
    """

    def __init__(self, *names: str) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.version = 100
        self.history: list[tuple[int, dict[str, Any]]] = []
        self.state = "up"
        self.bookmarks = 60.0
        self.compacted = 0
        self.ends = 0
        self.page_size = 500
        self.leaves_out = True
        self.before_read: Any = lambda: None
        self.asked: list[tuple[float, str, dict[str, str]]] = []
        self.errors: list[Exception] = []
        self._changed = asyncio.Event()
        self._cuts = 0
        for name in names:
            self.put(name)

    def put(self, name: str, **spec: Any) -> dict[str, Any]:
        self.version += 1
        metadata = {
            "namespace": "shop",
            "name": name,
            "resourceVersion": str(self.version),
            "labels": {"app": "shop"},
            "managedFields": [{"manager": "kubectl"}],
        }
        found = {"metadata": metadata, "spec": spec}
        kind = "MODIFIED" if ("shop", name) in self.objects else "ADDED"
        self.objects["shop", name] = found
        self._happened(kind, found)
        return copy.deepcopy(found)

    def delete(self, name: str) -> None:
        self.version += 1
        found = self.objects.pop(("shop", name))
        self._happened("DELETED", {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.version)}})

    def turn(self, state: str) -> None:
        """Change the state; ``down`` breaks the open watches."""
        self.state = state
        self._wake()

    def cut(self) -> None:
        """Break the open watches."""
        self._cuts += 1
        self._wake()

    def asks(self, verb: str) -> list[dict[str, str]]:
        return [query for _, asked, query in self.asked if asked == verb]

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = "") -> bytes:
        assert path in PATHS
        _, _, name = query.get("fieldSelector", "").partition("metadata.name=")
        partial = accept.startswith("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,")
        reads = bool(name) and query["limit"] == "1"
        if reads:
            self.before_read()
        async with asyncio.timeout(timeout):
            await self._reached("READ" if reads else "METADATA" if partial else "LIST", query)
        if self.errors:
            raise self.errors.pop(0)
        start = int(query.get("continue") or 0)
        limit = min(int(query["limit"]), self.page_size)
        items = [item for item in self.objects.values() if name in ("", item["metadata"]["name"])]
        metadata = {"resourceVersion": str(self.version)}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        page = {"kind": "MCPToolList", "items": items[start : start + limit], "metadata": metadata}
        if partial and self.leaves_out:
            page["kind"] = "PartialObjectMetadataList"
            page["items"] = [{"metadata": item["metadata"]} for item in items[start : start + limit]]
        return orjson.dumps(page)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        assert path in PATHS
        async with asyncio.timeout(10):
            await self._reached("WATCH", query)
        if self.errors:
            raise self.errors.pop(0)
        if int(query["resourceVersion"]) < self.compacted:
            raise ApiError(410, "Expired", "too old resource version")
        yield self._events(int(query["resourceVersion"]), float(query["timeoutSeconds"]), idle)

    async def _events(self, version: int, seconds: float, idle: float) -> AsyncIterator[dict[str, Any]]:
        if self.ends:
            self.ends -= 1
            return
        loop, cuts = asyncio.get_running_loop(), self._cuts
        end, bookmark, heard = loop.time() + seconds, loop.time() + self.bookmarks, loop.time()
        while True:
            if self.state == "down" or self._cuts > cuts:
                raise LostConnectionError("the connection broke")
            for at, event in self.history if self.state == "up" else ():
                if at > version:
                    version, heard = at, loop.time()
                    yield copy.deepcopy(event)
            now = loop.time()
            if now >= heard + idle:
                raise TimeoutError
            if now >= end and self.state == "up":
                return
            if now >= bookmark:
                bookmark += self.bookmarks
                if self.state == "up":
                    heard = now
                    yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.version)}}}
                continue
            with contextlib.suppress(TimeoutError):
                # A hung server does not end a watch either: only the silence does.
                ends = end if self.state == "up" else heard + idle
                async with asyncio.timeout_at(min(heard + idle, max(ends, now + 0.1), bookmark)):
                    await self._changed.wait()

    async def _reached(self, verb: str, query: Mapping[str, str]) -> None:
        self.asked.append((asyncio.get_running_loop().time(), verb, dict(query)))
        await asyncio.sleep(0.001)
        if self.state == "down":
            raise ConnectionRefusedError("refused")
        while self.state == "hung":
            await self._changed.wait()

    def _happened(self, kind: str, found: dict[str, Any]) -> None:
        self.history.append((self.version, {"type": kind, "object": found}))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Running:
    """An informer that runs in simulated time, and what it told: changes, and the ends it counted."""

    def __init__(self, api: Any, keep: Any = lambda manifest: manifest, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        self.changes: list[tuple[str, Any, Any]] = []
        self.ends: list[str] = []
        self.refusals: list[tuple[float, str]] = []
        clock = Clock(loop.time, asyncio.sleep, lambda: 0.5)
        count = lambda plural, end: self.ends.append(end if plural == "mcptools" else plural)  # noqa: E731
        self.informer = Informer(api, resources.TOOLS, keep, clock=clock, count=count, **options)
        self.informer.on_change(lambda key, old, new: self.changes.append((key[1], old, new)))
        self._tasks = [asyncio.ensure_future(self.informer.run()), asyncio.ensure_future(self._look())]

    async def _look(self) -> None:
        """Ask ten times a second whether it is ready, as reviews do."""
        loop = asyncio.get_running_loop()
        await self.informer.synced.wait()
        while True:
            why = self.informer.unready()
            if why:
                self.refusals.append((loop.time(), why))
            await asyncio.sleep(0.1)

    @property
    def names(self) -> list[str]:
        return sorted(key[1] for key, _ in self.informer.items())

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0.2)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                raise outcome or RuntimeError("it ended")


@pytest.fixture
def api_type() -> type[Api]:
    return Api


@pytest.fixture
def running() -> type[Running]:
    return Running
