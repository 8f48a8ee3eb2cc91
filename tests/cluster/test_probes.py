"""The port of probes and metrics: what it says, and what a hostile client can do to it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, Counter

from cluster import probes
from cluster.connections import Deadlines
from cluster.listener import Listener
from cluster.message import Response


@pytest.mark.parametrize(
    ("unready", "note", "status", "text"),
    [
        (None, None, 200, "ok\n"),
        (None, "the canary was admitted", 200, "ok, but the canary was admitted\n"),
        ("not synced", "the canary was admitted", 503, "not synced\n"),
    ],
)
async def test_readiness_says_why_not_and_what_else_to_know(
    port: Any, unready: str | None, note: str | None, status: int, text: str
) -> None:
    hostile = await port(probes.pages(CollectorRegistry(), lambda: unready, note=lambda: note))

    assert await hostile.get("/readyz") == (status, text)


async def test_metrics_take_a_tenth_of_the_time_at_most(port: Any) -> None:
    registry, now = CollectorRegistry(), [1000.0]
    counter = Counter("calls", "Calls.", registry=registry)

    class Slow(CollectorRegistry):
        def collect(self) -> Any:
            now[0] += 1.0
            yield from registry.collect()

    hostile = await port(probes.pages(Slow(), lambda: None, monotonic=lambda: now[0]))
    seen = []
    for at in (1000.0, 1009.0, 1009.9, 1010.0):
        now[0] = max(now[0], at)
        seen.append("calls_total 0.0" in (await hostile.get("/metrics"))[1])
        counter.inc(0 if len(seen) > 1 else 1)

    assert seen == [True, True, True, False]


async def test_metrics_are_sent_as_what_they_are(port: Any) -> None:
    hostile = await port(probes.pages(CollectorRegistry(), lambda: "not synced", lambda: "hung"))
    answer = await end_of(await hostile.open(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n" in answer
    assert answer.endswith(b"\r\n\r\n# EOF\n")
    assert await hostile.get("/healthz") == (503, "hung\n")


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

    async def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.listener.port}{path}"
        async with ClientSession() as session, session.request(method, url) as answer:
            return answer.status, await answer.text()

    async def probe(self, path: str = "/healthz") -> int:
        return (await self.get(path))[0]


@pytest.fixture
async def port() -> Any:
    opened: list[Hostile] = []

    async def start(pages: dict[str, Any] | None = None, **deadlines: Any) -> Hostile:
        pages = pages or probes.pages(CollectorRegistry(), lambda: None)
        listener = await probes.serve(pages, "127.0.0.1", 0, deadlines=Deadlines(**deadlines))
        opened.append(Hostile(listener))
        return opened[-1]

    yield start
    for each in opened:
        for writer in each.writers:
            writer.close()
        await each.listener.close(0)


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


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 1000000\r\n\r\nx",
        b"Content-Length: 1\r\n\r\nx",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    ],
)
@pytest.mark.parametrize("path", [b"healthz", b"elsewhere"])
async def test_a_request_with_a_body_is_refused_without_reading_it(port: Any, path: bytes, body: bytes) -> None:
    hostile = await port(linger=0.05)
    head = b"GET /" + path + b" HTTP/1.1\r\nHost: x\r\n"

    answer = await end_of(await hostile.open(head + body))
    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert answer.endswith(b"a request to this port has no body\n")


async def test_requests_at_once_are_limited(port: Any) -> None:
    release = asyncio.Event()
    entered = 0

    async def wait() -> Response:
        nonlocal entered
        entered += 1
        await release.wait()
        return Response()

    hostile = await port({"/healthz": wait})
    # Those that have ended leave their places to others.
    for times in (1, 2):
        release.clear()
        calls = [asyncio.create_task(hostile.probe()) for _ in range(probes.IN_PROGRESS)]
        async with asyncio.timeout(10):
            while entered < times * probes.IN_PROGRESS:
                await asyncio.sleep(0.001)

        assert await hostile.probe() == 503
        release.set()
        assert set(await asyncio.gather(*calls)) == {200}


async def test_other_pages_and_methods_are_refused_in_words(port: Any) -> None:
    hostile = await port()

    assert await hostile.get("/") == (404, "there is no such page; there are /healthz, /readyz, /metrics\n")
    assert await hostile.get("/healthz", "DELETE") == (405, "send a GET\n")
    assert await hostile.get("/healthz", "HEAD") == (200, "")
    refused = await end_of(await hostile.open(b"DELETE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    assert b"\r\nAllow: GET, HEAD\r\n" in refused
