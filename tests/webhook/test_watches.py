"""What is watched gets into the live snapshot as facts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from cluster.clock import Clock
from cluster.informers import informer
from cluster.transport import REQUEST_TIMEOUT, ApiError
from crd.facts import ServiceFact
from crd.ledger import intent
from crd.ledger.page import Sighting
from crd.ref import Kind, Ref
from webhook import watches
from webhook.live_snapshot import LiveSnapshot
from webhook.reader import Reader


def manifest(name: str, version: str, port: Any = 80) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": "u", "resourceVersion": version},
        "spec": {"service": {"name": "s", "port": port}},
    }


class Api:
    """Lists what it is given, by the plural name; a watch of tools gives ``events`` and stays open."""

    def __init__(self, lists: dict[str, list[dict[str, Any]]], events: list[dict[str, Any]]) -> None:
        self.lists = lists
        self.events = events
        self.idle = asyncio.Event()

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = "") -> bytes:
        plural = path.rsplit("/", 1)[-1]
        if plural == "referencegrants":
            raise ApiError(404, "NotFound", "not installed")
        return orjson.dumps({"items": self.lists.get(plural, []), "metadata": {"resourceVersion": "10"}})

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        yield self._events(self.events if path.endswith("mcptools") else [])

    async def _events(self, events: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        for event in events:
            yield event
        if events:
            self.idle.set()
        await asyncio.Event().wait()


def test_an_intent_outlasts_the_lag_of_every_replica_that_answers() -> None:
    assert informer.SILENCE + REQUEST_TIMEOUT + informer.OUTAGE <= intent.LAG


async def test_lists_and_watches_feed_the_snapshot_with_facts() -> None:
    service = {
        "metadata": {"name": "s", "namespace": "shop", "resourceVersion": "1"},
        "spec": {"ports": [{"port": 80}]},
    }
    tools = [manifest("a", "1"), manifest("b", "2"), manifest("broken", "3", port=[])]
    events = [
        {"type": "ADDED", "object": manifest("c", "11")},
        {"type": "DELETED", "object": manifest("a", "12")},
        {"type": "MODIFIED", "object": manifest("b", "13", port=[])},
    ]
    api = Api({"services": [service], "mcptools": tools}, events)
    live = LiveSnapshot(lambda: 0.0)
    watched = watches.informers(api, live, Clock(lambda: 0.0, asyncio.sleep, lambda: 0.5), lambda *_: None)

    tasks = [asyncio.ensure_future(informer.run()) for informer in watched.values()]
    async with asyncio.timeout(5):
        await asyncio.gather(api.idle.wait(), *(informer.synced.wait() for informer in watched.values()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    # One that cannot be read counts as absent.
    assert {fact.ref.name for fact in live.current} == {"s", "c"}
    found = live.current.get(Ref(Kind.SERVICE, "shop", "s"))
    assert found == ServiceFact(Ref(Kind.SERVICE, "shop", "s"), "ClusterIP", (("", 80),))
    assert watched[Kind.TOOL].reached == 13


def test_a_deletion_that_a_list_shows_has_no_version_of_its_own() -> None:
    live = LiveSnapshot(lambda: 0.0)
    clock = Clock(lambda: 0.0, asyncio.sleep, lambda: 0.5)
    informer_of_tools = watches.informers(Api({}, []), live, clock, lambda *_: None)[Kind.TOOL]
    ref = Ref(Kind.TOOL, "shop", "a")

    for reached, version in ((None, None), ("98", 99)):
        informer_of_tools.offer_read(("shop", "a"), manifest("a", "7"), informer_of_tools.sequence())
        informer_of_tools._version = reached
        informer_of_tools._store.drop(("shop", "a"), 99)
        assert live.sighting(ref) == Sighting(version, "u")


async def test_other_namespaces_than_the_listed_ones_are_not_read() -> None:
    class Closed:
        async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
            raise AssertionError(f"{path} must not be read")

    live, clock = LiveSnapshot(lambda: 0.0), Clock(lambda: 0.0, asyncio.sleep, lambda: 0.5)
    api: Any = Closed()
    reader = Reader(api, live, watches.informers(api, live, clock, lambda *_: None, ("shop",)))

    assert await reader.look([Ref(Kind.SERVICE, "bank", "ledger"), Ref(Kind.SERVER, "bank", "main")]) == {}
    await reader.read_grants("bank")


async def test_the_listed_namespaces_are_read() -> None:
    read: list[str] = []

    class Open:
        async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
            read.append(path)
            raise ApiError(404, "NotFound", "no")

    live, clock = LiveSnapshot(lambda: 0.0), Clock(lambda: 0.0, asyncio.sleep, lambda: 0.5)
    api: Any = Open()
    reader = Reader(api, live, watches.informers(api, live, clock, lambda *_: None, ("shop",)))
    tool = Ref(Kind.TOOL, "shop", "a")

    assert await reader.look([tool, Ref(Kind.TOOL, "bank", "a")]) == {tool: None}
    await reader.read_grants("shop")
    assert [path.rpartition("/namespaces/")[2] for path in read] == ["shop/mcptools/a", "shop/referencegrants"]
