"""How pods are asked for the digest that they serve."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cluster.transport import ApiError
from controller import pods
from controller.kept import KeptPod
from controller.pods import DirectPods, PodReport, PodReports, ProxiedPods
from crd.ref import Kind, Ref
from tests.controller.running import Pods, run

MAIN = Ref(Kind.SERVER, "shop", "main")


def a_pod(name: str = "p", *, ready: bool = True, address: str = "127.0.0.1", on_host: bool = False) -> KeptPod:
    return KeptPod(MAIN, name, f"uid-{name}", ready, False, address, frozenset(), "uid-set", on_host)


async def settled(digests: PodReports, digest: str, seconds: float) -> None:
    """Expect a digest, and let time pass."""
    task = asyncio.create_task(digests.run())
    await asyncio.sleep(0)
    digests.expect(MAIN, digest)
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("payload", "expected"), [({"digest": "d"}, "d"), ({"digest": None}, None), ([], None)], ids=["d", "none", "a list"]
)
async def test_a_pod_is_asked_directly(payload: Any, expected: str | None, aiohttp_server: Any) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(payload)

    app = web.Application()
    app.router.add_get("/statusz", answer)
    server = await aiohttp_server(app)
    async with aiohttp.ClientSession() as session:
        assert await DirectPods(session, server.port).report(a_pod()) == (expected and PodReport(expected))


def padded(size: int) -> bytes:
    """An answer with a digest, of this many bytes."""
    return b'{"digest":"d"}'.ljust(size)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (web.Response(body=padded(pods.ANSWER_LIMIT)), "d"),
        (web.Response(body=padded(pods.ANSWER_LIMIT + 1)), None),
        (web.Response(status=302, headers={"Location": "/elsewhere"}, body=padded(20)), None),
        (web.Response(status=503, body=padded(20)), None),
        (web.Response(body=gzip.compress(padded(1 << 20)), headers={"Content-Encoding": "gzip"}), None),
        (web.Response(body=gzip.compress(padded(20)), headers={"Content-Encoding": "gzip"}), None),
    ],
    ids=["at the limit", "too long", "a redirect", "not 200", "a gzip that grows", "a gzip"],
)
async def test_an_answer_is_short_plain_and_the_pods_own(
    answer: web.Response, expected: str | None, aiohttp_server: Any
) -> None:
    asked: list[str] = []

    async def reply(request: web.Request) -> web.Response:
        asked.append(request.path)
        assert request.headers["Accept-Encoding"] == "identity"
        return answer if request.path == "/statusz" else web.json_response({"digest": "of another"})

    app = web.Application()
    app.router.add_get("/{path:.*}", reply)
    server = await aiohttp_server(app)
    async with aiohttp.ClientSession() as session:
        assert await DirectPods(session, server.port).report(a_pod()) == (expected and PodReport(expected))
    assert asked == ["/statusz"]


async def test_an_answer_without_end_is_left(aiohttp_server: Any) -> None:
    sent = 0

    async def reply(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 1 << 26:
                await response.write(b" " * 65536)
                sent += 65536
        return response

    app = web.Application()
    app.router.add_get("/statusz", reply)
    server = await aiohttp_server(app)
    async with aiohttp.ClientSession() as session:
        assert await DirectPods(session, server.port).report(a_pod()) is None
    assert sent < 1 << 25


@pytest.mark.parametrize("address", ["", "x y", "example/", "::zz"])
async def test_an_address_that_is_none_is_not_called(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        assert await DirectPods(session).report(a_pod(address=address)) is None


def test_a_pod_on_the_network_of_its_node_is_not_asked() -> None:
    async def main() -> None:
        reader = Pods()
        found = [a_pod("p", on_host=True), a_pod("q")]
        digests = PodReports(reader, lambda _server: found, lambda _server: None)
        await settled(digests, "one", 0.1)
        assert {name for _, name in reader.asked} == {"q"}

    run(main())


async def test_a_pod_that_cannot_be_reached_reports_nothing() -> None:
    async with aiohttp.ClientSession() as session:
        assert await DirectPods(session).report(a_pod(address="::1")) is None


@pytest.mark.parametrize(("fails", "expected"), [(False, "d"), (True, None)])
async def test_a_pod_is_asked_through_the_api_server(fails: bool, expected: str | None) -> None:
    asked: list[str] = []

    class Api:
        async def fetch(self, path: str, *, query: dict[str, str], timeout: float, limit: int) -> bytes:
            asked.append(path)
            assert (query, timeout, limit) == ({}, pods.POD_TIMEOUT, 4096)
            if fails:
                raise ApiError(503, "ServiceUnavailable", "no endpoints")
            return b'{"digest":"d"}'

    assert await ProxiedPods(Api()).report(a_pod()) == (expected and PodReport(expected))  # type: ignore[arg-type]
    assert asked == ["/api/v1/namespaces/shop/pods/p:9090/proxy/statusz"]


def test_pods_are_behind_when_they_have_had_time_to_load_what_is_expected() -> None:
    async def main() -> None:
        reader, changed = Pods(), list[float]()
        loop = asyncio.get_running_loop()
        digests = PodReports(reader, lambda _server: [a_pod()], lambda _server: changed.append(loop.time()))
        task = asyncio.create_task(digests.run())
        await asyncio.sleep(0)
        digests.expect(MAIN, "one")
        start = loop.time()
        await asyncio.sleep(pods.LOADING_SECONDS - 0.1)
        assert not digests.is_behind(MAIN, "one")
        await asyncio.sleep(2 * pods.MAX_WAIT)
        assert digests.is_behind(MAIN, "one")
        assert not digests.is_behind(MAIN, "two")
        assert changed[0] == pytest.approx(start)
        assert len(changed) == 2
        assert pods.LOADING_SECONDS <= changed[1] - start <= pods.LOADING_SECONDS + 2 * pods.MAX_WAIT

        digests.expect(MAIN, "one")  # The same again does not begin anew.
        assert digests.is_behind(MAIN, "one")
        digests.expect(MAIN, "two")
        assert not digests.is_behind(MAIN, "two")
        reader.digest_of["p"] = "two"
        await asyncio.sleep(2 * pods.LOADING_SECONDS)
        assert not digests.is_behind(MAIN, "two")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_pods_are_asked_less_and_less_often_and_at_once_for_another_digest() -> None:
    async def main() -> None:
        reader, changed = Pods(), list[Ref]()
        digests = PodReports(reader, lambda _server: [a_pod(), a_pod("q", ready=False)], changed.append)
        task = asyncio.create_task(digests.run())
        await asyncio.sleep(0)
        digests.expect(MAIN, "one")
        await asyncio.sleep(100)
        times = [time for time, _ in reader.asked]
        waits = [later - sooner for sooner, later in itertools.pairwise(times)]
        assert {name for _, name in reader.asked} == {"p"}
        assert waits[0] == pytest.approx(pods.FIRST_WAIT)
        assert max(waits) == pytest.approx(pods.MAX_WAIT)
        assert all(later > sooner - 1e-6 for sooner, later in itertools.pairwise(waits))
        # Once for the first answer, and once when the pod has had time to load what is expected.
        assert changed == [MAIN, MAIN]

        reader.digest_of["p"] = "two"
        before = len(reader.asked)
        digests.expect(MAIN, "two")
        await asyncio.sleep(0.1)
        assert len(reader.asked) == before + 1
        assert digests.reported(MAIN) == {"uid-p": "two"}
        await asyncio.sleep(100)
        assert len(reader.asked) == before + 1

        digests.forget(MAIN)
        assert digests.reported(MAIN) == {}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_a_server_that_is_gone_is_not_asked_any_longer() -> None:
    async def main() -> None:
        reader = Pods()
        digests = PodReports(reader, lambda _server: [a_pod()], lambda _server: None)
        task = asyncio.create_task(digests.run())
        await asyncio.sleep(0)
        digests.expect(MAIN, "one")
        await asyncio.sleep(5)
        digests.forget(MAIN)
        asked = len(reader.asked)
        await asyncio.sleep(100)
        assert len(reader.asked) == asked
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_nobody_is_asked_before_the_term_begins_or_after_it_ends() -> None:
    async def main() -> None:
        reader = Pods()
        digests = PodReports(reader, lambda _server: [a_pod()], lambda _server: None)
        digests.expect(MAIN, "one")
        await asyncio.sleep(5)
        assert reader.asked == []
        await settled(digests, "one", 5)
        asked = len(reader.asked)
        assert asked > 1
        digests.expect(MAIN, "two")
        await asyncio.sleep(100)
        assert len(reader.asked) == asked

    run(main())


def test_the_pods_of_a_server_with_pinned_tools_are_asked_on_and_on() -> None:
    async def main() -> None:
        reader, changed = Pods(), list[Ref]()
        reader.digest_of["p"], reader.pins = "one", "A"
        reports = PodReports(reader, lambda _server: [a_pod()], changed.append)
        task = asyncio.create_task(reports.run())
        await asyncio.sleep(0)
        reports.expect(MAIN, "one", pinned=True)
        await asyncio.sleep(60)
        assert [*reports.pins(MAIN)] == ["A"]
        assert changed == [MAIN]
        assert 4 <= len(reader.asked) <= 6

        reader.pins = "B"
        await asyncio.sleep(pods.PIN_SECONDS)
        assert [*reports.pins(MAIN)] == ["B"]
        assert changed == [MAIN, MAIN]

        # A pod that does not answer once takes nothing back.
        reader.digest_of["p"] = None
        await asyncio.sleep(60)
        assert [*reports.pins(MAIN)] == ["B"]
        assert reports.reported(MAIN) == {"uid-p": "one"}

        # What is said of another catalog is not said of this one.
        reports.expect(MAIN, "two", pinned=True)
        assert [*reports.pins(MAIN)] == []

        reader.digest_of["p"] = "two"
        reports.expect(MAIN, "two")
        await asyncio.sleep(60)
        asked = len(reader.asked)
        await asyncio.sleep(60)
        assert len(reader.asked) == asked
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_pods_that_have_yet_to_compare_new_pins_are_asked_soon() -> None:
    async def main() -> None:
        reader = Pods()
        reader.digest_of["p"], reader.pins = "one", "?"
        reports = PodReports(reader, lambda _server: [a_pod()], lambda _server: None)
        task = asyncio.create_task(reports.run())
        await asyncio.sleep(0)
        reports.expect(MAIN, "one", pinned=True)
        await asyncio.sleep(1)
        reader.pins = "A"
        await asyncio.sleep(2)
        assert [*reports.pins(MAIN)] == ["A"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())
