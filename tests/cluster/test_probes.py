"""The port of probes and metrics: what it says, and what a hostile client can do to it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from cluster import probes
from cluster.connections import Deadlines, Listener


@pytest.mark.parametrize(
    ("unready", "note", "status", "text"),
    [
        (None, None, 200, "ok\n"),
        (None, "the canary was admitted", 200, "ok, but the canary was admitted\n"),
        ("not synced", "the canary was admitted", 503, "not synced\n"),
    ],
)
async def test_readiness_says_why_not_and_what_else_to_know(
    unready: str | None, note: str | None, status: int, text: str
) -> None:
    app = probes.application(CollectorRegistry(), lambda: unready, note=lambda: note)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/readyz")

        assert (answer.status, await answer.text()) == (status, text)


async def test_metrics_take_a_tenth_of_the_time_at_most() -> None:
    registry, now = CollectorRegistry(), [0.0]
    counter = Counter("calls", "Calls.", registry=registry)

    class Slow(CollectorRegistry):
        def collect(self) -> Any:
            now[0] += 1.0
            yield from registry.collect()

    app = probes.application(Slow(), lambda: None, monotonic=lambda: now[0])
    async with TestClient(TestServer(app)) as client:
        seen = []
        for at in (0.0, 9.0, 9.9, 10.1):
            now[0] = max(now[0], at)
            seen.append("calls_total 0.0" in await (await client.get("/metrics")).text())
            counter.inc(0 if len(seen) > 1 else 1)

    assert seen == [True, True, True, False]


class Hostile:
    """A port with short deadlines, and connections on which a test sends bytes as it likes."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.writers: list[asyncio.StreamWriter] = []

    async def open(self, sent: bytes = b"") -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        self.writers.append(writer)
        writer.write(sent)
        await writer.drain()
        return reader

    async def probe(self, path: str = "/healthz") -> int:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{self.listener.port}{path}") as answer:
            return answer.status


@pytest.fixture
async def port() -> Any:
    opened: list[Hostile] = []

    async def start(app: web.Application | None = None, **deadlines: Any) -> Hostile:
        app = app or probes.application(CollectorRegistry(), lambda: None)
        listener = await probes.serve(app, "127.0.0.1", 0, deadlines=Deadlines(**deadlines))
        opened.append(Hostile(listener))
        return opened[-1]

    yield start
    for each in opened:
        for writer in each.writers:
            writer.close()
        await each.listener.close()


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes the connection; fails if that takes too long."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("sent", [b"", b"GET /metr", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
async def test_a_connection_without_a_request_is_closed(port: Any, sent: bytes) -> None:
    hostile = await port(headers=0.05)

    assert await end_of(await hostile.open(sent)) == b""


async def test_an_idle_connection_is_closed(port: Any) -> None:
    hostile = await port(idle=0.05)

    assert b" 200 " in await end_of(await hostile.open(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))


async def test_silent_connections_do_not_keep_the_kubelet_out(port: Any) -> None:
    hostile = await port(connections=4)
    readers = [await hostile.open() for _ in range(8)]

    assert await hostile.probe() == 200
    assert await end_of(readers[0]) == b""


@pytest.mark.parametrize("body", [b"Content-Length: 1000000\r\n\r\nx", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"])
@pytest.mark.parametrize("path", [b"healthz", b"elsewhere"])
async def test_a_request_with_a_body_is_refused_without_reading_it(port: Any, path: bytes, body: bytes) -> None:
    hostile = await port(linger=0.05)
    head = b"GET /" + path + b" HTTP/1.1\r\nHost: x\r\n"

    assert b" 413 " in (await end_of(await hostile.open(head + body))).partition(b"\r\n")[0]


async def test_requests_at_once_are_limited(port: Any) -> None:
    release = asyncio.Event()
    entered = 0

    async def wait(_request: web.Request) -> web.Response:
        nonlocal entered
        entered += 1
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/healthz", wait)
    hostile = await port(app)
    calls = [asyncio.create_task(hostile.probe()) for _ in range(probes.IN_PROGRESS)]
    async with asyncio.timeout(10):
        while entered < probes.IN_PROGRESS:
            await asyncio.sleep(0.001)

    assert await hostile.probe() == 503
    release.set()
    assert set(await asyncio.gather(*calls)) == {200}
    assert await hostile.probe() == 200
