"""Pinned tools are compared with what their server lists: when, by whom, and what a failure means."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from crd.published import pins
from crd.published.entries import Backend, Mcp, Tool
from crd.published.pins import AS_PINNED, VANISHED, Verdict
from crd.published.policy import HeaderFrom, Policy
from runtime.backends.faults import CallError
from runtime.backends.mcp import pin_watch
from runtime.backends.mcp.client import Target
from runtime.backends.mcp.pin_watch import PinWatch
from runtime.backends.mcp.tool_pages import Listing
from runtime.state.sessions import StoreUnavailableError
from tests.cluster.conftest import simulated

LISTED = {"name": "find", "description": "Finds an order.", "inputSchema": {"type": "object"}}


def a_tool(name: str = "find", *, host: str = "b", secret: str = "", listed: dict[str, Any] | None = None) -> Tool:
    pin = pins.pin_of({**(listed or LISTED), "name": name})
    policy = Policy(headers_from=(HeaderFrom("Authorization", "Secret", secret, "key"),) if secret else ())
    return Tool(name, f"shop/{name}", "POST", Backend(host, 80), {}, mcp=Mcp("/mcp", name, pin=pin), policy=policy)


class Server:
    """A `Lister`: what each host lists, or why it cannot be listed."""

    def __init__(self) -> None:
        self.tools: dict[str, list[dict[str, Any]]] = {"http://b:80/mcp": [LISTED]}
        self.fault = ""
        self.delay = 0.0
        self.asked: list[tuple[float, Target]] = []
        self.at_once = self.most_at_once = 0

    async def list_tools(self, target: Target, timeout: float) -> Listing:
        assert timeout == pin_watch.TIMEOUT
        self.asked.append((asyncio.get_running_loop().time(), target))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay)
        self.at_once -= 1
        return Listing(tuple(self.tools.get(target.url, [])), self.fault)


class Store:
    """`SharedVerdicts` of pods in one process."""

    def __init__(self) -> None:
        self.claims: dict[str, float] = {}
        self.found: dict[str, str] = {}
        self.is_down = False

    async def claim(self, key: str, seconds: float) -> bool:
        if self.is_down:
            raise StoreUnavailableError("down")
        now = asyncio.get_running_loop().time()
        if self.claims.get(key, 0.0) > now:
            return False
        self.claims[key] = now + seconds
        return True

    async def put(self, key: str, text: str, seconds: float) -> None:
        self.found[key] = text

    async def get(self, key: str) -> str | None:
        return self.found.get(key)


def watch_of(server: Server, *tools: Tool, store: Store | None = None, **more: Any) -> PinWatch:
    def headers(sources: tuple[HeaderFrom, ...]) -> tuple[tuple[str, str], ...]:
        return tuple((source.name, f"value of {source.object}") for source in sources)

    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"monotonic": loop.time, "jitter": lambda: 0.5, "shared": store, **more}
    watch = PinWatch(server, options.pop("headers", headers), **options)
    watch.keep(tools)
    return watch


@contextlib.asynccontextmanager
async def running(*watches: PinWatch) -> Any:
    tasks = [asyncio.create_task(watch.run()) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(main: Coroutine[Any, Any, None]) -> None:
    simulated(main)


def test_a_change_is_told_by_the_next_probe_and_so_is_its_end() -> None:
    async def main() -> None:
        server, results = Server(), list[str]()
        watch = watch_of(server, a_tool(), on_probe=results.append)
        assert watch.verdict(a_tool()) is None
        assert watch.status(100) == "?"
        async with running(watch):
            await asyncio.sleep(pin_watch.FIRST)
            assert watch.verdict(a_tool()) == AS_PINNED
            server.tools["http://b:80/mcp"] = [{**LISTED, "description": "Deletes everything."}]
            await asyncio.sleep(pin_watch.INTERVAL)
            assert watch.verdict(a_tool()) == Verdict(("description",))
            assert (watch.status(100), watch.drifted()) == ("C", 1)
            server.tools["http://b:80/mcp"] = []
            await asyncio.sleep(pin_watch.INTERVAL)
            assert watch.verdict(a_tool()) == VANISHED
            server.tools["http://b:80/mcp"] = [LISTED]
            await asyncio.sleep(pin_watch.INTERVAL)
            assert watch.verdict(a_tool()) == AS_PINNED
        assert results == ["complete"] * 4
        assert [target.headers for _, target in server.asked] == [()] * 4

    run(main())


def test_calls_are_answered_between_the_entries_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, seen = [0], list[int]()
    pin_of = pins.pin_of

    def note_turn(tool: Any) -> Any:
        seen.append(turns[0])
        return pin_of(tool)

    async def count() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def main() -> None:
        server = Server()
        watched = [a_tool(), a_tool(secret="s")]
        server.tools["http://b:80/mcp"] = [LISTED] * 50
        watch = watch_of(server, *watched)
        monkeypatch.setattr(pins, "pin_of", note_turn)
        visit = asyncio.create_task(watch._compare(*next(iter(watch._groups.items()))))
        counting = asyncio.create_task(count())
        await visit
        counting.cancel()
        assert len(seen) == len(set(seen)) == 50
        assert watch.drifted() == 0

    run(main())


@pytest.mark.parametrize("drifted", [False, True])
def test_a_probe_that_fails_is_no_drift_and_takes_nothing_back(drifted: bool) -> None:
    async def main() -> None:
        server, results = Server(), list[str]()
        watch = watch_of(server, a_tool(), on_probe=results.append)
        if drifted:
            server.tools = {}
        async with running(watch):
            await asyncio.sleep(pin_watch.FIRST)
            before = watch.verdict(a_tool())
            assert before == (VANISHED if drifted else AS_PINNED)
            server.tools, server.fault = {}, "timeout"
            await asyncio.sleep(pin_watch.INTERVAL)
            assert watch.verdict(a_tool()) == before
        assert results == ["complete", "failed"]

    run(main())


def test_a_probe_that_fails_from_the_beginning_leaves_the_verdict_unknown() -> None:
    async def main() -> None:
        server = Server()
        server.tools, server.fault = {}, "unreachable"
        watch = watch_of(server, a_tool())
        async with running(watch):
            await asyncio.sleep(5 * pin_watch.INTERVAL)
            assert watch.verdict(a_tool()) is None
        assert len(server.asked) >= 4

    run(main())


def test_of_an_incomplete_list_what_it_contains_counts() -> None:
    async def main() -> None:
        server = Server()
        server.tools["http://b:80/mcp"] = [{**LISTED, "title": "New"}]
        server.fault = "the list has no end"
        watch = watch_of(server, a_tool(), a_tool("other"))
        async with running(watch):
            await asyncio.sleep(pin_watch.FIRST)
            assert watch.verdict(a_tool()) == Verdict(("title",))
            assert watch.verdict(a_tool("other")) is None

    run(main())


def test_without_credentials_nothing_is_asked() -> None:
    async def main() -> None:
        def missing(_: Any) -> Any:
            raise CallError("misconfigured", "the credentials are missing")

        server, results = Server(), list[str]()
        watch = watch_of(server, a_tool(secret="key"), headers=missing, on_probe=results.append)
        async with running(watch):
            await asyncio.sleep(pin_watch.FIRST)
        assert (server.asked, results) == ([], ["failed"])

    run(main())


def test_the_tools_of_one_server_are_one_probe_and_each_server_is_asked_with_its_credentials() -> None:
    async def main() -> None:
        server = Server()
        tools = [a_tool("a"), a_tool("b"), a_tool("c", secret="key"), a_tool("d", host="other")]
        watch = watch_of(server, *tools, Tool("plain", "shop/plain", "GET", Backend("b", 80), {}))
        async with running(watch):
            await asyncio.sleep(pin_watch.FIRST)
        asked = sorted((target.url, target.headers) for _, target in server.asked)
        assert asked == [
            ("http://b:80/mcp", ()),
            ("http://b:80/mcp", (("Authorization", "value of key"),)),
            ("http://other:80/mcp", ()),
        ]
        assert watch.status(100) == "4x"

    run(main())


def test_a_slow_server_delays_no_other_and_few_are_asked_at_once() -> None:
    async def main() -> None:
        server = Server()
        server.delay = 5.0
        tools = [a_tool(f"t{number}", host=f"h{number}") for number in range(12)]
        watch = watch_of(server, *tools)
        async with running(watch):
            await asyncio.sleep(pin_watch.FIRST + 16)
        assert server.most_at_once == pin_watch.PARALLEL
        assert len({target.url for _, target in server.asked}) == 12

    run(main())


def test_a_new_catalog_keeps_what_is_known_and_a_new_pin_is_compared_at_once() -> None:
    async def main() -> None:
        server = Server()
        server.tools["http://b:80/mcp"] = [{**LISTED, "title": "New"}, {**LISTED, "name": "more"}]
        watch = watch_of(server, a_tool())
        async with running(watch):
            await asyncio.sleep(pin_watch.FIRST)
            watch.keep([a_tool(), a_tool("more")])
            assert watch.status(100) == "B?"
            await asyncio.sleep(pin_watch.FIRST)
            assert watch.status(100) == "BA"

            # Imported again: the pin is that of what is listed now.
            watch.keep([a_tool(listed={**LISTED, "title": "New"})])
            assert watch.status(100) == "?"
            await asyncio.sleep(pin_watch.FIRST)
            assert watch.status(100) == "A"
            asked = len(server.asked)
            watch.keep([a_tool(listed={**LISTED, "title": "New"})])
            await asyncio.sleep(pin_watch.FIRST)
            assert len(server.asked) == asked
            watch.keep([])
            await asyncio.sleep(3 * pin_watch.INTERVAL)
            assert len(server.asked) == asked

    run(main())


def test_of_several_pods_one_probes_and_all_know() -> None:
    async def main() -> None:
        server, store = Server(), Store()
        watches = [watch_of(server, a_tool(), store=store) for _ in range(5)]
        async with running(*watches):
            await asyncio.sleep(pin_watch.FIRST + pin_watch.AGAIN)
            assert len(server.asked) == 1
            assert {watch.status(100) for watch in watches} == {"A"}
            server.tools = {}
            await asyncio.sleep(pin_watch.INTERVAL * 2)
            assert len(server.asked) <= 3
            assert {watch.status(100) for watch in watches} == {"x"}

            # Without the store, each asks for itself.
            store.is_down = True
            server.tools["http://b:80/mcp"], asked = [LISTED], len(server.asked)
            await asyncio.sleep(pin_watch.INTERVAL * 1.2)
            assert len(server.asked) >= asked + 5
            assert {watch.status(100) for watch in watches} == {"A"}

    run(main())


def test_what_is_in_the_store_is_verdicts_or_nothing() -> None:
    async def main() -> None:
        server, store = Server(), Store()
        first, second = (watch_of(server, a_tool(), store=store) for _ in range(2))
        async with running(first):
            await asyncio.sleep(pin_watch.FIRST)
        for key in store.found:
            store.found[key] = "\x1b[31m99999999A"
        async with running(second):
            await asyncio.sleep(pin_watch.FIRST + pin_watch.AGAIN)
            # The other pod found nothing that can be read, so this one asks.
            assert second.status(100) == "A"
        assert len(server.asked) == 2

    run(main())


def test_a_change_of_a_verdict_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        watch = watch_of(Server(), a_tool())
        ((_, group),) = watch._groups.items()
        for verdict in (AS_PINNED, VANISHED, VANISHED, None, AS_PINNED):
            watch._learn(group, [verdict])

    run(main())

    said = [record.getMessage() for record in caplog.records]
    assert said == [f"tool 'find' of b: {VANISHED}", f"tool 'find' of b: {AS_PINNED}"]


def test_a_probe_that_fails_names_the_server_and_the_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = Server()
        server.fault = "\x1b" + "f" * 600
        watch = watch_of(server, a_tool())
        async with running(watch):
            await asyncio.sleep(pin_watch.FIRST)

    run(main())

    (record,) = caplog.records
    assert record.getMessage() == (
        "the tools of b:80/mcp could not be compared with their pins, the last verdicts stay: '\\x1b" + "f" * 499 + "'"
    )


@pytest.mark.parametrize(("jitter", "first", "then"), [(0.0, 0.0, 48.0), (0.5, 0.5, 60.0), (1.0, 1.0, 72.0)])
def test_probes_are_spread(jitter: float, first: float, then: float) -> None:
    async def main() -> None:
        server = Server()
        server.delay = 0.25
        begun = asyncio.get_running_loop().time()
        watch = watch_of(server, a_tool(), jitter=lambda: jitter)
        async with running(watch):
            await asyncio.sleep(90)
        times = [time - begun for time, _ in server.asked]
        assert times[:2] == pytest.approx([first, first + 0.25 + then])
        assert len(times) == 2

    run(main())


def test_what_the_pods_share_lasts_as_long_as_it_is_of_use() -> None:
    class Told(Store):
        def __init__(self) -> None:
            super().__init__()
            self.said: list[tuple[str, Any, float]] = []

        async def claim(self, key: str, seconds: float) -> bool:
            self.said.append(("claim", len(key), seconds))
            return await super().claim(key, seconds)

        async def put(self, key: str, text: str, seconds: float) -> None:
            self.said.append(("put", text, seconds))
            await super().put(key, text, seconds)

    async def main() -> None:
        server, store = Server(), Told()
        watch = watch_of(server, a_tool(), a_tool("other"), store=store, interval=10.0)
        async with running(watch):
            await asyncio.sleep(1)
        assert store.said == [("claim", 64, 7.0), ("put", "Ax", 100.0)]

        # What is found by another pod is learned; a pod that finds nothing waits once, and then asks itself.
        asked = len(server.asked)
        second = watch_of(server, a_tool(), a_tool("other"), store=store, interval=10.0)
        ((endpoint, group),) = second._groups.items()
        assert await second._compare(endpoint, group) == 10.0
        assert (second.status(100), len(server.asked)) == ("Ax", asked)
        store.found.clear()
        assert await second._compare(endpoint, group) == pin_watch.AGAIN
        assert (group.is_due_again, len(server.asked)) == (True, asked)
        assert await second._compare(endpoint, group) == 10.0
        assert (group.is_due_again, len(server.asked)) == (False, asked + 1)
        server.fault = "gone"
        store.claims.clear()
        store.said.clear()
        await second._compare(endpoint, group)
        assert [kind for kind, *_ in store.said] == ["claim"]

    run(main())
